"""Replay: the same engine, its causes read from a recorded session.

A replay gives back the recorded decisions, orders and fills bit for bit; ``verify`` says so, or names
the first row that differs. With another order there is nothing to compare with.

A session that was cut off holds a prefix of its results. An input's results are recorded before the next
input is, so those of all inputs but the last must be there; the last one's may be, in part. More than that,
or anything else, differs. Time went on after the last input, so the engine is taken on to the moments that
recorded results name, one after another while they agree: a damaged one may name any year.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.canonical import TapeCheck, canonical_row, digest, parted
from agent.core.clock import Clock
from agent.core.errors import SessionError
from agent.core.events import AbandonParents, AuditEvent, Command
from agent.core.json_types import int_in
from agent.core.market.tape import EventArray, Kind
from agent.core.ports import SessionReader
from agent.core.types import NS_PER_S
from agent.engine.engine import Engine
from agent.journal import closing_ns

BATCH_ROWS = 16384
"""As sessions are recorded: no batch is copied together, and one stays in the processor's cache."""

Watch = Callable[[list[AuditEvent]], None]
LONGEST_SILENCE_NS = 24 * 3600 * NS_PER_S
"""No recorded result comes so long after the last one, or the last input."""
_AT_NS = re.compile(r"\|at_ns=(\d{1,19})(?:\||$)")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did. ``match`` is None where there is nothing to compare with."""

    events: int
    seconds: float
    digest: str
    recorded_digest: str | None
    match: bool | None
    difference: str | None
    losses: tuple[str, ...]
    cut_off: bool = False  # compared as far as it was recorded

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds if self.seconds > 0 else 0.0


def first_book(reader: SessionReader) -> tuple[int, int]:
    """(recv_ns, seq) of the first whole book. Raises SessionError when there is none."""
    for batch in reader.batches():
        at = np.flatnonzero(batch["kind"] == Kind.SNAPSHOT_END)
        if len(at):
            return int(batch["recv_ns"][at[0]]), int(batch["seq"][at[0]])
    raise SessionError("the session holds no whole order book: nothing can be traded on it")


def inputs(
    reader: SessionReader, pending: Sequence[Command], rows: int = BATCH_ROWS
) -> Iterator[EventArray | Command]:
    """Batches and commands in the session's total order."""
    return cut_at(reader.batches(rows), pending)


def cut_at(batches: Iterable[EventArray], pending: Sequence[Command]) -> Iterator[EventArray | Command]:
    """The same tape, cut where commands come in between; those in their order."""
    queue = list(pending)
    for batch in batches:
        start = 0
        while queue:
            command = queue[0]
            cut = _position(batch, command)
            if cut >= len(batch):
                break
            if cut > start:
                yield batch[start:cut]
            start = max(start, cut)
            yield queue.pop(0)
        if start < len(batch):
            yield batch[start:]
    yield from queue


def _position(batch: EventArray, command: Command) -> int:
    """First row of ``batch`` that comes after ``command``."""
    low = int(np.searchsorted(batch["recv_ns"], command.recv_ns, side="left"))
    high = int(np.searchsorted(batch["recv_ns"], command.recv_ns, side="right"))
    return low + int(np.searchsorted(batch["seq"][low:high], command.seq, side="right"))


def replay(
    reader: SessionReader,
    engine: Engine,
    pending: Sequence[Command],
    *,
    clock: Clock,
    compare: bool,
    rows: int = BATCH_ROWS,
    pace: Callable[[int], None] | None = None,
    watch: Watch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Run the session through ``engine``. ``compare`` holds the outcome against the recorded one.

    ``pace`` is called with each batch's time before it is consumed; ``watch`` with what happened;
    ``progress`` with the rows consumed and the rows there are (0: the session was cut off, nobody counted).
    """
    run = _Pass(engine, len(pending), watch)
    total = _end(reader, "events")
    recorded = list(reader.outcome()) if compare else []
    cut_off = compare and reader.cut_off
    started_ns = clock.now_ns()
    engine.on_bars(reader.bars())
    items = inputs(reader, pending, rows)
    for item in _last_input_apart(items) if cut_off else items:
        if isinstance(item, np.ndarray):
            if pace is not None:
                pace(int(item["recv_ns"][0]))
            run.rows(item)
            if progress is not None:
                progress(run.count, total)
        else:
            run.command(item)
    if cut_off:
        if (at_ns := closing_ns(reader.journal())) is not None:
            run.closing(at_ns)
        elif run.has_tape_of(recorded):
            run.on_with(recorded)
        outcome, difference = run.compared(recorded)
        run.close(0)
    else:
        outcome = run.close(_end(reader, "recv_ns"))
        difference = first_difference(recorded, outcome) if compare else None
    seconds = (clock.now_ns() - started_ns) / NS_PER_S
    return ReplayResult(
        events=run.count,
        seconds=seconds,
        digest=digest(outcome),
        recorded_digest=digest(sorted_outcome(recorded)) if compare else None,
        match=(difference is None) if compare else None,
        difference=difference,
        losses=tuple(reader.losses),
        cut_off=cut_off,
    )


@dataclass(frozen=True, slots=True)
class Prefix:
    """A session without an end, taken in by an engine that goes on from there.

    ``difference``: the first result that is not as it was recorded. ``recorded``: the results, and checks of
    the tape, that its inputs cause, as recorded; ``unrecorded``: those that were not.
    """

    check: TapeCheck
    difference: str | None
    recorded: list[str]
    unrecorded: list[str]


def replay_prefix(
    reader: SessionReader,
    engine: Engine,
    pending: Sequence[Command],
    recorded: Sequence[str],
    *,
    seen: Callable[[EventArray], None],
    watch: Watch | None = None,
) -> Prefix:
    """Take a session that was cut off in, up to the last moment that it knows of. Nothing is closed.

    ``recorded``: its results, but for those of inputs that it has lost. ``seen`` gets the tape, as it is
    taken in.
    """
    run = _Pass(engine, None, watch)
    engine.on_bars(reader.bars())
    for item in _last_input_apart(inputs(reader, pending)):
        if isinstance(item, np.ndarray):
            run.rows(item)
            seen(item)
        else:
            run.command(item)
    recorded = run.without_tape_beyond(recorded)
    run.on_with(recorded)
    difference = run.differs_from(recorded)
    return Prefix(run.check, difference, recorded, run.beyond(recorded))


def _last_input_apart(items: Iterable[EventArray | Command]) -> Iterator[EventArray | Command]:
    """The inputs, the rows of the last moment in a piece of their own: they came in as one."""
    held: EventArray | None = None
    end: list[Command] = []  # written by who ended the session, not by its run
    for item in items:
        if isinstance(item, AbandonParents):
            end.append(item)
            continue
        if held is not None:
            yield held
        held = item if isinstance(item, np.ndarray) else None
        if held is None:
            yield item
    if held is not None:
        first = int(np.searchsorted(held["recv_ns"], held["recv_ns"][-1], side="left"))
        yield from (part for part in (held[:first], held[first:]) if len(part))
    yield from end


def last_recorded_ns(recorded: Sequence[str]) -> int:
    """The latest moment of any recorded result; 0 where there is none."""
    return max(map(_recorded_ns, recorded), default=0)


def _recorded_ns(row: str) -> int:
    found = _AT_NS.search(row)
    return int(found[1]) if found else 0


class _Pass:
    """One pass of a session through an engine, and the canonical rows that come of it."""

    def __init__(self, engine: Engine, commands: int | None, watch: Watch | None) -> None:
        """``commands``: how many there are; None: more may come after this pass."""
        self.count = 0  # rows of the tape
        self.check = TapeCheck()
        self._engine, self._commands_left, self._watch = engine, commands, watch
        self._last_ns = 0
        self._tape_rows: list[str] = []
        self._result_rows: list[str] = []
        self._due = (0, 0)  # results, and checks of the tape, of all inputs but the last

    def rows(self, rows: EventArray) -> None:
        self._input(int(rows["recv_ns"][0]))
        self._engine.advance(rows)
        self._tape_rows.extend(self.check.add(rows))
        self.count += len(rows)
        self._last_ns = int(rows["recv_ns"][-1])
        self._take()

    def command(self, command: Command) -> None:
        if not isinstance(command, AbandonParents):
            self._input(command.recv_ns)
        self._engine.command(command)
        if self._commands_left is not None:
            self._commands_left -= 1
            if not self._commands_left:
                self._engine.no_more_commands()
        self._last_ns = command.recv_ns
        self._take()

    def _input(self, recv_ns: int) -> None:
        """An input comes: what those of earlier moments gave is due in a recording that has this one."""
        if recv_ns > self._last_ns:
            self._due = (len(self._result_rows), len(self._tape_rows))

    def has_tape_of(self, recorded: Sequence[str]) -> bool:
        """Whether the tape is there as far as its recorded checks go; else what follows cannot be told."""
        return len(parted(recorded)[1]) <= len(self._tape_rows)

    def on_with(self, recorded: Sequence[str]) -> None:
        """Let time go on with the recorded results, up to the first that differs."""
        for i, row in enumerate(parted(recorded)[0]):
            if i >= len(self._result_rows):
                now_ns, at_ns = self._engine.now_ns, _recorded_ns(row)
                if now_ns <= at_ns <= now_ns + LONGEST_SILENCE_NS:
                    self._engine.advance_time(at_ns)
                    self._take()
            if self._result_rows[i : i + 1] != [row]:
                return

    def compared(self, recorded: Sequence[str]) -> tuple[list[str], str | None]:
        """(the outcome as far as it was recorded, the first difference from it) of a session cut off."""
        ours, found = [], []
        kinds = zip(parted(recorded), (self._result_rows, self._tape_rows), self._due, strict=True)
        for theirs, rows, due in kinds:
            mine = rows[: max(due, min(len(theirs), len(rows)))]
            ours += mine
            found.append(first_difference(theirs, mine))
        return ours, "; ".join(difference for difference in found if difference) or None

    def differs_from(self, recorded: Sequence[str]) -> str | None:
        """The first recorded row that is not as it was; fewer may have been recorded than there are."""
        results, checks = parted(recorded)
        ours = [*self._result_rows[: len(results)], *self._tape_rows[: len(checks)]]
        return first_difference(recorded, ours)

    def without_tape_beyond(self, recorded: Sequence[str]) -> list[str]:
        """``recorded`` without checks of rows that are not there: they are lost."""
        results, checks = parted(recorded)
        return results + checks[: len(self._tape_rows)]

    def beyond(self, recorded: Sequence[str]) -> list[str]:
        """What was recorded of no more."""
        results, checks = parted(recorded)
        return [*self._result_rows[len(results) :], *self._tape_rows[len(checks) :]]

    def closing(self, end_ns: int) -> None:
        """The run had begun to close its session, and died before that was done."""
        self._input(end_ns)
        self._engine.close(end_ns)
        self._take()
        self._tape_rows.extend(self.check.finish())

    def close(self, end_ns: int) -> list[str]:
        """End the session, and return the outcome: results first, then the checks of the tape."""
        self._engine.close(max(end_ns, self._last_ns, self._engine.now_ns))
        self._take()
        return [*self._result_rows, *self._tape_rows, *self.check.finish()]

    def _take(self) -> None:
        events = self._engine.drain()
        self._result_rows.extend(canonical_row(e) for e in events)
        if self._watch is not None and events:
            self._watch(events)


def _end(reader: SessionReader, member: str) -> int:
    """A member of the journal's closing entry; 0 where the session was cut off."""
    return max((int_in(e, member, 0) for e in reader.journal() if e.get("kind") == "end"), default=0)


def sorted_outcome(rows: Sequence[str]) -> list[str]:
    """Results first, then the checks of the tape: a live run writes them as they come."""
    results, checks = parted(rows)
    return results + checks


def first_difference(recorded: Sequence[str], recomputed: Sequence[str]) -> str | None:
    """Name the first result row, and the first block of the tape, that differ. None: all equal."""
    found = []
    for what, a, b in zip(("result", "tape"), parted(recorded), parted(recomputed), strict=True):
        for i in range(max(len(a), len(b))):
            was = a[i] if i < len(a) else "nothing"
            now = b[i] if i < len(b) else "nothing"
            if was != now:
                found.append(f"{what} row {i}: {_differing(was, now)}")
                break
    return "; ".join(found) or None


def _differing(was: str, now: str) -> str:
    """The row's kind and identity, and its first member that differs."""
    a, b = was.split("|"), now.split("|")
    identity = " ".join(part for part in b[1:] if part.split("=")[0] in _IDENTITY)
    for x, y in zip(a, b, strict=False):
        if x != y:
            return f"{b[0]} {identity}: recorded {x}, recomputed {y}".replace(" :", ":")
    return f"recorded {was[:200]}, recomputed {now[:200]}"


_IDENTITY = frozenset({"decision_id", "fill_id", "child_id", "parent_id", "at_ns", "benchmark", "rows"})
