"""A violation of what must hold, and the rows of a session that are looked at."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Any, NamedTuple

from tests.simulation.simulated_run import DATABASE, Outcome

S, MS = 10**9, 10**6


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


def failed(outcome: Outcome) -> bool:
    """Whether the last life ended with an error."""
    return isinstance(outcome.result, BaseException)
