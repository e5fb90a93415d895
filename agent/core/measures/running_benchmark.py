"""An order's benchmark while it works: over the intervals behind it, carried from decision to decision.

An interval's price is the average of its trades; without any, the last price known before it. VWAP is the
value traded over the lots traded, exact; TWAP the mean of the intervals' prices, added up in their order.
What is carried is each interval's running sums, so a late trade costs the intervals from its own on
(``agent.core.market.carried_bars``).
"""

from __future__ import annotations

from math import nan
from typing import NamedTuple

from agent.core.market.trade_bars import BarSeries
from agent.core.types import BenchmarkKind


class _Behind(NamedTuple):
    """Some intervals from the order's first on; ``price_ticks`` is the last one's, NaN while not known."""

    lots: int = 0
    value: int = 0
    price_ticks: float = nan
    prices: int = 0  # intervals that have a price
    sum_ticks: float = 0.0


class RunningBenchmark:
    """The benchmark over intervals 0 .. k - 1 of an order that starts where its series' phase is."""

    def __init__(self, series: BarSeries, kind: BenchmarkKind) -> None:
        self._series, self._kind, self._changed = series, kind, series.watch()
        self._behind = [_Behind()]  # [k]: intervals 0 .. k - 1

    def price_ticks(self, k: int) -> float:
        """The benchmark before interval ``k``; NaN before the first price, and before interval 1."""
        self._bring_up_to(k)
        behind = self._behind[k]
        if not behind.prices:
            return nan
        if self._kind is BenchmarkKind.TWAP:
            return behind.sum_ticks / behind.prices
        if not behind.lots:
            return behind.price_ticks
        return self._average(behind.value, behind.lots)

    def _bring_up_to(self, k: int) -> None:
        first = self._changed.take() - self._series.reach
        del self._behind[max(first, 0) + 1 :]
        if first < 0:  # the price before the order's start may be another
            last = self._series.last_before(0)
            self._behind[0] = _Behind(price_ticks=float(last) if last else nan)
        for lots, value in self._series.traded(len(self._behind) - 1, k):
            self._behind.append(self._after(self._behind[-1], lots, value))

    def _after(self, behind: _Behind, lots: int, value: int) -> _Behind:
        """The intervals ``behind`` and one more."""
        price = self._average(value, lots) if lots else behind.price_ticks
        if price != price:
            return behind
        return _Behind(
            behind.lots + lots, behind.value + value, price, behind.prices + 1, behind.sum_ticks + price
        )

    def _average(self, value: int, lots: int) -> float:
        return float(self._series.instrument.average_ticks(value, lots))
