"""What surrounds a command: any terminal's letters, errors as one message, arguments that are no text."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agent.core.errors import InputError, InternalError
from agent.entry.entry_point import run_and_exit
from agent.entry.readable_output import make_readable
from tests.unit.docs.test_docs import ROOT

SECRET = "s3cretWord"
ONLY_ON_UNIX = {"fcntl", "resource", "pwd", "grp", "termios"}
NOT_ON_WINDOWS = {
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "fork", "geteuid", "getuid", "SIGKILL", "SIGALRM", "SIGHUP"),
    *("setitimer", "add_signal_handler", "pread", "mkfifo", "setrlimit"),
}


def ended(
    error: BaseException | None, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """Exit code and stderr of a program whose one command raises ``error``."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command(name: str = "") -> None:
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as left:
        run_and_exit(app, argv)
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError(f"no postgresql://u:{SECRET}@h/db"), 2, "postgresql://u:***@h/db"),
        (
            InternalError("a rule was broken"),
            1,
            "this program is at fault (InternalError: a rule was broken)",
        ),
        (KeyError(f"postgresql://u:{SECRET}@h/db"), 1, "--debug"),
        (OSError(36, "File name too long", "x" * 5000), 2, "File name too long; check the path"),
        (OSError(28, "No space left on device", "/a"), 3, "/a: No space left"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_is_a_message(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an exit code; no password, no traceback, and no more than a screen of it."""
    exited, told = ended(error, [], capsys)
    assert exited == code
    assert words in told
    assert SECRET not in told
    assert "Traceback" not in told
    assert len(told) < 1000


def test_debug_shows_where_it_comes_from() -> None:
    """The error itself is raised."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise InputError("x")

    with pytest.raises(InputError):
        run_and_exit(app, ["--debug"])


def test_bytes_that_are_no_text_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """No path of them could be stored or printed."""
    code, told = ended(None, ["--name", "a\udcff"], capsys)
    assert code == 2
    assert "is not text" in told


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8"])
def test_every_letter_can_be_written(encoding: str) -> None:
    """In another way where the encoding lacks it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    make_readable(stream)
    stream.write("Δ gain −0.5 → ▁▃█ … 日 \ud800")
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    written = buffer.getvalue().decode(encoding)
    assert written.startswith("d gain -0.5 -> _,#" if encoding in ("cp1252", "ascii") else ("Δ", "d gain"))
    assert "\\ud800" in written


def test_a_table_goes_into_a_windows_pipe(tmp_path: Path) -> None:
    """A whole command with cp1252 on stdout: a summary has Δ in it."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "replay", str(ROOT / "tests" / "data" / "small-session")],
        capture_output=True,
        env={"PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "d arrival" in done.stdout.decode("cp1252")


@pytest.mark.parametrize("top", ["agent", "lem", "connectors", "storage"])
def test_names_that_windows_lacks_are_guarded(top: str) -> None:
    """Used only where something says what is done on Windows: a test of the platform, or an except."""
    for path in (ROOT / top).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)} & NOT_ON_WINDOWS
        imported = {
            a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
        } & ONLY_ON_UNIX
        guarded = "win32" in text or "NotImplementedError" in text
        assert guarded or not used | imported, f"{path}: {used | imported}"
