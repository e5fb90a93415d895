"""The lot in which enough money can be counted, and what of a live feed is more than can be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from agent.core.money import MOST_TL
from connectors.ccxt_markets import TICK_SIZE, instrument_of, judged_by_prices, lot_is_coarser
from connectors.ccxt_types import CcxtMarket, CcxtTrade
from connectors.kline_rows import bar_rows, binance_bar_rows
from connectors.normalise import BookDiffer, Scale, trade_columns, usable
from connectors.units.money_room import LARGEST_LOT_USD, LEAST_USD, about_usd, most_money, with_room

MINUTE_NS = 60 * 10**9


def _on(tick: str, lot: str, quote: str = "USDT", **more: Any) -> Instrument:
    return Instrument(0, "x", f"A/{quote}", "A", quote, quote, Decimal(tick), Decimal(lot), **more)


def _market(tick: float, lot: float, least: float = 0.0) -> CcxtMarket:
    market = {
        "symbol": "DOGE/USD",
        "base": "DOGE",
        "quote": "USD",
        "precision": {"price": tick, "amount": lot},
        "limits": {"amount": {"min": least}},
    }
    return cast("CcxtMarket", market)


@pytest.mark.parametrize(
    ("tick", "lot", "quote", "right"),
    [
        ("1e-7", "1e-8", "USD", "1e-3"),  # Kraken's way of counting
        ("0.00001", "1e-6", "USDT", "1e-5"),
        ("0.01", "1e-8", "USDT", "1e-8"),  # 922 million: enough
        ("1e-8", "1e-8", "BTC", "1e-7"),
        ("1", "1e-8", "KRW", "1e-7"),
        ("1000", "1e-8", "KRW", "1e-8"),
        ("2.5e-11", "1", "USD", "1"),  # 231 million
        ("1e-11", "1", "USD", "10"),
    ],
)
def test_the_lot_is_the_finest_that_holds_enough(tick: str, lot: str, quote: str, right: str) -> None:
    """By a power of ten, and only where 64 bits would hold less than 100 million dollars."""
    assert with_room(_on(tick, lot, quote), None).lot == Decimal(right)


@given(st.integers(-15, 3), st.integers(-15, 3), st.sampled_from([1, 2, 5]), st.integers(1, 10**6))
def test_every_lot_of_ours_is_a_whole_number_of_the_exchanges(t: int, q: int, by: int, least: int) -> None:
    """Whatever the steps: enough money, a multiple of the step, and no order below the exchange's least."""
    on = _on(f"{by}e{t}", f"1e{q}", min_lots=least)
    found = with_room(on, None)
    assert most_money(found) >= LEAST_USD
    assert found.lot % on.lot == 0
    assert found.quantity(found.min_lots) >= on.quantity(on.min_lots) > found.quantity(found.min_lots - 1)
    assert found == on or most_money(found) < 10 * LEAST_USD


def test_a_lot_that_would_be_worth_too_much_refuses_the_market() -> None:
    """A coin of a million dollars in steps of 1e-15: the most money that fits is named."""
    with pytest.raises(
        OrderError,
        match=r"A/USDT on x cannot be counted: with .* 0\.0{14}1 and 0\.01 64 bits hold 92\.2 USDT at most",
    ):
        with_room(_on("1e-15", "0.01"), Decimal(10**6))
    korean = _on(
        "1e-15", "0.01", "KRW"
    )  # a lot may be worth as many dollars, which are 1,400 times as many won
    wide = with_room(korean, None).lot
    assert with_room(korean, 100 * LARGEST_LOT_USD / wide).lot == wide > korean.lot
    with pytest.raises(OrderError, match="cannot be counted"):
        with_room(korean, 10_000 * LARGEST_LOT_USD / wide)
    dollars = _on("1e-15", "0.01")
    assert with_room(dollars, Decimal("9.9") / with_room(dollars, None).lot).lot > dollars.lot
    with pytest.raises(OrderError, match=r"would be worth 10\.5 USDT"):
        with_room(dollars, Decimal("10.5") / with_room(dollars, None).lot)
    fine = with_room(_on("1e-9", "1e-8"), Decimal(10))  # 92 dollars' room; a lot of 0.01 is worth ten cents
    assert fine.lot * 10 <= LARGEST_LOT_USD


def test_what_a_dollar_is_in_the_quote_currency() -> None:
    """As listed; else by the least order that the exchange takes; else one."""
    assert about_usd(_on("1", "1", "BTC")) == Decimal("0.000014")
    assert about_usd(_on("1", "1", "ODD", min_notional=Decimal(50_000))) == 10_000
    assert about_usd(_on("1", "1", "ODD")) == about_usd(_on("1", "1", "USDX", min_notional=Decimal(50))) == 1


def test_a_markets_own_steps_are_coarsened_where_it_is_read() -> None:
    """Also when a book shows that the derived step is finer than thought."""
    market = _market(1e-7, 1e-8, least=50.0)
    assert instrument_of(market, 0, "kraken", TICK_SIZE).lot == Decimal("1e-8")
    found = instrument_of(market, 0, "kraken", TICK_SIZE, 0.1)
    assert (found.lot, found.min_lots, lot_is_coarser(found, market, TICK_SIZE)) == (
        Decimal("1e-3"),
        50_000,
        True,
    )
    plain = instrument_of(_market(0.01, 1e-6), 0, "kraken", TICK_SIZE)
    assert not lot_is_coarser(plain, _market(0.01, 1e-6), TICK_SIZE)
    prices = [f"{0.1 + k * 1e-9:.9f}" for k in range(20)]
    assert judged_by_prices(plain, prices, derived=True).lot == Decimal("0.1")
    assert judged_by_prices(replace(plain, tick=Decimal("1e-9")), [], derived=False).lot == Decimal("0.1")


# --- rows --------------------------------------------------------------------------------------------------


def _trade(price: float, amount: float) -> CcxtTrade:
    row = {"id": "1", "timestamp": 1, "side": "buy", "price": price, "amount": amount, "info": {}}
    return cast("CcxtTrade", row)


@given(st.lists(st.integers(1, 10**14), min_size=1, max_size=30))
def test_sizes_in_a_coarse_lot_are_the_nearest_and_never_none(sizes: list[int]) -> None:
    """No trade vanishes, and none counts as a fault: the lot is ours, not the exchange's."""
    scale = Scale.of(_on("1e-7", "1e-3"), coarse=True)
    columns = trade_columns(usable([_trade(0.1, size * 1e-8) for size in sizes]), scale)
    assert columns.off_tick == 0
    for size, lots in zip(sizes, columns.lots.tolist(), strict=True):
        assert lots == 1 or abs(Fraction(size, 10**5) - lots) <= Fraction(1, 2) + Fraction(1, 10**6)
        assert lots >= 1


def test_a_level_of_any_size_is_on_the_tape() -> None:
    """1e30 coins are as many as are counted; a level that goes still goes."""
    differ = BookDiffer(Scale.of(_on("0.01", "1e-8"), coarse=True), 10)
    first = differ.update([(1.0, 1e30), (0.5, 1.0)], [(2.0, 1e-12)], 1, 1, snapshot=True)
    assert sorted(first["qty_lots"].tolist()) == [0, 0, 1, 10**8, MOST_TL - 1]
    gone = differ.update([(0.5, 1.0)], [(2.0, 1e-12)], 2, 2, snapshot=False)
    assert gone["qty_lots"].tolist() == [0]


def test_klines_beyond_the_bound_are_left_out() -> None:
    """They were rows of 64 bits that had wrapped; what they cover is unknown now, and the others stand."""
    scale = Scale.of(_on("1e-7", "1e-8"))
    rows = bar_rows([(0, 0.1, 0.1, 0.1, 0.1, 1e9), (60_000, 0.1, 0.1, 0.1, 0.1, 20.0)], scale, MINUTE_NS, 0)
    assert rows["open_ns"].tolist() == [MINUTE_NS]
    assert rows["quote_tl"].tolist() == [2 * 10**9 * 10**6]
    full = ["0.1"] * 4
    sent = [
        [0, *full, "1e9", 59_999, "1e8", 5, "5e8", "5e7", "0"],
        [60_000, *full, "20", 119_999, "2", 5, "10", "1", "0"],
    ]
    rows = binance_bar_rows(cast("Any", sent), scale, MINUTE_NS, 0)
    assert rows["quote_tl"].tolist() == [2 * 10**15]
    assert rows["taker_quote_tl"].tolist() == [10**15]
    assert int(np.count_nonzero(rows["quote_tl"] < 0)) == 0
