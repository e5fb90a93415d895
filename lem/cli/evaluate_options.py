"""Options of ``evaluate`` that need reading: ranges of min periods, and the command as it was given."""

from __future__ import annotations

import re
import shlex
from typing import Any

import typer

from agent.core.errors import InputError

OUTPUTS = ("csv", "html", "as_json", "threads", "regimes")
"""Options that change nothing in the document."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def min_periods(texts: list[str]) -> tuple[int, ...]:
    """Return the periods in order, each once: "4", "0-6" and "0,4,8" may be mixed. Raises InputError."""
    found: set[int] = set()
    for text in ",".join(texts).split(","):
        match = _RANGE.fullmatch(text.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > 10_000:
            raise InputError(
                f"min period {text!r} is not understood: give a number, a range as in 0-6,"
                " or a list as in 0,4,8"
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def command_line(context: typer.Context) -> str:
    """The command as it was given, without what only changes where results go."""
    words = ["python", "-m", "lem", "evaluate"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name in OUTPUTS or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words += [str(one) for one in value]
        else:
            words += _option(parameter.opts[0], value)
    return shlex.join(words)


def _option(flag: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag] if value else []
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (flag, str(one))]
