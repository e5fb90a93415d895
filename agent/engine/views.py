"""What an algo is shown at the start of an interval: its order's own past, and the market's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from agent.core.market.tape import BarArray
from agent.core.market.trade_bars import BarSeries
from agent.core.measures.running_benchmark import RunningBenchmark
from agent.core.orders.parent_order import ParentOrder
from agent.core.ports import Market
from agent.core.types import MarketView, OrderView, TargetKind


@dataclass(slots=True)
class Views:
    """Makes the views of one order. ``klines``: coarser history, where the exchange gave some."""

    order: ParentOrder
    start_ns: int
    market: Market
    series: BarSeries
    klines: BarArray | None
    _benchmark: RunningBenchmark = field(init=False)

    def __post_init__(self) -> None:
        self._benchmark = RunningBenchmark(self.series, self.order.spec.benchmark)

    def of_order(self, k: int, least_units: int, left_share: float) -> OrderView:
        """The order at the start of interval ``k``; no child is smaller than ``least_units``.

        ``left_share``: of the order, what is neither filled nor on its way to be.
        """
        spec, order = self.order.spec, self.order
        tick = float(self.market.instruments[spec.instrument].tick)
        lots, _ = self.series.totals(0, k)
        average, arrival = order.avg_price_ticks, order.arrival_mid_half_ticks
        return OrderView(
            side=spec.side,
            target_kind=spec.target_kind,
            benchmark=spec.benchmark,
            t=k,
            m=spec.min_intervals,
            n=spec.max_intervals,
            interval_ns=spec.interval_ns,
            start_ns=self.start_ns,
            remaining=left_share,
            lot_share=self._lot_share(),
            least_share=min(1.0, least_units / spec.target),
            min_rate=spec.min_rate,
            max_rate=spec.max_rate,
            achieved_price=math.nan if average is None else float(average) * tick,
            benchmark_price=self._benchmark.price_ticks(k) * tick,
            arrival_price=math.nan if arrival is None else arrival / 2 * tick,
            own_volume_share=order.filled_lots / lots if lots else 0.0,
            expected_participation=self._expected_participation(k),
            risk_aversion=spec.risk_aversion,
            finishing=order.finishing,
            params=spec.algo_params,
        )

    def _lot_share(self) -> float:
        """One lot as a share of the target; of money at the mid, 0 where none is known yet."""
        spec = self.order.spec
        if spec.target_kind is TargetKind.QUANTITY:
            return 1.0 / spec.target
        return min(1.0, self.market.mid_half_ticks(spec.instrument) / 2 / spec.target)

    def of_market(self, k: int, now_ns: int) -> MarketView:
        """What the market has shown by the start of interval ``k``."""
        number = self.order.spec.instrument
        instrument = self.market.instruments[number]
        tick = float(instrument.tick)
        bid_ticks, ask_ticks = self.market.touch(number)
        mid = (bid_ticks + ask_ticks) / 2
        return MarketView(
            now_ns=now_ns,
            delta_ns=self.order.spec.interval_ns,
            bars=self.series.view(k),
            mid=mid * tick if mid else math.nan,
            spread=(ask_ticks - bid_ticks) * tick if mid else math.nan,
            klines=self.klines,
            lot=float(instrument.lot),
        )

    def _expected_participation(self, k: int) -> float:
        """The order over the volume its full window should bring, from the bars seen so far; 0: unknown."""
        spec, bars = self.order.spec, self.series.view(k)
        volume = float(bars["volume"].mean()) if len(bars) else 0.0
        mid = self.market.mid_half_ticks(spec.instrument)
        by_quantity = spec.target_kind is TargetKind.QUANTITY
        if volume <= 0 or (not by_quantity and mid == 0):
            return 0.0
        lot = float(self.market.instruments[spec.instrument].lot)
        target = spec.target if by_quantity else spec.target * 2 / mid
        return target * lot / (volume * spec.max_intervals)
