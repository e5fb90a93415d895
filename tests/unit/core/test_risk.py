"""The risk gate: every rule on its edge, on the right side of the mid, and by engine time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from agent.core.instrument import Instrument
from agent.core.orders.risk import MarketFacts, OrderIntent, RiskGate, RiskLimits
from agent.core.types import NS_PER_S, Side

LIMITS = RiskLimits(
    max_notional_tl=1_000_000,
    max_participation=0.25,
    price_collar_bps=50.0,
    max_child_lots=100,
    max_orders_per_s=3,
    stale_book_ns=2 * NS_PER_S,
)
INSTRUMENT = Instrument(
    0, "test", "BTC/USDT", "BTC", "USDT", "USDT", tick=Decimal("0.5"), lot=Decimal("0.01")
)
NOW_NS = 1_000 * NS_PER_S
MARKET = MarketFacts(mid_half_ticks=2_000, book_ns=NOW_NS, market_lots=1_000)
BUY = OrderIntent("p1", Side.BUY, qty_lots=10, price_ticks=1_001)


def refused(intent: OrderIntent, market: MarketFacts = MARKET, limits: RiskLimits = LIMITS) -> str | None:
    refusal = RiskGate(limits, INSTRUMENT).check(intent, market, NOW_NS)
    return refusal.rule if refusal else None


def test_an_order_within_every_limit_passes() -> None:
    """A modest order at the touch is let out."""
    assert refused(BUY) is None


@pytest.mark.parametrize(
    ("allowed", "beyond", "rule"),
    [
        (replace(BUY, qty_lots=100), replace(BUY, qty_lots=101), "child_size"),
        (replace(BUY, price_ticks=1_005), replace(BUY, price_ticks=1_006), "price_collar"),
        (
            OrderIntent("p1", Side.SELL, 10, 995),
            OrderIntent("p1", Side.SELL, 10, 994),
            "price_collar",
        ),
        (
            replace(BUY, committed_tl=1_000_000 - 10_010),
            replace(BUY, committed_tl=1_000_001 - 10_010),
            "max_notional",
        ),
        (replace(BUY, committed_lots=240), replace(BUY, committed_lots=241), "participation"),
        (
            replace(BUY, participation_cap=0.01),
            replace(BUY, participation_cap=0.009),
            "participation",
        ),
        (replace(BUY, limit_price_ticks=1_001), replace(BUY, limit_price_ticks=1_000), "limit_price"),
        (
            OrderIntent("p1", Side.SELL, 10, 999, limit_price_ticks=999),
            OrderIntent("p1", Side.SELL, 10, 999, limit_price_ticks=1_000),
            "limit_price",
        ),
        (BUY, replace(BUY, qty_lots=0), "order_size"),
    ],
)
def test_each_rule_refuses_just_beyond_its_limit(
    allowed: OrderIntent, beyond: OrderIntent, rule: str
) -> None:
    """What is exactly at the limit passes; one step further is refused by that rule's name."""
    assert refused(allowed) is None
    assert refused(beyond) == rule


def test_the_collar_ignores_the_harmless_side() -> None:
    """A buy far below the mid costs nothing and is not refused."""
    assert refused(replace(BUY, price_ticks=1)) is None


def test_a_stale_or_missing_book_vetoes() -> None:
    """Orders need a book no older than the limit, by engine time."""
    assert refused(BUY, replace(MARKET, book_ns=NOW_NS - 2 * NS_PER_S)) is None
    assert refused(BUY, replace(MARKET, book_ns=NOW_NS - 2 * NS_PER_S - 1)) == "stale_book"
    assert refused(BUY, replace(MARKET, book_ns=None)) == "stale_book"
    assert refused(BUY, replace(MARKET, mid_half_ticks=None)) == "price_collar"


def test_unknown_market_volume_is_not_judged() -> None:
    """Without any volume to measure against, the participation rule is silent rather than wrong."""
    assert refused(replace(BUY, committed_lots=10_000), replace(MARKET, market_lots=None)) is None


def test_order_rate_is_a_sliding_second_of_engine_time() -> None:
    """The fourth order inside a second is refused, and passes once the first is a second old."""
    gate = RiskGate(LIMITS, INSTRUMENT)
    for k in range(3):
        at_ns = NOW_NS + k * 100_000_000
        assert gate.check(BUY, replace(MARKET, book_ns=at_ns), at_ns) is None
        gate.sent(at_ns)
    fourth = gate.check(BUY, MARKET, NOW_NS + NS_PER_S - 1)
    assert fourth is not None
    assert fourth.rule == "order_rate"
    assert gate.check(BUY, MARKET, NOW_NS + NS_PER_S) is None


def test_the_kill_switch_comes_first_and_limits_can_be_off() -> None:
    """A killed gate refuses everything; with every limit off, everything else passes."""
    gate = RiskGate(RiskLimits(), INSTRUMENT)
    wild = OrderIntent("p1", Side.BUY, 10**9, 10**9)
    assert gate.check(wild, MarketFacts(None, None), NOW_NS) is None
    gate.killed = True
    refusal = gate.check(wild, MarketFacts(None, None), NOW_NS)
    assert refusal is not None
    assert refusal.rule == "kill_switch"


@pytest.mark.parametrize(
    ("intent", "market", "words"),
    [
        (replace(BUY, qty_lots=150), MARKET, ["1.50 BTC", "1.00 BTC", "(risk.max_child_quantity)"]),
        (BUY, replace(MARKET, book_ns=NOW_NS - 3 * NS_PER_S), ["3000 ms", "2000 ms", "(risk.stale_book)"]),
        (BUY, replace(MARKET, book_ns=None), ["no book", "2000 ms", "(risk.stale_book)"]),
        (replace(BUY, limit_price_ticks=1_000), MARKET, ["500.5", "500.0", "(order.limit_price)"]),
        (replace(BUY, price_ticks=1_006), MARKET, ["60.00 bps", "50 bps", "(risk.price_collar_bps)"]),
        (BUY, replace(MARKET, mid_half_ticks=None), ["no mid", "50 bps", "(risk.price_collar_bps)"]),
        (replace(BUY, committed_tl=10**6), MARKET, ["5050.050 USDT", "5000.000 USDT", "(risk.max_notional)"]),
        (replace(BUY, qty_lots=100, cap_tl=1_000_001), MARKET, ["5000.005 USDT", "(risk.max_notional)"]),
        (replace(BUY, committed_lots=241), MARKET, ["2.51 BTC", "10.00 BTC", "25.000%", "(risk.max_part"]),
        (replace(BUY, participation_cap=0.009), MARKET, ["0.900%", "(order.participation_cap)"]),
    ],
)
def test_a_refusal_names_the_value_the_limit_and_its_key(
    intent: OrderIntent, market: MarketFacts, words: list[str]
) -> None:
    """In people's units; the key is the one that holds the limit which was broken."""
    refusal = RiskGate(LIMITS, INSTRUMENT).check(intent, market, NOW_NS)
    assert refusal is not None
    assert [word for word in words if word not in refusal.reason] == []


def test_the_order_rate_and_the_kill_switch_name_theirs() -> None:
    """Three orders a second by risk.max_orders_per_s; a kill by the command that gave it."""
    gate = RiskGate(LIMITS, INSTRUMENT)
    for _ in range(3):
        gate.sent(NOW_NS)
    refusal = gate.check(BUY, MARKET, NOW_NS)
    assert refusal is not None
    expected = "3 orders went out in the last second, at most 3 are allowed (risk.max_orders_per_s)"
    assert refusal.reason == expected
    gate.killed = True
    refusal = gate.check(BUY, MARKET, NOW_NS)
    assert refusal is not None
    assert "agent ctl kill" in refusal.reason


def test_inverse_money_is_told_in_quote() -> None:
    """A lot of 0.01 contracts of 100 USD is one dollar."""
    inverse = replace(INSTRUMENT, quote="USD", settle="BTC", multiplier=Decimal(100), inverse=True)
    refusal = RiskGate(RiskLimits(max_notional_lots=100), inverse).check(
        replace(BUY, qty_lots=101), MARKET, NOW_NS
    )
    assert refusal is not None
    assert "101.00 USD" in refusal.reason
    assert "100.00 USD" in refusal.reason
    assert refusal.key == "risk.max_notional"


def test_checking_changes_nothing() -> None:
    """A hundred checks without a send leave the order rate untouched."""
    gate = RiskGate(LIMITS, INSTRUMENT)
    assert all(gate.check(BUY, MARKET, NOW_NS) is None for _ in range(100))


def test_inverse_contracts_are_bounded_by_their_number() -> None:
    """Each inverse contract is a fixed sum, so the money of a parent is a number of lots at any price."""
    limits = RiskLimits(max_notional_lots=100)
    intent = replace(BUY, committed_lots=60, committed_tl=10**18, qty_lots=40)
    assert refused(intent, limits=limits) is None
    assert refused(replace(intent, qty_lots=41), limits=limits) == "max_notional"
