"""Commands in this process, as ``python -m`` runs them, and the options they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from typer.main import get_command

from agent.cli import app as agent_app
from agent.cli import main as agent_main
from lem.cli import app as lem_app
from lem.cli import main as lem_main

MAINS = {"agent": agent_main, "lem": lem_main}
TIMING = re.compile(r"in [\d.]+ s, [\d,]+ a second|\"(seconds|events_per_s)\": [\d.e+]+")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def said(self) -> tuple[int, str]:
        """Exit code and stdout, without how long it took."""
        return self.code, TIMING.sub("", self.out)


class Terminal(StringIO):
    """What says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def call(*argv: object, terminal: bool = False) -> Done:
    """``agent replay ...`` or ``lem bound ...``, to its end. ``terminal``: with stderr on one."""
    program, *rest = [str(word) for word in argv]
    out, err = StringIO(), Terminal() if terminal else StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        MAINS[program](rest)
    return Done(int(left.value.code or 0), out.getvalue(), err.getvalue())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what one types."""
    for name, app in (("agent", agent_app), ("lem", lem_app)):
        yield from _below(get_command(app), name)


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inside = getattr(command, "commands", None)
    if not inside:
        yield name, command
        return
    for word, each in inside.items():
        yield from _below(each, f"{name} {word}")


def options() -> Iterator[str]:
    """Every option of every command: ``agent replay --verify``."""
    for name, command in commands():
        for parameter in command.params:
            flags = [flag for flag in parameter.opts if flag.startswith("--") and flag != "--help"]
            yield from (f"{name} {flag}" for flag in flags)
