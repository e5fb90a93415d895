"""The execution log as a run uses it: nothing waits for the database, and its trouble ends no order.

Theory of operation
-------------------
The recorded session is the truth, the database a projection of it. A run hands its events over (``take``) and
looks at what commands have come (``commands``): both return at once. Two tasks of their own do the waiting.

- The writer stores what is kept, a transaction at a time. A batch leaves memory when it is stored and not
  before; what fails is tried again after growing pauses, for as long as the run lasts. Rows have keys and are
  upserted, so a batch that was stored although its answer was lost does no harm.
- The poll reads the commands that wait.

Memory is bounded. Over ``most_events`` the database's copy becomes *partial*: from then on only the last
states of orders, their measures and the answers to commands are kept, so that `status` and `ctl` stay true;
all else has to come from the recording. The same holds once rows are found to be lost (another file or an
older copy of the database in its place): what refers to them could not be stored.

Trouble is said once when it begins and once when all is caught up. ``finish`` writes the rest within
``FINISH_S``; what it could not store it says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError

from agent.core.errors import DatabaseError
from agent.core.events import AuditEvent, CommandHandled, ParentChanged, SlippageMeasured
from agent.core.ports import LogEnd, PendingCommand
from storage.log.execution_log import SqlExecutionLog

log = structlog.get_logger("database")
_T = TypeVar("_T")

OPEN_S = 60.0
"""How long a database may take before a run starts: over a link of 300 ms, new tables take 43 s."""
ATTEMPT_S = 30.0
"""An attempt that takes longer is given up and made again."""
SLOW_S = 3.0
"""A transaction that takes longer is told."""
FINISH_S = 20.0
"""How long the end of a session waits for the database."""
LET_GO_S = 10.0
"""How long connections may take to close: SQLite's last one brings its file in order, slow on a busy disk."""
MOST_EVENTS = 50_000
"""Events kept in memory for a database that does not take them: an hour of an order with three shadows."""
BATCH_EVENTS = 512
"""Events of a transaction: making their rows keeps the loop for some milliseconds, not more."""
BEFORE_EVENTS = 2048
"""Events of a transaction that stores what was before this process: the loop stands still 20 ms for them."""
POLL_S = 0.1
MOST_COMMANDS = 64
"""Commands handed over at a time; more wait in the database."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait after the k-th failure in a row: growing, up to the most."""

    first_s: float = 0.1
    most_s: float = 5.0

    def after(self, failures: int) -> float:
        return min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))


class KeptLog:
    """Keeps a session's events until the database has them. ``open`` first, ``finish`` at the end."""

    def __init__(
        self, stored: SqlExecutionLog, *, pauses: Pauses | None = None, most_events: int = 0
    ) -> None:
        self._log, self._pauses, self._most = stored, pauses or Pauses(), most_events or MOST_EVENTS
        self._opening: dict[str, Any] = {}
        self._kept: list[AuditEvent] = []
        self._orders: dict[str, ParentChanged] = {}  # last states, all of the session's
        self._commands: list[PendingCommand] = []
        self._handed: set[str] = set()
        self.known: frozenset[str] = frozenset()  # commands carried out before this process
        self.lost: Callable[[], bool] = lambda: False  # to another process: its rows are none of ours
        self._closing: Callable[[], Awaitable[None]] | None = None
        self._news, self._ending = asyncio.Event(), asyncio.Event()
        self._suspect = False  # the next attempt looks first whether the database is still the one it was
        self._before: list[AuditEvent] = []  # of processes before this one; still to be stored
        self._came_to: tuple[int, int] | None = None  # their last input and its moment, until all is stored
        self._partial = ""  # why rows have to come from the recording
        self._stored = self._missing = 0  # events
        self._reason = ""  # why the last attempt failed; "" while all is well

    @property
    def behind(self) -> str:
        """Why the database is behind, or ""."""
        return self._reason

    # --- what the run calls: never waits ----------------------------------------------------------

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Keep events until the database has them."""
        self._orders.update({e.spec.parent_id: e for e in events if isinstance(e, ParentChanged)})
        self._kept.extend(events)
        if self._partial or len(self._kept) > self._most:
            self._shorten(f"{self._most} events waited, the most that are kept")
        self._news.set()

    def commands(self) -> Sequence[PendingCommand]:
        """The users' commands that have come since the last call, oldest first."""
        came, self._commands = self._commands, []
        return came

    def _shorten(self, reason: str, lost: int = 0) -> None:
        """Keep last states only, for good; the rest, and what was lost, has to come from the recording."""
        if not self._partial:
            self._partial = reason
            log.warning("database_is_partial", reason=reason, rest="comes from the recording at the end")
        states: dict[tuple[str, ...], AuditEvent] = (
            {_key(e): e for e in self._orders.values()} if lost else {}
        )
        for event in self._kept:
            if key := _key(event):
                states[key] = event
        self._missing += lost + len(self._kept) - len(states)
        self._kept = list(states.values())

    # --- opening and ending: within a bound -------------------------------------------------------

    async def open(self, *, required: bool = True, **opening: Any) -> None:
        """Store the session's head, as ``SqlExecutionLog.open_session``, and begin to write and to poll.

        Raises DatabaseError when the database cannot be used; unless ``required``: then it is tried again.
        """
        self._opening = {**opening, "heartbeat": None}  # later beats are none of this
        try:
            await _bounded(self._log.open_session(**opening), OPEN_S)
        except Exception as error:
            if required:
                await self._let_go()
                raise
            self._suspect = True
            self._failed(error)
        self._writer = asyncio.create_task(self._write(), name="database writer")
        self._poller = asyncio.create_task(self._poll(), name="database commands")

    def restore(self, events: Sequence[AuditEvent], seq: int, at_ns: int) -> None:
        """Store first what the session had come to before this process, up to input ``seq`` and ``at_ns``.

        What cannot be stored comes from the recording. Call it before the first ``take``.
        """
        self._orders.update({e.spec.parent_id: e for e in events if isinstance(e, ParentChanged)})
        self._before, self._came_to = list(events), (seq, at_ns)
        self._news.set()

    async def leave(self) -> None:
        """Let go of the database and leave the session open in it, for whoever goes on with it next."""
        self._writer.cancel()
        self._poller.cancel()
        await asyncio.wait({self._writer, self._poller}, timeout=LET_GO_S)
        await self._let_go()

    async def finish(self, *, closed_ns: int, seq: int, state: str) -> LogEnd:
        """Store what is left, mark the session as ended, and let go of the database. Never raises."""
        self._ending.set()
        self._closing = lambda: self._log.close_session(closed_ns=closed_ns, seq=seq, state=state)
        self._news.set()
        await asyncio.wait({self._writer, self._poller}, timeout=FINISH_S / 10)
        if not self._writer.done():
            log.warning("database_is_awaited", events=len(self._kept), within_s=FINISH_S)
            await asyncio.wait({self._writer}, timeout=FINISH_S * 9 / 10)
        written = self._writer.done()
        self._writer.cancel()
        self._poller.cancel()
        await asyncio.wait({self._writer, self._poller}, timeout=LET_GO_S)
        await self._let_go()
        if written:
            return LogEnd(self._missing, self._partial, reachable=True)
        return LogEnd(
            len(self._before) + len(self._kept) + self._missing,
            self._reason or "it is too slow",
            reachable=False,
        )

    async def _let_go(self) -> None:
        with contextlib.suppress(Exception):
            await _bounded(self._log.close(), LET_GO_S)

    # --- the writer -------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Store what is kept; ends once the session's end is stored, or another process has the session."""
        failures = 0
        while not self.lost():
            try:
                if await self._one_batch():
                    return
                failures = 0
                self._caught_up()
            except Exception as error:  # whatever it is: it ends no order, and is told at the end
                failures += 1
                self._failed(error)
                await asyncio.sleep(self._pause_s(failures))

    def _pause_s(self, failures: int) -> float:
        """Short at the end, when somebody waits."""
        pause_s = self._pauses.after(failures)
        return pause_s if self._closing is None else min(pause_s, FINISH_S / 40)

    async def _one_batch(self) -> bool:
        """Store a batch, or the end when nothing is left: then True. Raises what the database does."""
        if not (self._kept or self._suspect or self._closing or self._came_to):
            self._news.clear()
            await self._news.wait()
        closing = self._closing  # one that comes during the look or the batch waits for a look of its own
        await self._look_again()
        if self._came_to is not None:
            await self._store_before(*self._came_to)
        if batch := self._kept[:BATCH_EVENTS]:
            await self._store(batch)
        if self._kept or closing is None:
            return False
        if not self._missing:  # else the recording brings the rest, and the end after it
            await _bounded(closing(), ATTEMPT_S)
        return True

    async def _store_before(self, seq: int, at_ns: int) -> None:
        """What came before this process, while the run gets ready: in parts, for it needs the loop too."""
        with self._slowness_told():
            if await _bounded(self._log.rewind(seq, at_ns), OPEN_S):
                log.warning("database_was_ahead", meaning="what the recording lost is taken back")
        while not self.lost() and (part := self._before[:BEFORE_EVENTS]):
            with self._slowness_told():
                await _bounded(self._log.write(part), ATTEMPT_S)
            del self._before[: len(part)]
            self._stored += len(part)
        self._came_to = None

    async def _store(self, batch: list[AuditEvent]) -> None:
        """Store a batch; it leaves memory then. What came in the meantime may have been cut short."""
        with self._slowness_told():
            await _bounded(self._log.write(batch), ATTEMPT_S)
        done = {id(event) for event in batch}
        self._kept = [event for event in self._kept if id(event) not in done]
        self._stored += len(batch)

    @contextlib.contextmanager
    def _slowness_told(self) -> Iterator[None]:
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._behind, f"no answer for {SLOW_S:g} s")
        try:
            yield
        finally:
            slow.cancel()

    async def _look_again(self) -> None:
        """After trouble, and at the end: is it still the database that was written to? If not, begin anew."""
        replaced = self._log.file_was_replaced()
        if not (replaced or self._suspect or self._closing):
            return
        if replaced:
            await self._log.close()
        if not await _bounded(self._log.holds_session(), ATTEMPT_S):
            await _bounded(self._log.open_session(**self._opening), ATTEMPT_S)
            replaced = True
        if replaced and self._stored:
            self._stored, lost = 0, self._stored
            self._shorten("another database stands in the place of the one that was written to", lost)
        self._suspect = False

    def _failed(self, error: Exception) -> None:
        self._suspect = True
        reason = str(error) if isinstance(error, DatabaseError) else f"{type(error).__name__}: {error}"
        if isinstance(
            error.__cause__, IntegrityError
        ):  # what a row refers to is not there, and never will be
            self._shorten(reason, self._stored + len(self._before))
            self._stored, self._before, self._came_to = 0, [], None
        self._behind(reason)

    def _behind(self, reason: str) -> None:
        """Said once, until all is caught up."""
        if not self._reason:
            log.warning("database_behind", reason=reason, orders="go on", rows="are kept and written later")
        self._reason = reason

    def _caught_up(self) -> None:
        if self._reason and not self._kept:
            self._reason = ""
            log.warning("database_caught_up", missing=self._missing)

    # --- the poll ---------------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Look for commands until the session ends; a look that has begun is let come to its end."""
        failures = 0
        while not self._ending.is_set():
            try:
                self._hand_over(await _bounded(self._log.pending_commands(), ATTEMPT_S))
                if failures:
                    log.warning("commands_are_read_again")
                failures = 0
            except Exception as error:
                failures += 1
                if failures == 1:
                    log.warning("commands_cannot_be_read", reason=str(error))
            pause_s = max(POLL_S, self._pauses.after(failures) if failures else 0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)

    def _hand_over(self, waiting: Sequence[PendingCommand]) -> None:
        """Each command once; its row waits on until its outcome is stored."""
        self._handed &= {c.command_id for c in waiting}
        new = [c for c in waiting if c.command_id not in self._handed | self.known]
        new = new[: MOST_COMMANDS - len(self._commands)]
        self._handed.update(c.command_id for c in new)
        self._commands.extend(new)


def _key(event: AuditEvent) -> tuple[str, ...]:
    """What an event is the last state of; () for events that need others to stand in the database."""
    match event:
        case ParentChanged():
            return "parent", event.spec.parent_id
        case SlippageMeasured():
            return "slippage", event.parent_id, event.benchmark
        case CommandHandled():
            return "command", event.command_id or str(event.seq)
    return ()


async def _bounded(what: Awaitable[_T], most_s: float) -> _T:
    """Wait so long at most. Raises DatabaseError when it takes longer."""
    try:
        async with asyncio.timeout(most_s):
            return await what
    except TimeoutError as error:
        raise DatabaseError(
            f"the database did not answer within {most_s:g} s: see what holds it (a lock, a slow link)"
        ) from error
