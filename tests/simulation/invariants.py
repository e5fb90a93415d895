"""What must hold at the end of a seed, held against the exchange's own ledger and book.

Each check yields sentences, sorted under what they are about (``Kind``). Rows are read with plain SQL, the
recording with the product's reader: what a user would read with.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from agent.app.replay_session import replay_session
from agent.core.errors import AgentError
from agent.core.events import AuditEvent
from agent.core.market.tape import EventArray, Flag
from agent.core.market.tape import Kind as Row
from storage.log.log_rows import RowMaker
from storage.log.tables import Base
from storage.recordings.session import SessionReader
from tests.simulation.simulated_run import DATABASE, SESSIONS, Outcome, in_database

S, MS = 10**9, 10**6
TERMINAL = {"completed", "expired", "cancelled", "failed"}
CHILD_TERMINAL = {"filled", "cancelled", "rejected", "expired"}
UNHEARD_S = 25.0
"""A silent stream is asked for after ten seconds, sooner where the book moves; then REST is asked."""
STOOD_STILL_S = 2.0
NEAR_S = 3.0


class Kind(StrEnum):
    """What a violation is about: the names of the closing JSON line."""

    LOST = "trades_lost"
    TWICE = "trades_twice"
    ORDERS = "orders_wrong"
    RECORDS = "records_differ"
    OTHER = "other"


class Violation(NamedTuple):
    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.what}"


Rows = list[dict[str, Any]]


class Database:
    """The rows of one session, by table."""

    def __init__(self, session: str) -> None:
        self._connection = sqlite3.connect(DATABASE)
        self._connection.row_factory = sqlite3.Row
        self._session = session

    def rows(self, table: str) -> Rows:
        text = f"SELECT * FROM {table} WHERE session = ? ORDER BY rowid"
        return [dict(row) for row in self._connection.execute(text, (self._session,))]

    def close(self) -> None:
        self._connection.close()


def violations(outcome: Outcome) -> list[Violation]:
    """All that does not hold."""
    found = [Violation(Kind.OTHER, text) for text in outcome.errors]
    found += [Violation(Kind.OTHER, f"{n} {what} left open") for what, n in outcome.left.items() if n]
    for path in sorted(SESSIONS.glob("*")):
        if (path / "session.json").is_file() and in_database(path.name):
            database = Database(path.name)
            try:
                found += _of_session(outcome, SessionReader(path), database)
            finally:
                database.close()
    return found


def _of_session(outcome: Outcome, reader: SessionReader, database: Database) -> Iterator[Violation]:
    tape = reader.events()
    yield from _orders(outcome, database)
    yield from _fills(outcome, database)
    yield from _dead_time(outcome, database)
    yield from _commands(database)
    for instrument in reader.instruments:
        yield from _tape(outcome, tape[tape["instrument"] == instrument.number], instrument.symbol, database)
    yield from _records(outcome, reader, database)


# --- orders ----------------------------------------------------------------------------------------


def _orders(outcome: Outcome, database: Database) -> Iterator[Violation]:
    fills, children = database.rows("fills"), database.rows("child_orders")
    parents = database.rows("parent_orders")
    real = {row["parent_id"].rpartition("-")[2] for row in parents if row["shadow_of"] is None}
    result = outcome.result
    if result is not None and not isinstance(result, BaseException):
        unstarted = {each.name for each in result.not_started}
        for row in outcome.scenario.orders:
            if (row.id in real) == (row.id in unstarted):
                yield Violation(
                    Kind.ORDERS, f"order {row.id} started: {row.id in real}, and was told otherwise"
                )
    for parent in parents:
        own = [fill for fill in fills if fill["parent_id"] == parent["parent_id"]]
        for text in _parent_faults(parent, own):
            yield Violation(Kind.ORDERS, f"{parent['parent_id']} ({parent['state']}): {text}")
    for child in children:
        own = [fill for fill in fills if fill["child_id"] == child["child_id"]]
        lots = sum(fill["qty_lots"] for fill in own)
        if child["filled_lots"] != lots or lots > child["qty_lots"]:
            text = (
                f"{child['child_id']} filled {child['filled_lots']} of {child['qty_lots']} by fills of {lots}"
            )
            yield Violation(Kind.ORDERS, text)
        if child["state"] not in CHILD_TERMINAL and not _failed(outcome) and outcome.kills == 0:
            yield Violation(Kind.ORDERS, f"{child['child_id']} is {child['state']} at the end")


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome.result, BaseException)


def _parent_faults(parent: Mapping[str, Any], fills: Rows) -> Iterator[str]:
    lots = sum(fill["qty_lots"] for fill in fills)
    money = sum(fill["price_ticks"] * fill["qty_lots"] for fill in fills)
    if (parent["filled_lots"], parent["filled_tl"]) != (lots, money):
        yield f"filled {parent['filled_lots']} lots, its fills are {lots}"
    if parent["state"] not in TERMINAL:
        yield "it has not ended"
    by_quantity = parent["target_kind"] == "quantity"
    filled, target = (lots if by_quantity else money), parent["target_units"]
    if filled > target:
        yield f"filled {filled} of {target}"
    if parent["state"] == "completed":
        dearest = 0 if by_quantity else max((fill["price_ticks"] for fill in fills), default=0)
        if target - filled > dearest * 1.01:
            yield f"completed with {filled} of {target}"
    elif not parent["reason"]:
        yield "it says no reason"
    until_ns = (parent["started_ns"] or 0) + parent["max_duration_ns"] + 2 * S
    late = [fill for fill in fills if fill["fill_ns"] > until_ns]
    if late and parent["align"] == "none":
        yield f"{len(late)} fills after its longest duration"


# --- fills -----------------------------------------------------------------------------------------


def _fills(outcome: Outcome, database: Database) -> Iterator[Violation]:
    """No price that the exchange's book did not show about then; no id twice."""
    fills = database.rows("fills")
    numbers = {row["number"]: row["symbol"] for row in database.rows("instruments")}
    ahead_ns = outcome.exchange.clock.ahead_ns
    for fill in fills:
        quotes = outcome.exchange.quotes[numbers[fill["instrument"]]]
        from_ms = (fill["fill_ns"] + ahead_ns - fill["book_age_ns"]) // MS - int(NEAR_S * 1000)
        to_ms = (fill["fill_ns"] + ahead_ns) // MS + int(NEAR_S * 1000)
        lo, hi = max(0, bisect_left(quotes.ms, from_ms) - 1), bisect_right(quotes.ms, to_ms)
        if lo >= hi:
            continue
        buys, price = fill["side"] == "buy", fill["price_ticks"]
        if fill["maker"]:
            best = min(quotes.bids[lo:hi]) if buys else max(quotes.asks[lo:hi])
            slack = (max(quotes.asks[lo:hi]) - min(quotes.bids[lo:hi])) * 3 + best // 500
        else:
            best, slack = (min(quotes.asks[lo:hi]) if buys else max(quotes.bids[lo:hi])), 0
        if (price < best - slack) if buys else (price > best + slack):
            text = f"{fill['fill_id']}: {fill['side']} at {price}, and the best shown about then was {best}"
            yield Violation(Kind.ORDERS, text)


def _dead_time(outcome: Outcome, database: Database) -> Iterator[Violation]:
    """Nothing is decided, sent or filled while the agent is dead or stands still."""
    for from_ns, to_ns in outcome.dead:
        if to_ns - from_ns <= STOOD_STILL_S * S:
            continue
        dead = (from_ns + MS, to_ns - MS)
        for table, column in (("fills", "fill_ns"), ("decisions", "at_ns"), ("child_orders", "sent_ns")):
            inside = [row for row in database.rows(table) if dead[0] < row[column] < dead[1]]
            if inside:
                yield Violation(
                    Kind.ORDERS, f"{len(inside)} {table} dated in dead time, as at {inside[0][column]}"
                )


def _commands(database: Database) -> Iterator[Violation]:
    """After a kill no order of the session is sent, after a cancel none of its parents."""
    children = database.rows("child_orders")
    for command in database.rows("commands"):
        if command["kind"] not in ("kill", "cancel") or command["handled_ns"] is None:
            continue
        sent = [child for child in children if child["sent_ns"] > command["handled_ns"]]
        if sent and command["kind"] == "kill":
            yield Violation(Kind.ORDERS, f"{len(sent)} orders sent after the kill switch")


# --- the tape --------------------------------------------------------------------------------------


def _tape(outcome: Outcome, tape: EventArray, symbol: str, database: Database) -> Iterator[Violation]:
    """Every trade of the orders' window is on the tape once, as it was, or in a gap that is named."""
    parents = [row for row in database.rows("parent_orders") if row["symbol"] == symbol and row["started_ns"]]
    trades = tape[tape["kind"] == Row.TRADE]
    ids, counts = np.unique(trades["ext_id"], return_counts=True)
    if len(twice := ids[counts > 1]):
        yield Violation(Kind.TWICE, f"{symbol}: {len(twice)} trades twice on the tape, as {twice[0]}")
    if not parents or not len(trades):
        return
    ledger = outcome.exchange.trades(symbol)
    yield from _unlike(outcome, trades, ledger, symbol)
    ahead_ns = outcome.exchange.clock.ahead_ns
    from_ms = (min(row["started_ns"] for row in parents) + ahead_ns) // MS
    heard_ns = min(int(tape["recv_ns"][-1]), outcome.closed_after_ns or 2**62)
    until_ms = (min(max(row["ended_ns"] or heard_ns for row in parents), heard_ns) + ahead_ns) // MS - 500
    window = ledger[(ledger["ms"] >= from_ms) & (ledger["ms"] <= until_ms)]
    missing = np.setdiff1d(window["id"], ids)
    unnamed = missing[~_named(missing, tape)]
    last_id, quiet_ms = int(ids[-1]), int(until_ms - UNHEARD_S * 1000)
    old = window["id"][window["ms"] < quiet_ms]
    lost = [int(i) for i in unnamed if i < last_id or (len(old) and i <= old[-1] and not _silent(tape))]
    if lost:
        yield Violation(Kind.LOST, f"{symbol}: {len(lost)} trades lost in no named gap, as {lost[0]}")


def _unlike(outcome: Outcome, trades: EventArray, ledger: np.ndarray, symbol: str) -> Iterator[Violation]:
    at = np.searchsorted(ledger["id"], trades["ext_id"])
    known = at < len(ledger)
    known[known] = ledger["id"][at[known]] == trades["ext_id"][known]
    if (~known).any():
        yield Violation(Kind.RECORDS, f"{symbol}: {int((~known).sum())} trades on the tape that never were")
    own, true = trades[known], ledger[at[known]]
    same = (
        (own["price_ticks"] == true["ticks"])
        & (own["qty_lots"] == true["lots"])
        & (own["side"] == true["side"])
    )
    marked = own["flags"] & np.uint32(Flag.IMPOSSIBLE) != 0
    changed = outcome.exchange.changed.get(symbol.replace("/", ""), set())
    excused = marked & np.isin(own["ext_id"], list(changed))
    if (wrong := ~same & ~excused).any():
        row = own[wrong][0]
        yield Violation(Kind.RECORDS, f"{symbol}: {int(wrong.sum())} trades unlike the exchange's, as {row}")


def _named(missing: np.ndarray, tape: EventArray) -> np.ndarray:
    """Which of the ids lie in a gap of trades on the tape. One that ended names how many it lost."""
    of_trades = tape["flags"] & np.uint32(Flag.TRADES) != 0
    named = np.zeros(len(missing), np.bool_)
    begins = tape[(tape["kind"] == Row.GAP_BEGIN) & of_trades]
    ends = tape[(tape["kind"] == Row.GAP_END) & of_trades]
    trades = tape[tape["kind"] == Row.TRADE]
    for begin in begins:
        closing = ends[ends["seq"] > begin["seq"]][:1]
        inside = missing >= begin["ext_id"]
        if len(closing):
            before = trades[trades["seq"] < closing["seq"][0]]
            newest = int(before["ext_id"].max()) if len(before) else 0
            inside &= missing <= newest
            if inside.sum() > closing["qty_lots"][0]:
                continue
        named |= inside
    return named


def _silent(tape: EventArray) -> bool:
    """Whether the stream of trades, or all of it, was known to be silent at the end."""
    marks = tape[
        np.isin(tape["kind"], (Row.STALE, Row.ALIVE)) & (tape["flags"] & np.uint32(Flag.TRADES) != 0)
    ]
    return len(marks) > 0 and int(marks["kind"][-1]) == Row.STALE


# --- the records -----------------------------------------------------------------------------------


def _records(outcome: Outcome, reader: SessionReader, database: Database) -> Iterator[Violation]:
    """The recording replays to the same rows, and the database is their projection."""
    events: list[AuditEvent] = []
    try:
        done = replay_session(
            reader.path, None, override=False, verify=False, speed=None, watch=events.extend, as_recorded=True
        )
    except AgentError as error:
        yield Violation(Kind.RECORDS, f"{reader.path.name} cannot be replayed: {error}")
        return
    if not done.result.match:
        yield Violation(Kind.RECORDS, f"{reader.path.name} replays differently: {done.result.difference}")
    if done.result.losses:
        yield Violation(Kind.RECORDS, f"{reader.path.name} has losses: {'; '.join(done.result.losses)}")
    yield from _projected(outcome, reader, database, events)


_NOT_PROJECTED = {"latency_ns", "amend", "created_ns"}


def _projected(
    outcome: Outcome, reader: SessionReader, database: Database, events: Sequence[AuditEvent]
) -> Iterator[Violation]:
    last_ns = max((int(batch["recv_ns"][-1]) for batch in reader.batches()), default=0)
    maker = RowMaker(reader.header.session, {i.number: i for i in reader.instruments})
    expected: dict[str, dict[tuple[object, ...], dict[str, object]]] = {}
    for event in events:
        table, values = maker.row(event)
        expected.setdefault(table.__tablename__, {})[_key(table, values)] = values
    for table in (each for each in Base.__subclasses__() for each in (each, *each.__subclasses__())):
        name = getattr(table, "__tablename__", "")
        if name in ("", "sessions", "heartbeats", "instruments", "accounts", "balances"):
            continue
        stored = {_key(table, row): row for row in database.rows(name)}
        wanted = expected.get(name, {})
        yield from _differences(name, stored, wanted, last_ns if _failed(outcome) else None)


def _key(table: type[Base], values: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(
        bool(values[column.name]) if column.name == "ended" else values[column.name]
        for column in table.__table__.primary_key  # type: ignore[attr-defined]
    )


def _differences(
    name: str,
    stored: Mapping[Any, Mapping[str, Any]],
    wanted: Mapping[Any, Mapping[str, Any]],
    failed_ns: int | None,
) -> Iterator[Violation]:
    """``failed_ns``: from then on nothing could be recorded; what happened then is in the database alone."""
    extra = stored.keys() - wanted.keys() if name != "commands" else set()
    if extra := {key for key in extra if failed_ns is None or stored[key]["at_ns"] < failed_ns}:
        yield Violation(
            Kind.RECORDS, f"{len(extra)} rows of {name} that the recording does not cause: {min(extra)}"
        )
    if failed_ns is not None:
        return  # a run that could not record: its orders have failed, which no input says
    if lacking := wanted.keys() - stored.keys():
        yield Violation(
            Kind.RECORDS, f"{len(lacking)} rows of {name} are not in the database: {min(lacking)}"
        )
    for key in stored.keys() & wanted.keys():
        for column, value in wanted[key].items():
            if column in _NOT_PROJECTED or isinstance(value, dict | list):
                continue
            if stored[key][column] != value:
                text = f"{name} {key}: {column} is {stored[key][column]!r}, the recording gives {value!r}"
                yield Violation(Kind.RECORDS, text)
                return
