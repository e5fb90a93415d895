"""Which rows a batch of events comes to: the last of a name, so that none is made to be overwritten."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.events import AuditEvent, ChildChanged, ChildFilled, ParentChanged
from storage.log.bulk.row_shapes import MadeRows, Row, Rows, shape
from storage.log.log_rows import RowMaker, TableRow
from storage.log.tables import Base, FillRow


def rows_of(events: Sequence[AuditEvent], maker: RowMaker) -> dict[type[Base], Rows]:
    """The rows of each table. Those of fills, most of all by far, are made while the database takes them."""
    fills, others = _latest(events)
    rows = by_table([maker.row(event) for event in others])
    if fills:
        rows[FillRow] = MadeRows(fills, maker.fill)
    return rows


def by_table(rows: Sequence[TableRow]) -> dict[type[Base], Rows]:
    """The rows of each table; of equal primary keys the last."""
    found: dict[type[Base], dict[object, Row]] = {}
    for table, row in rows:
        found.setdefault(table, {})[shape(table).key(row)] = row
    return {table: list(rows.values()) for table, rows in found.items()}


def _latest(events: Sequence[AuditEvent]) -> tuple[list[ChildFilled], list[AuditEvent]]:
    """The fills, and all else."""
    fills: dict[str, ChildFilled] = {}
    kept: dict[tuple[type[AuditEvent], str] | int, AuditEvent] = {}
    for number, event in enumerate(events):
        if isinstance(event, ChildFilled):
            fills[event.fill_id] = event
        elif isinstance(event, ParentChanged):
            kept[ParentChanged, event.spec.parent_id] = (
                event  # stays where the first was: before its children
            )
        elif isinstance(event, ChildChanged):
            kept[ChildChanged, event.child_id] = event
        else:
            kept[number] = event
    return list(fills.values()), list(kept.values())
