"""Mistakes planted in the product, each by changing one of its functions in the process that plays a seed.

A simulation that finds nothing proves nothing: every one of these has to be found. They are of the kinds that
lose or repeat a trade, end an order wrongly, act in lost time, or let recording and database say different
things.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PLANTED: dict[str, Callable[[], None]] = {}


def planted(plant: Callable[[], None]) -> Callable[[], None]:
    """List a mistake under its function's name."""
    PLANTED[plant.__name__] = plant
    return plant


def _around(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


# --- the feed --------------------------------------------------------------------------------------


@planted
def a_page_of_a_backfill_is_forgotten() -> None:
    from connectors.ccxt_trades import TradeSource

    def make(emit_repair: Any) -> Any:
        def changed(self: Any, trades: Any) -> int:
            emit = self._emit
            self._emit = lambda rows: emit(rows[1:])
            try:
                return int(emit_repair(self, trades))
            finally:
                self._emit = emit

        return changed

    _around(TradeSource, "_emit_repair", make)


@planted
def a_repeated_trade_counts() -> None:
    from connectors.backfill import TradeLedger

    def admit_one(self: Any, trade_id: int, stamp_ms: int) -> bool:
        if trade_id >= self.next_id:
            return bool(original(self, trade_id, stamp_ms))
        original(self, trade_id, stamp_ms)
        return True

    original = TradeLedger._admit_one
    TradeLedger._admit_one = admit_one  # type: ignore[method-assign]


@planted
def a_hole_is_overlooked() -> None:
    from connectors.backfill import TradeLedger

    def admit_one(self: Any, trade_id: int, stamp_ms: int) -> bool:
        if trade_id > self.next_id:
            self.next_id = trade_id
        return bool(original(self, trade_id, stamp_ms))

    original = TradeLedger._admit_one
    TradeLedger._admit_one = admit_one  # type: ignore[method-assign]


@planted
def a_gap_says_that_nothing_was_lost() -> None:
    """And its holes are given up unasked."""
    from connectors import ccxt_trades

    async def fill_nothing(ledger: Any, *_: Any) -> tuple[int, int]:
        for hole in list(ledger.holes):
            ledger.give_up(hole)
        return 0, 0

    ccxt_trades.fill_holes = fill_nothing


@planted
def a_silent_stream_is_never_asked_for() -> None:
    from connectors.ccxt_trades import TradeSource

    async def is_dead(self: Any) -> bool:
        return False

    TradeSource.is_dead = is_dead  # type: ignore[method-assign]


@planted
def an_impossible_price_is_believed() -> None:
    from connectors.continuity.impossible_prices import PriceJudge

    PriceJudge.impossible = lambda self, ticks, touch: np.zeros(len(ticks), np.bool_)  # type: ignore[method-assign]


@planted
def the_clocks_offset_is_left_in_the_stamps() -> None:
    from connectors import ccxt_trades

    rows = ccxt_trades.trade_rows
    ccxt_trades.trade_rows = lambda batch, number, offset_ns, *rest: rows(batch, number, 0, *rest)


@planted
def what_waits_in_the_client_is_thrown_away_at_a_break() -> None:
    from connectors.ccxt_trades import TradeSource

    def make(broken: Any) -> Any:
        def changed(self: Any) -> None:
            broken(self)
            if self.ledger.next_id is not None and self.ledger.holes:
                self.ledger.holes.clear()

        return changed

    _around(TradeSource, "broken", make)


# --- orders, risk, time ----------------------------------------------------------------------------


@planted
def a_fill_is_booked_twice_on_its_child() -> None:
    from agent.core.orders.child_order import ChildOrder

    def make(changed_event: Any) -> Any:
        def changed(self: Any, *args: Any) -> Any:
            from dataclasses import replace

            event = changed_event(self, *args)
            return replace(event, filled_lots=2 * event.filled_lots)

        return changed

    _around(ChildOrder, "changed", make)


@planted
def a_fill_gets_a_price_that_was_not_there() -> None:
    from agent.venue.paper import PaperVenue

    def make(fill: Any) -> Any:
        def changed(self: Any, row: tuple[int, ...]) -> None:
            side = int(self._open[row[0]].order.side)
            fill(self, (row[0], round(row[1] * (1 - 0.01 * side)), *row[2:]))

        return changed

    _around(PaperVenue, "_fill", make)


@planted
def half_of_the_fee_is_forgotten() -> None:
    from dataclasses import replace

    from agent.venue.fees import FeeBook

    def make(charge: Any) -> Any:
        def changed(*args: Any) -> Any:
            found = charge(*args)
            return replace(found, fee_tlp=found.fee_tlp // 2)

        return changed

    _around(FeeBook, "charge", make)


@planted
def an_order_completes_a_lot_early() -> None:
    from agent.core.orders.parent_order import ParentOrder

    ParentOrder.complete = property(lambda self: self.remaining <= self.spec.target // 20)  # type: ignore[assignment,method-assign]


@planted
def an_expired_order_says_no_reason() -> None:
    from agent.engine.worker import Worker

    Worker._shortfall = lambda self, *args: ""  # type: ignore[method-assign]


@planted
def the_kill_switch_lets_orders_out() -> None:
    from agent.engine.pretrade import PreTradeChecks

    PreTradeChecks.kill = lambda self: None  # type: ignore[method-assign]


@planted
def a_stale_book_is_traded_on() -> None:
    from agent.core.orders import risk

    for name in ("RiskGate", "Risk", "RiskCheck", "RiskChecks"):
        if hasattr(risk, name) and hasattr(getattr(risk, name), "_stale_book"):
            getattr(risk, name)._stale_book = lambda self, market, now_ns: iter(())


@planted
def timers_fire_in_lost_time() -> None:
    from agent.core.agenda import Agenda

    Agenda.skip = lambda self, to_ns, measures_ns: to_ns  # type: ignore[method-assign]


@planted
def a_stall_is_not_noticed() -> None:
    from agent.core.clock import StandStill

    StandStill.take = lambda self: []  # type: ignore[method-assign]


@planted
def a_stall_is_noticed_too_late() -> None:
    """As it was: an order of a list that started first let the timers of the lost time fire."""
    from agent.runtime import LiveRun

    def make(start: Any) -> Any:
        def changed(self: Any, *args: Any) -> None:
            note, self._note_stalls = self._note_stalls, lambda: None
            try:
                start(self, *args)
            finally:
                self._note_stalls = note

        return changed

    _around(LiveRun, "start", make)


@planted
def the_longest_duration_does_not_hold() -> None:
    from agent.engine.worker import Worker

    def begin(self: Any, k: int, now_ns: int) -> None:
        if k >= self.order.spec.max_intervals:
            k = self.order.spec.max_intervals - 1
            self._tactic.begin(k, self.order.remaining, True, now_ns, now_ns + self.order.spec.interval_ns)
            self._at(now_ns + self.order.spec.interval_ns, lambda t: original(self, k + 1, t))
            return
        original(self, k, now_ns)

    original = Worker._begin_interval
    Worker._begin_interval = begin  # type: ignore[method-assign]


@planted
def a_market_that_stands_still_is_not_waited_for() -> None:
    """An order of the list that could not start is not named."""
    from agent.jobs.listed_starts import ListedStarts

    ListedStarts._refuse = lambda self, number, reason: None  # type: ignore[method-assign]


# --- the recording ---------------------------------------------------------------------------------


@planted
def a_row_of_the_tape_is_not_recorded() -> None:
    from storage.recordings.session import SessionWriter

    _around(SessionWriter, "events", lambda events: lambda self, rows: events(self, rows[:-1]))


@planted
def the_tape_is_recorded_after_its_effect() -> None:
    from agent.runtime import LiveRun

    def ingest(self: Any, rows: Any, *args: Any, **kwargs: Any) -> None:
        held: list[Any] = []
        events, outcome = self.writer.events, self.writer.outcome
        self.writer.events = held.append
        try:
            original(self, rows, *args, **kwargs)
        finally:
            self.writer.events, self.writer.outcome = events, outcome
        for each in held:
            self.writer.events(each)

    original = LiveRun.ingest
    LiveRun.ingest = ingest  # type: ignore[method-assign]


@planted
def a_command_is_recorded_after_its_effect() -> None:
    from agent.runtime import LiveRun

    def command(self: Any, given: Any, *args: Any) -> None:
        held: list[Any] = []
        journal = self.writer.journal
        self.writer.journal = held.append
        try:
            original(self, given, *args)
        finally:
            self.writer.journal = journal
        for each in held:
            journal(each)

    original = LiveRun._command
    LiveRun._command = command  # type: ignore[method-assign]


@planted
def a_users_command_is_not_journalled() -> None:
    from storage.recordings.session import SessionWriter

    def make(journal: Any) -> Any:
        def changed(self: Any, entry: Any) -> None:
            if entry.get("kind") != "control":
                journal(self, entry)

        return changed

    _around(SessionWriter, "journal", make)


@planted
def lost_time_is_not_journalled() -> None:
    from storage.recordings.session import SessionWriter

    def make(journal: Any) -> Any:
        def changed(self: Any, entry: Any) -> None:
            if entry.get("kind") != "resumed":
                journal(self, entry)

        return changed

    _around(SessionWriter, "journal", make)


@planted
def results_are_recorded_after_the_database_has_them() -> None:
    """And not at all, where the process dies in between."""
    from storage.recordings.session import SessionWriter

    def make(outcome: Any) -> Any:
        def changed(self: Any, rows: Any) -> None:
            held, self.held = getattr(self, "held", []), list(rows)
            outcome(self, held)

        return changed

    _around(SessionWriter, "outcome", make)


@planted
def a_torn_line_stays() -> None:
    from storage.recordings import session

    session._cut_torn_line = lambda path: None


@planted
def a_torn_batch_stays() -> None:
    from storage.recordings.numbered_segments import NumberedSegments

    def resume(self: Any) -> None:
        from storage.recordings.numbered_segments import segment_paths

        self._number = len(segment_paths(self._folder, self._stem))

    NumberedSegments.resume = resume  # type: ignore[method-assign]


@planted
def a_full_disk_goes_unsaid_at_the_end() -> None:
    """As it was: the error is swallowed, its files stay open."""
    from agent.runtime import LiveRun

    async def finish(self: Any) -> None:
        from contextlib import suppress

        from agent.core.errors import RecordingError

        self._finishing = True
        with suppress(RecordingError):
            await self._close()
        await self.feed.close()

    LiveRun._finish = finish  # type: ignore[method-assign,assignment]


# --- the database ----------------------------------------------------------------------------------


@planted
def a_batch_that_failed_is_dropped() -> None:
    from storage.log.kept_log import KeptLog

    def make(store: Any) -> Any:
        async def changed(self: Any, batch: Any) -> None:
            try:
                await store(self, batch)
            except Exception:
                done = {id(event) for event in batch}
                self._kept = [event for event in self._kept if id(event) not in done]
                raise

        return changed

    _around(KeptLog, "_store", make)


@planted
def the_end_does_not_wait_for_the_last_rows() -> None:
    from storage.log.kept_log import KeptLog

    def make(finish: Any) -> Any:
        async def changed(self: Any, **kwargs: Any) -> Any:
            self._kept.clear()
            return await finish(self, **kwargs)

        return changed

    _around(KeptLog, "finish", make)


@planted
def the_first_state_of_an_order_stays() -> None:
    from storage.log.bulk import last_rows

    def first(latest: Any) -> Any:
        def of(events: Any) -> Any:
            fills, others = latest(events[::-1])
            return fills[::-1], others[::-1]

        return of

    _around(last_rows, "_latest", first)


@planted
def a_command_is_carried_out_again() -> None:
    from storage.log.kept_log import KeptLog

    KeptLog._hand_over = lambda self, waiting: self._commands.extend(waiting)  # type: ignore[method-assign]


@planted
def a_database_in_anothers_place_is_not_noticed() -> None:
    from storage.log.kept_log import KeptLog

    async def look_again(self: Any) -> None:
        self._suspect, self._kept = False, [] if self._suspect else self._kept

    KeptLog._look_again = look_again  # type: ignore[method-assign]


# --- going on after a death ------------------------------------------------------------------------


@planted
def a_resumed_run_starts_its_orders_again() -> None:
    """As it was."""
    from agent.jobs.listed_starts import ListedStarts

    _around(ListedStarts, "leave_out", lambda _leave_out: lambda self, names: None)


@planted
def a_resumed_run_forgets_what_was_not_recorded() -> None:
    from agent.app.lives.former_session import FormerSession
    from storage.recordings.session import SessionWriter

    FormerSession.writer = lambda self: SessionWriter.resume(self.path)  # type: ignore[method-assign]


@planted
def a_resumed_run_counts_from_one() -> None:
    from dataclasses import replace

    from agent.app.lives.former_session import FormerSession

    _around(FormerSession, "former", lambda former: lambda self, engine: replace(former(self, engine), seq=0))


@planted
def a_resumed_run_checks_its_tape_anew() -> None:
    from dataclasses import replace

    from agent.app.lives.former_session import FormerSession
    from agent.core.canonical import TapeCheck

    _around(
        FormerSession,
        "former",
        lambda former: lambda self, engine: replace(former(self, engine), check=TapeCheck()),
    )


@planted
def a_resumed_run_says_nothing_of_the_time_it_lost() -> None:
    from agent.runtime import NOT_RUNNING, LiveRun

    def make(lost_time: Any) -> Any:
        def changed(self: Any, from_ns: int, to_ns: int, cause: str) -> None:
            if cause != NOT_RUNNING:
                lost_time(self, from_ns, to_ns, cause)

        return changed

    _around(LiveRun, "_lost_time", make)


@planted
def a_resumed_feed_begins_with_what_comes() -> None:
    from connectors.ccxt_feed import CcxtFeed

    CcxtFeed.go_on = lambda self, instrument, before: None  # type: ignore[method-assign]


@planted
def a_resumed_run_does_not_restore_the_database() -> None:
    from storage.log.kept_log import KeptLog

    def restore(self: Any, events: Any, seq: int, at_ns: int) -> None:
        self._stored += len(events)

    _around(KeptLog, "restore", lambda _restore: restore)


@planted
def a_closed_session_lacks_what_was_not_recorded() -> None:
    from agent.app import session_end

    session_end._missing = lambda reader, events: iter(())


@planted
def a_closed_session_is_not_stored() -> None:
    from agent.app import session_end

    async def store(*_: Any) -> None: ...

    session_end._store = store


@planted
def a_cut_off_start_is_refused() -> None:
    """As it was: results at the very moment of the last input were not recomputed."""
    from agent.core.canonical import parted
    from agent.replay import LONGEST_SILENCE_NS, _Pass, _recorded_ns

    def on_with(self: Any, recorded: Any) -> None:
        for i, row in enumerate(parted(recorded)[0]):
            now_ns, at_ns = self._engine.now_ns, _recorded_ns(row)
            if i >= len(self._result_rows) and now_ns < at_ns <= now_ns + LONGEST_SILENCE_NS:
                self._engine.advance_time(at_ns)
                self._take()
            if self._result_rows[i : i + 1] != [row]:
                return

    _Pass.on_with = on_with  # type: ignore[method-assign]
