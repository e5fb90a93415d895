"""Every command in README and docs/ runs. What a test cannot have is replaced by what stands here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.every_key.command_line import call
from tests.unit.docs.documented_world import make_documents_world
from tests.unit.docs.test_docs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALLER = (  # no network, no hours
    ("--exchange binance", "--exchange embedded"),
    ("--symbol ETH/USDT --notional 250000", "--symbol ETH/USDT --notional 2500"),
    (
        "--min-duration 10m --max-duration 40m --interval 1m",
        "--min-duration 1s --max-duration 4s --interval 1s",
    ),
    ("--duration 10m", "--duration 1s"),
    ("--from 15m --to 45m", "--from 15s --to 45s"),
    ("import FILE", "import IBM.csv"),
    ("--bars FILE", "--bars BARS.parquet"),
    ("SESSION", "runs/sessions/20260101T120000-000"),
    ("calibrate runs/sessions/20260101T120000-000 --out FILE", "calibrate runs/sessions/ID --out laws.yaml"),
    ("lem fetch --symbol BTC/USDT", "lem fetch --exchange embedded --symbol BTC/USDT"),
)
MORE = {  # of options the last one counts
    "lem train": "--iterations 1 --workers 1",
    "lem evaluate": "--orders 60",
    "lem ablate": "--iterations 1 --orders 50 --seeds 1 --workers 1",
}
ON_A_SERVER = "needs a server: ``tests/contract`` and ``tests/integration/test_whole_databases.py``"
NOT_RUN = {
    "python -m agent run --paper --db postgresql://trader@db.example.com/desk --quantity 2 --algo lem": (
        ON_A_SERVER
    ),
    "python -m agent db copy sqlite:///runs/agent.db postgresql://trader@db.example.com/desk": ON_A_SERVER,
    "python -m agent db check --db postgresql://trader@db.example.com/desk": ON_A_SERVER,
    "python -m agent db upgrade --db URL": ON_A_SERVER,
    "python -m agent": "a program's name",
    "python -m lem": "a program's name",
    "python -m agent run --paper": "what `make run` runs, a minute: ``tests/integration/test_cli_run.py``",
    "python -m agent serve-exchange --port 8443": "serves until it is ended: the test below",
    "python -m agent run --paper --resume last": "needs one too: ``tests/integration/test_resume.py``",
    "python -m agent sessions end last": "needs a run that died: ``tests/every_key/test_every_option.py``",
    **{
        f"python -m agent ctl {command}": "needs a run that works: ``every_key/test_every_live_option.py``"
        for command in (
            "amend 20260101T120000-000-P1 --participation-cap 0.1",
            "cancel 20260101T120000-000-P1",
            "pause 20260101T120000-000-P1",
        )
    },
    "python -m lem train --preset finetune --init lem/checkpoints/default.safetensors --bars BTC.parquet"
    " --to 2025-01-01": "needs years of bars: ``tests/unit/lem/training``",
}
UNANSWERED = ("agent ctl",)
"""No agent is running: exit 1, or what the control says then, but never a complaint about the command."""


def documented() -> Iterator[tuple[str, str]]:
    """(page, command) of every fenced line and every command in backticks, once."""
    seen = set()
    for page in PAGES:
        text = page.read_text()
        fenced = [
            line for block in re.findall(r"```\w*\n(.*?)```", text, re.S) for line in block.splitlines()
        ]
        inline = [" ".join(words.split()) for words in re.findall(r"`(python -m (?:agent|lem)[^`]*)`", text)]
        for line in [*fenced, *inline]:
            if (
                line.startswith("python -m")
                and line not in seen
                and line not in NOT_RUN
                and "..." not in line
            ):
                seen.add(line)
                yield page.name, line


COMMANDS = list(documented())


def as_run(line: str) -> list[str]:
    """The words after ``python -m``, with what a test has in place of what it has not."""
    command = line.removeprefix("python -m ")
    for named, there in SMALLER:
        command = command.replace(named, there)
    for name, options in MORE.items():
        command += f" {options}" if command.startswith(name) else ""
    return shlex.split(command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documents")
    make_documents_world(made)
    return made


def test_there_are_commands_to_run() -> None:
    """The pages are read as they are written."""
    assert len(COMMANDS) > 30
    assert {page for page, _ in COMMANDS} >= {"README.md", "commands.md"}


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_a_documented_command_runs(
    page: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 0, or 1 for an order that expired, in a folder that holds what the page speaks of."""
    monkeypatch.chdir(folder)
    words = as_run(line)
    done = call(*words)
    bad = done.code == 2 or "Traceback" in done.err
    allowed = (0, 1) if words[:2] in (["agent", "run"], ["agent", "replay"]) else (0,)
    if line.removeprefix("python -m ").startswith(UNANSWERED):
        allowed = (0, 1, 3)
    assert not bad, f"{page}: {line}: {done.err}"
    assert done.code in allowed, f"{page}: {line}: {done}"


@pytest.mark.slow
def test_the_exchange_of_the_page_is_served() -> None:
    """``serve-exchange --port 8443`` says where it listens."""
    argv = [sys.executable, "-m", "agent", "serve-exchange", "--port", "8443"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = [running.stdout.readline() for _ in range(4)]
        running.terminate()
    assert any("8443" in line for line in said), said
