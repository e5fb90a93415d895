"""docs/commands.md is complete and true: it is compared with the programs' own --help."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from agent.cli import app as agent_app
from agent.order_options import order_fields
from lem.cli import app as lem_app

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "commands.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PROGRAMS = {"agent": get_command(agent_app), "lem": get_command(lem_app)}


def leaves(command: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Every command without commands below it, by what one types."""
    below = getattr(command, "commands", None)
    if not below:
        return {" ".join(path): command}
    return {name: leaf for n, sub in below.items() for name, leaf in leaves(sub, (*path, n)).items()}


COMMANDS = {name: leaf for root, group in PROGRAMS.items() for name, leaf in leaves(group, (root,)).items()}
HEADINGS = re.split(r"^### (.+)$", PAGE, flags=re.M)
SECTIONS = dict(zip(HEADINGS[1::2], (text.split("\n## ")[0] for text in HEADINGS[2::2]), strict=True))
ORDER_OPTIONS = PAGE.split("## Order options")[1].split("\n## ")[0]


def options_of(name: str) -> set[str]:
    return {flag for p in COMMANDS[name].params for flag in p.opts if flag.startswith("--")} - {"--help"}


def test_every_command_has_its_section_and_no_other() -> None:
    """Each command once, none that does not exist."""
    assert sorted(HEADINGS[1::2]) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_every_option_of_its_command_and_no_other(name: str) -> None:
    """Those of the order by a link to their table, the rest by name."""
    named = set(OPTION.findall(SECTIONS[name]))
    if "(#order-options)" in SECTIONS[name]:
        named |= {each.flag for each in order_fields()}
    assert named == options_of(name)


def test_the_table_of_order_options_is_complete() -> None:
    """Every field of an order has its line, and none is listed that is no field."""
    assert set(OPTION.findall(ORDER_OPTIONS)) == {each.flag for each in order_fields()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_accepted(name: str) -> None:
    """Every example is of its command and is read without a complaint; nothing runs."""
    lines = [
        line for block in re.findall(r"```\n(.*?)```", SECTIONS[name], re.S) for line in block.splitlines()
    ]
    assert lines
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["python", "-m"]
        assert " ".join(words[2:]).startswith(name)
        root, *rest = words[2:]
        rest = rest[len(name.split()) - 1 :]
        COMMANDS[name].make_context(name, rest)
        assert root in PROGRAMS
