"""Interval bars made of bars: sums of the source's own numbers, and what no bar can say left unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.market.tape import BAR, BarArray
from agent.core.market.trade_bars import BarSeries, BookSample, TradeColumns
from agent.core.market.whole_bars import WholeBarSeries
from tests.venue import BTC

S = 10**9
NOTHING = np.zeros(0, np.int64)
NO_TRADES = TradeColumns(NOTHING, NOTHING, NOTHING, np.zeros(0, np.int8))


def _bars(*rows: dict[str, Any]) -> BarArray:
    """Bars of a second from second 0 on, 10 lots at 100 unless said otherwise."""
    bars: BarArray = np.zeros(len(rows), BAR)
    for k, row in enumerate(rows):
        bars[k]["open_ns"], bars[k]["recv_ns"], bars[k]["delta_ns"] = k * S, (k + 1) * S, S
        price, lots = row.get("price", 100), row.get("lots", 10)
        for name, off in (("open", 0), ("high", 2), ("low", -2), ("close", 1)):
            bars[k][f"{name}_ticks"] = price + off
        bars[k]["base_lots"], bars[k]["quote_tl"] = lots, lots * price
        bars[k]["trades"], bars[k]["taker_base_lots"] = row.get("trades", 3), row.get("taker", 4)
    return bars


def _series(bars: BarArray, delta_s: int = 2) -> WholeBarSeries:
    series = WholeBarSeries(BTC, delta_s * S, 0, 4, lambda: bars)
    series.update(NO_TRADES)
    return series


def test_an_interval_is_the_sum_of_its_bars() -> None:
    """Two bars: first open, highest high, lowest low, last close, everything else added."""
    row = _series(_bars({"price": 100}, {"price": 110, "lots": 30, "trades": 5, "taker": 1})).view(1)[0]
    assert (row["open"], row["high"], row["low"], row["close"]) == (1.0, 1.12, 0.98, 1.11)
    assert row["volume"] == 0.04
    assert row["vwap"] == (1000 + 3300) / 40 * 0.01
    assert (row["trades"], row["taker_volume"]) == (8, 0.005)


def test_looks_in_between_change_nothing() -> None:
    """Bar by bar or all at once: the same rows."""
    bars = _bars(*({"price": 100 + k, "lots": k + 1} for k in range(6)))
    seen: list[int] = [0]
    slow = WholeBarSeries(BTC, 2 * S, 0, 4, lambda: bars[: seen[0]])
    for count in range(1, 7):
        seen[0] = count
        slow.update(NO_TRADES)
    assert slow.view(3).tobytes() == _series(bars).view(3).tobytes()


def test_a_bar_without_volume_adds_nothing() -> None:
    """Its stand-in prices are no high and no low; alone it is an interval at the last price."""
    bars = _bars({"price": 100}, {"price": 300, "lots": 0, "trades": 0, "taker": 0}, *({"lots": 0},) * 2)
    view = _series(bars).view(2)
    assert view[0]["high"] == 1.02
    assert (view[1]["close"], view[1]["vwap"], view[1]["volume"]) == (1.01, 1.01, 0.0)


def test_what_the_source_does_not_say_is_unknown() -> None:
    """One bar without taker volume leaves its interval without; a modelled book is no book."""
    series = _series(_bars({}, {"taker": -1}, {}, {}))
    series.note_book(0, BookSample(99, 1, 101, 1, 1, 1))
    view = series.view(2)
    assert np.isnan(view[0]["taker_volume"])
    assert view[1]["taker_volume"] == 0.008
    assert np.isnan(view["spread_bps"]).all()


def test_klines_that_count_no_trades_are_history() -> None:
    """Most exchanges send a volume and no count: prices are theirs, the count is unknown and not 0."""
    series = BarSeries(BTC, S, 4 * S, 4)
    series.use_klines(_bars(*({"price": 100 + k, "trades": 0, "taker": -1} for k in range(4))))
    view = series.view(0)
    assert len(view) == 4
    assert list(view["close"]) == [1.01, 1.02, 1.03, 1.04]
    assert np.isnan(view["trades"]).all()
    assert series.prices(0, 0)[1] == 104
