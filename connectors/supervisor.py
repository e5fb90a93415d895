"""Keeps streams alive: restarts what fails or falls silent, and bounds what waits to be read.

A ``Supervisor`` keeps one ccxt stream going: it watches, notices silence, restarts, backs off, and
puts STALE and ALIVE on the tape. It knows nothing of trades or books: a ``StreamSource`` does.

An error of the outside world is counted and retried for ever; an error of ours (``AgentError``, or
anything raised while rows are made) stops the feed and is raised to the reader of ``stream()``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from agent.core.clock import Clock
from agent.core.errors import InternalError
from agent.core.market.tape import EventArray, Flag, Kind
from agent.core.secret_url import without_passwords
from connectors.normalise import mark_row


class Outbox:
    """Rows on their way to ``stream()``.

    When its reader is slow, book updates may be skipped (``crowded``: the next book holds it all),
    trades never: the box grows up to ``hard_rows`` and then raises, for a reader that far behind
    will not catch up.
    """

    def __init__(self, crowded_rows: int = 50_000, hard_rows: int = 2_000_000) -> None:
        self.crowded_rows, self.hard_rows = crowded_rows, hard_rows
        self.rows = 0
        self.most_rows = 0
        self._batches: deque[EventArray] = deque()
        self._ready = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False

    @property
    def crowded(self) -> bool:
        return self.rows >= self.crowded_rows

    def put(self, rows: EventArray) -> None:
        """Add whole exchange updates. Raises InternalError when the reader is hopelessly behind."""
        if not len(rows) or self._closed:
            return
        if self.rows + len(rows) > self.hard_rows:
            raise InternalError(
                f"{self.rows} rows wait for the reader of the feed and {self.hard_rows} is the most allowed:"
                " it takes rows more slowly than the exchange sends them; raise hard_rows or do less per row"
            )
        self._batches.append(rows)
        self.rows += len(rows)
        self.most_rows = max(self.most_rows, self.rows)
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        """Let the reader raise ``error`` once it has taken what is there."""
        self._error = self._error or error
        self._ready.set()

    def close(self) -> None:
        """Let the reader stop once it has taken what is there."""
        self._closed = True
        self._ready.set()

    async def take(self, most_rows: int) -> EventArray | None:
        """Return waiting rows, about ``most_rows`` at a time; None when closed and empty."""
        while not self._batches:
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()
        taken = [self._batches.popleft()]
        n = len(taken[0])
        while self._batches and n + len(self._batches[0]) <= most_rows:
            taken.append(self._batches.popleft())
            n += len(taken[-1])
        self.rows -= n
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


_DRAIN_S = 0.1
"""How long what comes may wait while REST is asked."""


class StreamSource(Protocol):
    """One stream of one instrument, as a supervisor needs it."""

    name: str
    number: int
    flag: Flag  # TRADES or BOOK

    async def watch(self) -> object:
        """Wait for the next message. The outside world: may raise anything."""
        ...

    def drain(self, got: object) -> int:
        """Put what has come on the tape. ``got`` is what ``watch`` returned, None for a look in between."""
        ...

    def broken(self) -> None:
        """The stream was interrupted: what follows may not join what came before."""
        ...

    async def is_dead(self) -> bool:
        """Nothing came for the stale limit: is the stream dead (True), or the market quiet?"""
        ...

    def restart(self) -> None:
        """Make the client drop this stream's connection, so that the next ``watch`` makes another."""
        ...


Fatal = Callable[[Exception, int, int], Exception | None]
"""What ends the run, of an error, how many failures in a row it makes, and messages that have come so far."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When a stream is stale, and how long to wait after the k-th failure in a row."""

    stale_s: float = 10.0
    first_wait_s: float = 0.1
    most_wait_s: float = 10.0

    def wait_s(self, failures: int) -> float:
        """0 after the first (most breaks heal at once), then exponential up to the cap."""
        if failures <= 1:
            return 0.0
        return min(self.most_wait_s, self.first_wait_s * 2.0 ** min(failures - 2, 30))


@dataclass(slots=True)
class StreamCounters:
    """What happened to one stream. Durations in nanoseconds of our clock."""

    messages: int = 0
    failures: int = 0
    restarts: int = 0
    stale: int = 0
    stale_ns: int = 0
    last_error: str = ""
    last_message_ns: int = field(default=0)


class Supervisor:
    """Runs one source until cancelled."""

    def __init__(
        self,
        source: StreamSource,
        outbox: Outbox,
        clock: Clock,
        patience: Patience | None = None,
        fatal: Fatal = lambda error, failures, messages: None,
        wait_s: Callable[[], float] | None = None,
    ) -> None:
        """``wait_s``: how long to wait for the next message before the source is asked whether it is dead."""
        self.source, self.counters = source, StreamCounters()
        self._outbox, self._clock = outbox, clock
        self._patience, self._fatal = patience or Patience(), fatal
        self._wait_s = wait_s or (lambda: self._patience.stale_s)
        self._stale_since_ns: int | None = None
        self._failures = 0

    @property
    def is_stale(self) -> bool:
        return self._stale_since_ns is not None

    def stale_ns(self) -> int:
        """Time spent stale so far, a silence still going on included."""
        now = 0 if self._stale_since_ns is None else self._clock.now_ns() - self._stale_since_ns
        return self.counters.stale_ns + now

    async def run(self) -> None:
        """Keep the stream going. Raises only what is ours, or what ``fatal`` says no retry mends.

        A stream that has once brought something is there: what its exchange then says is retried.
        """
        self.counters.last_message_ns = self._clock.now_ns()
        while True:
            watch: asyncio.Task[object] = asyncio.ensure_future(self.source.watch())
            try:
                got = await self._next(watch)
            except TimeoutError:
                await self._silent()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                await self._failed(ConnectionError("the client dropped the connection"))
            except _OursError as ours:
                raise ours.error from ours.error.__cause__
            except Exception as error:
                await self._failed(error)
            else:
                self._failures = 0
                self._received()
                self.source.drain(got)
            finally:
                await _dispose(watch)

    async def _next(self, watch: asyncio.Task[object]) -> object:
        # Once the watch is registered, look at what came while it was not: ccxt would only hand
        # it over with the next message, which in a quiet market may be long in coming.
        await asyncio.sleep(0)
        try:
            waiting = self.source.drain(None)
        except Exception as error:
            raise _OursError(error) from error
        if waiting:
            self._failures = 0
            self._received()
        return await asyncio.wait_for(watch, self._wait_s())

    def _received(self) -> None:
        now = self._clock.now_ns()
        self.counters.messages += 1
        self.counters.last_message_ns = now
        if self._stale_since_ns is not None:
            self.counters.stale_ns += now - self._stale_since_ns
            self._stale_since_ns = None
            self._outbox.put(mark_row(Kind.ALIVE, self.source.flag, self.source.number, now))

    async def _silent(self) -> None:
        """Look whether the stream is dead. What comes meanwhile is taken, and answers it."""
        look = asyncio.ensure_future(self.source.is_dead())
        try:
            while not (await asyncio.wait({look}, timeout=_DRAIN_S))[0]:
                if self.source.drain(None):
                    self._received()
                    return
            dead = look.result()
        finally:
            await _dispose(look)
        if dead:
            self._mark_stale()
            self.source.broken()
            self.counters.restarts += 1
            self.source.restart()
        elif self._stale_since_ns is None:
            self.counters.last_message_ns = self._clock.now_ns()  # the market is quiet, and we know it

    async def _failed(self, error: Exception) -> None:
        self._failures += 1
        self.counters.failures += 1
        self.counters.last_error = without_passwords(f"{type(error).__name__}: {error}")[:300]
        verdict = self._fatal(error, self._failures, self.counters.messages)
        if verdict is not None:
            raise verdict from error
        self.source.broken()
        silent_s = (self._clock.now_ns() - self.counters.last_message_ns) / 1e9
        if silent_s > self._patience.stale_s:
            self._mark_stale()
        await asyncio.sleep(self._patience.wait_s(self._failures))

    def _mark_stale(self) -> None:
        if self._stale_since_ns is None:
            self._stale_since_ns = self._clock.now_ns()
            self.counters.stale += 1
            self._outbox.put(mark_row(Kind.STALE, self.source.flag, self.source.number, self._stale_since_ns))


class _OursError(Exception):
    """Carries an error of our own out of the block whose other errors are the world's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def _dispose(watch: asyncio.Task[object]) -> None:
    """Let no pending watch live on, and no exception go unretrieved."""
    if not watch.done():
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await watch
    elif not watch.cancelled():
        watch.exception()
