"""What can only fail is refused before the first child: exit 2, and rule, value, limit and key in one line.

By ``replay`` with order options on spot, linear and inverse contracts; by ``run`` and schedules on the
embedded exchange, before anything is written.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import connectors.embedded.rest_api as rest
from agent.cli import main
from agent.config import Config
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR
from storage.recordings.session import SessionHeader, SessionWriter
from tests.fakes import synthetic_tape
from tests.integration.test_bad_input import fails

RECORDED = Path(__file__).parents[1] / "data" / "small-session"

MINUTE = 60 * 10**9
SPOT, TAPE = synthetic_tape(20.0)
LINEAR = replace(SPOT, symbol="BTC/USDT:USDT")
INVERSE = replace(
    SPOT,
    symbol="BTC/USD:BTC",
    quote="USD",
    settle="BTC",
    lot=Decimal(1),
    multiplier=Decimal(100),
    inverse=True,
    min_notional=Decimal(100),
)
KINDS = {"spot": SPOT, "linear": LINEAR, "inverse": INVERSE}
A_MINUTE_LOTS = 2_000_000
"""The volume of a minute: 20 BTC of spot and linear, two million inverse contracts."""
SHORT = [
    "--algo",
    "twap",
    "--shadow",
    "",
    "--min-duration",
    "5s",
    "--max-duration",
    "10s",
    "--interval",
    "5s",
]


def recorded(path: Path, instrument: Instrument, minutes: int = 10) -> Path:
    """Twenty seconds of a market without an order, and klines of the minutes before."""
    first_ns = int(TAPE["recv_ns"][0])
    bars = np.zeros(minutes, BAR)
    bars["open_ns"] = first_ns - MINUTE * np.arange(minutes, 0, -1)
    bars["recv_ns"], bars["delta_ns"], bars["base_lots"] = first_ns, MINUTE, A_MINUTE_LOTS
    bars["seq"] = -np.arange(minutes, 0, -1)
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        bars[name] = 5_894_000
    bars["quote_tl"], bars["trades"] = bars["close_ticks"] * A_MINUTE_LOTS, 100
    header = SessionHeader(path.name, (instrument,), first_ns, config=Config().model_dump(mode="json"))
    writer = SessionWriter.create(path, header)
    writer.bars(bars)
    writer.events(TAPE)
    writer.close(int(TAPE["recv_ns"][-1]))
    return path


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sessions")
    return {name: recorded(folder / name, instrument) for name, instrument in KINDS.items()}


def configured(folder: Path, **sections: Any) -> list[str]:
    path = folder / "c.yaml"
    path.write_text(json.dumps(sections), encoding="utf-8")  # JSON is YAML
    return ["--config", str(path)]


RICH = {"BTC": 10**9, "USDT": 10**13, "USD": 10**13}
FREE: dict[str, Any] = {
    "risk": {"max_notional": None, "max_volume_share": None},
    "venue": {"balances": RICH},
}
"""Limits of money and volume that refuse nothing; each case sets the one that it is about."""


def with_limits(**sections: dict[str, Any]) -> dict[str, Any]:
    return {name: {**FREE.get(name, {}), **sections.get(name, {})} for name in {**FREE, **sections}}


def owning(**balances: int) -> dict[str, Any]:
    return {"venue": {"balances": balances}}


EVERY_KIND, COINS = list(KINDS), ["spot", "linear"]
ALWAYS = {"start": "1970-01-01T00:00:00Z", "end": "2200-01-01T00:00:00Z"}
CASES: list[tuple[list[str], list[str], dict[str, Any], list[str]]] = [
    # kinds, order options, configuration, words of the message
    (
        EVERY_KIND,
        [],
        {"risk": {"max_notional": 50}},
        ["max_notional: ", "at most 50 ", "(risk.max_notional)"],
    ),
    (EVERY_KIND, [], {"risk": {"max_volume_share": 1e-9}}, ["volume_share: ", "(risk.max_volume_share)"]),
    (EVERY_KIND, [], {"risk": {"max_participation": 1e-9}}, ["participation: ", "(risk.max_participation)"]),
    (EVERY_KIND, ["--participation-cap", "1e-9"], {}, ["participation: ", "(order.participation_cap)"]),
    (COINS, [], {"risk": {"max_child_quantity": 1e-5}}, ["child_size: ", "(risk.max_child_quantity)"]),
    (["inverse"], [], {"risk": {"max_child_quantity": 0.5}}, ["child_size: ", "(risk.max_child_quantity)"]),
    (COINS, [], {"venue": {"max_quantity": 1e-5}}, ["child_size: ", "(venue.max_quantity)"]),
    (
        EVERY_KIND,
        [],
        {"tactics": {"reach_bps": 150}},
        ["price_collar: ", "100 bps", "(risk.price_collar_bps)"],
    ),
    (EVERY_KIND, [], {"venue": {"price_band_bps": 5}}, ["price_band: ", "5 bps", "(venue.price_band_bps)"]),
    (EVERY_KIND, ["--limit-price", "30000"], {}, ["price_band: ", "2000 bps", "order.limit_price"]),
    (EVERY_KIND, [], {"venue": {"halts": [ALWAYS]}}, ["halt: ", "(venue.halts)"]),
    (["spot"], ["--side", "buy"], owning(USDT=1), ["balance 1 USDT", "(venue.balances: USDT)"]),
    (["spot"], ["--side", "sell"], owning(USDT=10**9), ["balance 0 BTC", "(venue.balances: BTC)"]),
    (["linear"], ["--side", "sell"], owning(BTC=10**9), ["(venue.balances: USDT)"]),
    (["inverse"], ["--side", "sell"], owning(USD=10**9), ["(venue.balances: BTC)"]),
]


@pytest.mark.parametrize(
    ("kind", "options", "limits", "words"),
    [(kind, *case) for kinds, *case in CASES for kind in kinds],
)
def test_an_order_that_can_only_fail_is_refused_by_a_replay(
    kind: str,
    options: list[str],
    limits: dict[str, Any],
    words: list[str],
    sessions: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every limit, alone: the one it is about refuses, with its key, and nothing is stored."""
    quantity = "200" if kind == "inverse" else "0.2"
    argv = ["replay", str(sessions[kind]), "--db", f"sqlite:///{tmp_path / 'a.db'}", *SHORT]
    argv += ["--quantity", quantity, *options, *configured(tmp_path, **with_limits(**limits))]
    code, message = fails(argv, capsys)
    assert code == 2
    assert [word for word in words if word not in message] == [], message
    assert "; " not in message.replace("; the price is by", "").replace("; tactics.", ""), "one rule, alone"
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_an_order_within_every_limit_is_worked(
    kind: str, side: str, sessions: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same order without the limits: none of the refusals above is for another reason."""
    quantity = "200" if kind == "inverse" else "0.2"
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(sessions[kind]), *SHORT, "--side", side, "--quantity", quantity, "--json"])
    assert stop.value.code == 0
    (parent,) = json.loads(capsys.readouterr().out)["parents"]
    assert parent["state"] == "completed"


def test_a_part_that_is_too_large_is_cut_and_the_order_completes(
    sessions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even parts of 0.02 BTC where 0.018 are allowed: cut to that, told before, and all of it is done."""
    limits = configured(tmp_path, **with_limits(risk={"max_child_quantity": 0.018}))
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(sessions["spot"]), *SHORT, "--quantity", "0.2", "--json", *limits])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    (parent,) = json.loads(out)["parents"]
    assert (parent["state"], parent["children"] >= 12) == ("completed", True)
    assert "(risk.max_child_quantity)" in err


def test_what_a_cap_leaves_too_small_is_not_sent(
    sessions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cap that leaves less than the least order at first: nothing is rejected, and the order says so."""
    cap = ["--participation-cap", "0.0001", "--db", f"sqlite:///{tmp_path / 'a.db'}"]
    with pytest.raises(SystemExit):
        main(["replay", str(sessions["spot"]), *SHORT, "--quantity", "0.2", "--json", *cap])
    with sqlite3.connect(tmp_path / "a.db") as rows:
        states = {state for (state,) in rows.execute("SELECT state FROM child_orders")}
        ((reason,),) = rows.execute("SELECT reason FROM parent_orders")
    assert "rejected" not in states
    assert "participation cap (order.participation_cap)" in reason


# --- live -----------------------------------------------------------------------------------------------


def live(folder: Path, *extra: str) -> list[str]:
    where = ["--db", f"sqlite:///{folder / 'agent.db'}", "--out", str(folder / "sessions")]
    return ["run", "--paper", *where, *SHORT, *extra]


@pytest.mark.parametrize(
    ("options", "sections", "words"),
    [
        (
            ["--notional", "59000000000"],
            {"risk": {"max_notional": None}, "venue": {"balances": {"USDT": 10**12}}},
            ["volume_share: ", "times the", "(risk.max_volume_share)"],
        ),
        (["--quantity", "0.2"], {"risk": {"max_notional": 1000}}, ["max_notional: ", "(risk.max_notional)"]),
        (
            ["--quantity", "0.2"],
            {"schedules": [{"name": "lunch", "every": "1h", "order": {"quantity": 150, "side": "sell"}}]},
            ["schedule 'lunch': ", "(risk.max_notional)", "(risk.max_volume_share)"],
        ),
        (
            ["--quantity", "0.2"],
            {"schedules": [{"name": "lunch", "every": "1h", "order": {"min_duration": "2m", "quantity": 1}}]},
            ["schedule 'lunch': ", "min duration 2m"],
        ),
    ],
)
def test_a_run_refuses_before_anything_is_written(
    options: list[str],
    sections: dict[str, Any],
    words: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The configured order and those of schedules, held against the history: no session, no database."""
    limits = configured(tmp_path_factory.mktemp("config"), **sections)
    code, message = fails(live(tmp_path, *options, *limits), capsys)
    assert code == 2
    assert [word for word in words if word not in message] == [], message
    assert list(tmp_path.iterdir()) == []


def test_a_market_that_is_not_traded_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange says BREAK; the unmodified client reads it as inactive."""
    served = rest.symbol_info
    monkeypatch.setattr(
        rest, "symbol_info", lambda lane, trading: {**served(lane, trading), "status": "BREAK"}
    )
    code, message = fails(live(tmp_path, "--quantity", "0.2"), capsys)
    assert code == 2
    assert "BTC/USDT is not traded on embedded now (active: false, status BREAK)" in message
    assert list(tmp_path.iterdir()) == []


# --- the configuration ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"risk": {"max_notional": -5}}, ["risk.max_notional = -5", "greater than 0"]),
        ({"risk": {"max_child_quantity": -1}}, ["risk.max_child_quantity = -1", "greater than 0"]),
        ({"risk": {"max_volume_share": 0}}, ["risk.max_volume_share = 0", "greater than 0"]),
        ({"venue": {"balances": {"BTC": -1}}}, ["venue.balances.BTC = -1", "equal to 0"]),
        ({"venue": {"taker_fee_ppm": 2_000_000}}, ["venue.taker_fee_ppm = 2000000", "equal to 1000000"]),
        ({"venue": {"maker_fee_ppm": -1_000_001}}, ["venue.maker_fee_ppm", "equal to -1000000"]),
        (
            {"venue": {"fee_tiers": [{"volume": 1, "maker_ppm": 0, "taker_ppm": 1_000_001}]}},
            ["venue.fee_tiers.0.taker_ppm"],
        ),
        ({"order": {"shadows": ["twap", "twap"]}}, ["order.shadows", "twap is named 2 times"]),
        ({"order": {"risk_aversion": ".inf"}}, ["order.risk_aversion"]),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    sections: dict[str, Any], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Negative limits, money that is owed, fees of more than all, and one shadow twice."""
    code, message = fails(live(tmp_path, "--quantity", "0.2", *configured(tmp_path, **sections)), capsys)
    assert code == 2
    assert [word for word in words if word not in message] == [], message


FINITE = [
    "order.risk_aversion",
    "order.participation_cap",
    "order.limit_price",
    "order.quantity",
    "order.min_rate",
    "venue.queue_power",
    "venue.price_band_bps",
    "venue.fee_rate",
    "venue.max_quantity",
    "venue.balances.BTC",
    "venue.entry.median_ms",
    "bars.reach_bps",
    "bars.half_spread_bps",
    "risk.max_notional",
    "risk.max_volume_share",
    "risk.price_collar_bps",
    "tactics.reach_bps",
    "tactics.cross_share",
    "embedded.speed",
]


@pytest.mark.parametrize("key", FINITE)
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_no_number_is_infinite(
    key: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Infinities and what is no number, in a number of any section."""
    *sections, name = key.split(".")
    path = tmp_path / "c.yaml"
    path.write_text("".join(f"{s}: {{" for s in sections) + f"{name}: {value}" + "}" * len(sections))
    code, message = fails(["replay", str(RECORDED), "--config", str(path)], capsys)
    assert code == 2
    assert f"{key} = " in message, message


def test_the_same_shadow_twice_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the configuration."""
    code, message = fails(live(tmp_path, "--quantity", "0.2", "--shadow", "twap,twap"), capsys)
    assert (code, "twap is named 2 times" in message) == (2, True)


@pytest.mark.parametrize("written", ["0s", "0", "0m"])
@pytest.mark.parametrize("algo", ["lem", "optimal_stopping", "twap", "immediate"])
def test_an_order_may_be_done_at_once(
    written: str, algo: str, sessions: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """m = 0: no least duration, from the command line to the finished order."""
    argv = ["replay", str(sessions["spot"]), *SHORT, "--quantity", "0.2", "--algo", algo, "--json"]
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--min-duration", written])
    assert stop.value.code == 0
    (parent,) = json.loads(capsys.readouterr().out)["parents"]
    assert parent["state"] == "completed"
