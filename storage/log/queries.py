"""Reading the execution log: fixed queries with filters, and the user's own SQL, read-only.

Exact numbers come as decimal strings, times as integer nanoseconds. Shadows are left out unless a query
names their parent.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, Executable, Select, Table, and_, or_, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.errors import DatabaseError, InputError
from storage.log.database import Url, check_there, database_errors, open_engine, shown
from storage.log.database_faults import lacks_something, schema_fault, statement_fault
from storage.log.flat_values import flat
from storage.log.plain_values import plain_value, unique_names
from storage.log.tables import (
    Base,
    ChildOrderRow,
    DecisionRow,
    FillRow,
    GapRow,
    ParentOrderRow,
    SessionRow,
    SlippageRow,
)


class Result(NamedTuple):
    """Column names, and rows in their order. A value is what JSON can hold."""

    columns: list[str]
    rows: list[tuple[object, ...]]

    def dicts(self) -> list[dict[str, object]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class _Subject(NamedTuple):
    table: type[Base]
    when: str  # the column that --since and --until look at
    of_parent: bool  # rows belong to a parent order, which has the symbol


_SUBJECTS = {
    "parents": _Subject(ParentOrderRow, "submitted_ns", True),
    "children": _Subject(ChildOrderRow, "sent_ns", True),
    "fills": _Subject(FillRow, "fill_ns", True),
    "decisions": _Subject(DecisionRow, "asked_ns", True),
    "slippage": _Subject(SlippageRow, "at_ns", True),
    "sessions": _Subject(SessionRow, "opened_ns", False),
    "gaps": _Subject(GapRow, "at_ns", False),
}
SUBJECTS = tuple(_SUBJECTS)
FINISHED = ("completed", "expired", "cancelled", "failed")
_READS = ("select", "with", "values", "explain")


class _SchemaError(DatabaseError):
    """What was not found is not there because the schema is another: no statement is at fault."""


def query(
    url: Url,
    what: str,
    *,
    since: int | None = None,
    until: int | None = None,
    symbol: str | None = None,
    algo: str | None = None,
    parent: str | None = None,
    session: str | None = None,
    limit: int | None = None,
) -> Result:
    """Return rows of ``what`` (one of SUBJECTS) in order of time; ``limit`` keeps the latest.

    ``since`` and ``until`` (excluded) are nanoseconds UTC. Raises InputError for an unknown subject or a
    filter it lacks, DatabaseError otherwise.
    """
    if what not in _SUBJECTS:
        raise InputError(f"no table {what!r} in the log: choose one of {', '.join(SUBJECTS)}")
    subject = _SUBJECTS[what]
    filters = _filters(what, subject, {"symbol": symbol, "algo": algo, "parent": parent, "session": session})
    when = _table(subject.table).c[subject.when]
    filters += [when >= since] if since is not None else []
    filters += [when < until] if until is not None else []
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: give 1 or more, or leave it out")
    rows = _selection(subject).where(*filters).order_by(*(c.desc() for c in _in_time(subject)))
    found = asyncio.run(_read(url, rows if limit is None else rows.limit(limit)))
    return Result(found.columns, found.rows[::-1])


def check_named(url: Url, what: str, *, session: str | None, parent: str | None) -> None:
    """Why rows of a named session or order are none, where the name is why. Raises InputError."""
    sessions, parents = _table(SessionRow), _table(ParentOrderRow)
    if parent is not None and not _any(url, parents, parents.c.parent_id == parent):
        raise InputError(f"no parent order {parent!r} in the log: `python -m agent log parents` lists them")
    if session is None:
        return
    if not _any(url, sessions, sessions.c.session == session):
        raise InputError(
            f"no session {session!r} in the log: `python -m agent log sessions` lists them. What `record` or"
            " `import` made holds no order and is not in it: replay it with an order of yours and `--db URL`"
        )
    if _SUBJECTS[what].of_parent and not _any(url, parents, parents.c.session == session):
        raise InputError(
            f"session {session!r} holds no order, so there are no {what}: `python -m agent log parents` lists"
            " the orders there are"
        )


def _any(url: Url, table: Table, which: ColumnElement[bool]) -> bool:
    return bool(asyncio.run(_read(url, select(table.c.session).where(which).limit(1))).rows)


def sql(url: Url, statement: str) -> Result:
    """Return what one reading SQL statement gives. Raises InputError if it would write or is wrong."""
    verb = statement.split(maxsplit=1)[0].lower() if statement.strip() else ""
    if verb not in _READS:
        raise InputError(
            f"SQL {statement.strip()[:60]!r} refused: the log is read-only here; start with SELECT"
        )
    try:
        return asyncio.run(_read(url, statement))
    except _SchemaError:
        raise
    except DatabaseError as error:
        fault = statement_fault(error.__cause__)
        if fault is None:
            raise
        raise InputError(f"SQL {statement.strip()[:60]!r} refused: {fault}") from error.__cause__


def status(url: Url, sessions: Sequence[str]) -> Result:
    """Return the parents of these sessions that are not finished, shadows left out."""
    parents = _table(ParentOrderRow)
    working = (
        select(parents)
        .where(
            parents.c.session.in_(sessions), parents.c.state.not_in(FINISHED), parents.c.shadow_of.is_(None)
        )
        .order_by(parents.c.submitted_ns)
    )
    return asyncio.run(_read(url, working))


def _table(of: type[Base]) -> Table:
    table = of.__table__
    assert isinstance(table, Table)
    return table


def _selection(subject: _Subject) -> Select[*tuple[object, ...]]:
    table, parents = _table(subject.table), _table(ParentOrderRow)
    if not subject.of_parent or table is parents:
        return select(table)
    extra = [parents.c[n] for n in ("symbol", "algo") if n not in table.c]
    on = and_(parents.c.session == table.c.session, parents.c.parent_id == table.c.parent_id)
    return select(table, *extra).join(parents, on)


def _in_time(subject: _Subject) -> Sequence[ColumnElement[object]]:
    """The columns that order its rows in time: those of one moment by session and input, then by name."""
    table = _table(subject.table)
    return list(dict.fromkeys([table.c[subject.when], table.c.session, table.c.seq, *table.primary_key]))


def _filters(what: str, subject: _Subject, given: dict[str, str | None]) -> list[ColumnElement[bool]]:
    table, parents = _table(subject.table), _table(ParentOrderRow)
    filters: list[ColumnElement[bool]] = []
    for name, value in given.items():
        if value is None or name == "parent":
            continue
        on = table if name in table.c else parents if subject.of_parent else None
        if on is None:
            raise InputError(f"{what} have no {name}: leave --{name} out")
        filters.append(on.c[name] == value)
    parent = given["parent"]
    if not subject.of_parent:
        if parent is not None:
            raise InputError(f"{what} belong to no parent: leave --parent out")
    elif parent is None:
        filters.append(parents.c.shadow_of.is_(None))
    else:
        with_shadows = "shadow_of" in table.c
        filters.append(
            or_(table.c.parent_id == parent, table.c.shadow_of == parent)
            if with_shadows
            else table.c.parent_id == parent
        )
    return filters


async def _read(url: Url, statement: Executable | str) -> Result:
    check_there(url)
    engine = open_engine(url, read_only=True)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                try:
                    return await _fetch(connection, statement)
                except DBAPIError as error:
                    await _check_schema(connection, shown(url), error)
                    raise
    finally:
        await engine.dispose()


async def _check_schema(connection: AsyncConnection, name: str, error: DBAPIError) -> None:
    """Where something was not found: raises DatabaseError if the schema is not this program's."""
    if not lacks_something(error.orig):
        return
    await connection.rollback()
    fault = await connection.run_sync(schema_fault)
    if fault is not None:
        raise _SchemaError(f"database {name} {fault}") from error


async def _fetch(connection: AsyncConnection, statement: Executable | str) -> Result:
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET TRANSACTION READ ONLY"))
    if isinstance(statement, str):
        found = await connection.exec_driver_sql(statement)
    else:
        found = await connection.execute(statement)
    return Result(unique_names(list(found.keys())), [tuple(plain_value(v) for v in row) for row in found])


# --- exports ------------------------------------------------------------------------------------


def to_json(result: Result) -> str:
    """Return the rows as one JSON array of objects."""
    return json.dumps(result.dicts(), indent=2)


def to_csv(result: Result) -> str:
    """Return the rows as CSV with a header, nothing nested in it (``flat_values``)."""
    columns, rows = flat(result.columns, result.rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def to_parquet(result: Result, path: Path) -> None:
    """Write the rows to a parquet file, with the columns of the CSV. Raises InputError if it cannot."""
    names, rows = flat(result.columns, result.rows)
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    arrays = [_array(list(column)) for column in columns]
    try:
        pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another file") from error


def _array(values: list[object]) -> pa.Array:
    """A column; as text where its values are of several types, as SQLite allows."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values])


def to_table(result: Result) -> list[list[str]]:
    """Return the rows as cells for a terminal; the first row is the header."""
    return [result.columns, *([_cell(value) for value in row] for row in result.rows)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return repr(value) if isinstance(value, float) else str(value)
