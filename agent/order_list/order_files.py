"""Files of many parent orders: CSV, JSON lines, JSON or YAML, a row an order and a column an option of it.

What a row leaves out is as in the configuration's ``order``. A file is used whole or not at all: every row
that cannot be used is told with its line.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from agent.config import Config, ListedOrder, complaint, completed_order, parse_config, read_text, same_names
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
    rows = list(_rows(path))
    if not 0 < len(rows) <= MOST_ORDERS:
        raise InputError(f"{path} holds {len(rows):,} orders: give 1 to {MOST_ORDERS:,}, a row each")
    base, listed = config.model_dump()["order"], list[ListedOrder]()
    faults: list[tuple[str, str]] = []
    for line, row in rows:
        place = f"{path}:{line}"
        try:
            listed.append(_listed(row, base).found_at(place))
        except InputError as error:
            faults.append((place, str(error)))
    names = [one.id or f"P{number + 1}" for number, one in enumerate(listed)]
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


def _listed(row: object, base: Mapping[str, object]) -> ListedOrder:
    if isinstance(row, InputError):
        raise row
    if not isinstance(row, Mapping):
        raise InputError(f"{row!r} is no order: give a name and a value for each option, as in quantity: 1")
    given = {_column(name): value for name, value in row.items() if value not in ("", None, [], {})}
    values = order_values({name: _text(name, given[name]) for name in given.keys() - set(OWN)})
    own = {name: given[name] for name in OWN if name in given}
    try:
        listed = ListedOrder.model_validate({**own, "order": completed_order(values, base)})
    except ValidationError as error:
        raise InputError("; ".join(complaint(e).removeprefix("order.") for e in error.errors())) from error
    for _, fault in order_faults(listed.order):
        raise fault
    return listed


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
    if name == "algo_params":
        if isinstance(value, Mapping):
            return [f"{key}={number}" for key, number in value.items()]
        return list(map(str, value)) if isinstance(value, list) else str(value).replace(";", " ").split()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


# --- rows by kind of file --------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    kind = path.suffix.casefold()
    if kind not in _READERS:
        raise InputError(
            f"{path}: orders are read from {', '.join(_READERS)}, not from {kind or 'no ending'}"
        )
    text = read_text(path, "orders", "give another --orders")
    try:
        yield from _READERS[kind](text)
    except (yaml.YAMLError, ValueError, RecursionError, csv.Error) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as {kind}: {what}") from error


def _of_csv(text: str) -> Iterator[Row]:
    """The first row names the columns."""
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True, skipinitialspace=True
    )
    header: list[str] = next(reader, [])
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} is there twice: leave one out")
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
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line, parse_float=str, parse_int=str)
            except json.JSONDecodeError:
                yield number, InputError(f"{line.strip()[:60]!r} is no JSON: write a document in each line")


def _of_yaml(text: str) -> Iterator[Row]:
    """A list of mappings; numbers stay as they are written."""
    loader = yaml.BaseLoader(text)
    node = loader.get_single_node()
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("give a list of orders, each with its options")
    for item in node.value:
        yield item.start_mark.line + 1, loader.construct_object(item, deep=True)


_READERS: Mapping[str, Callable[[str], Iterator[Row]]] = {
    ".csv": _of_csv,
    ".jsonl": _of_json_lines,
    ".ndjson": _of_json_lines,
    ".json": _of_yaml,
    ".yaml": _of_yaml,
    ".yml": _of_yaml,
}
