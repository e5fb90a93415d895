"""Measures parents once the tape has shown what it takes: see ``agent.core.measures.tca_report``.

An order is measured when its used window is known, when the full one is, and after its last markout. The
participation-weighted price may take longer: it is looked for as long as the tape goes on.
"""

from __future__ import annotations

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


class Measurements:
    """When each ended order is measured, and what is still to be measured of which."""

    def __init__(self, market: Market, agenda: Agenda, settle_ns: int, outbox: Outbox) -> None:
        self._market, self._agenda, self._settle_ns, self._outbox = market, agenda, settle_ns, outbox
        self._unmeasured: dict[str, Worker] = {}
        self._searching: dict[str, Worker] = {}  # measured, but for a market that has not traded enough

    def waiting(self) -> list[Worker]:
        """Orders whose trades and mids are still needed."""
        return [*self._unmeasured.values(), *self._searching.values()]

    def settled(self, now_ns: int) -> bool:
        """Whether every full window has been measured."""
        return all(now_ns >= self._full_ns(w) for w in self._unmeasured.values())

    def needs_trades(self, worker: Worker) -> bool:
        """Whether single trades since its start may still be asked for, beside its bars."""
        return worker.participation is None

    def plan(self, worker: Worker, now_ns: int) -> None:
        """An order has ended: say when it is measured."""
        self._unmeasured[worker.order.spec.parent_id] = worker
        used_ns = worker.interval_ns((worker.finish_interval or 0) + 1) + self._settle_ns
        last_ns = max(now_ns + MARKOUT_END_NS, used_ns, self._full_ns(worker)) + self._settle_ns
        for at_ns in sorted({used_ns, self._full_ns(worker), last_ns}):
            self._agenda.add(max(at_ns, now_ns), Rank.MEASURE, lambda t: self._measure(worker, t, last_ns))

    def close(self, end_ns: int) -> None:
        """The tape ends: measure what has ended and not been measured to the last."""
        for worker in list(self._unmeasured.values()):
            self._emit(worker, end_ns)
        for worker in list(self._searching.values()):
            self._look(worker, end_ns)
        self._unmeasured.clear()
        self._searching.clear()

    def _full_ns(self, worker: Worker) -> int:
        """When the whole allowed window, and what is late of it, has been seen."""
        return worker.start_ns + worker.order.spec.max_duration_ns + self._settle_ns

    def _measure(self, worker: Worker, now_ns: int, last_ns: int) -> None:
        self._emit(worker, now_ns)
        if now_ns < last_ns:
            return
        parent_id = worker.order.spec.parent_id
        self._unmeasured.pop(parent_id, None)
        if worker.execution.lane:  # a shadow's: what it had consumed of the book is of no use any more
            self._market.forget_lane(worker.execution.lane)
        if worker.participation is None and worker.order.filled_lots:
            self._searching[parent_id] = worker
            self._search(worker, now_ns)

    def _search(self, worker: Worker, now_ns: int) -> None:
        """Look again when twice as much time has passed: a long search costs little."""
        again_ns = now_ns + max(now_ns - worker.start_ns, worker.order.spec.interval_ns)
        self._agenda.add(again_ns, Rank.MEASURE, lambda t: self._look_again(worker, t))

    def _look_again(self, worker: Worker, now_ns: int) -> None:
        if worker.order.spec.parent_id in self._searching and not self._look(worker, now_ns):
            self._search(worker, now_ns)

    def _look(self, worker: Worker, now_ns: int) -> bool:
        """Whether the market has traded enough by now; then the order is measured once more."""
        found = participated(worker, self._market, now_ns, self._settle_ns).price_ticks is not None
        if found:
            self._searching.pop(worker.order.spec.parent_id, None)
            self._emit(worker, now_ns)
        return found

    def _emit(self, worker: Worker, now_ns: int) -> None:
        for row in measure(worker, self._market, now_ns, self._outbox.seq, self._settle_ns):
            self._outbox.emit(row)


def measure(
    worker: Worker, market: Market, now_ns: int, seq: int, settle_ns: int = 0
) -> list[SlippageMeasured]:
    """Return the TCA of a finished order as far as ``now_ns`` shows it; empty without an arrival mid."""
    order, spec = worker.order, worker.order.spec
    if order.arrival_mid_half_ticks is None or worker.finish_interval is None or order.ended_ns is None:
        return []
    worker.series.update(market.trades(spec.instrument))
    inverse = market.instruments[spec.instrument].inverse
    shown = min(spec.max_intervals, (now_ns - worker.start_ns) // spec.interval_ns)
    fills, found = _fills(worker), participated(worker, market, now_ns, settle_ns)
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
    fills: list[tca.Fill],
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


def _fills(worker: Worker) -> list[tca.Fill]:
    return [
        tca.Fill(
            price_ticks=fill.price_ticks,
            qty_lots=fill.qty_lots,
            maker=fill.maker,
            fill_ns=fill.fill_ns,
            sent_mid_half_ticks=child.sent_mid_half_ticks,
            far_touch_ticks=child.far_touch_ticks,
        )
        for fill, child in worker.execution.fills
    ]
