"""A session whose process died, taken in so far that it can go on.

Theory of operation
-------------------
The recording holds every input that had an effect, and, up to its last moment, the results. So the session is
replayed through an engine like the one that died, its results are held against those recorded, and the engine
is left where the recording ends: orders, schedules, balances and what the model remembers are those of that
moment. What the dead process had not come to record is recorded now, before the database gets it.

Nothing that was due later has happened, for nothing of it was recorded or sent. It never will:
``agent.core.events.SkipTime`` says how long nobody was there, and the orders go on from its end.

What must be as it was: every input (a damaged one is refused), and every result. Another version of this
program, model or computer may go on if it comes to the same results with the recorded decisions; what it
decides from then on is its own. The journal names it (``fingerprint``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.app.build import PolicyFactory, build_engine, fingerprint
from agent.app.checks.start_orders import Known
from agent.app.replay_session import policies_of, recorded_config
from agent.config import Config
from agent.core.clock import Clock, LaterClock
from agent.core.errors import InputError, InternalError, SessionError
from agent.core.events import AuditEvent, Command, CommandKind, ControlParent, StartParent
from agent.core.json_types import int_in
from agent.core.market.tape import EventArray, empty_events
from agent.core.types import NS_PER_S, ParentSpec
from agent.engine.engine import Engine
from agent.engine.policy import HandedOverPolicy
from agent.entry.hints import agent_command
from agent.journal import commands, is_ending
from agent.replay import Prefix, first_book, last_recorded_ns, replay_prefix
from agent.runtime import Former
from storage.recordings.header_file import HEADER
from storage.recordings.lives.cut_recording import Inputs, cut, results_before, whole_inputs
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.lives.tape_end import TapeEnd
from storage.recordings.session import SessionReader, SessionWriter

log = structlog.get_logger("resume")
Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0: nobody knows)."""
AS_NOW = ("database", "out", "ccxt", "unattended")
"""Of the configuration: where things are, and how the exchange is reached, may have changed meanwhile."""


@dataclass(slots=True)
class FormerSession:
    """Locked from the beginning: ``opened`` first, ``take_in`` then; ``release`` in the end."""

    path: Path
    config: Config
    reader: SessionReader
    found: Inputs
    uneven: bool  # an input is missing, and later ones are there
    pending: list[Command]
    lock: SessionLock
    unworkable: dict[str, str] = field(default_factory=dict)  # by symbol: why its orders cannot go on
    events: list[AuditEvent] = field(default_factory=list)
    tape: TapeEnd = field(default_factory=TapeEnd)
    handed_over: bool = False
    claimed: bool = True  # the session's heartbeat is ours
    _prefix: Prefix | None = None

    @classmethod
    def opened(cls, path: Path, now: Config) -> FormerSession:
        """Lock the session and see whether it can go on. Raises InputError or SessionError."""
        if not (path / HEADER).is_file():
            raise InputError(f"no recorded session at {path}: give a session's directory, or `last`")
        lock = SessionLock(path)
        lock.take()
        try:
            reader, found, uneven = whole_inputs(path)
            _check_open(reader)
            pending = commands(reader.journal(), reader.instruments)
            if not any(isinstance(command, StartParent) for command in pending):
                raise InputError(
                    f"session {path.name} had no order when its process died: there is nothing to go on with;"
                    " start a new run"
                )
            config = recorded_config(reader)
            config = config.model_copy(update={name: getattr(now, name) for name in AS_NOW})
        except BaseException:
            lock.release(ended=False)
            raise
        return cls(path, config, reader, found, uneven, pending, lock)

    @property
    def name(self) -> str:
        return self.reader.header.session

    @property
    def began_ns(self) -> int | None:
        """When the market of the embedded exchange began to play; None for another exchange."""
        return int_in(self.reader.header.run, "began_ns", 0) or None

    @property
    def begun_ns(self) -> int:
        """When the run began to start orders: what their starts count from."""
        return int_in(self.reader.header.run, "begun_ns", 0) or first_book(self.reader)[0]

    # --- taking it in -----------------------------------------------------------------------------------

    def take_in(self, coming: PolicyFactory, progress: Progress) -> Engine:
        """An engine that stands where the recording ends. ``coming``: who decides from now on.

        Raises SessionError where the recording is damaged, or does not replay to what was recorded.
        """
        doubts: list[str] = []
        past = policies_of(self.reader, self.config, self.pending, doubts, compare=True)

        def policies(spec: ParentSpec) -> HandedOverPolicy:
            return HandedOverPolicy(past(spec), coming(spec), lambda: self.handed_over)

        engine = build_engine(self.config, self.reader.instruments, policies)

        def seen(rows: EventArray) -> None:
            self.tape.add(rows)
            progress("replaying what was recorded", self.tape.rows, 0)

        recorded = results_before(list(self.reader.outcome()), self.found.first_missing)
        prefix = replay_prefix(
            self.reader, engine, self.pending, recorded, seen=seen, watch=self.events.extend
        )
        self._check(prefix, doubts)
        self._prefix = prefix
        self.handed_over = True
        return engine

    def _check(self, prefix: Prefix, doubts: Sequence[str]) -> None:
        difference = doubts[0] if doubts else prefix.difference
        if difference:
            raise SessionError(
                f"{self.path} does not replay to what was recorded ({difference}), so nothing was changed:"
                " go on with the version that recorded it, or close it with"
                f" `{agent_command('sessions', 'end', self.path)}`"
            )

    def _taken(self) -> Prefix:
        if self._prefix is None:
            raise InternalError(f"session {self.path} goes on before it was taken in")
        return self._prefix

    # --- going on ---------------------------------------------------------------------------------------

    def writer(self) -> SessionWriter:
        """Goes on with the recording: first with the results that its process had not come to write."""
        there, prefix = list(self.reader.outcome()), self._taken()
        lost, before_seq = len(there) - len(prefix.recorded), self.found.first_missing
        if self.uneven or lost:
            log.warning("recording_cut", before_seq=before_seq, results=lost)
            cut(self.path, before_seq, prefix.recorded)
        writer = SessionWriter.resume(self.path)
        writer.outcome(prefix.unrecorded)
        return writer

    def former(self, engine: Engine) -> Former:
        """What the run has to know of the session that it goes on with."""
        last_ns = max(self.found.last_ns, last_recorded_ns(self._taken().recorded), engine.now_ns)
        seq = max(self.found.last_seq, engine.seq)
        return Former(seq, last_ns, self._taken().check, self.life(), self.unworkable, self.tape.ending_rows)

    def life(self) -> Mapping[str, Mapping[str, str]]:
        """What the journal is told of the process that goes on."""
        starts = [command for command in self.pending if isinstance(command, StartParent)]
        algos = {spec.algo for start in starts for spec in (start.spec, *start.shadows)}
        return {"fingerprint": fingerprint(self.config, algos)}

    def started(self) -> set[str]:
        """The names of the orders that have been started, as in ``P1``."""
        head = len(self.reader.header.session) + 1
        return {c.spec.parent_id[head:] for c in self.pending if isinstance(c, StartParent)}

    @property
    def cancelled_all(self) -> bool:
        """Whether a user's command has withdrawn what had not started."""
        controls = [command for command in self.pending if isinstance(command, ControlParent)]
        return any(c.kind is CommandKind.CANCEL and c.parent_id is None for c in controls)

    @property
    def command_ids(self) -> frozenset[str]:
        """Users' commands that it has carried out: the database may not know it yet."""
        return frozenset(c.command_id for c in self.pending if isinstance(c, ControlParent))

    @property
    def rotated(self) -> bool:
        """Whether it was not the first session of its run: the run's own orders are none of its."""
        return bool(self.reader.header.run.get("rotated"))

    def clock(self, clock: Clock) -> LaterClock:
        """``clock``, set forward to where the recording ends if it is behind that."""
        recorded_ns = max(self.found.last_ns, last_recorded_ns(self.reader.outcome()))
        later = LaterClock(clock, recorded_ns)
        if later.behind_ns:
            log.warning(
                "clock_is_behind", by_s=later.behind_ns / NS_PER_S, meaning="time goes on where it ended"
            )
        return later

    def known(self) -> list[Known]:
        """By instrument, what was fetched before the first event, as far as starts are checked by it."""
        bars = self.reader.bars()
        numbers = [instrument.number for instrument in self.reader.instruments]
        return [Known(empty_events(), bars[bars["instrument"] == n], None) for n in numbers]

    def release(self, *, ended: bool) -> None:
        self.lock.release(ended=ended)


def _check_open(reader: SessionReader) -> None:
    """Raises InputError or SessionError on a session that cannot go on."""
    path = reader.path
    if reader.header.source != "live":
        raise InputError(f"{path} was not recorded by a run: there is nothing to go on with")
    if reader.end_ns is not None:
        command = agent_command("sessions", "end", path)
        raise InputError(
            f"session {path.name} has ended: there is nothing to go on with; start a new run. Should the"
            f" database still call it open:  {command}"
        )
    if not reader.cut_off:
        raise SessionError(f"{path} cannot go on: {'; '.join(reader.losses)}")
    if is_ending(reader.journal()):
        command = agent_command("sessions", "end", path)
        raise InputError(f"session {path.name} is being closed: finish that with `{command}`")
