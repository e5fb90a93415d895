"""A command from another terminal: left for every live session, and what became of it in each.

Rules kept here: a session is addressed once it is known to live, and not before; one that died takes nothing
(what it had not taken is withdrawn, so that no later run finds it); one that ends meanwhile needs no answer;
one that starts meanwhile is addressed too. Every look sees every open session, and there are looks until
each has answered, ended, died, or stayed silent for ``ANSWER_S``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.core.errors import InputError
from agent.core.events import CommandKind, carried_out
from agent.core.orders.amendments import Amendment
from agent.entry.hints import agent_command
from storage.log.control.command_rows import leave_command, withdraw
from storage.log.control.liveness import OPEN, Life, Now, Seen, Watch, seen_of, sessions_seen
from storage.log.database import Url, check_there, database_errors, open_engine
from storage.log.tables import CommandRow, ParentOrderRow, SessionRow

ANSWER_S = 5.0
"""How long a live session is waited for. It looks for commands several times a second."""
_POLL_S = 0.05
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command in one session. ``good``: carried out, or not; None where nothing lives."""

    session: str
    state: Life
    outcome: str
    parents: tuple[str, ...]
    good: bool | None

    def to_json(self) -> dict[str, object]:
        return {
            "session": self.session,
            "state": self.state.value,
            "outcome": self.outcome,
            "parents": list(self.parents),
        }


def all_done(answers: Sequence[Answer]) -> bool:
    """Whether every live session carried the command out, and there was one."""
    return any(a.good for a in answers) and all(a.good is not False for a in answers)


@dataclass(frozen=True, slots=True)
class Sent:
    """The command as it is left for every session."""

    command_id: str
    kind: CommandKind
    parent_id: str | None = None
    amend: Amendment = field(default_factory=dict)


async def send(url: Url, command: Sent, wall_ns: Now, monotonic_ns: Now) -> list[Answer]:
    """Leave ``command`` for every live session, or for the one that works its parent, and wait for answers.

    Raises InputError for a parent that no session has, DatabaseError.
    """
    check_there(url)
    engine = open_engine(url)
    try:
        with database_errors(url):
            return await _Sender(engine, command, wall_ns, monotonic_ns).run()
    finally:
        await engine.dispose()


@dataclass(frozen=True, slots=True)
class _Look:
    """One session as a look showed it, and what became of the command there so far."""

    seen: Seen
    outcome: str | None
    parents: tuple[str, ...]


class _Sender:
    def __init__(self, engine: AsyncEngine, command: Sent, wall_ns: Now, monotonic_ns: Now) -> None:
        self._engine, self._command = engine, command
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._watch = Watch(wall_ns, monotonic_ns)
        self._addressed: dict[str, int] = {}  # session -> when, monotonic
        self._answers: dict[str, Answer] = {}

    async def run(self) -> list[Answer]:
        only = await self._session_of_parent()
        while True:
            looks = await self._look(only)
            for each in looks:
                if each.seen.session not in self._answers:
                    await self._step(each)
            if all(each.seen.session in self._answers for each in looks):
                return list(self._answers.values())
            await asyncio.sleep(_POLL_S)

    async def _session_of_parent(self) -> str | None:
        """The session that the command is for; None for all. Its name and a dash begin its parents' ids."""
        parent_id = self._command.parent_id
        if parent_id is None:
            return None
        parts = parent_id.split("-")  # an order of a list may have dashes in its own name
        begun = ["-".join(parts[:n]) for n in range(1, len(parts))]
        holds = select(ParentOrderRow.session).where(ParentOrderRow.parent_id == parent_id)
        found = (
            select(SessionRow.session)
            .where(
                SessionRow.mode != "replay", or_(SessionRow.session.in_(holds), SessionRow.session.in_(begun))
            )
            .order_by(SessionRow.opened_ns.desc())
        )
        async with self._engine.connect() as connection:
            session: str | None = await connection.scalar(found.limit(1))
        if session is None:
            raise InputError(f"no parent order {parent_id!r} in the log: `python -m agent status` lists them")
        return session

    async def _look(self, only: str | None) -> list[_Look]:
        """The open sessions, or the one; and those addressed that have ended since."""
        wanted = (
            SessionRow.session == only
            if only is not None
            else or_(SessionRow.state == OPEN, SessionRow.session.in_(list(self._addressed)))
        )
        async with self._engine.connect() as connection:
            found = await connection.execute(self._statement().where(wanted))
            return [
                _Look(seen_of(row), row["outcome"], tuple(row["parents"] or ())) for row in found.mappings()
            ]

    def _statement(self) -> Select[Any]:
        mine = and_(
            CommandRow.session == SessionRow.session, CommandRow.command_id == self._command.command_id
        )
        statement = sessions_seen().add_columns(CommandRow.outcome, CommandRow.parents)
        return statement.outerjoin(CommandRow, mine)

    async def _step(self, each: _Look) -> None:
        """One session's next step: addressed, answered, or found to need no answer."""
        session, addressed_ns = each.seen.session, self._addressed.get(each.seen.session)
        life = self._watch.judge(each.seen)
        if each.outcome is not None:
            self._answer(each, Life.LIVE, each.outcome, carried_out(each.outcome, self._command.parent_id))
        elif life is Life.CLOSED:
            await self._give_up(each, life, "closed before it took the command", good=self._if_ended())
        elif life is Life.DEAD:
            await self._give_up(each, life, self._dead(each.seen), good=self._if_dead(each.seen))
        elif addressed_ns is None and life is Life.LIVE:
            await self._address(session)
        elif addressed_ns is not None and self._monotonic_ns() - addressed_ns > ANSWER_S * _NS:
            waits = f"lives and has not answered within {ANSWER_S:g} s; the command waits for it"
            self._answer(each, Life.LIVE, waits, good=False)

    async def _address(self, session: str) -> None:
        async with self._engine.begin() as connection:
            await leave_command(
                connection,
                session,
                self._command.command_id,
                self._command.kind,
                created_ns=self._wall_ns(),
                parent_id=self._command.parent_id,
                amend=self._command.amend,
            )
        self._addressed[session] = self._monotonic_ns()

    async def _give_up(self, each: _Look, life: Life, outcome: str, good: bool | None) -> None:
        """No answer will come. Where one came at this moment, the next look finds it."""
        if each.seen.session in self._addressed:
            async with self._engine.begin() as connection:
                why = f"withdrawn: the session is {life.value}"
                if not await withdraw(connection, each.seen.session, [self._command.command_id], why):
                    return
        self._answer(each, life, outcome, good)

    def _answer(self, each: _Look, life: Life, outcome: str, good: bool | None) -> None:
        self._answers[each.seen.session] = Answer(each.seen.session, life, outcome, each.parents, good)

    def _if_ended(self) -> bool | None:
        """A session that has ended works nothing: that is no fault, unless its parent was meant."""
        return None if self._command.parent_id is None else False

    def _if_dead(self, seen: Seen) -> bool | None:
        """Nor does a dead one, if it is sure that its process is gone."""
        return False if seen.process_runs() else self._if_ended()

    def _dead(self, seen: Seen) -> str:
        age_s = self._watch.age_s(seen)
        since = "it never had a heartbeat" if age_s is None else f"no heartbeat for {age_s:.0f} s"
        place = "" if seen.host is None else f" ({seen.host}, process {seen.pid})"
        if seen.process_runs():
            return f"dead: {since}, but process {seen.pid} is still there: end that, and try again"
        goes_on = agent_command("run", "--paper", "--resume", seen.session)
        closes = agent_command("sessions", "end", seen.session)
        return f"dead: {since}{place}; go on with it:  {goes_on}  or close it:  {closes}"
