"""Whose fault a failed statement is, told by the codes that databases give."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from storage.log.database_faults import lacks_something, statement_fault


class PostgresError(Exception):
    """As asyncpg's: a message, and the code beside it."""

    def __init__(self, words: str, sqlstate: Any) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


def wrapped(error: BaseException) -> DBAPIError:
    return DBAPIError("SELECT 1", None, error)


@pytest.mark.parametrize(
    ("state", "lacks", "own"),
    [
        ("42P01", True, True),  # no such table
        ("42703", True, True),  # no such column
        ("3F000", True, True),  # no such schema
        ("42601", False, True),  # a syntax error
        ("22012", False, True),  # division by zero
        ("08006", False, False),  # the connection failed
        ("53100", False, False),  # the disk is full
        ("57P01", False, False),  # an administrator ended it
        (None, False, True),  # no code at all: the driver refused it
        (42, False, True),
    ],
)
def test_postgres_codes(state: Any, lacks: bool, own: bool) -> None:
    """What is missing, what is the statement's own fault, and what is the database's."""
    error = PostgresError("some words", state)
    assert lacks_something(error) is lacks
    assert (statement_fault(wrapped(error)) == "some words") is own


@pytest.mark.parametrize(
    ("statement", "lacks"), [("SELECT * FROM away", True), ("SELECT colour", True), ("SELCT 1", False)]
)
def test_sqlite_says_what_is_missing(statement: str, lacks: bool) -> None:
    """By its words, for it has one code for all of these."""
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as raised:
        connection.execute(statement)
    connection.close()
    assert lacks_something(raised.value) is lacks
    assert statement_fault(wrapped(raised.value)) == str(raised.value)
