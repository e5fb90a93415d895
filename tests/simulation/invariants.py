"""What must hold at the end of a seed, held against the exchange's own ledger and book.

Rows are read with plain SQL, the recording with the product's reader: what a user would read with.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.recordings.session import SessionReader
from tests.simulation.check_orders import of_orders
from tests.simulation.check_records import of_records
from tests.simulation.check_tape import of_tape
from tests.simulation.simulated_run import SESSIONS, Outcome, in_database
from tests.simulation.violation import Database, Kind, Violation


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
    yield from of_orders(outcome, database, tape)
    for instrument in reader.instruments:
        yield from of_tape(
            outcome, tape[tape["instrument"] == instrument.number], instrument.symbol, database
        )
    yield from of_records(outcome, reader, database)
