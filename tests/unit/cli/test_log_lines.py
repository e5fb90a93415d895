"""stderr has one style in a run: sentences on a terminal, JSON lines elsewhere and with --log-json."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog
import typer

from agent.cli.output import run_view
from agent.core.errors import InputError
from agent.entry import log_lines
from agent.entry.entry_point import run_and_exit


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    """What a test sets up for a process is gone after it."""
    yield
    log_lines.set_up(always_json=False)
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if type(h).__name__ != "_Libraries"]


def _run(err: io.StringIO, *arguments: str, fails: bool = False) -> list[str]:
    """A run that tells of itself, logs twice, hears a library's warning, and may fail: lines of stderr."""
    app = typer.Typer()

    @app.command()
    def work(log_json: bool = False) -> None:
        if log_json:
            log_lines.set_up(always_json=True)
        with run_view(plain=True) as view:
            view.open("S-1", [], "PAPER embedded “BTC/USDT”")
            log = structlog.get_logger("live")
            log.info("alive", events=7, working=True)
            log.warning("decision_late", decision="S-1-P1/0")
            logging.getLogger("somebody").warning("a library %s", "speaks")
        if fails:
            raise InputError("the exchange is gone: try again")

    with redirect_stderr(err), pytest.raises(SystemExit):
        run_and_exit(app, arguments)
    return err.getvalue().splitlines()


def test_a_terminal_gets_sentences_and_nothing_else() -> None:
    """The run's own lines, the log and libraries read alike."""
    assert _run(_Terminal(), fails=True) == [
        "session S-1: PAPER embedded “BTC/USDT”",
        "alive: events 7, working yes",
        "warning: decision late: decision S-1-P1/0",
        "warning: a library speaks: source somebody",
        "error: the exchange is gone: try again",
    ]


LOGGED = [
    ("info", "session S-1: PAPER embedded “BTC/USDT”"),
    ("info", "alive"),
    ("warning", "decision_late"),
    ("warning", "a library speaks"),
]
LAST = "error: the exchange is gone: try again"


def test_a_pipe_gets_a_log_of_json_and_an_answer_in_words() -> None:
    """The run's own lines are in the log; its last error is what the command answers."""
    *lines, last = _run(io.StringIO(), fails=True)
    assert [(line["level"], line["event"]) for line in map(json.loads, lines)] == LOGGED
    assert last == LAST


def test_asked_for_every_line_is_json() -> None:
    """--log-json, on a terminal too: the last error as well."""
    lines = [json.loads(line) for line in _run(_Terminal(), "--log-json", fails=True)]
    assert [(line["level"], line["event"]) for line in lines] == [*LOGGED, ("error", LAST)]
    assert all("timestamp" in line for line in lines)
    assert lines[1]["events"] == 7


def test_a_refusal_that_comes_first_is_plain_anywhere() -> None:
    """A command that has only one thing to say says it in words, and what follows is in words too."""
    err = io.StringIO()
    with redirect_stderr(err):
        log_lines.set_up(always_json=False)
        log_lines.complain("warning: tape-00000 is damaged")
        structlog.get_logger().warning("fingerprint_differs", cpu="other")
    assert err.getvalue().splitlines() == [
        "warning: tape-00000 is damaged",
        "warning: fingerprint differs: cpu other",
    ]


def test_stdout_stays_clean_in_a_command_that_sets_up_nothing() -> None:
    """Whatever a command's parts log goes to stderr, so that --json prints one document."""
    app = typer.Typer()

    @app.command()
    def work() -> None:
        structlog.get_logger().warning("fingerprint_differs", cpu="other")

    out, err = io.StringIO(), io.StringIO()
    sys_out, sys.stdout = sys.stdout, out
    try:
        with redirect_stderr(err), pytest.raises(SystemExit):
            run_and_exit(app, [])
    finally:
        sys.stdout = sys_out
    assert (out.getvalue(), json.loads(err.getvalue())["event"]) == ("", "fingerprint_differs")


def test_what_a_library_caught_is_told_with_its_traceback() -> None:
    """Whatever level it has: an odd one is a warning, and raises nothing in the library."""
    err = io.StringIO()
    with redirect_stderr(err):
        log_lines.set_up(always_json=True)
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("somebody").exception("a library fell")
        logging.getLogger("somebody").log(35, "of a level of its own")
    fell, odd = (json.loads(line) for line in err.getvalue().splitlines())
    assert (fell["level"], fell["event"]) == ("error", "a library fell")
    assert "ValueError: odd" in fell["exception"]
    assert (odd["level"], odd["event"]) == ("warning", "of a level of its own")
