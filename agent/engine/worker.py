"""One parent order's life: its intervals, its decisions, its end.

At the start of interval k the algo is asked; a decision latency later its answer is projected on what
bounds allow and handed to the tactic, which works it until the interval ends. ``finish`` is sticky.
What could not be done is carried to the next interval, and what is left at the end expires, named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from agent.core.agenda import Agenda, Rank
from agent.core.events import ChildFilled, DecisionTaken
from agent.core.market.series import BarSeries
from agent.core.market.tape import BarArray
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.parent_order import ParentEvent, ParentOrder
from agent.core.orders.projection import project
from agent.core.ports import Algo, SlicePolicy
from agent.core.types import BenchmarkKind, ChildState, MarketView, OrderView, ParentState, Slice, TargetKind
from agent.engine.desk import Desk
from agent.engine.settings import EngineSettings
from agent.engine.tactics import Tactic, create_tactic, obstacle


class Worker:
    """Works one parent (or shadow) from its start to its end. All times are engine time."""

    def __init__(
        self,
        order: ParentOrder,
        lane: int,
        start_ns: int,
        policy: SlicePolicy,
        fallback: Algo,
        series: BarSeries,
        klines: BarArray | None,
        desk: Desk,
        agenda: Agenda,
        on_end: Callable[[Worker, int], None],
    ) -> None:
        self.order, self.lane, self.start_ns = order, lane, start_ns
        self.series, self.desk = series, desk
        self.market = desk.market
        self.settings: EngineSettings = desk.settings
        self.fills: list[tuple[ChildFilled, ChildOrder]] = []
        self.children: dict[str, ChildOrder] = {}
        self.sent_lots = 0
        self.finish_interval: int | None = None  # the interval the order finished (or ended) in
        self.end_mid_half_ticks = 0
        self.obstacles: Counter[str] = Counter()
        self._policy, self._fallback, self._klines = policy, fallback, klines
        self.agenda, self._on_end = agenda, on_end
        self._tactic: Tactic = create_tactic(order.spec.tactic, self)
        self._interval = -1
        self._asked: dict[int, tuple[OrderView, MarketView]] = {}
        self._ending: tuple[ParentEvent, str] | None = None

    # --- small facts ------------------------------------------------------------------------------

    def interval_ns(self, k: int) -> int:
        """When interval ``k`` starts."""
        return self.start_ns + k * self.order.spec.interval_ns

    @property
    def by_quantity(self) -> bool:
        return self.order.spec.target_kind is TargetKind.QUANTITY

    def in_flight(self) -> int:
        """What open children may still fill, in the target's unit."""
        index = 0 if self.by_quantity else 1
        return sum(self.desk.in_flight(child)[index] for child in self.children.values())

    def to_units(self, lots: int, price_ticks: int) -> int:
        """Lots in the target's unit."""
        return lots if self.by_quantity else lots * price_ticks

    def least_units(self) -> int:
        """The smallest child an exchange takes, in the target's unit; at least one lot."""
        instrument = self.market.instruments[self.order.spec.instrument]
        price = max(1, self.market.mid_half_ticks(instrument.number) // 2)
        least_tl = -int(-(instrument.min_notional / instrument.quote_notional(1, 1)) // 1)
        if self.by_quantity:
            return max(1, instrument.min_lots, least_tl if instrument.inverse else -(-least_tl // price))
        return max(price, instrument.min_lots * price, least_tl)

    # --- life -------------------------------------------------------------------------------------

    def schedule(self) -> None:
        self.agenda.add(self.start_ns, Rank.TIMER, self._start)

    def _start(self, now_ns: int) -> None:
        if self.order.done:
            return
        self.order.apply(ParentEvent.STARTED, now_ns)
        self._note_arrival()
        self.emit_changed(now_ns, "started")
        self._begin_interval(0, now_ns)

    def _note_arrival(self) -> None:
        """The arrival mid is the first book at or after the start."""
        mid = self.market.mid_half_ticks(self.order.spec.instrument)
        if self.order.arrival_mid_half_ticks is None and mid > 0:
            self.order.arrival_mid_half_ticks = mid

    def _begin_interval(self, k: int, now_ns: int) -> None:
        self._close_interval(k, now_ns)
        if self.order.done or self._ending is not None:
            return
        spec = self.order.spec
        if k == spec.max_intervals:
            self.end(ParentEvent.EXPIRED, now_ns)
            return
        self._interval = k
        self.agenda.add(self.interval_ns(k + 1), Rank.TIMER, lambda t: self._begin_interval(k + 1, t))
        if self.order.state is ParentState.PAUSED:
            return
        order_view, market_view = self._views(k, now_ns)
        self._asked[k] = (order_view, market_view)
        if not self.order.finishing:
            self._policy.request(self._decision_id(k), order_view, market_view)
        self.agenda.add(now_ns + self.settings.decision_latency_ns, Rank.TIMER, lambda t: self._act(k, t))

    def _close_interval(self, k: int, now_ns: int) -> None:
        """The interval before ``k`` is over: keep its book, and call back what still rests."""
        number = self.order.spec.instrument
        self.series.update(self.market.trades(number))
        self.series.note_book(k - 1, self.market.book(number))
        self._note_arrival()
        self._tactic.stop(now_ns)

    def _decision_id(self, k: int) -> str:
        return f"{self.order.spec.parent_id}/{k}"

    # --- decisions --------------------------------------------------------------------------------

    def _views(self, k: int, now_ns: int) -> tuple[OrderView, MarketView]:
        spec, order = self.order.spec, self.order
        instrument = self.market.instruments[spec.instrument]
        tick = float(instrument.tick)
        bars = self.series.view(k)
        lots, _ = self.series.totals(0, k)
        average = order.avg_price_ticks
        arrival = order.arrival_mid_half_ticks
        book = self.market.book(spec.instrument)
        mid = (book.bid_ticks + book.ask_ticks) / 2
        order_view = OrderView(
            side=spec.side,
            target_kind=spec.target_kind,
            benchmark=spec.benchmark,
            t=k,
            m=spec.min_intervals,
            n=spec.max_intervals,
            interval_ns=spec.interval_ns,
            start_ns=self.start_ns,
            remaining=order.remaining_share,
            lot_share=min(1.0, self.least_units() / spec.target),
            min_rate=spec.min_rate,
            max_rate=spec.max_rate,
            achieved_price=math.nan if average is None else float(average) * tick,
            benchmark_price=self._running_benchmark(k) * tick,
            arrival_price=math.nan if arrival is None else arrival / 2 * tick,
            own_volume_share=order.filled_lots / lots if lots else 0.0,
            expected_participation=self._expected_participation(k),
            risk_aversion=spec.risk_aversion,
            finishing=order.finishing,
            params=spec.algo_params,
        )
        market_view = MarketView(
            now_ns=now_ns,
            delta_ns=spec.interval_ns,
            bars=bars,
            mid=mid * tick if mid else math.nan,
            spread=(book.ask_ticks - book.bid_ticks) * tick if mid else math.nan,
            klines=self._klines,
            lot=float(instrument.lot),
        )
        return order_view, market_view

    def _running_benchmark(self, k: int) -> float:
        """The order's benchmark over intervals 0 .. k-1 in ticks, NaN before the first price."""
        rows, last = self.series.prices(0, k)
        average = self.market.instruments[self.order.spec.instrument].average_ticks
        prices: list[float] = []
        for lots, value in rows:
            if lots:
                prices.append(float(average(value, lots)))
            elif prices or last:
                prices.append(prices[-1] if prices else float(last))
        if not prices:
            return math.nan
        if self.order.spec.benchmark is BenchmarkKind.TWAP:
            return sum(prices) / len(prices)
        lots = sum(r[0] for r in rows)
        return float(average(sum(r[1] for r in rows), lots)) if lots else prices[-1]

    def _expected_participation(self, k: int) -> float:
        """The order over the volume its full window should bring, from the bars seen so far; 0: unknown."""
        bars = self.series.view(k)
        volume = float(bars["volume"].mean()) if len(bars) else 0.0
        mid = self.market.mid_half_ticks(self.order.spec.instrument)
        if volume <= 0 or (not self.by_quantity and mid == 0):
            return 0.0
        lot = float(self.market.instruments[self.order.spec.instrument].lot)
        target = self.order.spec.target if self.by_quantity else self.order.spec.target * 2 / mid
        return target * lot / (volume * self.order.spec.max_intervals)

    def _act(self, k: int, now_ns: int) -> None:
        view, market = self._asked.pop(k)
        if self.order.done or self._ending is not None or self.order.state is ParentState.PAUSED:
            return
        self._note_arrival()
        answer, algo, overrun = self._answer(k, view, market)
        spec, order = self.order.spec, self.order
        share, finishing = project(
            answer.share,
            answer.finish or order.finishing,
            order.remaining_share,
            spec.max_intervals - k - 1,
            spec.min_intervals,
            k,
            spec.min_rate,
            spec.max_rate,
            min(1.0, self.least_units() / spec.target),
        )
        order.finishing = order.finishing or finishing
        units = self._units(share, finishing)
        order.decisions += 1
        mid = self.market.mid_half_ticks(spec.instrument)
        self.desk.emit(
            DecisionTaken(
                at_ns=now_ns,
                seq=self.desk.seq(),
                decision_id=self._decision_id(k),
                parent_id=spec.parent_id,
                interval=k,
                asked_ns=self.interval_ns(k),
                algo=algo,
                view=view,
                market_close=float(market.bars["close"][-1]) if len(market.bars) else math.nan,
                market_mid=market.mid,
                share=answer.share,
                finish=answer.finish,
                finish_probability=answer.finish_probability,
                slice_share=units / spec.target,
                slice_lots=units if self.by_quantity else (2 * units // mid if mid else 0),
                finishing=finishing,
                reason=answer.reason,
                overrun=overrun,
                model=answer.model,
                history_bars=answer.history_bars,
                importances=answer.importances,
                attention=answer.attention,
                turns_at_bps=answer.turns_at_bps,
                latency_ns=answer.latency_ns,
            )
        )
        self._tactic.begin(k, units, finishing, now_ns, self.interval_ns(k + 1))

    def _answer(self, k: int, view: OrderView, market: MarketView) -> tuple[Slice, str, bool]:
        """(answer, whose it is, whether the asked algo was late)."""
        if view.finishing:
            share = view.remaining
            return (
                Slice(share, True, reason="finish was decided before and is sticky"),
                self.order.spec.algo,
                False,
            )
        collected = self._policy.collect(self._decision_id(k))
        if collected is not None:
            return collected, self.order.spec.algo, False
        answer = self._fallback.decide(view, market)
        reason = f"{self.order.spec.algo} was late; {self._fallback.name}: {answer.reason}"
        return replace(answer, reason=reason), self._fallback.name, True

    def _units(self, share: float, finishing: bool) -> int:
        """The slice in the target's unit, whole lots, never more than is left and not in flight."""
        free = self.order.remaining - self.in_flight()
        if finishing and share >= self.order.remaining_share:
            return max(0, free)
        least = self.least_units()
        wanted = min(int(share * self.order.spec.target + 0.5), free - least)
        return wanted if wanted >= least else 0

    # --- children: what the tactic and the desk call ----------------------------------------------

    def sent(self, child: ChildOrder) -> None:
        self.children[child.child_id] = child
        self.sent_lots += child.qty_lots

    def filled(self, child: ChildOrder, fill: ChildFilled, now_ns: int) -> None:
        self.fills.append((fill, child))
        self._note_arrival()
        self.emit_changed(now_ns, "")
        if self.order.complete and not self.order.done:
            self.order.finishing = True
            self._ending = None
            self._finish(ParentEvent.COMPLETED, now_ns, "filled")

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        self.children.pop(child.child_id, None)
        used_up = child.state is ChildState.EXPIRED and self.settings.venue.impact is not None
        if used_up and not obstacle(child):  # by our own flow; a rule of the venue is counted by its name
            self.obstacles[child.reason] += 1
        if self._ending is not None:
            self._try_end(now_ns)
        elif not self.order.done:
            self._tactic.child_ended(child, now_ns)

    def emit_changed(self, now_ns: int, reason: str) -> None:
        self.desk.emit(self.order.changed(now_ns, self.desk.seq(), reason))

    # --- ends and commands ------------------------------------------------------------------------

    def end(self, event: ParentEvent, now_ns: int, reason: str = "") -> None:
        """End the order once nothing is in flight any more."""
        if self.order.done or self._ending is not None:
            return
        self._ending = (event, reason)
        self._tactic.stop(now_ns)
        self._try_end(now_ns)

    def _try_end(self, now_ns: int) -> None:
        if self._ending is not None and not self.children:
            event, reason = self._ending
            self._finish(event, now_ns, reason or self._shortfall())

    def _finish(self, event: ParentEvent, now_ns: int, reason: str) -> None:
        self.order.apply(event, now_ns)
        self.end_mid_half_ticks = self.market.mid_half_ticks(self.order.spec.instrument)
        self.finish_interval = min(max(self._interval, 0), self.order.spec.max_intervals - 1)
        self._tactic.stop(now_ns)
        self.emit_changed(now_ns, reason)
        self._on_end(self, now_ns)

    def _shortfall(self) -> str:
        """What is left and what stood in its way."""
        instrument = self.market.instruments[self.order.spec.instrument]
        left = self.order.remaining
        unit = instrument.unit if self.by_quantity else instrument.quote
        amount = instrument.quantity(left) if self.by_quantity else instrument.notional(left)
        causes = ", ".join(f"{cause} ({count}x)" for cause, count in self.obstacles.most_common(3))
        return f"{amount} {unit} unfilled: {causes or 'the market did not offer it in time'}"

    def pause(self, now_ns: int) -> None:
        self.order.apply(ParentEvent.PAUSED, now_ns)
        self._tactic.stop(now_ns)
        self.emit_changed(now_ns, "paused by command")

    def resume(self, now_ns: int) -> None:
        """Work goes on with the next interval."""
        self.order.apply(ParentEvent.RESUMED, now_ns)
        self.emit_changed(now_ns, "resumed by command")
