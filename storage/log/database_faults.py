"""Whose fault a failed statement is: the statement's own, an older or newer schema's, or the database's.

By the codes that databases give, not by their words, which come in other languages too.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage.log.schema import newest_revision, stored_revision

_OUTSIDE_SQLITE = frozenset(  # all else is about the statement
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR),
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERNAL),
    }
)
_OUTSIDE_POSTGRES = ("08", "53", "55", "57", "58", "F0", "XX")  # classes of SQLSTATE
_LACKS_POSTGRES = ("42P01", "42703", "3F000")  # no such table, column, schema
OLDER = "has an older schema: `python -m agent doctor` with the same --db brings it up to date"
_NEWER = "has schema {stored}, newer than {newest} of this program: update the program, or give another --db"
NO_LOG = "holds no execution log: run the agent once, or give another --db"


def statement_fault(error: BaseException | None) -> str | None:
    """What is wrong with the statement, in the database's words; None where the statement is not at fault."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return None
    state, code = _sqlstate(error.orig), _sqlite_code(error.orig)
    if state is not None:
        outside = state.startswith(_OUTSIDE_POSTGRES)
    elif code is not None:
        outside = code & 0xFF in _OUTSIDE_SQLITE
    else:  # the driver itself refuses it: two statements in one, a parameter without a value
        outside = isinstance(error.orig, OSError)
    return None if outside else str(error.orig).splitlines()[0].rpartition(">: ")[2]


def lacks_something(error: BaseException | None) -> bool:
    """Whether a table or a column was not found."""
    state = _sqlstate(error)
    if state is not None:
        return state in _LACKS_POSTGRES
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such ")


def schema_fault(connection: Connection) -> str | None:
    """What is wrong with the database's schema; None when it is this program's."""
    stored, newest = stored_revision(connection), newest_revision()
    if stored == newest:
        return None
    if stored is None:
        return NO_LOG
    return OLDER if stored < newest else _NEWER.format(stored=stored, newest=newest)


def _sqlstate(error: BaseException | None) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def _sqlite_code(error: BaseException | None) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else None
