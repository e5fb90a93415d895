"""Measures parents once the tape has shown what it takes: see ``agent.core.measures.tca_report``.

An order is measured when its used window is known, when the full one is, and after its last markout. Then it
is watched until nothing can change its numbers any more: a gap is noticed late, a late trade comes later
still, and the market may take its time to trade what the participation-weighted price needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.core.agenda import Agenda, Rank
from agent.core.events import SlippageMeasured
from agent.core.measures import tca
from agent.core.measures.data_quality import OrderTimes, Stand
from agent.core.measures.tca_report import PWP_RATE, TcaFacts, slippage_rows
from agent.core.measures.traded_volume import Participation, participation
from agent.core.money import average_ticks
from agent.core.ports import Market
from agent.core.types import TargetKind
from agent.engine.outbox import Outbox
from agent.engine.worker import Worker

MARKOUT_END_NS = 60 * 1_000_000_000


WATCH_NS = 10 * 1_000_000_000
SELDOM = 100
"""A gap that stays open is looked at again after a hundredth of the time gone by: a tape that jumps by years
is not gone through in steps of ten seconds."""


class Measurements:
    """When each ended order is measured, and what is still to be measured of which."""

    def __init__(
        self,
        market: Market,
        agenda: Agenda,
        settle_ns: int,
        noted_share: float | None,
        outbox: Outbox,
        on_over: Callable[[Worker], None],
        on_lane_over: Callable[[int], None],
    ) -> None:
        """``on_over``: called with an order whose numbers nothing can change any more; ``on_lane_over``, with
        the lane of a shadow that has been measured to the last."""
        self._market, self._agenda, self._outbox = market, agenda, outbox
        self._settle_ns, self._noted_share, self._on_over = settle_ns, noted_share, on_over
        self._on_lane_over = on_lane_over
        self._unmeasured: dict[str, Worker] = {}
        self._watched: dict[str, tuple[Worker, list[SlippageMeasured]]] = {}  # with what was measured last

    def waiting(self) -> list[Worker]:
        """Orders whose trades and mids are still needed."""
        return [*self._unmeasured.values(), *(worker for worker, _ in self._watched.values())]

    def settled(self, now_ns: int) -> bool:
        """Whether every full window has been measured."""
        return all(now_ns >= self._full_ns(w) for w in self._unmeasured.values())

    def plan(self, worker: Worker, now_ns: int) -> None:
        """An order has ended: say when it is measured."""
        self._unmeasured[worker.order.spec.parent_id] = worker
        used_ns = worker.interval_ns((worker.finish_interval or 0) + 1) + self._settle_ns
        last_ns = max(now_ns + MARKOUT_END_NS, used_ns, self._full_ns(worker)) + self._settle_ns
        for at_ns in sorted({used_ns, self._full_ns(worker), last_ns}):
            self._agenda.add(max(at_ns, now_ns), Rank.MEASURE, lambda t: self._measure(worker, t, last_ns))

    def close(self, end_ns: int) -> None:
        """The tape ends: measure what has ended and not been measured to the last."""
        for worker in self._unmeasured.values():
            self._emit(self._rows(worker, end_ns))
        for parent_id in list(self._watched):
            self._look(parent_id, end_ns)
        self._unmeasured.clear()
        self._watched.clear()

    def _full_ns(self, worker: Worker) -> int:
        """When the whole allowed window, and what is late of it, has been seen."""
        return worker.start_ns + worker.order.spec.max_duration_ns + self._settle_ns

    def _measure(self, worker: Worker, now_ns: int, last_ns: int) -> None:
        parent_id = worker.order.spec.parent_id
        if parent_id not in self._unmeasured:
            return  # its times lay in time that was lost: after that it has been measured to the last
        rows = self._rows(worker, now_ns)
        self._emit(rows)
        if now_ns < last_ns:
            return
        del self._unmeasured[parent_id]
        if worker.execution.lane:
            self._on_lane_over(worker.execution.lane)
        self._watched[parent_id] = worker, rows
        self._watch(parent_id, now_ns, last_ns)

    def _watch(self, parent_id: str, now_ns: int, last_ns: int) -> None:
        """Look again: soon while data up to ``last_ns`` may turn out missing, seldom for volume alone."""
        worker, _ = self._watched[parent_id]
        participation = worker.participation
        until_ns = max(last_ns, (participation.reached_ns or 0) if participation else 0)
        sure = self._market.sure_ns(worker.order.spec.instrument) >= until_ns
        if sure and participation is not None:
            del self._watched[parent_id]
            self._on_over(worker)
            return
        since_ns = now_ns - worker.start_ns
        wait_ns = max(WATCH_NS, since_ns if sure else since_ns // SELDOM)
        self._agenda.add(now_ns + wait_ns, Rank.MEASURE, lambda t: self._look_again(parent_id, t, last_ns))

    def _look_again(self, parent_id: str, now_ns: int, last_ns: int) -> None:
        if parent_id in self._watched:
            self._look(parent_id, now_ns)
            self._watch(parent_id, now_ns, last_ns)

    def _look(self, parent_id: str, now_ns: int) -> None:
        """Measure a watched order again; say it only if something is otherwise."""
        worker, before = self._watched[parent_id]
        rows = self._rows(worker, now_ns)
        if [_counted(row) for row in rows] != [_counted(row) for row in before]:
            self._watched[parent_id] = worker, rows
            self._emit(rows)

    def _rows(self, worker: Worker, now_ns: int) -> list[SlippageMeasured]:
        seq, noted = self._outbox.seq, self._noted_share
        return measure(worker, self._market, now_ns, seq, self._settle_ns, noted)

    def _emit(self, rows: list[SlippageMeasured]) -> None:
        for row in rows:
            self._outbox.emit(row)


def _counted(row: SlippageMeasured) -> str:
    """A row without when it was measured: as text, in which what is not known equals itself."""
    return repr(replace(row, at_ns=0, seq=0, reasons={}))


def measure(
    worker: Worker,
    market: Market,
    now_ns: int,
    seq: int,
    settle_ns: int = 0,
    noted_share: float | None = None,
) -> list[SlippageMeasured]:
    """Return the TCA of a finished order as far as ``now_ns`` shows it; empty without an arrival mid."""
    order, spec = worker.order, worker.order.spec
    if order.arrival_mid_half_ticks is None or worker.finish_interval is None or order.ended_ns is None:
        return []
    worker.series.update(market.trades(spec.instrument))
    inverse = market.instruments[spec.instrument].inverse
    shown = min(spec.max_intervals, (now_ns - worker.start_ns) // spec.interval_ns)
    fills, found = worker.execution.fills, participated(worker, market, now_ns, settle_ns)
    facts = TcaFacts(
        spec=spec,
        state=order.state,
        start_ns=worker.start_ns,
        end_ns=order.ended_ns,
        filled_lots=order.filled_lots,
        filled_tl=order.filled_tl,
        fee_tlp=order.fee_tlp,
        sent_lots=worker.execution.sent_lots,
        decision_mid_half_ticks=order.decision_mid_half_ticks,
        arrival_mid_half_ticks=order.arrival_mid_half_ticks,
        end_mid_half_ticks=worker.end_mid_half_ticks or None,
        used_intervals=worker.finish_interval + 1,
        trades=_interval_trades(worker, max(shown, worker.finish_interval + 1), inverse),
        fills=fills,
        mids=market.mids(spec.instrument, now_ns),
        stand=_stand(worker, market, now_ns, order.ended_ns, fills, found.reached_ns),
        participation=found,
        inverse=inverse,
        noted_share=noted_share,
        own_impact=worker.execution.traits.own_impact,
    )
    return slippage_rows(facts, market.instruments[spec.instrument], now_ns, seq)


def participated(worker: Worker, market: Market, now_ns: int, settle_ns: int) -> Participation:
    """How far the market has traded of the order at the usual rate.

    Kept once it has traded so much and what is late of it has been waited for: the single trades may then
    be forgotten.
    """
    if worker.participation is not None:
        return worker.participation
    number = worker.order.spec.instrument
    prints = market.prints(number, worker.first_trade, worker.start_ns)
    inverse = market.instruments[number].inverse
    found = participation(prints, worker.order.filled_lots, PWP_RATE, inverse=inverse)
    if worker.order.done and (not found.need_lots or _settled(found, now_ns - settle_ns)):
        worker.participation = found
    return found


def _settled(found: Participation, until_ns: int) -> bool:
    return found.reached_ns is not None and found.reached_ns <= until_ns


def _stand(
    worker: Worker,
    market: Market,
    now_ns: int,
    ended_ns: int,
    fills: Sequence[tca.Fill],
    participated_ns: int | None,
) -> Stand:
    """The order's moments and what was wrong with the data in them."""
    spec, start_ns = worker.order.spec, worker.start_ns
    times = OrderTimes(
        submitted_ns=worker.order.submitted_ns,
        start_ns=start_ns,
        arrival_ns=start_ns if worker.arrival_ns is None else worker.arrival_ns,
        ended_ns=ended_ns,
        used_end_ns=worker.interval_ns((worker.finish_interval or 0) + 1),
        full_end_ns=start_ns + spec.max_duration_ns,
        known_ns=now_ns,
        price_ns=worker.series.priced_ns(),
        by_quantity=spec.target_kind is TargetKind.QUANTITY,
        last_fill_ns=max((fill.fill_ns for fill in fills), default=None),
        participated_ns=participated_ns,
    )
    return Stand(times, market.faults(spec.instrument), lambda a, b: _lots_in(worker, a, b))


def _lots_in(worker: Worker, begin_ns: int, end_ns: int) -> int:
    """What traded in the intervals that a window touches."""
    interval_ns = worker.order.spec.interval_ns
    first = (begin_ns - worker.start_ns) // interval_ns
    return worker.series.totals(first, -((worker.start_ns - end_ns) // interval_ns))[0]


def _interval_trades(worker: Worker, count: int, inverse: bool) -> list[tca.IntervalTrades]:
    rows, last = worker.series.prices(0, count)
    last = last or next((int(average_ticks(v, lots, inverse=inverse)) for lots, v in rows if lots), 0)
    last = last or (worker.order.arrival_mid_half_ticks or 0) // 2  # a market that never traded
    trades = []
    for (lots, value), close in zip(rows, worker.series.closes(0, count), strict=True):
        last = close or last
        trades.append(tca.IntervalTrades(value, lots, last, inverse))
    return trades
