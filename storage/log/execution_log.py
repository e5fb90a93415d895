"""The execution log of one run: intents before they are sent, results as they come.

Rules kept here: one transaction a batch; writing the same event again gives the same row, so a resumed
run may rewrite what it replays; within a batch the last state of an order wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import delete, inspect, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn

from agent.core.errors import DatabaseError
from agent.core.events import AuditEvent
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject
from agent.core.ports import PendingCommand
from storage.log.bulk.instrument_texts import text
from storage.log.bulk.last_rows import by_table, rows_of
from storage.log.bulk.row_shapes import Rows, shape
from storage.log.bulk.upserts import upsert
from storage.log.control.command_rows import take_pending, withdraw_all
from storage.log.database import (
    BUSY_MS,
    Url,
    database_errors,
    migrate_async,
    open_engine,
    parse_url,
    sqlite_path,
)
from storage.log.log_rows import RowMaker, TableRow, Values, table_row
from storage.log.tables import (
    AccountRow,
    BalanceRow,
    Base,
    ChildOrderRow,
    CommandRow,
    DecisionRow,
    FillRow,
    GapRow,
    HeartbeatRow,
    InstrumentRow,
    ParentOrderRow,
    RiskRefusalRow,
    SessionRow,
    SlippageRow,
)

_CAUSED: tuple[type[Base], ...] = (
    ParentOrderRow,
    DecisionRow,
    ChildOrderRow,
    FillRow,
    SlippageRow,
    RiskRefusalRow,
    GapRow,
)
"""Rows that inputs cause, while a session goes on."""
TABLES: tuple[type[Base], ...] = (
    SessionRow,
    HeartbeatRow,
    InstrumentRow,
    AccountRow,
    BalanceRow,
    CommandRow,
    *_CAUSED,
)
"""Parents before what refers to them."""
_BY_ITS_KEY = "SET LOCAL plan_cache_mode = force_generic_plan"
"""So that what refers to a row is looked for by the whole key. Of a session that its statistics do not know
yet, PostgreSQL takes the name alone for enough, and then reads all of it for every row that is deleted."""
_SYNCED_LATER = "SET LOCAL synchronous_commit = off"
OPEN, CLOSED, INTERRUPTED, REPLAYING = "open", "closed", "interrupted", "replaying"


class SqlExecutionLog:
    """A session's rows over SQLAlchemy. Every method may raise DatabaseError, and waits as long as it takes.

    A run uses it through ``storage.log.kept_log``, which waits in its place.
    """

    def __init__(
        self, url: Url, session: str, instruments: Sequence[Instrument], *, busy_ms: int = BUSY_MS
    ) -> None:
        self.url = url
        self.session = session
        self._instruments = tuple(instruments)
        self._maker = RowMaker(session, {i.number: i for i in instruments})
        self._busy_ms = busy_ms
        self._engine: AsyncEngine = open_engine(url, busy_ms=busy_ms)
        self._pools: list[Pool] = []  # those that were closed
        self._file: tuple[int, int] | None = None  # which file of SQLite's was opened

    async def open_session(
        self,
        *,
        opened_ns: int,
        path: str = "",
        mode: str = "paper",
        exchange: str = "",
        seed: int = 0,
        config: JsonObject | None = None,
        fingerprint: JsonObject | None = None,
        balances: Mapping[str, Decimal] | None = None,
        state: str = OPEN,
        replace: bool = False,
        heartbeat: Values | None = None,
    ) -> bool:
        """Migrate the database and store the session, its instruments and its opening balances.

        ``heartbeat`` is its first: a session that others see has one, however slow the computer is.

        ``replace`` deletes what an earlier session of this name and mode left; returns whether one did.
        """
        await migrate_async(self.url, busy_ms=self._busy_ms)
        self._file = self._file_now()
        replaced = await self._discard(mode) if replace else False
        head: Values = {
            "session": self.session,
            "seq": 0,
            "path": path,
            "mode": mode,
            "exchange": exchange,
            "state": state,
            "opened_ns": opened_ns,
            "closed_ns": None,
            "seed": seed,
            "config": dict(config or {}),
            "fingerprint": dict(fingerprint or {}),
        }
        rows = [table_row(SessionRow, head)]
        rows += [
            table_row(InstrumentRow, {"session": self.session, "seq": 0, **i.to_json()})
            for i in self._instruments
        ]
        if heartbeat is not None:
            rows.append(table_row(HeartbeatRow, heartbeat))
        if balances is not None:
            rows += self._account(mode, opened_ns)
            rows += self._balances(0, opened_ns, mode, balances)
        await self._store(by_table(rows))
        return replaced

    async def _discard(self, mode: str) -> bool:
        """Delete every row of this session if it is there; say whether it was. Of ``mode`` only."""
        found = select(SessionRow.mode).where(SessionRow.session == self.session)
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                was: str | None = await connection.scalar(found)
                if was == mode:
                    await self._delete(connection, TABLES)
        if was not in (None, mode):
            raise DatabaseError(f"session {self.session} is in the log as {was!r}: give another --db")
        return was is not None

    async def _delete(self, connection: AsyncConnection, tables: Sequence[type[Base]]) -> None:
        """Delete this session's rows, what refers to others first."""
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql(_BY_ITS_KEY)
        for table in reversed(tables):
            mine = inspect(table).columns.session == self.session
            await connection.execute(delete(table).where(mine))

    async def close_session(self, *, closed_ns: int, seq: int, state: str = CLOSED) -> None:
        """Mark the session as over."""
        statement = update(SessionRow).where(SessionRow.session == self.session)
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                await connection.execute(statement.values(closed_ns=closed_ns, seq=seq, state=state))

    def _file_now(self) -> tuple[int, int] | None:
        """Device and number of SQLite's file; None where there is none."""
        path = sqlite_path(parse_url(self.url))
        try:
            found = None if path is None else path.stat()
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)

    def file_was_replaced(self) -> bool:
        """Whether SQLite's file is no more the one that was opened: what is written to that is lost."""
        return self._file is not None and self._file_now() != self._file

    async def holds_session(self) -> bool:
        """Whether the database knows this session. One that is new gets its tables."""
        await migrate_async(self.url, busy_ms=self._busy_ms)
        self._file = self._file_now()
        found = select(SessionRow.session).where(SessionRow.session == self.session)
        with database_errors(self.url):
            async with self._engine.connect() as connection:
                return await connection.scalar(found) is not None

    async def rewind(self, seq: int, at_ns: int) -> bool:
        """Take back what the recording knows nothing of: rows of later inputs, or of later than ``at_ns``.

        A database may keep what a recording loses with the power. Where it has such rows, all that the
        session caused is deleted, to be written again, and its commands wait again. Returns whether it had.
        """
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                if not await self._is_ahead(connection, seq, at_ns):
                    return False
                await self._delete(connection, _CAUSED)
                again = update(CommandRow).where(CommandRow.session == self.session, CommandRow.seq > seq)
                await connection.execute(again.values(seq=0, handled_ns=None, outcome=None, parents=None))
        return True

    async def _is_ahead(self, connection: AsyncConnection, seq: int, at_ns: int) -> bool:
        for table in _CAUSED:
            columns = inspect(table).columns
            later = or_(columns.seq > seq, columns.at_ns > at_ns)
            found = select(columns.seq).where(columns.session == self.session, later).limit(1)
            if await connection.scalar(found) is not None:
                return True
        return False

    async def withdraw_commands(self, why: str) -> None:
        """Take back the commands that wait for a session that takes none any more."""
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                await withdraw_all(connection, self.session, why)

    async def write(self, events: Sequence[AuditEvent], *, synced: bool = True) -> None:
        """Store a batch of events in one transaction.

        One that is not ``synced`` is seen at once, but a server that crashes may lose it, until a later
        transaction is synced, as ``close_session`` is. SQLite syncs none: it loses some with the power.
        """
        if events:
            await self._store(rows_of(events, self._maker), synced=synced)

    async def pending_commands(self) -> Sequence[PendingCommand]:
        """Return the session's commands that have not been handled, oldest first.

        What stands in the table is input from outside: what is no command is refused there, and not returned.
        """
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                return await take_pending(connection, self.session)

    async def close(self) -> None:
        """Close the connections. One in use meanwhile goes back to its pool: the next call closes it."""
        self._pools.append(self._engine.sync_engine.pool)
        await self._engine.dispose()
        for pool in self._pools:
            await greenlet_spawn(pool.dispose)

    def _account(self, account: str, opened_ns: int) -> list[TableRow]:
        row = {"session": self.session, "seq": 0, "account": account, "venue": account}
        return [table_row(AccountRow, {**row, "opened_ns": opened_ns})]

    def _balances(
        self, seq: int, at_ns: int, account: str, balances: Mapping[str, Decimal]
    ) -> list[TableRow]:
        row = {"session": self.session, "seq": seq, "account": account, "at_ns": at_ns}
        return [
            table_row(BalanceRow, {**row, "currency": currency, "amount": text(amount)})
            for currency, amount in sorted(balances.items())
        ]

    async def _store(self, rows: Mapping[type[Base], Rows], *, synced: bool = True) -> None:
        """Insert rows, or update those whose primary key is there."""
        with database_errors(self.url):
            async with self._engine.begin() as connection:
                if not synced and connection.dialect.name == "postgresql":
                    await connection.exec_driver_sql(_SYNCED_LATER)
                for table in TABLES:
                    if table in rows:
                        await upsert(connection, shape(table), rows[table])
