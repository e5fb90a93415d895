"""Recordings and model files that something has changed: each is named, and none takes the memory."""

from __future__ import annotations

import json
import resource
import shutil
import time
import zlib
from pathlib import Path

import pytest
import yaml

from agent.app.replay_session import replay_session
from agent.core.errors import CheckpointError, SessionError
from agent.journal import commands, recorded_decisions
from lem.network.checkpoint import DEFAULT_PATH, load_checkpoint
from storage.recordings.catalogue import DAMAGED, look_at
from storage.recordings.inspection import inspect_session
from storage.recordings.session import SessionReader
from tests.integration.test_session_tools import GOLDEN, ORDER, agent

pytestmark = pytest.mark.slow


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "[/red] s"
    shutil.copytree(GOLDEN, path)
    return path


def test_brackets_in_a_path_are_letters(session: Path) -> None:
    """No command reads a path as rich's markup."""
    for argv in (
        ["sessions", "inspect", session],
        ["sessions", "list", session.parent],
        ["sessions", "slice", session, "--out", f"{session}-cut", "--from", "2s"],
        ["sessions", "compact", f"{session}-cut"],
        ["replay", session, *ORDER],
        ["calibrate", session],
    ):
        done = agent(*argv)
        assert done.returncode in (0, 2), done.stderr
        assert "at fault" not in done.stderr


def _change_outcome(session: Path, old: bytes, new: bytes) -> None:
    file = session / "outcome.jsonl"
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new))


def test_a_changed_result_is_named(session: Path) -> None:
    """In a list, an inspection, and where another machine's decisions are read back."""
    _change_outcome(session, b"|algo=", b"|alg\x0f=")
    listed = look_at(session)
    assert listed.state == DAMAGED
    assert any("outcome.jsonl: row" in problem for problem in listed.problems)
    assert agent("sessions", "inspect", session).returncode == 1
    assert "outcome.jsonl: row" in agent("sessions", "list", session).stdout
    verified = agent("replay", session, "--verify", "--json")
    assert (verified.returncode, json.loads(verified.stdout)["match"]) == (1, False)


def test_a_changed_decision_is_named(session: Path) -> None:
    """A share that is no number."""
    _change_outcome(session, b"|share=0x", b"|share=q")
    with pytest.raises(SessionError, match="result row"):
        recorded_decisions(SessionReader(session).outcome())


def _change_entry(session: Path, number: int, change: dict[str, object]) -> None:
    """Change an entry of the journal, its checksum with it."""
    lines = (session / "journal.jsonl").read_bytes().splitlines(keepends=True)
    entry = {**json.loads(lines[number]), **change}
    del entry["crc"]
    body = json.dumps(entry, separators=(",", ":")).encode()
    lines[number] = b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))
    (session / "journal.jsonl").write_bytes(b"".join(lines))


@pytest.mark.parametrize("change", [{"instrument": 1}, {"symbol": "ETH/USDT"}])
@pytest.mark.parametrize("words", [["--verify"], ["--quantity", "0.2"]])
def test_an_order_of_what_the_session_lacks_is_named(
    session: Path, words: list[str], change: dict[str, object]
) -> None:
    """With the recorded order, and with one of the user's own on top of it."""
    spec = json.loads((session / "journal.jsonl").read_bytes().splitlines()[0])["spec"]
    _change_entry(session, 0, {"spec": spec | change})
    done = agent("replay", session, *words)
    assert (done.returncode, "which the session lacks" in done.stderr) == (2, True)


def test_a_journal_from_before_all_clocks_is_gone_through_at_once(session: Path) -> None:
    """Its order starts at 0 and its end says 0; of the tape nothing is left. Fifty years are few looks."""
    _change_entry(session, 0, {"recv_ns": 0})
    (session / "tape-00000.arrows").write_bytes(b"")
    began_s = time.process_time()
    with pytest.raises(SessionError, match="holds no events"):
        inspect_session(session)
    done = replay_session(session, None, override=False, verify=True, speed=None)
    assert done.result.match is False
    assert time.process_time() - began_s < 5


def test_an_end_before_the_beginning_is_no_span(session: Path) -> None:
    """A session that says it ended at 0 is as long as its first row."""
    _change_entry(session, -1, {"recv_ns": 0})
    found = inspect_session(session)
    assert found.end_ns == found.start_ns > 0


@pytest.mark.parametrize(
    ("member", "value"), [("spec", {}), ("spec", None), ("shadows", 5), ("kind", "x"), ("spec", {"side": 9})]
)
def test_a_start_that_is_none_is_named(session: Path, member: str, value: object) -> None:
    """Its line is whole by its checksum: somebody wrote it so."""
    _change_entry(session, 0, {member: value})
    with pytest.raises(SessionError, match="journal entry"):
        commands(SessionReader(session).journal())
    done = agent("replay", session, "--verify")
    assert (done.returncode, "journal entry" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("tick", "0"),
        ("tick", "-1"),
        ("lot", "nan"),
        ("lot", "1e-300"),
        ("tick", "1e-999999999"),
        ("number", 5),
        ("number", {}),
        ("min_lots", 1e300),
        ("base", 1),
    ],
)
def test_an_instrument_that_is_none_is_named(session: Path, member: str, value: object) -> None:
    """A header has no checksum: what compiled code takes for a place or divides by is looked at."""
    header = json.loads((session / "session.json").read_bytes())
    header["instruments"][0][member] = value
    (session / "session.json").write_text(json.dumps(header))
    with pytest.raises(SessionError, match="corrupt"):
        SessionReader(session)


@pytest.mark.parametrize(("member", "value"), [("seed", 1e300), ("created_ns", 10**30), ("config", 5)])
def test_a_header_that_is_none_is_named(session: Path, member: str, value: object) -> None:
    """Numbers that 64 bits do not hold, a number for an object."""
    header = json.loads((session / "session.json").read_bytes())
    (session / "session.json").write_text(json.dumps({**header, member: value}))
    with pytest.raises(SessionError, match="corrupt"):
        SessionReader(session)


def test_rows_of_an_unknown_instrument_are_named(session: Path) -> None:
    """Before compiled code sees them."""
    header = json.loads((session / "session.json").read_bytes())
    header["instruments"] = []
    (session / "session.json").write_text(json.dumps(header))
    with pytest.raises(SessionError, match="the header lists 0"):
        SessionReader(session).events()


def _with_settings(path: Path, **settings: object) -> Path:
    data = DEFAULT_PATH.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    config = {**json.loads(header["__metadata__"]["config"]), **settings}
    header["__metadata__"]["config"] = json.dumps(config)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    return path


@pytest.mark.parametrize(
    "settings",
    [{"hidden": 50_000}, {"hidden": 10**9}, {"sublayers": 60_000}, {"spline_cells": 60_000}, {"features": 2},
     {"lookback": 10**9}, {"heads": 0}, {"heads": 5}, {"cell": "gru"}, {"selection": 1}, {"hidden": True}],
)  # fmt: skip
def test_a_model_file_is_no_larger_than_it_says(tmp_path: Path, settings: dict[str, object]) -> None:
    """Its settings are held against its shapes before any memory is taken."""
    file = _with_settings(tmp_path / "model.safetensors", **settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB: 50,000 took 10 GB


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_duration", "99999d"), ("max_duration", 10**19), ("risk_aversion", float("inf")),
     ("quantity", "1e400"), ("limit_price", "1e30"), ("max_rate", float("nan"))],
)  # fmt: skip
def test_numbers_beyond_64_bits_are_told(tmp_path: Path, key: str, value: object) -> None:
    """By their key, with exit code 2."""
    order = {
        "quantity": 0.2,
        "interval": "1s",
        "min_duration": "2s",
        "max_duration": "5s",
        "algo": "twap",
        key: value,
    }
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"order": order}))
    done = agent("replay", GOLDEN, "--config", config, "--side", "buy")
    assert (done.returncode, key.split("_")[-1] in done.stderr) == (2, True), done.stderr
