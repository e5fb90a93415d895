"""Captures with lines cut out, through ``agent import`` and ``agent replay``: no wrong number unmarked.

The market moves while the lines are missing, so a price of before the hole is not the market's. The command's
JSON, its table and the execution log say which numbers stand on it.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.core.measures.data_quality import known
from tests import captures as c
from tests.captures import Depth, Event, Trade
from tests.integration.test_session_tools import agent
from tests.realdata import capture_files

pytestmark = pytest.mark.slow

SECONDS = 100
ORDER = [
    *("--min-duration", "5s", "--max-duration", "20s", "--interval", "5s", "--algo", "twap"),
    *("--shadow", "pov", "--config"),
]
OF_PARENT = ("gain_bps", "full_gain_bps", "arrival_slippage_bps", "participation_rate")
OF_SHADOW = (*OF_PARENT[:3], "diff_gain_bps", "diff_full_bps", "diff_arrival_bps")
Document = dict[str, Any]


def market(seed: int) -> list[Event]:
    """A book that walks every 100 ms and trades in between; a snapshot every 3 s, as captures hold them."""
    draw, mid, number = random.Random(seed), 10_000, 0
    before: dict[tuple[int, int], str] = {}
    events: list[Event] = []
    for i in range(10 * SECONDS):
        mid += draw.choice((-3, -1, 0, 0, 1, 3))
        book = {(side, mid + side * (1 + k)): str(draw.randint(1, 9)) for side in (-1, 1) for k in range(5)}
        changed = {**dict.fromkeys(before.keys() - book.keys(), "0"), **book}
        events.append(_depth(100 * i, changed, snapshot=i == 0))
        if i and i % 30 == 0:
            events.append(_depth(100 * i + 10, book, snapshot=True))
        for k in range(draw.randint(0, 3)):
            number, side = number + 1, draw.choice((-1, 1))
            price = f"{(mid + side) / 100:.2f}"
            events.append(Trade(100 * i + 20 * k + 30, number, price, str(draw.randint(1, 5)), side))
        before = book
    return events


def _depth(at_ms: int, levels: dict[tuple[int, int], str], *, snapshot: bool) -> Depth:
    sides = [[(f"{p / 100:.2f}", q) for (s, p), q in sorted(levels.items()) if s == side] for side in (-1, 1)]
    return Depth(at_ms, sides[0], sides[1], snapshot)


@cache
def lines_of(seed: int) -> list[bytes]:
    return c.spot(market(seed))


UNITS = ("--tick-size", "0.01", "--lot-size", "1")


def replayed(
    folder: Path, lines: list[bytes], *more: str, quantity: str = "60", units: tuple[str, ...] = UNITS
) -> Document:
    """What ``agent replay --json`` says of an order on ``agent import``'s session of these lines."""
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text("venue: {balances: {BTC: 1000, USDT: 10000000}}\nrisk: {max_notional: null}\n")
    file = c.write(folder / "x.gz", lines)
    made = agent("import", file, "--symbol", "BTC/USDT", "--out", folder / "s", *units, "--json")
    assert made.returncode in (0, 1), made.stderr
    done = agent("replay", folder / "s", *ORDER, config, "--quantity", quantity, "--json", *more)
    assert done.stdout, done.stderr
    (parent,) = json.loads(done.stdout)["parents"]
    return dict(parent)


def numbers(parent: Document) -> dict[tuple[str, str], tuple[object, bool, bool]]:
    """(order, measure) -> value, whether it is flagged, whether a reason says why it is not known."""
    found = {}
    for of, names in ((parent, OF_PARENT), *((s, OF_SHADOW) for s in parent["shadows"])):
        named = {name: of[name] for name in names}
        if of is parent:
            named |= {k: v for k, v in parent["measures"].items() if k not in ("flags", "pwp_rate")}
        for name, value in named.items():
            found[of["algo"], name] = value, name in of["flags"], name in of["reasons"]
    return found


def same(a: object, b: object) -> bool:
    if not known(a) or not known(b):
        return a == b
    return math.isclose(float(str(a)), float(str(b)), rel_tol=1e-9, abs_tol=1e-9)


def test_lines_cut_out_anywhere(tmp_path: Path) -> None:
    """Fifty holes in two captures: wrong without a flag 0, null without a reason 0."""
    wrong, flagged = [], 0
    whole = [numbers(replayed(tmp_path / f"whole{n}", lines_of(n))) for n in range(2)]
    for seed in range(50):
        draw, lines = random.Random(seed), lines_of(seed % 2)
        first = draw.randrange(60, draw.choice((600, len(lines) - 10)))
        cut = lines[:first] + lines[first + draw.randrange(20, 400) :]
        for key, (value, flag, why) in numbers(replayed(tmp_path / f"cut{seed}", cut)).items():
            was = whole[seed % 2][key][0]
            assert value is not None or why or key[1].startswith("diff_"), (seed, key)
            if value is not None and not same(value, was):
                wrong += [] if flag else [(seed, key, was, value)]
                flagged += flag
    assert wrong == []
    assert flagged > 300


def test_a_hole_at_the_end_of_an_order(tmp_path: Path) -> None:
    """JSON, table, log and CSV mark what stands on it; a markout that falls into it is null and says why."""
    lines, database = lines_of(0), f"sqlite:///{tmp_path / 'agent.db'}"
    at = next(i for i, line in enumerate(lines) if int(line.split()[0]) > (c.T0_MS + 18_000) * c.MS)
    cut = lines[:at] + lines[at + 1_500 :]
    parent = replayed(tmp_path / "cut", cut, "--db", database)
    whole = replayed(tmp_path / "whole", lines)
    assert whole["flags"] == {}
    assert (
        parent["shortfall"]["opportunity"] != whole["shortfall"]["opportunity"]
        or parent["state"] == "completed"
    )
    assert 0 < parent["flags"]["shortfall_opportunity"]["gap"] < 1
    assert set(parent["flags"]["gain_bps"]) == {"gap", "lost_trades"}
    assert parent["measures"]["markout_10s_bps"] is None
    assert parent["reasons"]["markout_10s_bps"].startswith(
        "no mid 10 s after a fill: the book was not followed"
    )
    config = tmp_path / "cut" / "config.yaml"
    table = agent("replay", tmp_path / "cut" / "s", *ORDER, config, "--quantity", "60").stdout
    (gain,) = [line for line in table.splitlines() if line.startswith("vwap used")]
    assert gain.split()[3].endswith("!")
    assert "the data in the measure's window is faulty" in table
    assert "not known: markout 10s: no mid 10 s after a fill" in table
    rows = json.loads(agent("log", "slippage", "--db", database, "--json").stdout)
    assert all(row["flags"]["gain_bps"]["gap"] > 0 for row in rows)
    assert all("markout_10s_bps" in row["reasons"] for row in rows)
    text = agent("log", "slippage", "--db", database, "--format", "csv").stdout
    assert "gain_bps: gap " in text
    shown = agent("log", "slippage", "--db", database).stdout
    assert "flags" in shown


@pytest.mark.parametrize("seed", range(3))
def test_a_real_capture_with_2500_lines_cut_out(seed: int, tmp_path: Path) -> None:
    """Binance's own: what differs from the whole capture is marked."""
    with gzip.open(capture_files("btcusdt")[0]) as file:
        lines = [line for line, _ in zip(file, range(60_000), strict=False)]
    draw = random.Random(seed)
    at = draw.randrange(1_000, 2_500)  # while the order works
    whole = numbers(replayed(tmp_path / "whole", lines, units=(), quantity="2"))
    cut = numbers(replayed(tmp_path / "cut", lines[:at] + lines[at + 2_500 :], units=(), quantity="2"))
    wrong = {
        key: (whole[key][0], value, flag)
        for key, (value, flag, _) in cut.items()
        if value is not None and not same(value, whole[key][0])
    }
    assert {key: numbers for key, numbers in wrong.items() if not numbers[2]} == {}
    assert wrong or any(why for _, _, why in cut.values())
