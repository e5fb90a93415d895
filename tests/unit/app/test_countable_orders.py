"""Orders up to and past what 64 bits hold: built, gated, judged at their start, journalled."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.config import parse_config
from agent.core.errors import OrderError
from agent.core.events import StartParent, VenueReported
from agent.core.instrument import Instrument
from agent.core.money import MOST_ORDER_TL, MOST_TL
from agent.core.orders.risk import MarketFacts, OrderIntent, RiskGate, RiskLimits
from agent.core.orders.venue_messages import Report, ReportKind
from agent.core.types import ParentSpec, Side
from agent.journal import command_entry, commands
from agent.orders import build_spec

POWERS = st.integers(-15, 3)


def _on(tick: str, lot: str, **more: Any) -> Instrument:
    return Instrument(0, "x", "A/B", "A", "B", "B", Decimal(tick), Decimal(lot), **more)


FINE = _on("1e-7", "1e-8")  # an order of at most 1,152.92 B
COIN = replace(_on("0.1", "1"), symbol="A/B:A", settle="A", multiplier=Decimal(100), inverse=True)


def _spec(on: Instrument, price: Decimal | None, **order: Any) -> ParentSpec:
    return build_spec(parse_config({"order": order}).order, on, "P1", price)


def _written(lots: int, unit: Decimal) -> Decimal:
    return Decimal(f"{unit * lots:f}")


@example(-7, -8, 10**6, 200_000 * 10**8)
@example(-8, -8, 1, MOST_ORDER_TL)
@example(-8, -8, 1, MOST_ORDER_TL + 1)
@given(POWERS, POWERS, st.integers(1, 2**40), st.integers(0, 63).flatmap(lambda b: st.integers(1, 2**b)))
def test_a_quantity_is_exact_or_refused_with_the_most(t: int, q: int, ticks: int, lots: int) -> None:
    """What is worth at most ``MOST_ORDER_TL`` at the market's price is taken; what it names is allowed."""
    on = _on(f"1e{t}", f"1e{q}")
    quantity = _written(lots, on.lot)
    if quantity.adjusted() >= 18 or int(quantity.as_tuple().exponent) < -18:
        return
    if ticks * lots <= MOST_ORDER_TL:
        assert _spec(on, on.price(ticks), quantity=quantity).target == lots
        return
    with pytest.raises(OrderError, match="more than can be counted") as refused:
        _spec(on, on.price(ticks), quantity=quantity)
    most = Fraction(str(refused.value).split("may be worth ")[1].split(" B ")[0])
    assert 0.99999 < most / (Fraction(on.tick) * Fraction(on.lot) * MOST_ORDER_TL) <= 1


@given(POWERS, POWERS, st.decimals(Decimal("0.01"), Decimal(10) ** 13, places=2))
def test_money_is_exact_or_refused_with_the_most(t: int, q: int, money: Decimal) -> None:
    """To the last tick of a lot, never more than was asked for; trillions too."""
    on = _on(f"1e{t}", f"1e{q}")
    unit = on.tick * on.lot
    right = int((money / unit).to_integral_value(rounding=ROUND_FLOOR))
    if 1 <= right <= MOST_ORDER_TL:
        assert _spec(on, None, notional=money).target == right
        return
    with pytest.raises(
        OrderError, match="more than can be counted" if right else "below one tick of one lot"
    ):
        _spec(on, None, notional=money)


def test_a_limit_counts_as_the_price() -> None:
    """A purchase may be filled at its limit; a limit beyond 2^53 ticks is none."""
    with pytest.raises(
        OrderError, match=r"^1000\.\d+ A at 2\.0000000 is more .* may be worth 1152\.92 B in steps of"
    ):
        _spec(FINE, Decimal("0.1"), quantity=1000, limit_price="2")
    assert _spec(FINE, Decimal("0.1"), quantity=1000, limit_price="1").target == 10**11
    with pytest.raises(
        OrderError, match=r"limit price 1000000000000\.0+ is not allowed for A/B: at most 900719925\.47"
    ):
        _spec(FINE, None, notional=10, limit_price=10**12)


def test_inverse_contracts_are_counted_at_their_price() -> None:
    """1e15 of the money unit for each lot at one tick: what is cheap is worth many coins."""
    assert _spec(COIN, Decimal(60_000), quantity=10**8).target == 10**8
    with pytest.raises(OrderError, match=r"at 0\.1 is more than can be counted: .* may be worth 115200 B"):
        _spec(COIN, Decimal("0.1"), quantity=1153)
    assert _spec(COIN, Decimal("0.1"), quantity=1152).target == 1152


def test_no_child_takes_its_parent_past_the_bound() -> None:
    """The gate counts what is filled and in flight already; a price that soars ends in a refusal."""
    gate = RiskGate(RiskLimits(), FINE)
    intent = OrderIntent("P1", Side.BUY, 2**20, 2**20, committed_tl=MOST_TL - 2**40)
    market = MarketFacts(2**21, 1)
    assert gate.check(intent, market, 1) is None
    refused = gate.check(replace(intent, committed_tl=intent.committed_tl + 1), market, 1)
    assert refused is not None
    assert refused.rule == "order_size"
    assert "more than can be counted" in refused.reason


def test_a_large_fills_fee_is_journalled() -> None:
    """Parts per million of 2^60: 80 bits, which JSON's numbers do not hold."""
    fee = (MOST_ORDER_TL + 7) * 1000 + 1
    report = Report(3, ReportKind.FILLED, price_ticks=2**30, lots=2**30, fee_tlp=fee, recv_ns=5)
    entry = orjson.loads(orjson.dumps(command_entry(VenueReported(5, 6, report))))
    (back,) = commands([entry])
    assert isinstance(back, VenueReported)
    assert back.report.fee_tlp == fee
    start = StartParent(5, 6, _spec(FINE, None, notional="1152"), ())
    assert commands([orjson.loads(orjson.dumps(command_entry(start)))]) == [start]
