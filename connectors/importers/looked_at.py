"""What a file looks like: its format by its first lines, whatever it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet

from agent.barfiles import column_names
from agent.barfiles.bar_tables import cut, is_number, raw_table
from agent.barfiles.open_files import UNREADABLE, open_unpacked
from agent.core.errors import InputError
from connectors.importers.tardis.tardis_lines import BOOK_COLUMNS, TRADE_COLUMNS
from connectors.importers.tardis.tardis_tops import QUOTE_COLUMNS, levels_of_header
from connectors.importers.trades import trade_tables

_HEAD_BYTES = 1 << 16
_CAPTURED = re.compile(r"\d{10,19} [{\[]")
_TARDIS = "exchange,symbol,timestamp,local_timestamp,"
_SHOWN = 80
_OHLC = {"open", "high", "low", "close"}


@dataclass(frozen=True, slots=True)
class Look:
    """``kind``: the name of the format that reads it, "" where none does. ``what``: in words."""

    kind: str
    what: str


RAW = Look("binance-raw", "a raw capture (a receive time and JSON a line)")
_OF_BYBIT = re.compile(r'"topic"\s*:\s*"(orderbook|publicTrade)\.|"op"\s*:\s*"subscribe"')
_OF_HYPERLIQUID = re.compile(r'"channel"\s*:\s*"(l2Book|trades|bbo|subscriptionResponse)"')
_OF_OKX = re.compile(r'"instId"\s*:.{0,80}"action"\s*:\s*"(snapshot|update)"|"action"\s*:.{0,80}"instId"\s*:')
BARS = Look("klines", "bars")
TRADES = Look("trades", "trades without a book")


def look(path: Path) -> Look:
    """What a file looks like. Raises InputError when it cannot be opened."""
    with open_unpacked(path) as file:
        try:
            head = file.read(_HEAD_BYTES)
        except UNREADABLE:
            head = b""
        if head.startswith((b"PAR1", b"ARROW1", b"FEA1")):
            return _of_columns(_columns(path))
    text = head.decode(errors="replace").lstrip("\ufeff")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return Look("", "empty, or torn at its beginning")
    if _CAPTURED.match(lines[0]):
        return _of_capture(text)
    if lines[0].startswith(_TARDIS):
        return _of_tardis(lines[0])
    if lines[0][0] in "[{":
        return _of_json(text, lines)
    return _of_text(lines)


def _columns(path: Path) -> list[str]:
    """Of a parquet or a feather file, read as a table."""
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except (*UNREADABLE, UnicodeDecodeError):
        return list(raw_table(path, lambda _, cells: None, {}).column_names)


def _of_capture(text: str) -> Look:
    if _OF_BYBIT.search(text):
        return Look("bybit-raw", "a raw capture of Bybit's streams")
    if _OF_HYPERLIQUID.search(text):
        return Look("hyperliquid-raw", "a raw capture of Hyperliquid's streams")
    return RAW


def _of_tardis(header: str) -> Look:
    if header == BOOK_COLUMNS:
        return Look("tardis-csv", "a Tardis book (incremental_book_L2)")
    if header == TRADE_COLUMNS:
        return Look("tardis-csv", "Tardis trades")
    if levels := levels_of_header(header):
        return Look("tardis-csv", "Tardis quotes" if header == QUOTE_COLUMNS else f"Tardis books of {levels}")
    return Look("", "a Tardis file of another kind than books, quotes and trades")


def _of_columns(columns: Sequence[str]) -> Look:
    if column_names.recognised(columns).keys() >= _OHLC:
        return BARS
    if trade_tables.of_a_book(columns):
        return Look("", f"a table of a book's levels ({', '.join(columns)[:_SHOWN]})")
    if trade_tables.recognised(columns).keys() >= set(trade_tables.NEEDED):
        return TRADES
    return Look("", f"a table of {', '.join(columns)[:_SHOWN]}")


def _of_json(text: str, lines: Sequence[str]) -> Look:
    if _OF_BYBIT.search(lines[0]):
        return Look("book-archive", "an order book archive of Bybit's")
    if _OF_OKX.search(lines[0]):
        return Look("book-archive", "an order book archive of OKX's")
    row = _first_row(text)
    if isinstance(row, dict):
        return _of_columns(list(row))
    if isinstance(row, list):
        words = any(value in ("buy", "sell") for value in row)
        return TRADES if words else (BARS if len(row) in column_names.JSON_LISTS else Look("", "JSON lists"))
    if lines[0].startswith("{"):
        topic = re.search(r'"(?:topic|channel|action)"\s*:\s*"([^"]+)"', lines[0])
        return Look("", f"JSON lines{f' of {topic[1]}' if topic else ''}, as a book archive has them")
    return Look("", "JSON")


def _first_row(text: str) -> Any:
    """The first record or list of a JSON document of many, which may be cut off."""
    inner = re.search(r"\[\s*(\[[^\[\]]*\]|\{[^{}]*\})", text)
    if inner is None:
        return None
    try:
        return orjson.loads(inner[1])
    except orjson.JSONDecodeError:
        return None


def _of_text(lines: Sequence[str]) -> Look:
    """By the first line that is a header or a row of numbers, below what may stand above them."""
    for line in lines[:5]:
        _, cells = cut(line)
        if len(cells) < 3:
            continue
        found = _of_columns(cells)
        if found.kind:
            return found
        if trade_tables.names_without_header(Path(), cells):
            return TRADES
        numbers = sum(is_number(cell) for cell in cells)
        if (len(cells) in column_names.HEADERLESS and numbers >= 5) or numbers == len(cells) == 5:
            return BARS
    return Look("", f"text that begins with {lines[0][:_SHOWN]!r}")


def agreed(files: Sequence[Path]) -> Look:
    """What all files look like. Raises InputError where they differ, or where no format reads them."""
    looks = [look(path) for path in files]
    kinds = {one.kind for one in looks}
    if len(kinds) == 1 and looks[0].kind:
        return looks[0]
    if kinds == {"book-archive", "trades"}:  # as an exchange publishes them: one file each
        return next(one for one in looks if one.kind == "book-archive")
    seen = "; ".join(f"{path.name} looks like {one.what}" for path, one in zip(files, looks, strict=True))
    if len(kinds) > 1 and "" not in kinds:
        raise InputError(f"the files are of different formats ({seen}): import one format at a time")
    raise InputError(
        f"{seen}, which no format reads: binance-raw, bybit-raw and hyperliquid-raw take raw captures,"
        " book-archive Bybit's and OKX's order books, tardis-csv Tardis' books and trades, klines bars of any"
        " source, trades the trades of any; name one with --format if it is one of these"
    )
