"""Rows of a query as a table; of the execution log: chosen columns, times in UTC, a unit in each heading."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.terminal.formatting import (
    MONEY_DECIMALS,
    bps,
    fault_phrase,
    marked,
    money,
    money_decimals,
    most_of,
    positional,
    utc,
)


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows; columns that hold only numbers are set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        numeric = any(row[i] for row in rows) and all(_is_number(row[i]) for row in rows if row[i])
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _is_number(cell: str) -> bool:
    """Whether it can be rounded: infinity and what is not a number stay as they are."""
    try:
        return isfinite(float(cell))
    except ValueError:
        return False


# --- of the execution log ---------------------------------------------------------------------------

SHOWN: Mapping[str, tuple[str, ...]] = {  # what fits a terminal; json, csv and parquet carry every column
    "parents": (
        *("submitted_ns", "parent_id", "symbol", "side", "algo", "target", "target_kind", "filled"),
        *("avg_price", "state", "reason"),
    ),
    "children": (
        *(
            "sent_ns",
            "child_id",
            "time_in_force",
            "price",
            "quantity",
            "filled",
            "avg_price",
            "state",
            "reason",
        ),
    ),
    "fills": (
        *("fill_ns", "fill_id", "side", "price", "quantity", "fee", "fee_currency", "maker", "price_model"),
        "impact_bps",
    ),
    "decisions": (
        *("asked_ns", "decision_id", "algo", "market_mid", "seen.remaining", "seen.achieved_price"),
        *("seen.benchmark_price", "share", "slice_quantity", "finishing", "overrun", "reason"),
    ),
    "slippage": (
        *("at_ns", "parent_id", "algo", "benchmark", "gain_bps", "full_gain_bps", "arrival_slippage_bps"),
        *("measures.shortfall_total", "measures.shortfall_total_bps", "flags"),
    ),
    "sessions": (
        *("opened_ns", "session", "exchange", "state", "heartbeat_age_s", "host", "pid"),
        "path",
    ),
    "gaps": ("at_ns", "session", "symbol", "stream", "ended", "lost"),
}
UNITS = {
    "target": "target (base, or quote money)",
    "filled": "filled (the same)",
    "fee": "fee (in its currency)",
    "heartbeat_age_s": "last heartbeat (s ago)",
    "avg_price": "average price (quote)",
    "price": "price (quote)",
    "quantity": "quantity (base)",
    "market_mid": "saw: mid (quote)",
    "seen.remaining": "saw: left (of 1)",
    "seen.achieved_price": "saw: average so far (quote)",
    "seen.benchmark_price": "saw: benchmark (quote)",
    "share": "answer (of 1)",
    "slice_quantity": "slice (base)",
    "gain_bps": "gain (bps, + is good)",
    "full_gain_bps": "full gain (bps, + is good)",
    "arrival_slippage_bps": "arrival slippage (bps, + is cost)",
    "measures.shortfall_total": "shortfall (money, + is cost)",
    "measures.shortfall_total_bps": "shortfall (bps, + is cost)",
    "impact_bps": "impact (bps, + is cost)",
    "lost": "lost (events)",
}
_EXPONENT = re.compile(r"[-+]?\d+(\.\d+)?[eE][-+]?\d+")
MONEY = ("fee", "measures.shortfall_total")
TIMES = ("submitted_ns", "sent_ns", "fill_ns", "asked_ns", "at_ns", "opened_ns")


def log_table(
    what: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a query's rows. What has no choice of columns (``sql``) shows them all."""
    if what not in SHOWN:
        return list(columns), [[_short(cell) for cell in row] for row in rows]
    names = [name for name in SHOWN[what] if name.partition(".")[0] in columns]
    whose = columns.index("session") if "session" in columns else None
    if whose is not None and "session" not in names and any("@replay-" in row[whose] for row in rows):
        names.insert(0, "session")  # a replay's orders have the ids of those they replay
    decimals = {name: _decimals(name, columns, rows) for name in names if name in MONEY}
    return [_heading(name) for name in names], [_cells(names, columns, row, decimals) for row in rows]


def _heading(name: str) -> str:
    if name in TIMES:
        return f"{name.removesuffix('_ns')} (UTC)"
    return UNITS.get(name, name)


def _cells(
    names: Sequence[str], columns: Sequence[str], row: Sequence[str], decimals: Mapping[str, int]
) -> list[str]:
    """Those of a row; a number that stands on faulty data with its mark, and the faults as a phrase."""
    flags = _flags(row[columns.index("flags")]) if "flags" in columns else None
    cells = [_cell(name, columns, row, decimals.get(name)) for name in names]
    if flags is None:
        return cells
    phrase = fault_phrase(most_of(flags.values()))
    measures = [name.partition(".")[2] or name for name in names]
    named = zip(measures, cells, strict=True)
    return [phrase if n == "flags" else marked(cell, cell and flags.get(n)) for n, cell in named]


def _flags(cell: str) -> dict[str, dict[str, float]] | None:
    """What the log's column of that name holds; None for a column of one's own."""
    try:
        flags = json.loads(cell)
    except json.JSONDecodeError:
        return None
    whole = isinstance(flags, dict) and all(isinstance(shares, dict) for shares in flags.values())
    return flags if whole else None


def _cell(name: str, columns: Sequence[str], row: Sequence[str], decimals: int | None) -> str:
    value = _value(name, columns, row)
    if name in TIMES:
        return _moment(value)
    if name.endswith("_bps") and _is_number(value):
        return bps(float(value))
    if decimals is not None and _is_number(value):
        return f"{Decimal(value):.{decimals}f}"
    if name in ("target", "filled") and "target_kind" in columns and _by_money(columns, row):
        return money(value, Decimal(_value("target", columns, row)))
    return _short(value)


def _moment(value: str) -> str:
    """A time in ns as people read it; what the database holds instead stays as it is."""
    try:
        return utc(int(value)) if value else ""
    except (ValueError, OverflowError, OSError):
        return _short(value)


def _value(name: str, columns: Sequence[str], row: Sequence[str]) -> str:
    """What a row has in a column, or in a member of it."""
    column, _, member = name.partition(".")
    text = row[columns.index(column)]
    if not member:
        return text
    try:
        document = json.loads(text or "{}")
    except json.JSONDecodeError:
        return text
    value = document.get(member) if isinstance(document, dict) else document
    return "" if value is None else str(value)


def _by_money(columns: Sequence[str], row: Sequence[str]) -> bool:
    """Whether an order's target is money."""
    amounts = (_value(name, columns, row) for name in ("target", "filled"))
    return _value("target_kind", columns, row) == "notional" and all(map(_is_number, amounts))


def _decimals(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Of a whole column of money, so that its points stand below each other."""
    return max((money_decimals(_worth(name, columns, row)) for row in rows), default=MONEY_DECIMALS)


def _worth(name: str, columns: Sequence[str], row: Sequence[str]) -> Decimal:
    """What an amount of money is a part of, which says how far it is rounded; 0 where that is not known."""
    value = _value(name, columns, row)
    of_it = _value(f"{name}_bps", columns, row) if "." in name else "10"  # a fee: of ten basis points
    if not (_is_number(value) and _is_number(of_it)) or not Decimal(of_it):
        return Decimal(0)
    return abs(Decimal(value) / Decimal(of_it)) * 10**4


def _short(cell: str) -> str:
    """A number in full, and no longer than it need be."""
    if not ("." in cell and len(cell) > 12) and not _EXPONENT.fullmatch(cell):
        return cell
    try:
        return positional(float(cell))
    except ValueError:
        return cell
