"""A file of bars as a table with the product's column names, whatever wrote it.

Parquet, Feather, CSV (with a header or without, any usual separator, text above the header) and JSON (lists
of lists as ccxt and exchanges answer, or of records), each plain, gzip, Zstandard or zipped.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from agent.barfiles.column_names import (
    DATE_AND_CLOCK,
    HEADERLESS,
    JSON_LISTS,
    TIMES_OF_DAY,
    recognised,
    volumes_by_currency,
)
from agent.barfiles.open_files import UNREADABLE, open_unpacked
from agent.core.errors import InputError

_PREAMBLE_LINES = 5  # above the header: a title, the site it is from
_SEPARATORS = ",;\t|"
_WITHOUT_VOLUME = HEADERLESS[6][:5]  # which is then told
_FEWEST_SEPARATORS = 2  # in a line of data
_LISTS = ("results", "data", "candles", "result", "list", "bars", "Data")  # where JSON answers hold bars


Headerless = Callable[[Path, list[str]], list[str] | None]
"""Names for a file whose first line (its cells) is no header; None where it is one. Raises InputError."""


def read_table(path: Path) -> pa.Table:
    """Read one file; columns that are not known keep their names. Raises InputError."""
    return _renamed(path, raw_table(path, _names_without_header, JSON_LISTS))


def raw_table(path: Path, headerless: Headerless, json_lists: Mapping[int, Sequence[str]]) -> pa.Table:
    """A file's table with its own column names; where it has none, those given. Raises InputError."""
    if not path.exists():
        raise InputError(f"no file {path}: give a parquet or CSV file of bars")
    try:
        with open_unpacked(path) as file:
            data = file.read()
        return _of_texts(_parse(path, data, headerless, json_lists))
    except (*UNREADABLE, ValueError, OverflowError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} is not a readable parquet or CSV file: {why}") from error


def _of_texts(table: pa.Table) -> pa.Table:
    """The table with text where bytes are: those that are no UTF-8 are marked in it, and are no number.

    Raises UnicodeDecodeError where a column's name is none.
    """
    names = table.column_names
    for k, kind in enumerate(table.schema.types):
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            cells = [None if b is None else b.decode(errors="replace") for b in table.column(k).to_pylist()]
            table = table.set_column(k, names[k], pa.array(cells, pa.string()))
    return table


def _parse(
    path: Path, data: bytes, headerless: Headerless, json_lists: Mapping[int, Sequence[str]]
) -> pa.Table:
    if data.startswith(b"PAR1"):
        return pyarrow.parquet.read_table(pa.BufferReader(data))
    if data.startswith((b"ARROW1", b"FEA1")):
        return pyarrow.feather.read_table(pa.BufferReader(data))
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(pa.BufferReader(data))
    if data.lstrip()[:1] in (b"[", b"{"):
        return _of_json(path, orjson.loads(data), json_lists)
    return _of_text(path, data.removeprefix(b"\xef\xbb\xbf"), headerless)


# --- text -------------------------------------------------------------------------------------------


def _of_text(path: Path, data: bytes, headerless: Headerless) -> pa.Table:
    lines = [line.decode(errors="replace") for line in data[:65536].splitlines()[: _PREAMBLE_LINES + 2]]
    if not lines:
        raise InputError(f"{path} is empty: give a file of bars")
    skip = _header_line(lines)
    separator, cells = cut(lines[skip])
    names = headerless(path, cells)
    return pyarrow.csv.read_csv(
        io.BytesIO(data),
        read_options=pyarrow.csv.ReadOptions(skip_rows=skip, column_names=names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
    )


def cut(line: str) -> tuple[str, list[str]]:
    """What separates the cells of a line, and the cells, without quotes."""
    separator = max(_SEPARATORS, key=line.count)
    return separator, [cell.strip().strip('"') for cell in line.split(separator)]


def _header_line(lines: list[str]) -> int:
    """The line with the columns' names: the first, or one below text with fewer cells."""
    widths = [max(line.count(s) for s in _SEPARATORS) for line in lines]
    return next((k for k, width in enumerate(widths[:_PREAMBLE_LINES]) if width >= _FEWEST_SEPARATORS), 0)


def _names_without_header(path: Path, cells: list[str]) -> list[str] | None:
    """Names for a file whose first line is a bar; None where it is a header. Raises InputError."""
    if len(cells) < len(_WITHOUT_VOLUME) or not all(is_number(cell) for cell in cells[2:6]):
        return None
    if len(cells) == len(DATE_AND_CLOCK) and ":" in cells[1]:
        return list(DATE_AND_CLOCK)
    if len(cells) == len(_WITHOUT_VOLUME) and is_number(cells[1]):
        return list(_WITHOUT_VOLUME)
    if len(cells) not in HEADERLESS or not is_number(cells[1]):
        known = ", ".join(map(str, HEADERLESS))
        raise InputError(
            f"{path} has no header and {len(cells)} columns: without one, files of {known} columns are"
            " understood (time, open, high, low, close, volume first); write a header above them"
        )
    return list(HEADERLESS[len(cells)])


def is_number(cell: str) -> bool:
    """Whether a cell of text holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


# --- JSON -------------------------------------------------------------------------------------------


def _of_json(path: Path, document: Any, json_lists: Mapping[int, Sequence[str]]) -> pa.Table:
    rows = document
    for _ in range(3):
        if not isinstance(rows, dict):
            break
        rows = next((rows[name] for name in _LISTS if name in rows), rows)
    if isinstance(rows, dict) and all(isinstance(column, list) for column in rows.values()):
        return pa.table(rows)  # columns, as charting libraries take them
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} is JSON without a list of bars: give a list of lists or of records")
    kind = dict if isinstance(rows[0], dict) else list
    odd = next((k for k, row in enumerate(rows) if not isinstance(row, kind)), 0)
    if odd:
        raise InputError(
            f"{path} is JSON: row 1 is a {'record' if kind is dict else 'list'} and row {odd + 1} is not:"
            " correct the row or remove it"
        )
    if kind is dict:
        return pa.Table.from_pylist(rows)
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    if width not in json_lists or any(len(row) != width for row in rows):
        raise InputError(
            f"{path} is JSON whose lists have {width} values: give time, open, high, low, close, volume"
        )
    columns = {name: [row[k] for row in rows] for k, name in enumerate(json_lists[width])}
    return pa.table(columns)


# --- names ------------------------------------------------------------------------------------------


def refuse_equal_names(path: Path, table: pa.Table, used: Iterable[str]) -> None:
    """Raise InputError where two columns bear a name that is used: which is meant cannot be known."""
    twice = [name for name in used if table.column_names.count(name) > 1]
    if twice:
        raise InputError(f"{path} has several columns called {twice[0]!r}: rename or remove the others")


def _renamed(path: Path, table: pa.Table) -> pa.Table:
    found = recognised(table.column_names)
    refuse_equal_names(path, table, (*found.values(), *volumes_by_currency(table.column_names)))
    if "volume" not in found or "quote_volume" not in found:
        _settle_volumes(table, found)
    ours = {theirs: name for name, theirs in found.items()}
    taken = {*found, *TIMES_OF_DAY}
    names = [
        ours.get(name, name if name not in taken else f"{name} (not used)") for name in table.column_names
    ]
    return table.rename_columns(names)


def _settle_volumes(table: pa.Table, found: dict[str, str]) -> None:
    """``Volume BTC`` beside ``Volume USD``: the one that is money over the other lies at the price."""
    by_currency = volumes_by_currency(table.column_names)
    if len(by_currency) == 1 and by_currency[0] not in found.values():
        found.setdefault("volume", by_currency[0])
    if len(by_currency) != 2 or "close" not in found:
        return
    one, two, close = (_median(table, name) for name in (*by_currency, found["close"]))
    base, money = by_currency if abs(two - one * close) <= abs(one - two * close) else by_currency[::-1]
    found["volume"], found["quote_volume"] = base, money


def _median(table: pa.Table, name: str) -> float:
    """A middle value, for a comparison of sizes; 0 where there is none."""
    try:
        value = pc.quantile(table[name].cast(pa.float64()), 0.5)[0].as_py()
    except pa.ArrowException:
        return 0.0
    return float(value or 0.0)
