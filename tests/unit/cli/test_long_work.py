"""A command that takes a while says what it does, on stderr; stdout stays what was asked for."""

from __future__ import annotations

import ast
import io
import json
import sys
import time
from pathlib import Path
from threading import Event

import pytest

import agent.cli
import lem.cli
from agent.entry import log_lines, long_work
from agent.entry.long_work import LongWork
from tests.every_key.command_line import Terminal, call
from tests.fakes import order_of_the_model, record, small_session
from tests.patience import PATIENCE_S

SAID_BY_THEMSELVES = {
    "run": "the live view",
    "record": "the live view",
    "serve-exchange": "serves until it is ended",
    "schedule": "reads the configuration only",
    "config": "reads or writes one file",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done takes long: no work ends before a line of it was said."""
    said, tell, end = Event(), log_lines.tell, LongWork.__exit__

    def heard(line: str) -> None:
        tell(line)
        said.set()

    def end_once_heard(work: LongWork, *why: object) -> None:
        said.clear()
        assert said.wait(PATIENCE_S)
        end(work, *why)

    monkeypatch.setattr(long_work, "QUIET_S", 0.001)
    monkeypatch.setattr(long_work, "AGAIN_S", 0.01)
    monkeypatch.setattr(log_lines, "tell", heard)
    monkeypatch.setattr(LongWork, "__exit__", end_once_heard)


@pytest.fixture
def in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command before it has settled the style of this process's stderr."""
    monkeypatch.setattr(log_lines._Style, "set_up", False)
    monkeypatch.setattr(log_lines._Style, "asked", False)


@pytest.mark.usefixtures("in_words")
def test_a_pipe_gets_lines_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of short work; of long work what it is, how far, and for how long, again and again."""
    with LongWork("reading"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(long_work, "QUIET_S", 0.02)
    monkeypatch.setattr(long_work, "AGAIN_S", 0.02)
    with LongWork("reading") as work:
        time.sleep(0.05)
        work.at(3, 10, "two of them odd")
        time.sleep(0.08)
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert lines[0] == "reading: 0 s"
    assert lines[-1] == "reading: 3 of 10, two of them odd, 0 s"
    assert said.out == ""
    assert work.line(12.5) == "reading: 3 of 10, two of them odd, 12 s"


@pytest.mark.usefixtures("in_words")
def test_a_terminal_gets_a_line_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn at once, with what is done and how far."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with LongWork("reading") as work:
        work.at(3, 10, "odd")
        time.sleep(0.3)
    assert "reading" in screen.getvalue()
    assert "odd" in screen.getvalue()


@pytest.mark.usefixtures("impatient")
def test_json_stays_one_document(tmp_path: Path) -> None:
    """Whatever is said meanwhile is said on stderr."""
    session = small_session(tmp_path / "s")
    db = f"sqlite:///{tmp_path / 'log.db'}"
    instrument, events, order, command = order_of_the_model()
    by_lem = record(tmp_path / "m", instrument, events, [command], order)
    said = {
        ("agent", "replay", session, "--verify", "--db", db): "rep",
        ("agent", "sessions", "list", tmp_path, "--check"): "checking every row in",
        ("agent", "sessions", "inspect", session): "reading",
        ("agent", "sessions", "slice", session, "--out", tmp_path / "cut"): "cutting",
        ("agent", "sessions", "compact", session): "compacting",
        ("agent", "log", "fills", "--db", db): "asking the log for fills",
        ("agent", "status", "--db", db): "watching the heartbeats",
        ("lem", "bound", "--n", "8", "--participation", "0.1", "--m", "0"): "solving for n = 8",
        ("lem", "evaluate", "--market", "gaussian", "--n", "4", "--orders", "40"): "evaluating",
        ("lem", "explain", by_lem): "replaying",
    }
    for command_line, words in said.items():
        done = call(*command_line, "--json")
        assert done.code in (0, 1), done
        json.loads(done.out)
        assert words in done.err, (command_line, done.err)


def _commands(package: Path) -> dict[str, str]:
    """The text of each file that makes commands."""
    helpers = {"__init__.py", "options.py", "output.py"}
    found = {path.stem: path.read_text() for path in package.glob("*.py") if path.name not in helpers}
    return {name: text for name, text in found.items() if "typer.Option" in text or "o.AsJson" in text}


@pytest.mark.parametrize("package", [agent.cli, lem.cli], ids=["agent", "lem"])
def test_every_command_has_thought_of_it(package: object) -> None:
    """A new command shows its work, or is named above with what shows it."""
    folder = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    shows = {"spinner", "LongWork", "progress", "replay_progress", "reading", "run_view"}
    for name, text in _commands(folder).items():
        called = {
            getattr(node.func, "attr", getattr(node.func, "id", ""))
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call)
        }
        options_only = name.endswith("_options") or name == "html_files"
        assert called & shows or name.replace("_", "-") in SAID_BY_THEMSELVES or options_only, name


@pytest.mark.usefixtures("in_words")
def test_a_stream_that_is_no_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines go to the stream that stderr was when the work began."""
    first = io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    monkeypatch.setattr(long_work, "QUIET_S", 0.01)
    with LongWork("reading"):
        time.sleep(0.05)
    assert first.getvalue().startswith("reading: ")
