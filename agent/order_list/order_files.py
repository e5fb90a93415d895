"""Files of many parent orders: CSV, JSON lines or YAML, a row an order and a column an option of it.

What a row leaves out is as in the configuration's ``order``. A file is used whole or not at all: every row
that cannot be used is told with its line.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import yaml
from pydantic import ValidationError

from agent.config import (
    Config,
    OrderRow,
    complaint,
    completed_order,
    names_of,
    parse_config,
    read_text,
    same_names,
)
from agent.core.errors import InputError
from agent.order_list.order_texts import order_values
from agent.order_options import order_fields
from agent.orders import order_faults

Row = tuple[int, object]
"""Its line, and what stands there; an InputError where that cannot be read."""
OWN = ("id", "symbol", "start")
ALIASES = {"shadow": "shadows", "algo_param": "algo_params"}
TOLD = 20
MOST_ORDERS = 100_000


def with_orders_of(path: Path, config: Config) -> Config:
    """``config`` with the orders of a file in place of its own. Raises InputError naming every bad row."""
    rows = list(islice(_rows(path), MOST_ORDERS + 1))
    if not 0 < len(rows) <= MOST_ORDERS:
        held = "no order" if not rows else f"more than {MOST_ORDERS:,} orders"
        raise InputError(f"{path} holds {held}: give 1 to {MOST_ORDERS:,}, a row each")
    base, listed = config.model_dump()["order"], list[OrderRow]()
    faults: list[tuple[str, str]] = []
    for line, row in rows:
        place = f"{path}:{line}"
        try:
            listed.append(_listed(row, base).found_at(place))
        except InputError as error:
            faults.append((place, str(error)))
    names = names_of(listed)
    faults += [
        (listed[number].place, f"id {names[number]!r} is taken: {listed[other].place} has it")
        for number, other in same_names(names if not faults else [])
    ]
    refuse_orders(faults, len(rows))
    parse_config(config.model_dump() | {"orders": [one.model_dump() for one in listed]}, str(path))
    return config.model_copy(update={"orders": tuple(listed)})


def refuse_orders(faults: Sequence[tuple[str, str]], of: int) -> None:
    """Raise InputError with each (place, fault) of an order, unless there is none."""
    if not faults:
        return
    if len(faults) == 1:
        raise InputError(f"{faults[0][0]}: {faults[0][1]} (of {of:,} orders none was started)")
    told = [f"{place}: {what}" for place, what in faults[:TOLD]]
    more = [f"and {len(faults) - TOLD:,} more"] if len(faults) > TOLD else []
    bad = len({place for place, _ in faults})
    head = f"{bad:,} of {of:,} orders cannot be used, so none was started:"
    raise InputError("\n  ".join([head, *told, *more]))


def _listed(row: object, base: Mapping[str, object]) -> OrderRow:
    if isinstance(row, InputError):
        raise row
    if not isinstance(row, Mapping):
        raise InputError(
            f"{_brief(row)} is no order: give a name and a value for each option, as in quantity: 1"
        )
    given: dict[str, object] = {}
    for name, value in row.items():
        if given.setdefault(_column(name), value) is not value:
            raise InputError(f"{_column(name)} is there twice: leave one out")
    given = {name: value for name, value in given.items() if value not in ("", None, [], {})}
    values = order_values({name: _text(name, given[name]) for name in given.keys() - set(OWN)})
    own = {name: given[name] for name in OWN if name in given}
    try:
        listed = OrderRow.model_validate({**own, "order": completed_order(values, base)})
    except ValidationError as error:
        raise InputError("; ".join(complaint(e).removeprefix("order.") for e in error.errors())) from error
    for _, fault in order_faults(listed.order):
        raise fault
    return listed


def _brief(value: object) -> str:
    """So much of a value as a message may hold."""
    return repr(value)[:60] if isinstance(value, str | int | float | bool | None) else type(value).__name__


@cache
def _column(name: object) -> str:
    """The option that a column is of: ``Min-Duration`` is ``min_duration``. Raises InputError."""
    plain = "_".join(str(name).strip().casefold().replace("-", " ").split())
    plain = ALIASES.get(plain, plain)
    known = [*OWN, *(each.name for each in order_fields())]
    if plain not in known:
        near = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise InputError(f"unknown column {str(name)!r}: {hint}")
    return plain


def _text(name: str, value: object) -> object:
    """The value as the command line has it: one text, or a list of them for parameters."""
    inner = [*value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else []
    if any(isinstance(each, list | Mapping) for each in inner):
        raise InputError(f"{name} holds lists within lists: give plain values")
    if name == "algo_params":
        if isinstance(value, Mapping):
            return [f"{key}={number}" for key, number in value.items()]
        return list(map(str, value)) if isinstance(value, list) else str(value).replace(";", " ").split()
    if isinstance(value, Mapping):
        raise InputError(f"{name} holds names and values: give one value")
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


# --- rows by kind of file --------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    kind = path.suffix.casefold()
    if kind not in _READERS:
        raise InputError(
            f"{path}: orders are read from {', '.join(_READERS)}, not from {kind or 'no ending'}"
        )
    text = read_text(path, "orders", "give another --orders").removeprefix("\ufeff")
    try:
        yield from _READERS[kind](text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError, csv.Error) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as {kind}: {what}") from error


def _of_csv(text: str) -> Iterator[Row]:
    """The first row names the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header = [_column(name) for name in next(reader, [])]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise InputError(f"column {twice[0]} is there twice: leave one out")
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            if len(cells) > len(header):
                yield (
                    line,
                    InputError(f"{len(cells)} cells stand below {len(header)} columns: leave some out"),
                )
            else:
                yield line, {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        line = reader.line_num + 1


def _of_json_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line, parse_float=str, parse_int=str, object_pairs_hook=_each_once)
            except json.JSONDecodeError:
                yield number, InputError(f"{_brief(line.strip())} is no JSON: write a document in each line")
            except InputError as error:
                yield number, error


def _each_once(pairs: Sequence[tuple[Hashable, object]]) -> dict[Hashable, object]:
    found: dict[Hashable, object] = {}
    for name, value in pairs:
        if name in found:
            raise InputError(f"{name} is there twice: leave one out")
        found[name] = value
    return found


class _Texts(yaml.BaseLoader):
    """Numbers stay as they are written; null is none; no key is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        made = [(self.construct_object(k, True), self.construct_object(v, True)) for k, v in node.value]
        return _each_once([(str(key), value) for key, value in made])


_Texts.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Texts.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)
_Texts.add_constructor("tag:yaml.org,2002:map", _Texts.construct_mapping)


def _of_yaml(text: str) -> Iterator[Row]:
    """A list of mappings."""
    loader = _Texts(text)
    node = loader.get_single_node()
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("give a list of orders, each with its options")
    for item in node.value:
        try:
            yield item.start_mark.line + 1, loader.construct_object(item, deep=True)
        except InputError as error:
            yield item.start_mark.line + 1, error


_READERS: Mapping[str, Callable[[str], Iterator[Row]]] = {
    ".csv": _of_csv,
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
    ".yaml": _of_yaml,
    ".yml": _of_yaml,
}
