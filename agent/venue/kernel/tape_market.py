"""The compiled kernel behind a class: the market that every lane shares, its arrays grown as needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from agent.core.compile.jit import direct
from agent.core.errors import InternalError
from agent.core.instrument import Instrument
from agent.core.market.bars import DEPTH_BAND_BPS
from agent.core.market.ladder import BEST
from agent.core.market.mids import MidTrack
from agent.core.market.tape import EVENT, SILENT, SPANS, EventArray, Flag, Kind, interruption
from agent.core.market.trade_bars import BarSeries, BookSample, TradeColumns
from agent.core.measures.data_faults import NEVER_NS, DataFaults, Fault, Hole
from agent.core.measures.traded_volume import Prints
from agent.core.money import values_tl
from agent.core.ports import Needs
from agent.venue.kernel import loop as k
from agent.venue.kernel.book_sample import book_sample
from agent.venue.kernel.marked_rows import next_marked_trade

# The state's types never change, and the other arguments are integers, tape rows and one float.
_run, _take, _rest = direct(k.run), direct(k.take), direct(k.rest)
_withdraw, _forget_lane, _book_sample = direct(k.withdraw), direct(k.forget_lane), direct(book_sample)
_next_marked_trade = direct(next_marked_trade)


FAULTS_KEPT = 256
"""Faults of an instrument from which on it is looked which of them no measure asks for any more."""


class Intent(Protocol):
    """What the book needs to know of an order."""

    @property
    def instrument(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def price_ticks(self) -> int: ...
    @property
    def lots(self) -> int: ...
    @property
    def cap_tl(self) -> int: ...


class TapeMarket:
    """Book, trades and mid of each instrument, advanced by tape rows."""

    standing: tuple[Fault, ...] = ()
    """What is wrong with all of its data, from beginning to end."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        queue_model: int = k.RISK_AVERSE,
        queue_power: float = 3.0,
        reach: int = k.SHOWN,
    ) -> None:
        self.instruments = list(instruments)
        self.state = k.new_state(len(self.instruments), queue_model, queue_power, reach)
        self._needs: Needs | None = None
        self._forgotten = [0] * len(self.instruments)  # trades
        self._gap_open = [0] * len(self.instruments)
        self._gap_ns = [-(2**62)] * len(self.instruments)
        self._lost_to_ns = [NEVER_NS] * len(self.instruments)  # when it last stood still
        self._faults = [DataFaults(self.standing) for _ in self.instruments]
        self._faults_most = [FAULTS_KEPT] * len(self.instruments)  # looked at once there are so many
        self._last_forgotten_ns = [NEVER_NS] * len(self.instruments)  # the time of the last trade forgotten

    def run(self, events: EventArray, start: int, due_ns: int) -> tuple[int, int]:
        """Consume rows from ``start`` on; see ``kernel.run``. Grows as needed."""
        if events.dtype != EVENT:
            raise InternalError(f"the market was given rows of {events.dtype}, which are no tape rows")
        if not events.flags.c_contiguous:
            events = np.ascontiguousarray(events)
        first = start
        while True:
            start, why = _run(self.state, events, start, len(events), due_ns)
            if why != k.GROW:
                self._note_marked(events, first, start)
                return start, why
            if self._needs is not None:
                for number in range(len(self.instruments)):
                    self._forget(number, self._needs(number))
            self.state = k.grown(self.state)

    def forget_beyond(self, needs: Needs) -> None:
        """From now on drop trades, mids and faults of the data that nobody needs, once a store is full."""
        self._needs = needs

    def series(self, number: int, delta_ns: int, phase_ns: int, history: int) -> BarSeries:
        """A new series of interval bars, made of the trades that are still known."""
        made = BarSeries(self.instruments[number], delta_ns, phase_ns, history)
        made.next_trade = self._forgotten[number]
        return made

    def _forget(self, number: int, needed: tuple[int, int]) -> None:
        """Drop what nobody needs of this instrument, if that is a quarter of what is there or more: each row
        kept is moved at most three times for every row dropped; with less to drop the stores double.

        Asked of all instruments once a store of one is full: in the same arrays those of quieter ones would
        otherwise fill up for hours, each to the length that the busiest one needs.
        """
        s, (first_trade, first_ns) = self.state, needed
        n = int(s.market[number, k.M_TRADES])
        gone = min(n, first_trade - self._forgotten[number])
        if gone > 0 and 4 * gone >= n:
            self._last_forgotten_ns[number] = int(s.trade_ns[number, gone - 1])
            for column in (s.trade_ns, s.trade_ticks, s.trade_lots, s.trade_side):
                column[number, : n - gone] = column[number, gone:n]
            s.market[number, k.M_TRADES] = n - gone
            self._forgotten[number] += gone
        n = int(s.market[number, k.M_MIDS])
        gone = int(np.searchsorted(s.mid_ns[number, :n], first_ns, side="right")) - 1  # in force then: stays
        if gone > 0 and 4 * gone >= n:
            for column in (s.mid_ns, s.mid_half_ticks):
                column[number, : n - gone] = column[number, gone:n]
            s.market[number, k.M_MIDS] = n - gone

    def note(self, row: EventArray) -> None:
        """Remember a gap's edges: fills near one are marked, and so are measures that stand on it."""
        self._note(row)
        self._forget_faults(int(row["instrument"]))

    def _note(self, row: EventArray) -> None:
        number, kind = int(row["instrument"]), int(row["kind"])
        if kind in (Kind.GAP_BEGIN, Kind.GAP_END):
            self._gap_open[number] += 1 if kind == Kind.GAP_BEGIN else -1
            self._gap_ns[number] = int(row["recv_ns"])
        found = interruption(kind, int(row["flags"]))
        if found is None:
            return
        what, ended = found
        if kind in SPANS:
            begin_ns, end_ns = sorted((int(row["exch_ns"]), int(row["recv_ns"])))
            fault = Fault(what.replace(" ", "_"))
            self._faults[number].missed([Hole(fault, begin_ns, end_ns, of_book=False)])
            if fault is Fault.LOST_TIME:
                self._lost_to_ns[number] = max(self._lost_to_ns[number], end_ns)
            return
        since_ns = self._heard_ns(number, what.removesuffix(SILENT))
        if ended:
            lost = int(row["qty_lots"]) if kind == Kind.GAP_END else 0
            self._faults[number].ended(what, since_ns, int(row["recv_ns"]), lost)
        else:
            self._faults[number].began(what, since_ns)

    def _forget_faults(self, number: int) -> None:
        """Drop faults over before any window of an order of now, and before the trade that prices the next
        one to start; looked at each time that there are twice as many."""
        faults = self._faults[number]
        if self._needs is None or len(faults) < self._faults_most[number]:
            return
        faults.forget(min(self._needs(number)[1], self._heard_ns(number, "trades")))
        self._faults_most[number] = max(FAULTS_KEPT, 2 * len(faults))

    def _heard_ns(self, number: int, stream: str) -> int:
        """When a stream was last heard: a book when its update came, a trade at its own time."""
        s, n = self.state, int(self.state.market[number, k.M_TRADES])
        trade_ns = int(s.trade_ns[number, n - 1]) if n else self._last_forgotten_ns[number]
        book_ns = self.book_ns(number) or NEVER_NS
        return {"trades": trade_ns, "book": book_ns}.get(stream, min(trade_ns, book_ns))

    def _note_marked(self, events: EventArray, first: int, end: int) -> None:
        """Remember the late and the impossible trades of the rows consumed."""
        while (first := _next_marked_trade(events, first, end)) < end:
            row = events[first : first + 1]
            trade = np.stack([row["exch_ns"], row["recv_ns"], row["qty_lots"]], axis=1)
            number = int(row["instrument"][0])
            faults = self._faults[number]
            (faults.impossible if row["flags"][0] & Flag.IMPOSSIBLE else faults.late)(trade)
            self._forget_faults(number)
            first += 1

    def sure_ns(self, number: int) -> int:
        """Up to when nothing can turn out to be missing any more: every stream has been heard since."""
        return min(self._heard_ns(number, "feed"), self._faults[number].open_since_ns())

    def faults(self, number: int) -> DataFaults:
        """What was wrong with the data of an instrument so far."""
        return self._faults[number]

    def near_gap(self, number: int, now_ns: int, within_ns: int) -> bool:
        return self._gap_open[number] > 0 or now_ns - self._gap_ns[number] <= within_ns

    def mid_half_ticks(self, number: int) -> int:
        """Bid plus ask in ticks; 0 while there is no two-sided, uncrossed book."""
        return self.state.market.item(number, k.M_MID)

    def book_ns(self, number: int) -> int:
        """Since when the last book update is known (``book_time``), 0 before the first."""
        return self.state.market.item(number, k.M_BOOK_NS)

    def unseen(self, number: int) -> bool:
        """Whether the process has stood still, and no book of later has been read."""
        return self.book_ns(number) <= self._lost_to_ns[number]

    def crossed(self, number: int) -> int:
        return int(self.state.market[number, k.M_CROSSED])

    def mids(self, number: int, known_ns: int) -> MidTrack:
        """The path of the mid up to ``known_ns`` (now)."""
        n = int(self.state.market[number, k.M_MIDS])
        holes = self._faults[number].book_holes()
        return MidTrack(self.state.mid_ns[number, :n], self.state.mid_half_ticks[number, :n], known_ns, holes)

    def book(self, number: int) -> BookSample:
        """Touch and depth; all 0 while there is no two-sided, uncrossed book."""
        return BookSample(*_book_sample(self.state, number, DEPTH_BAND_BPS))

    def touch(self, number: int) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided, uncrossed book."""
        if self.mid_half_ticks(number) == 0:
            return 0, 0
        head = self.state.book.head
        return head.item(2 * number, BEST), -head.item(2 * number + 1, BEST)

    def trades(self, number: int) -> TradeColumns:
        """Views of the trades seen so far and not forgotten, in order of arrival."""
        s, n = self.state, int(self.state.market[number, k.M_TRADES])
        return TradeColumns(
            s.trade_ns[number, :n],
            s.trade_ticks[number, :n],
            s.trade_lots[number, :n],
            s.trade_side[number, :n],
            self._forgotten[number],
        )

    def prints(self, number: int, first_trade: int, start_ns: int) -> Prints:
        """What traded at or after ``start_ns``, in order of time, of the trades from ``first_trade`` on."""
        trades = self.trades(number).since(first_trade)
        mine = trades.exch_ns >= start_ns
        at_ns, lots, ticks = trades.exch_ns[mine], trades.qty_lots[mine], trades.price_ticks[mine]
        order = np.argsort(at_ns, kind="stable")
        at_ns, lots, ticks = at_ns[order], lots[order], ticks[order]
        return Prints(at_ns, lots, values_tl(ticks, lots, inverse=self.instruments[number].inverse))

    def take(self, number: int, lane: int, intent: Intent, now_ns: int) -> int:
        """Match a marketable order now; its fills wait in ``drain_fills``. Returns the lots filled."""
        while True:
            filled = _take(
                self.state,
                number,
                lane,
                intent.instrument,
                int(intent.side),
                intent.price_ticks,
                intent.lots,
                intent.cap_tl,
                now_ns,
            )
            if filled >= 0:
                return filled
            self.state = k.grown(self.state, force=True)

    def preview(self, lane: int, intent: Intent, now_ns: int) -> list[tuple[int, int]]:
        """(price ticks, lots) of each fill that ``take`` would give now; nothing is changed."""
        counts, consumed, span = (a.copy() for a in (self.state.counts, self.state.consumed, self.state.span))
        self.take(0, lane, intent, now_ns)
        first, last = int(counts[k.N_FILLS]), int(self.state.counts[k.N_FILLS])
        walk = self.state.fills[first:last, [k.F_PRICE, k.F_LOTS]]
        self.state.counts[:] = counts
        self.state.consumed[: len(consumed)] = consumed
        self.state.span[:] = span
        return [(int(price), int(lots)) for price, lots in walk]

    def rest(self, number: int, lane: int, intent: Intent, lots: int, there_ns: int = 0) -> None:
        """Put ``lots`` of an order into the queue: it has been at the exchange since ``there_ns``."""
        args = (number, lane, intent.instrument, int(intent.side), intent.price_ticks, lots, there_ns)
        while _rest(self.state, *args) < 0:
            self.state = k.grown(self.state, force=True)

    def withdraw(self, number: int) -> None:
        """Take an order out of the queue."""
        _withdraw(self.state, number)

    def drain_fills(self) -> list[tuple[int, ...]]:
        """Fills since the last call: (order, price, lots, maker, ns, mid half-ticks, book ns)."""
        n = self.state.counts.item(k.N_FILLS)
        self.state.counts[k.N_FILLS] = 0
        return [tuple(row) for row in self.state.fills[:n].tolist()]

    def forget_lane(self, lane: int) -> None:
        _forget_lane(self.state, lane)

    def warm_up(self) -> None:
        """Compile the kernel before the first connection, on a tape of its own."""
        scratch = TapeMarket(self.instruments)
        rows = np.zeros(4, EVENT)
        rows["recv_ns"] = rows["exch_ns"] = np.arange(4)
        rows["kind"] = [Kind.LEVEL, Kind.LEVEL, Kind.TRADE, Kind.TRADE]
        rows["side"], rows["price_ticks"], rows["qty_lots"] = [1, -1, 1, -1], [1, 3, 3, 1], 1
        rows["flags"] = int(Flag.LAST)
        scratch.run(rows, 0, 2**62)
        state = scratch.state
        _rest(state, 1, 0, 0, 1, 1, 1, 0)
        _take(state, 2, 0, 0, 1, 5, 1, 0, 4)
        _withdraw(state, 1)
        _forget_lane(state, 0)
        scratch.book(0)
