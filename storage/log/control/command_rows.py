"""Rows of ``commands``: left for a session by others, and taken out by it.

Whoever can write to the database can write anything here, of any type that the database lets through. So a
row is read as bytes and checked whole; what is no command is refused with an outcome in the row. Nothing
that stands in it raises, and nothing unchecked reaches the engine or the recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    RowMapping,
    Text,
    cast,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.events import CommandKind
from agent.core.orders.amendments import Amendment, amendment_fault
from agent.core.ports import PendingCommand
from storage.log.tables import CommandRow

MOST_PENDING = 100
"""Commands taken at once; the rest wait for the next look."""
LONGEST_NAME = 200
LONGEST_AMENDMENT = 10_000
_NAMES = ("command_id", "kind", "parent_id", "amend", "created_ns")
_NOW_NS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000000.0 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT)",
}


class _RefusedError(Exception):
    """The row is no command; its text says why."""


@dataclass(frozen=True, slots=True)
class _Raw:
    """A row as it stands: text as bytes, so that no content fails in the driver."""

    command_id: bytes
    kind: bytes
    parent_id: bytes | None
    amend: bytes | None
    created_ns: bytes
    id_is_text: bool


async def take_pending(connection: AsyncConnection, session: str) -> list[PendingCommand]:
    """The session's commands that wait, oldest first; rows that are none are refused."""
    found: list[PendingCommand] = []
    for raw in await _read(connection, session):
        try:
            found.append(_checked(raw))
        except _RefusedError as refusal:
            await _refuse(connection, session, raw.command_id, f"refused: {refusal}")
    return found


async def _read(connection: AsyncConnection, session: str) -> list[_Raw]:
    sqlite = connection.dialect.name == "sqlite"
    plain = [cast(_column(name), LargeBinary if sqlite else Text).label(name) for name in _NAMES]
    is_text = func.typeof(_column("command_id")) == "text" if sqlite else true()
    waiting = (
        select(*plain, is_text.label("id_is_text"))
        .where(CommandRow.session == session, CommandRow.handled_ns.is_(None))
        .order_by(CommandRow.created_ns, CommandRow.command_id)
        .limit(MOST_PENDING)
    )
    return [_raw(row) for row in (await connection.execute(waiting)).mappings()]


def _column(name: str) -> ColumnElement[object]:
    column: ColumnElement[object] = CommandRow.__table__.c[name]
    return column


def _raw(row: RowMapping) -> _Raw:
    values = {name: _bytes(row[name]) for name in _NAMES}
    return _Raw(
        values["command_id"] or b"",
        values["kind"] or b"",
        values["parent_id"],
        values["amend"],
        values["created_ns"] or b"",
        bool(row["id_is_text"]),
    )


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def _checked(raw: _Raw) -> PendingCommand:
    """The row as a command. Raises _RefusedError."""
    if not raw.id_is_text:
        raise _RefusedError("the command's id is not text")
    command_id = _name(raw.command_id, "command id")
    kind = _kind(raw.kind)
    parent_id = None if raw.parent_id is None else _name(raw.parent_id, "parent")
    return PendingCommand(command_id, kind, parent_id, _amend(kind, raw.amend), _moment(raw.created_ns))


def _name(value: bytes, what: str) -> str:
    """A name of printable characters: it goes into the recording, which has one row a line."""
    try:
        name = value.decode()
    except UnicodeDecodeError:
        raise _RefusedError(f"{what} {value[:40]!r} is not text") from None
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "|" in name:
        raise _RefusedError(f"{what} {name[:40]!r} is no name: at most {LONGEST_NAME} printable characters")
    return name


def _kind(value: bytes) -> CommandKind:
    try:
        return CommandKind(value.decode())
    except ValueError:  # of the bytes or of the name
        kinds = ", ".join(CommandKind)
        raise _RefusedError(f"kind {value[:40]!r} is not known: choose one of {kinds}") from None


def _amend(kind: CommandKind, value: bytes | None) -> Amendment:
    amend = _object(value)
    if kind is not CommandKind.AMEND:
        if amend:
            raise _RefusedError(f"{kind} takes no amendment")
        return {}
    if fault := amendment_fault(amend):
        raise _RefusedError(fault)
    return amend  # type: ignore[return-value]  # checked just now


def _object(value: bytes | None) -> Mapping[str, object]:
    if value is None:
        return {}
    if len(value) > LONGEST_AMENDMENT:
        raise _RefusedError(f"amend holds {len(value):,} bytes: {LONGEST_AMENDMENT:,} at most")
    try:
        amend: object = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise _RefusedError(f"amend {value[:40]!r} is not JSON") from None
    if amend is None:
        return {}
    if not isinstance(amend, dict):
        raise _RefusedError(f"amend {value[:40]!r} is no JSON object")
    return amend


def _moment(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise _RefusedError(f"created_ns {value[:40]!r} is no whole number") from None


async def leave_command(
    connection: AsyncConnection,
    session: str,
    command_id: str,
    kind: CommandKind,
    *,
    created_ns: int,
    parent_id: str | None = None,
    amend: Amendment | None = None,
) -> None:
    """Leave a command for a session to take."""
    row = {
        "session": session,
        "seq": 0,
        "command_id": command_id,
        "kind": kind.value,
        "parent_id": parent_id,
        "amend": dict(amend or {}),
        "created_ns": created_ns,
    }
    await connection.execute(insert(CommandRow).values(row))


async def withdraw(connection: AsyncConnection, session: str, command_ids: Sequence[str], why: str) -> bool:
    """Take commands back before they are handled; False when all of them have been."""
    return any([await _refuse(connection, session, each.encode(), why) for each in command_ids])


async def withdraw_all(connection: AsyncConnection, session: str, why: str) -> None:
    """Take back whatever waits for a session that will take nothing any more."""
    waiting = update(CommandRow).where(CommandRow.session == session, CommandRow.handled_ns.is_(None))
    await connection.execute(waiting.values(handled_ns=_now_ns(connection), outcome=why))


async def _refuse(connection: AsyncConnection, session: str, command_id: bytes, why: str) -> bool:
    sqlite = connection.dialect.name == "sqlite"
    its_id = cast(_column("command_id"), LargeBinary) if sqlite else _column("command_id")
    mine = update(CommandRow).where(
        CommandRow.session == session,
        its_id == (command_id if sqlite else command_id.decode()),
        CommandRow.handled_ns.is_(None),
    )
    done = await connection.execute(mine.values(handled_ns=_now_ns(connection), outcome=why))
    return done.rowcount > 0


def _now_ns(connection: AsyncConnection) -> ColumnElement[int]:
    """Now, by the database's clock: nothing here reads another."""
    return literal_column(_NOW_NS[connection.dialect.name])
