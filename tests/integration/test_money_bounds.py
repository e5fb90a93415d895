"""Money up to and past 64 bits, end to end: right to the digits shown, or one sentence; never a wrong number.

What is right is reckoned here, in fractions, from the trades that were drawn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.config import Order, Risk, Venue
from agent.core.errors import InputError
from agent.core.money import MOST_ORDER_TL, MOST_TL
from agent.core.types import NS_PER_S
from tests.fakes import record, start
from tests.integration.drawn_markets import SECONDS, START_NS, DrawnMarket, drawn_market

INTERVAL_S, LONGEST_S = 2, 12
FEW = (0, 2, 3, 6, 13, 18, 26, 31, 43, 46)
"""Some past 64 bits within an interval, some only in all; orders and trades beyond what can be counted."""
MANY = range(100, 400)


def _run(*argv: str) -> tuple[int, str, Any]:
    """(exit status, what was said, the document). Any other error than the user's input is a failure."""
    done = CliRunner().invoke(app, [*argv, "--json"])
    if isinstance(done.exception, InputError):
        return done.exception.exit_code, str(done.exception), None
    assert done.exception is None, done.exception
    return done.exit_code, done.output, orjson.loads(done.stdout)


UNLIMITED = """
risk: {max_notional: null, max_volume_share: null, price_collar_bps: null}
venue: {balances: {A: 1e40, B: 1e40}}
"""


def _order(market: DrawnMarket, seed: int) -> tuple[list[str], int]:
    """Some share of what trades in the window, by quantity or by money; and its target."""
    lots, money = market.traded(0, LONGEST_S * NS_PER_S)
    on, part = market.instrument, (1, 10, 200, 5000)[seed % 4]
    by_money = seed // 2 % 2 == 1
    target = max(1, (money if by_money else lots) // part)
    amount = on.notional(target) if by_money else on.quantity(target)
    options = ["--notional" if by_money else "--quantity", f"{amount:f}"]
    return [*options, "--side", ("buy", "sell")[seed // 4 % 2]], target


def _replayed(market: DrawnMarket, folder: Path, seed: int, *more: str) -> tuple[int, str, Any]:
    options, _ = _order(market, seed)
    limits = folder.with_suffix(".yaml")
    limits.write_text(UNLIMITED)
    times = ["--interval", f"{INTERVAL_S}s", "--min-duration", "4s", "--max-duration", f"{LONGEST_S}s"]
    algo = ["--algo", ("twap", "lem", "vwap")[seed % 3], "--shadow", "pov" if seed % 5 == 0 else ""]
    return _run("replay", str(folder), "--config", str(limits), *options, *times, *algo, *more)


def _check(market: DrawnMarket, seed: int, folder: Path) -> str:
    """Replay and inspect one market. Returns which way it went: right, or what was refused."""
    session = market.record(folder / f"s{seed}")
    code, said, document = _run("sessions", "inspect", str(session))
    assert code == 0, said
    (shown,) = document["instruments"]
    lots, money = market.traded(0, SECONDS * NS_PER_S)
    assert Fraction(shown["volume"]) == lots * Fraction(market.instrument.lot)
    assert Fraction(shown["turnover"]) == money * market.unit
    code, said, document = _replayed(market, session, seed)
    if code:
        assert code == 2, said
        return _refused(market, seed, said)
    (parent,) = document["parents"]
    return "right" if _check_parent(market, parent) else "nothing filled"


def _refused(market: DrawnMarket, seed: int, said: str) -> str:
    """One sentence about what cannot be counted, and only where it cannot."""
    if "a trade of" in said:
        assert "more than the" in said
        assert market.largest_tl > MOST_TL * (1 - 2**-50)
        return "trade"
    if "must be below 10^18" in said:  # more digits than an amount has
        return "amount"
    _, target = _order(market, seed)
    if "(exchange.min_quantity)" in said:  # money for less than a lot
        assert target < max(ticks for _, ticks, _ in market.trades) + 4
        return "amount"
    assert "more than can be counted" in said, said
    dearest = 1 if seed // 2 % 2 else max(ticks for _, ticks, _ in market.trades)
    assert target * (dearest + 2) > MOST_ORDER_TL
    return "order"


def _check_parent(market: DrawnMarket, parent: dict[str, Any]) -> bool:
    """The benchmark, the share and the costs are those of the trades. Returns whether something was filled.

    The average price is shown rounded; what was paid is exact in the shortfall, or the target itself.
    """
    begin = parent["started_ns"] - START_NS
    used = -(-(parent["ended_ns"] - parent["started_ns"]) // (INTERVAL_S * NS_PER_S)) * INTERVAL_S * NS_PER_S
    lots, money = market.traded(begin, begin + min(used, LONGEST_S * NS_PER_S))
    tick, lot = Fraction(market.instrument.tick), Fraction(market.instrument.lot)
    vwap, side = Fraction(money, lots) * tick, 1 if parent["side"] == "buy" else -1
    filled, share = Fraction(parent["filled"]), parent["participation_rate"]
    if not filled:
        return False
    if parent["target_kind"] == "quantity":
        own = filled
        value = side * Fraction(parent["shortfall"]["trading"]) + own * Fraction(parent["arrival_price"])
    else:
        own, value = round(Fraction(share) * lots) * lot, filled
    assert share == pytest.approx(float(own / lot / lots), rel=1e-12)
    low, high = (pick(t for _, t, _ in market.trades) * tick for pick in (min, max))
    assert low - 4 * tick <= value / own <= high + 4 * tick
    gain = -side * (value / own / vwap - 1) * 10_000
    assert parent["gain_bps"] == pytest.approx(float(gain), rel=1e-6, abs=1e-6 + 1e4 / lots)
    total = sum(Fraction(parent["shortfall"][part]) for part in ("delay", "trading", "opportunity", "fees"))
    assert total == Fraction(parent["shortfall"]["total"])
    assert float(Fraction(parent["shortfall"]["fees"])) == pytest.approx(float(value / 1000), rel=1e-9)
    return True


def _all(seeds: Sequence[int], folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for seed in seeds:
        went = _check(drawn_market(seed), seed, folder)
        found[went] = found.get(went, 0) + 1
    return found


def test_markets_are_right_or_refused(tmp_path: Path) -> None:
    """Some of each: what can be counted is right, and what cannot is said."""
    found = _all(FEW, tmp_path)
    assert found == {"right": 7, "order": 1, "trade": 2}


@pytest.mark.parametrize("seed", [2, 114])
def test_the_log_holds_what_was_paid(tmp_path: Path, seed: int) -> None:
    """An order of money in a market past 64 bits: the fills in the database sum to what it spent, exactly."""
    market = drawn_market(seed)
    session, log = market.record(tmp_path / "s"), tmp_path / "log.db"
    code, said, document = _replayed(market, session, seed, "--db", f"sqlite:///{log}")
    assert code == 0, said
    (parent,) = document["parents"]
    with sqlite3.connect(log) as database:
        rows = database.execute(
            "SELECT notional, price_ticks, qty_lots FROM fills WHERE parent_id LIKE '%-P1'"
        )
        fills = [(Fraction(notional), ticks * lots) for notional, ticks, lots in rows]
        ((filled_tl,),) = database.execute("SELECT filled_tl FROM parent_orders WHERE shadow_of IS NULL")
    assert parent["target_kind"] == "notional"
    assert sum(notional for notional, _ in fills) == Fraction(parent["filled"]) == filled_tl * market.unit
    assert sum(value for _, value in fills) == filled_tl


def test_a_recording_past_64_bits_verifies(tmp_path: Path) -> None:
    """Orders that rest among levels of 2^62 lots: replayed to the bit, and no fill beyond the tape."""
    market = drawn_market(26)
    _, money = market.traded(0, LONGEST_S * NS_PER_S)
    order = Order(
        notional=Decimal(f"{market.instrument.notional(money // 200):f}"),
        interval=INTERVAL_S * NS_PER_S,
        min_duration=4 * NS_PER_S,
        max_duration=LONGEST_S * NS_PER_S,
        algo="twap",
        tactic="peg",
        shadows=("pov",),
    )
    command = start(market.instrument, market.events, order)
    rich = Venue(balances={"A": Decimal("1e40"), "B": Decimal("1e40")})
    free = Risk(max_notional=None, max_volume_share=None, price_collar_bps=None)
    session = record(tmp_path / "s", market.instrument, market.events, [command], order, rich, risk=free)
    code, said, document = _run("replay", str(session), "--verify")
    assert code == 0, said
    assert document["match"] is True
    assert document["fills_within_tape"] is True
    assert Fraction(document["parents"][0]["filled"]) > 0


@pytest.mark.slow
def test_hundreds_of_markets_are_right_or_refused(tmp_path: Path) -> None:
    """Every kind of steps, prices and sizes."""
    found = _all(MANY, tmp_path)
    assert found["right"] >= 100
    assert found["trade"] >= 10
    assert found["order"] >= 10
