"""Bad input gets one clear message and an exit code; nothing is half-written."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from storage.recordings.session import SessionReader
from tests.fakes import small_session
from tests.patience import PATIENCE_S

ORDER = ["--quantity", "0.5", "--algo", "twap", "--shadow", ""]


def fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and its one message."""
    with pytest.raises(SystemExit) as stop:
        main(argv)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    messages = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1, err
    return int(str(stop.value.code)), messages[0]


def run_argv(folder: Path, *extra: str) -> list[str]:
    where = ["--db", f"sqlite:///{folder / 'agent.db'}", "--out", str(folder / "sessions")]
    return ["run", "--paper", *where, *ORDER, *extra]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--quantity", "-1"], ["-1", "positive"]),
        (["--quantity", "0"], ["0", "positive"]),
        (["--quantity", "nan"], ["NaN", "positive"]),
        (["--quantity", "much"], ["'much'", "not a number"]),
        (["--quantity", "0.5", "--notional", "100"], ["exclude"]),
        (["--min-duration", "90s", "--max-duration", "60s"], ["90s", "1m", "longer"]),
        (["--max-duration", "61s"], ["61s", "multiple", "nearest is 1m"]),
        (["--participation-cap", "0"], ["0", "(0, 1]"]),
        (["--participation-cap", "1.5"], ["1.5", "(0, 1]"]),
        (["--risk-aversion", "0"], ["risk_aversion"]),
        (["--algo", "twpa"], ["'twpa'", "did you mean twap"]),
        (["--shadow", "twap,vwapp"], ["'vwapp'", "did you mean vwap"]),
        (["--side", "hold"], ["side", "hold", "buy"]),
        (["--tactic", "snipe"], ["snipe", "twap_micro"]),
        (["--interval", "5 parsecs"], ["5 parsecs", "90s"]),
        (["--exchange", "binanse"], ["binanse", "binance"]),
        (["--market", "no/such/session"], ["no/such/session", "synthetic"]),
    ],
)
def test_a_bad_order_is_refused_before_anything_is_written(
    extra: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, the value and what is allowed in the message, no database and no session."""
    code, message = fails(run_argv(tmp_path, *extra), capsys)
    assert code == 2
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("algo", "shadows", "params", "words"),
    [
        ("pov", "", {"rtae": 0.2}, ["algo pov has no parameter 'rtae'", "did you mean rate"]),
        ("pov", "", {"rate": 9.0}, ["rate of algo pov is 9", "at most 1"]),
        ("lem", "twap,vwap_dynamic", {"persistance": 0.5}, ["did you mean persistence"]),
        ("lem", "twap", {"rate": 0.2}, ["algos lem, twap have no parameter 'rate'"]),
    ],
)
def test_bad_parameters_of_an_algo_are_refused_before_an_exchange_is_asked(
    algo: str,
    shadows: str,
    params: dict[str, float],
    words: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong name or value in algo_params: exit 2, nothing connected, nothing written."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(json.dumps({"order": {"algo_params": params}}), encoding="utf-8")  # JSON is YAML
    chosen = ["--algo", algo, "--shadow", shadows, "--exchange", "kraken", "--config", str(config)]
    code, message = fails(run_argv(tmp_path, *chosen), capsys)
    assert code == 2
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--symbol", "BTC/USDTT"], ["BTC/USDTT", "BTC/USDT"]),
        (["--quantity", "0.0000001"], ["0.0000001", "lot"]),
        (["--quantity", "0.00001"], ["minimum"]),
    ],
)
def test_what_the_exchange_would_refuse_is_refused_first(
    extra: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded exchange's own instrument decides: unknown symbol, precision, minimums."""
    argv = run_argv(tmp_path, *extra)
    code, message = fails(argv, capsys)
    assert code == 2
    assert all(word in message for word in words), message


def test_money_below_the_minimum_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A notional the exchange would not take is refused with the minimum."""
    argv = [a for a in run_argv(tmp_path, "--notional", "1") if a not in ("--quantity", "0.5")]
    code, message = fails(argv, capsys)
    assert code == 2
    assert "minimum" in message


def test_a_venue_rule_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Impact without parameters for the symbol: exit 2, and no session is begun."""
    config = tmp_path / "c.yaml"
    config.write_text("venue: {impact: sqrt}\n")
    code, message = fails(run_argv(tmp_path, "--config", str(config)), capsys)
    assert code == 2
    assert "no parameters for BTC/USDT" in message
    assert not (tmp_path / "sessions").exists()


def test_run_needs_a_mode(capsys: pytest.CaptureFixture[str]) -> None:
    """`run` alone trades nothing: it exits 2 and says what to give."""
    code, message = fails(["run"], capsys)
    assert (code, "--paper" in message) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ordr: {}", ["ordr", "did you mean order?"]),
        ("order: {quantty: 1}", ["order.quantty", "did you mean quantity?"]),
        ("seed: many", ["seed", "many", "integer"]),
        ("order: {max_rate: 0.01, quantity: 1}", ["rate", "0.01"]),
        ("[1, 2]", ["mapping"]),
        ("a: [", ["cannot be read"]),
    ],
)
def test_a_bad_configuration_is_named(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown keys get the nearest name; wrong types and values say what is allowed."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    code, message = fails(run_argv(tmp_path, "--config", str(path)), capsys)
    assert code == 2
    assert all(word in message for word in words), message


def test_an_exchange_without_the_capability_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exchange that cannot stream is named with what it lacks, before any connection."""
    code, message = fails(run_argv(tmp_path, "--exchange", "bydfi"), capsys)
    assert code in (2, 3)
    assert "bydfi" in message
    assert "watch" in message


@pytest.mark.parametrize("content", [None, b"", b"garbage of some length, no model", b"\xff" * 4096])
def test_a_model_file_that_cannot_be_used_is_refused(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, empty and corrupt checkpoints: exit 2, the file named, nothing started."""
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)
    config = tmp_path / "c.yaml"
    config.write_text(f"model: {{checkpoint: {path}}}\norder: {{quantity: 1}}\n")
    code, message = fails([*run_argv(tmp_path, "--config", str(config)), "--algo", "lem"], capsys)
    assert code == 2
    assert "m.safetensors" in message
    assert not (tmp_path / "sessions").exists()


@pytest.mark.slow
def test_a_locked_and_a_foreign_database_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database somebody else holds, or that is none, ends the run before any order: exit 3."""
    (tmp_path / "agent.db").write_bytes(b"this is no database at all" * 100)
    code, message = fails(run_argv(tmp_path), capsys)
    assert code == 3
    assert "agent.db" in message
    (tmp_path / "agent.db").unlink()
    holder = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        code, message = fails(run_argv(tmp_path), capsys)
    finally:
        holder.close()
    assert code == 3
    assert "locked" in message


def test_sessions_that_are_missing_or_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No session: exit 2. A truncated one replays what is whole and says what is lost."""
    code, message = fails(["replay", str(tmp_path / "none")], capsys)
    assert code == 2
    assert "none" in message
    session = small_session(tmp_path / "s")
    whole = len(SessionReader(session).events())
    (tape,) = session.glob("tape-*.arrows")
    tape.write_bytes(tape.read_bytes()[: tape.stat().st_size // 2])
    damaged = SessionReader(session)
    kept = sum(len(b) for b in damaged.batches())
    assert 0 <= kept < whole
    assert damaged.losses
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(session), "--verify", "--json"])
    assert stop.value.code == 1
    document = json.loads(capsys.readouterr().out)
    assert document["match"] is False
    assert document["losses"]


def test_verify_is_refused_with_another_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the order overridden there is nothing to compare with."""
    session = small_session(tmp_path / "s")
    code, message = fails(["replay", str(session), "--verify", "--quantity", "1", "--algo", "twap"], capsys)
    assert (code, "refused" in message) == (2, True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_cleanly(tmp_path: Path) -> None:
    """When the session cannot be written: exit 3, the parent stored as failed, the session readable."""
    argv = run_argv(tmp_path, "--interval", "1s", "--min-duration", "30s", "--max-duration", "60s")
    script = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_640_000, resource.RLIM_INFINITY))\n"  # the tape's alone
        "from agent.cli import main\n"
        f"main({argv!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "session" in done.stderr.splitlines()[-1] or "record" in done.stderr
    assert "Traceback" not in done.stderr
    (session,) = (tmp_path / "sessions").iterdir()
    assert len(SessionReader(session).events()) > 0
    states = sqlite3.connect(tmp_path / "agent.db").execute("SELECT state FROM parent_orders").fetchall()
    assert states
    assert set(states) == {("failed",)}
    shutil.rmtree(session)
