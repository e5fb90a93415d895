"""What one package needs of another, as protocols; a composition root hands the objects over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Protocol, runtime_checkable

from agent.core.events import AuditEvent, CommandKind
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject
from agent.core.market.mids import MidTrack
from agent.core.market.tape import BarArray, EventArray, TradesBefore
from agent.core.market.trade_bars import BarSeries, BookSample, TradeColumns
from agent.core.measures.data_faults import DataFaults
from agent.core.measures.traded_volume import Prints
from agent.core.orders.venue_messages import Deliver, VenueOrder, VenueTraits
from agent.core.session_header import SessionHeader
from agent.core.types import MarketView, OrderView, Slice


class Algo(Protocol):
    """A schedule: a pure function of the order's past, the market's past and time."""

    name: str

    def decide(self, order: OrderView, market: MarketView) -> Slice: ...


@runtime_checkable
class BatchAlgo(Algo, Protocol):
    """An algo that decides for many orders at the cost of few: what the same bars say is worked out once."""

    def decide_many(self, requests: Sequence[tuple[OrderView, MarketView]]) -> Sequence[Slice]:
        """One answer a request, in their order; each is to the bit what ``decide`` gives for it alone."""
        ...


class SlicePolicy(Protocol):
    """An algo as the engine uses it: the request at T, the answer at T + decision latency.

    ``collect`` returns None when the answer is not there in time; the engine then falls back and the
    late answer is dropped. Implementations run the algo inline (replay, cheap schedules) or on a
    thread (a live model).
    """

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None: ...

    def collect(self, decision_id: str) -> Slice | None: ...


class Stop(IntEnum):
    """Why a market stopped consuming a batch. The compiled loop returns these numbers."""

    BATCH_END = 0
    DUE = 1  # something is due before the row at the index
    FILLED = 2  # the venue has fills to collect
    NOTICE = 3  # the row before the index concerns the engine: a gap, silence


Needs = Callable[[int], tuple[int, int]]
"""For an instrument: the number of the first trade that may still be needed, and the first time of which a
mid, or a fault of its data, may be."""


class Market(Protocol):
    """What the tape has shown so far: the engine's view of every instrument. Times are engine time."""

    instruments: list[Instrument]

    def run(self, events: EventArray, start: int, due_ns: int) -> tuple[int, int]:
        """Consume rows from ``start`` on with ``recv_ns <= due_ns``. Returns (next index, ``Stop``)."""
        ...

    def note(self, row: EventArray) -> None:
        """Remember a row that ``run`` stopped at with NOTICE."""
        ...

    def mid_half_ticks(self, number: int) -> int:
        """Bid plus ask in ticks; 0 while there is no two-sided, uncrossed book."""
        ...

    def touch(self, number: int) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided, uncrossed book."""
        ...

    def book(self, number: int) -> BookSample:
        """Touch and depth; all 0 while there is no two-sided, uncrossed book."""
        ...

    def book_ns(self, number: int) -> int:
        """When the last book update came, or was sent where it was read late; 0 before the first."""
        ...

    def unseen(self, number: int) -> bool:
        """Whether the process has stood still, and no book of later has been read."""
        ...

    def trades(self, number: int) -> TradeColumns:
        """The trades seen so far, in order of arrival."""
        ...

    def mids(self, number: int, known_ns: int) -> MidTrack:
        """The path of the mid up to ``known_ns`` (now)."""
        ...

    def faults(self, number: int) -> DataFaults:
        """What was wrong with the data so far."""
        ...

    def sure_ns(self, number: int) -> int:
        """Up to when nothing can turn out to be missing any more: every stream has been heard since."""
        ...

    def prints(self, number: int, first_trade: int, start_ns: int) -> Prints:
        """What traded from ``start_ns`` on, of the trades from number ``first_trade`` on."""
        ...

    def series(self, number: int, delta_ns: int, phase_ns: int, history: int) -> BarSeries:
        """A new series of interval bars that this market will fill."""
        ...

    def forget_beyond(self, needs: Needs) -> None:
        """From now on drop what nobody needs, where much has come together."""
        ...

    def forget_lane(self, lane: int) -> None:
        """Drop what a finished shadow's lane had consumed."""
        ...


class OrderVenue(Protocol):
    """Where child orders go, and where reports about them come from.

    There are two kinds. A *computed* venue (``agent.venue.paper``, ``agent.venue.bars``) makes its reports
    from the tape and hands them over when they are due; a replay computes them again. The reports of one
    *outside* (``agent.venue.outside``) are inputs like the tape: stamped at the ingest point, journalled,
    then given to the engine; a replay takes them from the journal.
    """

    def connect(self, deliver: Deliver) -> None:
        """Say who takes the reports. Called once, before anything is sent."""
        ...

    def traits(self, lane: int) -> VenueTraits:
        """How the venue works for the orders of a lane."""
        ...

    def lacking(self, order: VenueOrder) -> str:
        """Why the lane's account could not pay for an order now, or "" (also where that is not known)."""
        ...

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        """An order leaves."""
        ...

    def amend(self, order: VenueOrder, price_ticks: int, lots: int, now_ns: int) -> None:
        """An amendment leaves: a new price, and a new total of lots with those filled."""
        ...

    def cancel(self, order: VenueOrder, now_ns: int) -> None:
        """A cancel leaves; a fill may still come first."""
        ...

    def query(self, order: VenueOrder, now_ns: int) -> None:
        """A question about an order leaves: no report about it came in time."""
        ...

    def collect(self) -> None:
        """Take in what the market has just matched (``Stop.FILLED``)."""
        ...

    def forget_lane(self, lane: int) -> None:
        """Drop the account of a shadow's lane, which sends nothing any more."""
        ...

    def lose_time(self, from_ns: int) -> None:
        """Nobody was there from now on: on paper all that rests is void, and nothing arrives any more.

        What was said before is still delivered. Orders outside stay (``VenueTraits.survives``).
        """
        ...


class OutsideLink(Protocol):
    """Carries messages to a venue outside. Its reports come back through ``LiveRun.deliver``."""

    @property
    def waiting(self) -> bool:
        """Whether anything is to be sent."""
        ...

    def release(self) -> None:
        """Send what waits: its causes are on the disk."""
        ...


TRICKLE, TRICKLE_SHARE = 5, 0.001
"""So many odd things, or such a share of the trades, are told only when they are asked for."""


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """Counters of a feed since its start, all instruments together. Durations in nanoseconds."""

    trades: int = 0
    gaps: int = 0  # of the trade streams
    backfilled: int = 0  # trades fetched to fill gaps
    joined: int = 0  # trades fetched to join the history to the stream
    joining: int = 0  # instruments between whose history and stream trades are still to come
    lost: int = 0  # trades that are missing for good
    late: int = 0  # trades stamped earlier than one before them
    off_tick: int = 0
    impossible: int = 0  # trades whose price is far from everything around it, marked
    malformed: int = 0  # trades refused: no price, size or stamp, or one that cannot be
    odd_ids: int = 0  # trades refused under a wild id, or none; their true ids are fetched
    new_counts: int = 0  # times that an exchange started its trade ids again
    duplicates: int = 0  # trades that came twice, dropped
    ids: Sequence[str] = ()  # by instrument: what its trade ids can show
    range_overlaps: int = 0  # raw trades covered by two aggregates
    range_missing: int = 0  # raw trades that no aggregate has covered
    book_updates: int = 0
    book_snapshots: int = 0
    book_gaps: int = 0
    book_conflated: int = 0  # skipped because the reader was slow
    book_crossed: int = 0  # skipped because bid >= ask
    book_off_tick: int = 0
    book_refused: int = 0  # levels without a price or a size that can be
    reconnects: int = 0
    stale: int = 0  # times that a stream fell silent
    stale_now: Sequence[str] = ()  # streams that are silent, as in "trades:0"
    stale_ns: int = 0  # time spent so, all streams together
    last_errors: Sequence[str] = ()
    waiting_rows: int = 0
    most_waiting_rows: int = 0
    bad_frames: int = 0
    rest_rejected: int = 0  # REST answers that were no JSON
    clock_offset_ns: int = 0  # the exchange's clock minus ours
    clock_failures: int = 0
    clock_steps: int = 0  # times that its clock and ours stepped apart
    clock_round_trip_ns: int | None = None  # None: the offset was never measured

    @property
    def refused(self) -> int:
        """Frames, trades and levels that were not believed."""
        trades = self.malformed + self.odd_ids + self.impossible
        return trades + self.book_refused + self.bad_frames + self.rest_rejected

    @property
    def trickles(self) -> bool:
        """Whether that is more than what happens on any stream now and then."""
        return self.refused > max(TRICKLE, self.trades * TRICKLE_SHARE)

    def keys(self) -> list[str]:
        """The names of the counters: with ``[name]``, what ``dict`` makes a copy from."""
        return [f.name for f in fields(self)]

    def __getitem__(self, name: str) -> object:
        return getattr(self, name)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A user's command that waits in the database. ``parent_id`` None means every working parent."""

    command_id: str
    kind: CommandKind
    parent_id: str | None
    amend: Mapping[str, int | float | str | None]
    created_ns: int


class Feed(Protocol):
    """A live source of tape rows of one or more instruments, in ingest order.

    Rows have ``exch_ns``, ``ext_id`` and the rest filled in; ``recv_ns`` and ``seq`` are stamped by the
    one ingest point (the runtime), so a feed leaves them 0. Whole exchange updates only.
    """

    async def instruments(
        self, symbols: Sequence[str], numbers: Sequence[int] | None = None
    ) -> list[Instrument]:
        """Connect, and return the symbols' instruments, numbered in order or as ``numbers`` says.

        Raises ExchangeError / OrderError.
        """
        ...

    def go_on(self, instrument: Instrument, before: TradesBefore) -> None:
        """Let the stream continue a tape: it fetches what was missed since. Called before ``stream``."""
        ...

    async def history(self, instrument: Instrument, since_ns: int) -> tuple[EventArray, BarArray]:
        """Warm-up: trades and klines from ``since_ns`` on, oldest first, flagged HISTORY."""
        ...

    async def book_now(self, instrument: Instrument) -> BookSample | None:
        """The book of this moment, before the stream brings one; None where there is none to be had."""
        ...

    def stream(self) -> AsyncIterator[EventArray]:
        """Yield small batches until closed. Gaps, stale and alive rows are part of the stream."""
        ...

    async def close(self) -> None: ...

    def round_trips(self) -> Sequence[tuple[int, int]]:
        """(sent_ns, ns) of the requests whose round trips were measured since the last call."""
        ...

    def health(self) -> FeedHealth:
        """How the feed has done so far."""
        ...


class SessionWriter(Protocol):
    """Append-only record of a session's causes. Each call returns once the OS has the bytes."""

    def events(self, rows: EventArray) -> None: ...

    def bars(self, rows: BarArray) -> None: ...

    def journal(self, entry: JsonObject) -> None: ...

    def outcome(self, rows: Sequence[str]) -> None:
        """Canonical result rows, so that a replay can name the first that differs."""
        ...

    def sync(self) -> None:
        """Return once what was written is on the disk: before an order leaves for an exchange."""
        ...

    def abandon(self) -> None:
        """Close the files as they are: without an end, so that the session can go on."""
        ...

    def close(self, end_ns: int) -> None: ...


class SessionReader(Protocol):
    """A recorded session, read in its own total order."""

    @property
    def header(self) -> SessionHeader: ...

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    def bars(self) -> BarArray: ...

    def batches(self, rows: int = 65536) -> Iterator[EventArray]: ...

    def journal(self) -> Sequence[JsonObject]: ...

    def outcome(self) -> Sequence[str]: ...

    @property
    def cut_off(self) -> bool:
        """Whether it was never closed: its writer died, or still writes."""
        ...

    @property
    def losses(self) -> Sequence[str]:
        """What could not be read, a sentence each; empty for a whole session."""
        ...


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How the database stands to the recording once a session has ended."""

    missing: int  # events that it has not got
    reason: str  # why not
    reachable: bool  # the session's end is stored; false: it may still call itself open

    @property
    def in_line(self) -> bool:
        return self.reachable and not self.missing


class ExecutionLog(Protocol):
    """The database's side of a run. Nothing here waits for a database."""

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Events to be stored."""
        ...

    def commands(self) -> Sequence[PendingCommand]:
        """The users' commands that have come since the last call, oldest first; each comes once."""
        ...
