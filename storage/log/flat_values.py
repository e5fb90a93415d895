"""Rows without anything nested, for CSV and Parquet: what JSON nests becomes columns, or a phrase.

A record (``RECORDS``), whose members are the same in every row, becomes a column each: ``seen.remaining``;
those of a measurement, which are measures like the others, keep their own names: ``shortfall_total``. A
mapping that the data names the members of is one phrase, so that columns do not come and go with the rows:
``gain_bps: gap 0.25, lost_trades 0.125; full_gain_bps: gap 0.2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.summary import MeasuresDocument

RECORDS = ("measures", "seen", "config", "fingerprint")
_OWN_NAMES = "measures"
_TAKEN = {"flags": "note"}  # of a measure: the rows have a column of that name
_ALWAYS = {_OWN_NAMES: tuple(MeasuresDocument.__annotations__)}  # columns of a table without rows too


def flat(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[list[str], list[list[object]]]:
    """The same columns and rows without lists and mappings in them."""
    made: list[list[object]] = [[] for _ in rows]
    names: list[str] = []
    for at, column in enumerate(columns):
        cells = [row[at] for row in rows]
        if column in RECORDS and all(cell is None or isinstance(cell, Mapping) for cell in cells):
            found = [dict(_leaves(cell)) if isinstance(cell, Mapping) else {} for cell in cells]
            seen = dict.fromkeys([*_ALWAYS.get(column, ()), *(key for leaf in found for key in leaf)])
            keys = list(seen) or [""]  # nothing in any row: a column, and empty
            names += [_column(column, key) for key in keys]
            for row, leaves in zip(made, found, strict=True):
                row += [leaves.get(key) for key in keys]
        else:
            names.append(column)
            for row, cell in zip(made, cells, strict=True):
                row.append(phrase(cell))
    return names, made


def _column(column: str, key: str) -> str:
    if not key:
        return column
    return _TAKEN.get(key, key) if column == _OWN_NAMES else f"{column}.{key}"


def _leaves(record: Mapping[str, object], before: str = "") -> Iterable[tuple[str, object]]:
    """Every member of members, by its path."""
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", phrase(value)


def phrase(value: object) -> object:
    """A list or mapping in words; anything else as it is. Nothing in them is nothing."""
    if isinstance(value, Mapping):
        return "; ".join(_named(key, inner) for key, inner in value.items()) or None
    if isinstance(value, list):
        return "; ".join(_text(inner) for inner in value) or None
    return value


def _named(key: str, value: object) -> str:
    return f"{key}: {_text(value)}" if isinstance(value, Mapping | list | str) else f"{key} {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_named(key, inner) for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
