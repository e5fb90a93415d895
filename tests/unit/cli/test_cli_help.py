"""Help answers at once: every command explains itself without torch, ccxt or numba being imported."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from agent import VERSION
from agent.cli import app
from lem.cli import app as lem_app
from tests.patience import PATIENCE_S

HEAVY = ("torch", "ccxt", "numba", "numpy", "pyarrow", "sqlalchemy", "aiohttp", "apscheduler")


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group below ``command``, itself included, as what one types."""
    below = getattr(command, "commands", {})
    return [path, *(p for name, sub in below.items() for p in commands(sub, (*path, name)))]


ALL = commands(get_command(app))


def test_the_commands_of_the_contract_are_there() -> None:
    """Scripts hold on to these names."""
    names = {
        "run",
        "record",
        "replay",
        "import",
        "status",
        "ctl",
        "log",
        "serve-exchange",
        "doctor",
        "config",
    }
    assert names <= {path[0] for path in ALL if path}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    """--help exits 0 and says how the command is used and what it does."""
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0, done.output
    usage, _, rest = done.stdout.partition("Options")
    assert " ".join(("Usage:", "agent", *path)) in " ".join(usage.split())
    assert "--help" in rest


def test_help_imports_nothing_heavy() -> None:
    """One fresh interpreter asks every command for help and still has no heavy module loaded."""
    script = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from agent.cli import app\n"
        f"codes = [CliRunner().invoke(app, [*path, '--help']).exit_code for path in {ALL!r}]\n"
        f"print(json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    codes, heavy = json.loads(done.stdout)
    assert codes == [0] * len(ALL)
    assert heavy == []


@pytest.mark.parametrize("program", [app, lem_app], ids=["agent", "lem"])
def test_every_program_says_its_version(program: typer.Typer) -> None:
    """``--version`` of both is the distribution's."""
    done = CliRunner().invoke(program, ["--version"])
    assert (done.exit_code, done.stdout.split()) == (
        0,
        ["lem-execution-agent", VERSION],
    )
