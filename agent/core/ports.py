"""What one part needs of another, as protocols; a composition root hands the parts over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from agent.core.events import AuditEvent, Command
from agent.core.instrument import Instrument
from agent.core.market.tape import BarArray, EventArray
from agent.core.types import MarketView, OrderView, Slice


class Algo(Protocol):
    """A schedule: a pure function of the order's past, the market's past and time."""

    name: str

    def decide(self, order: OrderView, market: MarketView) -> Slice: ...


class SlicePolicy(Protocol):
    """An algo as the engine uses it: asked at T, collected at T + decision latency.

    ``collect`` returns None when the answer is not there in time; the engine then falls back and the
    late answer is dropped. Implementations run the algo inline (replay, cheap schedules) or on a
    thread (a live model).
    """

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None: ...

    def collect(self, decision_id: str) -> Slice | None: ...


class Feed(Protocol):
    """A live source of tape rows of one or more instruments, in ingest order.

    Rows have ``exch_ns``, ``ext_id`` and the rest filled in; ``recv_ns`` and ``seq`` are stamped by the
    one ingest point (the runtime), so a feed leaves them 0. Whole exchange updates only.
    """

    async def instruments(self, symbols: Sequence[str]) -> list[Instrument]:
        """Connect, and return the symbols' instruments. Raises ExchangeError / OrderError."""
        ...

    async def history(self, instrument: Instrument, since_ns: int) -> tuple[EventArray, BarArray]:
        """Warm-up: trades and klines from ``since_ns`` on, oldest first, flagged HISTORY."""
        ...

    def stream(self) -> AsyncIterator[EventArray]:
        """Yield small batches until closed. Gaps, stale and alive rows are part of the stream."""
        ...

    async def close(self) -> None: ...

    def round_trips(self) -> Sequence[tuple[int, int]]:
        """(sent_ns, ns) of the requests whose round trips were measured since the last call."""
        ...

    def health(self) -> Mapping[str, Any]:
        """Counters: trades, gaps, backfilled, lost, reconnects, stale_ns, ..."""
        ...


class SessionWriter(Protocol):
    """Append-only record of a session's causes. Each call returns once the OS has the bytes."""

    def events(self, rows: EventArray) -> None: ...

    def bars(self, rows: BarArray) -> None: ...

    def journal(self, entry: Mapping[str, Any]) -> None: ...

    def outcome(self, rows: Sequence[str]) -> None:
        """Canonical result rows, so that a replay can name the first that differs."""
        ...

    def close(self, end_ns: int) -> None: ...


class SessionReader(Protocol):
    """A recorded session, read in its own total order."""

    @property
    def header(self) -> Mapping[str, Any]: ...

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    def bars(self) -> BarArray: ...

    def batches(self, rows: int = 65536) -> Iterator[EventArray]: ...

    def journal(self) -> Sequence[Mapping[str, Any]]: ...

    def outcome(self) -> Sequence[str]: ...

    @property
    def losses(self) -> Sequence[str]:
        """What could not be read, in words; empty for a whole session."""
        ...


class ExecutionLog(Protocol):
    """The database's side of a run: intents and results, one transaction a batch."""

    async def write(self, events: Sequence[AuditEvent]) -> None: ...

    async def pending_commands(self) -> Sequence[Mapping[str, Any]]: ...

    async def close(self) -> None: ...


__all__ = [
    "Algo",
    "Command",
    "ExecutionLog",
    "Feed",
    "SessionReader",
    "SessionWriter",
    "SlicePolicy",
]
