"""``agent sessions`` as its users meet it: one JSON document on stdout, or one clear message."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli import main
from agent.core.market.tape import BAR, EVENT, Flag, Kind
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import synthetic_tape
from tests.page_checks import check_numbers, check_page
from tests.patience import PATIENCE_S

GOLDEN = Path(__file__).parents[1] / "data" / "small-session"
S = 10**9
ORDER = [
    "--quantity",
    "0.2",
    "--interval",
    "1s",
    "--min-duration",
    "2s",
    "--max-duration",
    "5s",
    "--algo",
    "twap",
]


@dataclass(frozen=True, slots=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def agent(*argv: str | Path) -> Done:
    """The command in this process, as ``python -m agent`` runs it."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(a) for a in argv])
    return Done(int(left.value.code or 0), out.getvalue(), err.getvalue())


def in_a_process(*argv: str | Path, file_bytes: int) -> Done:
    """The command in a process that cannot write a file of more than ``file_bytes``."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    done = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        preexec_fn=limit,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def document(*argv: str | Path, code: int = 0) -> dict[str, Any]:
    """The one JSON document of a command that exits with ``code``."""
    done = agent(*argv, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*argv: str | Path, code: int = 2) -> str:
    """The one message of a command that is refused; nothing on stdout."""
    done = agent(*argv)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("error:") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """A folder with a traded session and one of market data with a gap in its book stream."""
    folder = tmp_path / "sessions"
    shutil.copytree(GOLDEN, folder / "traded")
    instrument, events = synthetic_tape(40.0)
    first = int(events["recv_ns"][0])
    marks = np.zeros(2, EVENT)
    marks["recv_ns"] = [first + 4 * S, first + 7 * S]
    marks["kind"], marks["flags"], marks["qty_lots"] = (
        [Kind.GAP_BEGIN, Kind.GAP_END],
        Flag.BOOK | Flag.LAST,
        [0, 3],
    )
    events = np.concatenate([events, marks])
    events = events[np.argsort(events["recv_ns"], kind="stable")]
    events["seq"] = np.arange(1, len(events) + 1)
    writer = SessionWriter.create(
        folder / "market", SessionHeader("market", (instrument,), first, source="test")
    )
    for at in range(0, len(events), 1000):
        writer.events(events[at : at + 1000])
    writer.close(int(events["recv_ns"][-1]))
    return folder


def test_list_and_inspect_say_what_is_there(sessions: Path) -> None:
    """Both sessions with their events and orders; the gap with its stream, length and loss; a page."""
    listed = {s["session"]: s for s in document("sessions", "list", sessions)["sessions"]}
    assert listed.keys() == {"small-session", "market"}
    assert [o["state"] for o in listed["small-session"]["orders"]] == ["completed"]
    assert {s["state"] for s in listed.values()} == {"whole"}
    tape = SessionReader(sessions / "market").events()
    assert (listed["market"]["events"], listed["market"]["start_ns"]) == (len(tape), int(tape["recv_ns"][0]))
    html = sessions / "page.html"
    found = document("sessions", "inspect", sessions / "market", "--html", html)
    (gap,) = found["gaps"]
    assert (gap["symbol"], gap["stream"], gap["seconds"], gap["lost"]) == ("BTC/USDT", "book", 3.0, 3)
    (market,) = found["instruments"]
    counts = np.bincount(tape["kind"], minlength=10)
    assert market["counts"]["trade"] == counts[Kind.TRADE] == sum(market["over_time"]["trades"])
    assert market["counts"]["level"] == counts[Kind.LEVEL]
    assert market["mid"]["low"] <= market["mid"]["median"] <= market["mid"]["high"]
    assert market["spread_bps"]["p5"] > 0
    page = check_page(html.read_text(encoding="utf-8"), found)
    assert len(list(page.iter("figure"))) == 3
    assert check_numbers(page, found) > 10
    words = agent("sessions", "inspect", sessions / "market").stdout
    assert "gaps: 1" in words
    assert "3.000 s" in words


def test_a_slice_replays_alone_and_two_merge_to_the_whole(sessions: Path, tmp_path: Path) -> None:
    """A slice takes an order at its first moment; the two halves together are the events of the whole."""
    market, a, b = sessions / "market", tmp_path / "a", tmp_path / "b"
    first = document("sessions", "slice", market, "--to", "5s", "--out", a)
    second = document("sessions", "slice", market, "--from", "5s", "--out", b)
    whole = SessionReader(market).events()
    assert first["events"] + second["events"] == len(whole)
    assert (first["carried"], second["carried"] > 100) == (0, True)
    replayed = document("replay", b, *ORDER)
    (parent,) = replayed["parents"]
    assert (parent["state"], parent["started_ns"]) == ("completed", second["start_ns"])
    again = tmp_path / "again" / "market"  # the name is part of the ids that a replay gives
    merged = document("sessions", "merge", a, b, "--out", again)
    assert merged["joins"] == [f"BTC/USDT: {b} follows {a} without a gap"]
    assert np.array_equal(SessionReader(again).events(), whole)
    assert document("replay", again, *ORDER)["digest"] == document("replay", market, *ORDER)["digest"]


def test_a_folder_stands_for_its_sessions_in_a_merge(sessions: Path, tmp_path: Path) -> None:
    """As in ``compact`` and ``sync``."""
    market, parts = sessions / "market", tmp_path / "parts"
    agent("sessions", "slice", market, "--to", "5s", "--out", parts / "a")
    agent("sessions", "slice", market, "--from", "5s", "--out", parts / "b")
    document("sessions", "merge", parts, "--out", tmp_path / "again")
    assert np.array_equal(SessionReader(tmp_path / "again").events(), SessionReader(market).events())


def test_a_merge_names_what_is_missing_between(sessions: Path, tmp_path: Path) -> None:
    """Two stretches with time between them: the tape says where data is missing, and the book starts anew."""
    market = sessions / "market"
    agent("sessions", "slice", market, "--to", "2s", "--out", tmp_path / "a")
    agent("sessions", "slice", market, "--from", "8s", "--out", tmp_path / "b")
    (join,) = document("sessions", "merge", tmp_path / "b", tmp_path / "a", "--out", tmp_path / "c")["joins"]
    assert "after a gap of 6." in join or "after a gap of 5.9" in join
    (gap,) = document("sessions", "inspect", tmp_path / "c")["gaps"]
    assert (gap["stream"], round(gap["seconds"])) == ("feed", 6)
    kinds = SessionReader(tmp_path / "c").events()["kind"].tolist()
    assert kinds.count(Kind.SNAPSHOT_BEGIN) == 2


def test_compacted_sessions_replay_the_same(sessions: Path) -> None:
    """A folder of sessions a tenth of the size: verified, the same digests, said in words and numbers."""
    done = {Path(s["session"]).name: s for s in document("sessions", "compact", sessions)["sessions"]}
    assert done.keys() == {"traded", "market"}
    assert all(s["ratio"] > 4 for s in done.values())
    verified = document("replay", sessions / "traded", "--verify")
    assert verified["match"] is True
    assert all(s["compacted"] for s in document("sessions", "list", sessions)["sessions"])
    assert "is compact already" in agent("sessions", "compact", sessions / "market").stdout


def test_damage_is_said_and_what_is_left_can_be_saved(sessions: Path, tmp_path: Path) -> None:
    """A torn tape: listed as damaged, inspected with its loss, not compacted, sliced to a whole one."""
    tape = sessions / "market" / "tape-00000.arrows"
    os.truncate(tape, tape.stat().st_size * 4 // 5)
    (listed,) = document("sessions", "list", sessions / "market", code=1)["sessions"]
    assert listed["state"] == "damaged"
    assert "damaged after tape row" in listed["problems"][0]
    assert "LOST: tape-00000.arrows: damaged" in agent("sessions", "inspect", sessions / "market").stdout
    assert "stays as it is" in refused("sessions", "compact", sessions / "market")
    done = agent("sessions", "compact", sessions)
    assert (done.returncode, "traded" in done.stdout, "stays as it is" in done.stderr) == (1, True, True)
    saved = agent("sessions", "slice", sessions / "market", "--out", tmp_path / "saved")
    assert saved.returncode == 0
    assert "warning: tape-00000.arrows: damaged" in saved.stderr
    (listed,) = document("sessions", "list", tmp_path / "saved", "--check")["sessions"]
    assert (listed["state"], listed["source"], listed["made"]) == ("whole", "test", "slice")


def test_bad_input_gets_one_message(sessions: Path, tmp_path: Path) -> None:
    """No session, a time outside it, a wrong time or symbol, itself merged, overlap, a place taken."""
    market, out = sessions / "market", tmp_path / "out"
    cut = ("sessions", "slice", market, "--out", out)
    for command in ("inspect", "compact", "slice"):
        argv = ["sessions", command, tmp_path, *(["--out", str(out)] if command == "slice" else [])]
        assert "is not a recorded session" in refused(*argv)
    assert "which holds 2024-08-09T00:00:00.003Z to" in refused(*cut, "--from", "1h")
    assert "--from comes before --to" in refused(*cut, "--from", "5s", "--to", "2s")
    assert "--from 'noon' is not understood: write it as in 2025" in refused(*cut, "--from", "noon")
    assert "has no XRP/USDT: it holds BTC/USDT" in refused(*cut, "--symbol", "XRP/USDT")
    assert "cannot be merged with itself" in refused("sessions", "merge", market, market, "--out", out)
    assert "needs two sessions" in refused("sessions", "merge", market, "--out", out)
    shutil.copytree(market, tmp_path / "copy")
    overlap = refused("sessions", "merge", market, tmp_path / "copy", "--out", out)
    assert "BTC/USDT is in" in overlap
    assert "sessions that overlap in a symbol cannot be merged" in overlap
    assert "is there already: choose another --out" in refused("sessions", "slice", market, "--out", sessions)
    assert "no such folder" in refused("sessions", "list", tmp_path / "nowhere")
    assert not out.exists()


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_behind(sessions: Path, tmp_path: Path) -> None:
    """Slice and merge that cannot be written: one message, exit code 3, no half a session."""
    market = sessions / "market"
    agent("sessions", "slice", market, "--to", "5s", "--out", tmp_path / "a")
    agent("sessions", "slice", market, "--from", "5s", "--out", tmp_path / "b")
    (tmp_path / "full").mkdir()
    out = ("--out", tmp_path / "full" / "x")
    for argv in (("slice", market), ("merge", tmp_path / "a", tmp_path / "b")):
        done = in_a_process("sessions", *argv, *out, file_bytes=30_000)
        assert (done.returncode, done.stdout) == (3, "")
        assert "free some space" in done.stderr
        assert list((tmp_path / "full").iterdir()) == []


def test_sessions_of_bars_can_be_cut_and_joined(tmp_path: Path) -> None:
    """A session of bars alone: its own times, cuts that are of bars too, both halves make the whole."""
    instrument, _ = synthetic_tape(1.0)
    bars = np.zeros(100, BAR)
    bars["recv_ns"] = bars["open_ns"] = np.arange(1, 101) * 60 * S
    bars["delta_ns"], bars["seq"], bars["open_ticks"] = 60 * S, np.arange(1, 101), np.arange(1, 101)
    writer = SessionWriter.create(tmp_path / "bars", SessionHeader("bars", (instrument,), 0, source="klines"))
    writer.bars(bars)
    writer.close(100 * 60 * S)
    (listed,) = document("sessions", "list", tmp_path / "bars")["sessions"]
    assert (listed["start_ns"], listed["end_ns"], listed["bars"]) == (60 * S, 6000 * S, 100)
    for name, edges in (("a", ("--to", "30m")), ("b", ("--from", "30m"))):
        agent("sessions", "slice", tmp_path / "bars", *edges, "--out", tmp_path / name)
    assert SessionReader(tmp_path / "a").bars()["open_ticks"].tolist() == list(range(1, 31))
    assert SessionReader(tmp_path / "b").header.source == "klines"
    done = document("sessions", "merge", tmp_path / "b", tmp_path / "a", "--out", tmp_path / "c")
    assert (done["bars"], done["events"]) == (100, 0)
    assert np.array_equal(SessionReader(tmp_path / "c").bars(), bars)
    assert document("sessions", "inspect", tmp_path / "c")["bars"] == 100
    assert document("sessions", "compact", tmp_path / "c")["sessions"][0]["rows"] == 100
    assert np.array_equal(SessionReader(tmp_path / "c").bars(), bars)
