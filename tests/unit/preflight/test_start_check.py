"""An order at its start: what must fail is fatal, what may is not, and what is not known is not judged."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.app.checks.start_orders import start_rules
from agent.config import parse_config
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR
from agent.core.orders.order_value import order_value, send_price_ticks
from agent.core.types import BenchmarkKind, ParentSpec, Side, TargetKind
from agent.engine.child_sizes import least_units, too_small, within_most
from agent.engine.pretrade import Ticket
from agent.preflight.order_at_start import Finding, StartFacts
from agent.preflight.start_check import judge
from agent.preflight.volume_forecast import expected_lots

S = 10**9
BTC = Instrument(
    0,
    "test",
    "BTC/USDT",
    "BTC",
    "USDT",
    "USDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.00001"),
    min_lots=1,
    min_notional=Decimal(5),
)
TOUCH = (5_999_900, 6_000_100)
SPEC = ParentSpec(
    parent_id="p",
    instrument=0,
    symbol="BTC/USDT",
    side=Side.BUY,
    target_kind=TargetKind.QUANTITY,
    target=100_000,
    benchmark=BenchmarkKind.VWAP,
    interval_ns=S,
    min_duration_ns=0,
    max_duration_ns=10 * S,
    algo="twap",
)


def found(
    spec: ParentSpec = SPEC,
    touch: tuple[int, int] = TOUCH,
    expected: float | None = 10_000_000.0,
    lacks: str = "",
    shown: tuple[int, int] | None = (0, 0),
    **sections: Any,
) -> list[Finding]:
    rules = start_rules(parse_config(sections))
    return judge(spec, BTC, rules, StartFacts(0, touch, expected, shown), lambda order: lacks)


def verdict(*args: Any, **given: Any) -> list[tuple[str, bool]]:
    return [(f.rule, f.fatal) for f in found(*args, **given)]


def test_an_ordinary_order_has_nothing_against_it() -> None:
    """One BTC of the hundred expected, at the defaults."""
    assert verdict() == []


def test_more_than_64_bits_hold_is_refused() -> None:
    """2e11 lots at 6e6 ticks are 1.2e18, more than 2^60; one lot less than that is not."""
    most = (1 << 60) // 6_003_000  # at the limit that its children have
    assert ("order_size", True) in verdict(replace(SPEC, target=2 * 10**11))
    assert "order_size" not in [rule for rule, _ in verdict(replace(SPEC, target=most - 10**8))]
    money = replace(SPEC, target_kind=TargetKind.NOTIONAL, target=(1 << 60) + 1)
    assert ("order_size", True) in verdict(money)


def test_what_is_not_known_is_not_judged() -> None:
    """Without a book and a history no price and no volume refuses; the account does, given a limit."""
    huge = replace(SPEC, target=10**12)
    assert verdict(huge, touch=(0, 0), expected=None, lacks="money") == []
    limited = replace(SPEC, limit_price_ticks=6_000_000)
    assert verdict(limited, touch=(0, 0), expected=None, lacks="money") == [("balance", True)]


def test_money_is_fatal_beyond_the_limit_and_doubtful_close_to_it() -> None:
    """One BTC at 60,000: 59,999 are too few, 60,000 and half a percent are in doubt, more are not."""
    assert verdict(risk={"max_notional": 59_999}) == [("max_notional", True)]
    assert verdict(risk={"max_notional": 60_000}) == [("max_notional", False)]
    assert verdict(risk={"max_notional": 61_000}) == []


def test_the_own_limit_bounds_what_an_order_is_worth() -> None:
    """A buyer pays no more than the limit; a seller gets no less."""
    limits = {"risk": {"max_notional": 59_999}, "venue": {"price_band_bps": 5000}}
    below = replace(SPEC, limit_price_ticks=5_900_000)
    assert ("max_notional", True) not in verdict(below, **limits)
    above = replace(SPEC, side=Side.SELL, limit_price_ticks=6_100_000)
    assert ("max_notional", True) in verdict(above, risk={"max_notional": 60_500})


def test_a_sale_is_judged_at_the_limit_it_is_sent_with() -> None:
    """9 lots are worth 5.3999 USDT at the bid and 5.3945 at the limit, where they are judged."""
    small = replace(SPEC, side=Side.SELL, target=9, limit_price_ticks=None)
    coarse = replace(BTC, min_notional=Decimal("5.399"))
    rules = start_rules(parse_config({}))
    facts = StartFacts(0, TOUCH, None)
    (only,) = judge(small, coarse, rules, facts, lambda order: "")
    assert (only.rule, only.fatal) == ("least_order", True)
    assert "5.39451" in only.reason
    assert judge(small, replace(coarse, min_notional=Decimal("5.394")), rules, facts, lambda order: "") == []


def test_a_limit_that_the_market_may_come_to_is_a_warning() -> None:
    """One percent below the market is doubtful; below the band of 20 % nothing would be taken."""
    assert verdict(replace(SPEC, limit_price_ticks=5_940_000)) == [("limit_price", False)]
    far = verdict(replace(SPEC, limit_price_ticks=4_700_000))
    assert ("price_band", True) in far


def test_reach_is_fatal_for_who_only_crosses() -> None:
    """A peg order rests within the collar, and crosses at the end only."""
    wide = {"tactics": {"reach_bps": 150}}
    assert verdict(**wide) == [("price_collar", True)]
    assert verdict(replace(SPEC, tactic="peg"), **wide) == [("price_collar", False)]


def test_a_wide_spread_may_narrow() -> None:
    """The reach is within the collar, and only the spread of now is not: no reason to refuse."""
    assert verdict(touch=(5_900_000, 6_100_000)) == [("price_collar", False)]


def test_halts_of_a_part_of_the_time_are_told_only() -> None:
    """One that covers the whole window is fatal; one that has ended, or comes after, says nothing."""

    def halted(start_s: int, end_s: int) -> list[tuple[str, bool]]:
        times = (f"1970-01-01T00:00:{second:02d}Z" for second in (start_s, end_s))
        return verdict(venue={"halts": [dict(zip(("start", "end"), times, strict=True))]})

    assert halted(0, 10) == [("halt", True)]
    assert halted(0, 9) == [("halt", False)]
    assert halted(5, 30) == [("halt", False)]
    assert halted(10, 30) == []


@pytest.mark.parametrize(
    ("most", "expected"),
    [("0.00001", True), ("0.002", True), ("0.007", False), ("0.02", None)],
)
def test_children_that_are_too_small_for_the_order(most: str, expected: bool | None) -> None:
    """Below the least order, or too many for the time: fatal. Even parts that must be cut: told."""
    answer = [("child_size", expected)] if expected is not None else []
    assert verdict(risk={"max_child_quantity": most}) == answer
    assert verdict(venue={"max_quantity": most}) == answer


def test_volume_and_caps() -> None:
    """All of the expected volume is the most by default; a cap that leaves no child is fatal, else told."""
    assert verdict(expected=99_999.0) == [("volume_share", True)]
    assert verdict(expected=100_000.0) == []
    assert verdict(expected=99_999.0, risk={"max_volume_share": 2}) == []
    assert verdict(expected=1.0, risk={"max_volume_share": None}) == []
    assert verdict(expected=50_000.0, shown=(0, 50_000)) == []  # what is offered to a buyer counts too
    assert verdict(expected=50_000.0, shown=(50_000, 0)) == [("volume_share", True)]
    assert verdict(expected=1.0, shown=None) == []
    capped = replace(SPEC, participation_cap=0.005)
    assert verdict(capped) == [("participation", False)]
    assert verdict(replace(SPEC, participation_cap=1e-7)) == [("participation", False)]
    assert verdict(replace(SPEC, participation_cap=1e-9)) == [("participation", True)]
    (told,) = found(capped, risk={"max_participation": 0.001})
    assert "risk.max_participation" in told.reason
    (told,) = found(capped, risk={"max_participation": 0.1})
    assert "order.participation_cap" in told.reason


# --- volume -------------------------------------------------------------------------------------------


def klines(*lots: int, delta_s: int = 60) -> Any:
    bars = np.zeros(len(lots), BAR)
    bars["open_ns"] = np.arange(len(lots)) * delta_s * S
    bars["delta_ns"], bars["base_lots"] = delta_s * S, lots
    return bars


NONE = np.zeros(0, np.int64)


def test_volume_is_expected_at_the_rate_of_late() -> None:
    """By hand: 180 lots in 180 s and 20 in the 20 s after are one a second; 30 s may expect 30."""
    at_ns, lots = np.array([170, 185, 195]) * S, np.array([1000, 15, 5])
    assert expected_lots(klines(60, 60, 60), at_ns, lots, 200 * S, 30 * S) == pytest.approx(30.0)


def test_trades_stand_alone_where_there_are_no_klines() -> None:
    """400 lots in the 100 s since the first."""
    at_ns, lots = np.array([100, 150]) * S, np.array([100, 300])
    assert expected_lots(klines(), at_ns, lots, 200 * S, 10 * S) == pytest.approx(40.0)


def test_little_or_no_history_expects_nothing() -> None:
    """Ten seconds, none at all, or nothing traded: unknown."""
    assert expected_lots(klines(), np.array([190 * S]), np.array([5]), 200 * S, 10 * S) is None
    assert expected_lots(klines(), NONE, NONE, 200 * S, 10 * S) is None
    assert expected_lots(klines(0, 0), NONE, NONE, 200 * S, 10 * S) is None


# --- the sizes of children ----------------------------------------------------------------------------


@given(
    side=st.sampled_from(Side),
    bid=st.integers(10, 10**7),
    spread=st.integers(1, 50),
    least=st.integers(0, 10**6),
    min_lots=st.integers(1, 1000),
    reach_bps=st.floats(0.1, 200),
    moved_bps=st.floats(-50, 50),
    by_money=st.booleans(),
)
def test_what_was_planned_large_enough_is_when_it_is_sent(
    side: Side,
    bid: int,
    spread: int,
    least: int,
    min_lots: int,
    reach_bps: float,
    moved_bps: float,
    by_money: bool,
) -> None:
    """A least child, though the market moves half a percent: at its limit, or resting, it is taken."""
    instrument = replace(BTC, tick=Decimal(1), lot=Decimal(1), min_lots=min_lots, min_notional=Decimal(least))
    kind = TargetKind.NOTIONAL if by_money else TargetKind.QUANTITY
    units = least_units(
        instrument, replace(SPEC, side=side, target_kind=kind), (bid, bid + spread), reach_bps
    )
    now = int(-(-bid * (1 + moved_bps * 1e-4) // 1))
    limit = send_price_ticks(side, (now, now + spread), reach_bps)
    for price in (limit, now):
        lots, cap_tl = (units // price, 0) if by_money else (units, 0)
        assert order_value(instrument, price, lots, cap_tl) >= least
        assert lots >= min_lots


def test_children_are_cut_to_the_smallest_maximum() -> None:
    """By lots, and where money bounds them by what it buys at the limit."""
    ticket = Ticket(0, "ioc", 6_000_000, 500)  # type: ignore[arg-type]
    assert within_most(ticket, BTC, (None, None)) is ticket
    assert within_most(ticket, BTC, (Decimal("0.01"), Decimal("0.002"))).lots == 200
    money = replace(ticket, lots=510, cap_tl=6_000_000 * 500)
    assert within_most(money, BTC, (Decimal("0.005"), None)) is money
    assert within_most(money, BTC, (Decimal("0.002"), None)).cap_tl == 6_000_000 * 200


def test_a_child_that_an_exchange_could_only_refuse_is_not_sent() -> None:
    """8 lots at 60,000 are 4.80 USDT, 9 are 5.40; money counts as it is."""
    ticket = Ticket(0, "ioc", 6_000_000, 9)  # type: ignore[arg-type]
    assert too_small(ticket, BTC) == ""
    assert too_small(replace(ticket, lots=8), BTC) == "exchange.min_notional"
    assert too_small(replace(ticket, lots=8, cap_tl=50_000_000), BTC) == ""
    assert too_small(ticket, replace(BTC, min_lots=10)) == "exchange.min_quantity"
