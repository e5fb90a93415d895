"""A few cases of each kind in the usual tests; ``make fuzz`` draws thousands."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.fuzz.campaign import KINDS, fault_in
from tests.fuzz.import_files import T0_MS, judged
from tests.fuzz.trial import Case, Ended, fault_of, run_here
from tests.fuzz.world import World, make_world

pytestmark = pytest.mark.slow

SEED = 13
CASES = 12
FEWER = {"frames": 2, "messages": 6}  # a case is a whole feed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_odd_input_gets_a_message(kind: str, world: World) -> None:
    """No traceback, no hang, an exit code of the contract."""
    faults = [fault_in(kind, number, SEED, world) for number in range(FEWER.get(kind, CASES))]
    assert [fault for fault in faults if fault] == []


def test_the_judge_notices() -> None:
    """A traceback, a fault told as a message, a code of no contract, a silent failure, half a document."""
    case = Case(["log", "fills", "--json"])
    assert fault_of(case, Ended(0, "[]", "")) is None
    assert fault_of(case, Ended(None, "", "", ValueError("x")))
    assert fault_of(case, Ended(1, "", "error: this program is at fault (KeyError: 1)"))
    assert fault_of(case, Ended(1, "", "Exception in thread x:\nTraceback (most recent call last):"))
    assert fault_of(case, Ended(4, "", "error: x"))
    assert fault_of(case, Ended(2, "", "usage"))
    assert fault_of(case, Ended(0, "[]\nand more", ""))


@pytest.mark.parametrize(
    ("at_s", "price", "kind", "words"),
    [
        (T0_MS // 1000, 104, "trades", ""),
        (T0_MS // 1000, 10_400, "trades", "its price is"),
        (900_000_000, 104, "trades", "of another day"),
        (T0_MS // 1000, 104, "klines", "read as trades"),
    ],
)
def test_the_judge_knows_a_market_that_never_was(
    tmp_path: Path, at_s: int, price: int, kind: str, words: str
) -> None:
    """Prices a hundred times as high, times of another year; a session of what the files hold passes."""
    file, out = tmp_path / "x.csv", tmp_path / "s"
    file.write_text("".join(f"{at_s + k},{price},0.5\n" for k in range(9)))
    argv = ["import", str(file), "--symbol", "BTC/USDT", "--out", str(out), "--json"]
    for refuse, why in ((False, words), (True, "a symbol that the files do not hold")):
        ended = run_here(
            Case(argv, call=lambda refuse=refuse: judged(argv, out, {kind}, refuse=refuse)), tmp_path
        )
        assert why in str(fault_of(Case(argv), ended) or "")
        assert (fault_of(Case(argv), ended) is None) is (not why)
        shutil.rmtree(out, ignore_errors=True)


def test_the_judge_ends_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's time that a case used."""
    monkeypatch.setattr("tests.fuzz.trial.HANG_S", 0.05)

    def hang() -> None:
        while True:
            time.perf_counter()

    assert "hangs" in str(fault_of(Case([]), run_here(Case([], call=hang), tmp_path)))


def test_a_case_is_its_number(world: World) -> None:
    """The same seed gives the same cases, so that a failure can be repeated."""
    for kind, make in KINDS.items():
        a, b = (make(random.Random(f"7/{kind}/3"), world) for _ in range(2))
        assert (a.argv, a.about) == (b.argv, b.about)
