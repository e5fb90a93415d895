"""Everything that is wrong with a configuration file, each with its line: not only the first fault.

What cannot be used is named and taken out, and the rest is looked at again, as often as that finds something:
a wrong key hides no other, nor what a run would refuse at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, SequenceNode

from agent.config import Config, complaint, read_text
from agent.core.secret_url import without_passwords

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
"""Keys, and numbers of items, from the top."""
StartFaults = Callable[[Config], Iterable[tuple[Place, str]]]
MOST_LOOKS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. ``line`` counts from 1; None where it is no line's."""

    line: int | None
    message: str

    def at(self, path: Path) -> str:
        """config.yaml:12: venue.reach = 'all': ..."""
        return f"{path}:{self.line}: {self.message}" if self.line else f"{path}: {self.message}"


def file_faults(path: Path, start_faults: StartFaults) -> list[Fault]:
    """Every fault of the file. ``start_faults`` finds what a run would refuse of what can be read.

    Raises ConfigError where there is no file to read.
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = without_passwords(str(getattr(error, "problem", None) or error))
        return [Fault(mark.line + 1 if mark else None, f"this is no YAML: {what}")]
    if raw is None:
        return _sorted(_of_config({}, {}, start_faults))
    if not isinstance(raw, dict):
        return [Fault(1, f"this is a {type(raw).__name__}: write sections, as `agent config init` does")]
    lines: dict[Place, int] = {}
    twice = list(_walked(node, (), lines, set())) if node else []
    return _sorted([*twice, *_of_config(raw, lines, start_faults)])


def _sorted(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(dict.fromkeys(faults), key=lambda fault: (fault.line is None, fault.line or 0))


def _walked(node: Node, place: Place, lines: dict[Place, int], walked: set[int]) -> Iterator[Fault]:
    """Note the line of every key and item; yield keys that are there twice, where the last would win.

    An alias is the node that it names: that is ``walked`` once, or a few lines of them would take for ever.
    """
    if id(node) in walked:
        return
    walked.add(id(node))
    if isinstance(node, MappingNode):
        seen: dict[object, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                where = ".".join(map(str, (*place, name)))
                yield Fault(line, f"{where} is there twice, first in line {seen[name]}: leave one out")
            seen[name] = line
            lines[*place, name] = line
            yield from _walked(value, (*place, name), lines, walked)
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            lines[*place, number] = value.start_mark.line + 1
            yield from _walked(value, (*place, number), lines, walked)


def _of_config(
    raw: dict[object, object], lines: Mapping[Place, int], start_faults: StartFaults
) -> Iterator[Fault]:
    """What the schema has against ``raw``, then what a run has against the rest of it."""
    used: set[Place] = set()
    for _ in range(MOST_LOOKS):
        try:
            config = Config.model_validate(raw)
        except ValidationError as error:
            found = error.errors()
        else:
            break
        for each in found:
            if not any(place[: len(_place(each))] == _place(each) for place in used):
                yield Fault(_line_of(_place(each), lines), complaint(each))  # else: told of what was in it
        gone = {_there(raw, _place(each)) for each in found} - {()}
        if not gone:
            return
        used |= gone
        for place in sorted(gone, key=lambda place: [str(key).zfill(9) for key in place], reverse=True):
            lines = _taken_out(raw, place, lines)
    else:
        return
    for place, message in start_faults(config):
        yield Fault(_line_of(place, lines), message)


def _line_of(place: Place, lines: Mapping[Place, int]) -> int | None:
    """That of the key, or of the nearest section around it."""
    for end in range(len(place), 0, -1):
        if place[:end] in lines:
            return lines[place[:end]]
    return None


def _place(error: ErrorDetails) -> Place:
    """Where a fault is; of one that more than one section gives rise to, the key it is about."""
    return tuple(error["loc"]) or tuple(error.get("ctx", {}).get("place", ()))


def _there(raw: object, place: Place) -> Place:
    """The part of ``place`` that the file has: a key that is missing is a fault of what lacks it."""
    at: Any = raw
    for depth, key in enumerate(place):
        in_list = isinstance(at, list) and isinstance(key, int) and key < len(at)
        if not (in_list or (isinstance(at, dict) and key in at)):
            return place[:depth]
        at = at[key]
    return place


def _taken_out(raw: object, place: Place, lines: Mapping[Place, int]) -> Mapping[Place, int]:
    """Remove a key or an item from the values; the lines by what the items after it are called now."""
    *path, last = place
    holder: Any = raw
    for key in path:
        holder = holder[key]
    in_list = isinstance(holder, list)
    if in_list or last in holder:
        del holder[last]
    return {_renamed(known, place) if in_list else known: line for known, line in lines.items()}


def _renamed(known: Place, gone: Place) -> Place:
    at = len(gone) - 1
    number, removed = (each[at] if len(each) > at else None for each in (known, gone))
    if known[:at] == gone[:at] and isinstance(number, int) and isinstance(removed, int) and number > removed:
        return (*known[:at], number - 1, *known[at + 1 :])
    return known
