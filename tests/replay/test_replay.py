"""Replays of recorded sessions: the same bytes again, whatever the batches, the hash seed, the process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agent import VERSION
from agent.app.replay_session import Replayed, replay_session
from agent.config import Config, Order
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, CommandKind, ControlParent, DecisionTaken
from agent.journal import recorded_decisions
from storage.recordings.session import SessionReader, SessionWriter
from tests.fakes import (
    SMALL,
    S,
    changed_trade,
    order_of_the_model,
    record,
    small_session,
    start,
    synthetic_tape,
)
from tests.realdata import capture_files

GOLDEN = Path(__file__).parents[1] / "data" / "small-session"


def verify(path: Path, rows: int | None = None) -> Replayed:
    return replay_session(path, None, override=False, verify=True, speed=None, rows=rows)


def test_the_golden_session_replays_to_its_recorded_digest() -> None:
    """The session in the repository, recorded by an earlier version: decisions, orders, fills, all equal."""
    done = verify(GOLDEN)
    assert done.result.match is True, done.result.difference
    (parent,) = done.summary.parents()
    assert parent["state"] == "completed"
    assert [s["algo"] for s in parent["shadows"]] == ["twap", "vwap", "pov"]


@pytest.mark.parametrize("rows", [1, 7, 4096, 10**9])
def test_batches_cannot_matter(rows: int) -> None:
    """The digest is the same with batches of 1, 7, 4,096 rows and the whole tape."""
    assert verify(GOLDEN, rows).result.digest == verify(GOLDEN).result.digest


@pytest.mark.slow
def test_hash_seeds_cannot_matter() -> None:
    """Five processes with different PYTHONHASHSEED give one digest."""
    digests = set()
    for seed in range(5):
        done = subprocess.run(
            [sys.executable, "-m", "agent", "replay", str(GOLDEN), "--verify", "--json"],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize("at", [0.2, 0.5, 1.0])
def test_a_changed_trade_is_named(at: float, tmp_path: Path) -> None:
    """One trade's size changed: no match, and the first row that differs is named."""
    shutil.copytree(GOLDEN, tmp_path / "s")
    events = changed_trade(SessionReader(tmp_path / "s").events(), at)
    for tape in (tmp_path / "s").glob("tape-*"):
        tape.unlink()
    SessionWriter(tmp_path / "s").events(events)
    result = verify(tmp_path / "s").result
    assert result.match is False
    assert result.difference is not None
    assert "tape row" in result.difference
    assert result.digest != result.recorded_digest


def test_another_fingerprint_applies_the_recorded_decisions(tmp_path: Path) -> None:
    """Recorded elsewhere: recorded decisions act, all else is identical, recomputed ones agree."""
    shutil.copytree(GOLDEN, tmp_path / "s")
    header = tmp_path / "s" / "session.json"
    header.write_text(header.read_text().replace(f'"software": "{VERSION}"', '"software": "0.0.9"'))
    assert '"0.0.9"' in header.read_text()
    result = verify(tmp_path / "s").result
    assert result.match is True, result.difference


def test_a_decision_that_recomputes_differently_is_doubted(tmp_path: Path) -> None:
    """On another fingerprint a recorded share that recomputing does not give is named."""
    shutil.copytree(GOLDEN, tmp_path / "s")
    header, outcome = tmp_path / "s" / "session.json", tmp_path / "s" / "outcome.jsonl"
    header.write_text(header.read_text().replace(f'"software": "{VERSION}"', '"software": "0.0.9"'))
    rows = outcome.read_text().splitlines()
    at = next(i for i, row in enumerate(rows) if row.startswith("DecisionTaken|"))
    share = next(part for part in rows[at].split("|") if part.startswith("share="))
    rows[at] = rows[at].replace(f"|{share}|", f"|share={(0.9).hex()}|", 1)
    outcome.write_text("\n".join(rows) + "\n")
    result = verify(tmp_path / "s").result
    assert result.match is False
    assert "recorded share 0.9" in str(result.difference)


def test_another_order_on_the_same_tape(tmp_path: Path) -> None:
    """An override has nothing to be compared with: match is null, and the order is worked."""
    order = Order(
        quantity=Decimal(1), algo="twap", interval=2 * S, min_duration=4 * S, max_duration=8 * S, shadows=()
    )
    done = replay_session(GOLDEN, Config(order=order), override=True, verify=False, speed=None)
    assert done.result.match is None
    assert done.summary.parents()[0]["filled"] == "1.00000"


def test_what_turns_a_decision_is_read_back_from_its_row(tmp_path: Path) -> None:
    """Attention and the turning move survive the session's text bit for bit; without them no row changes."""
    path = small_session(tmp_path / "s")
    taken: list[AuditEvent] = []
    replay_session(path, None, override=False, verify=True, speed=None, watch=taken.extend)
    silent = next(e for e in taken if isinstance(e, DecisionTaken))
    assert not {"attention", "turns_at_bps"} & set(re.findall(r"(\w+)=", canonical_row(silent)))
    says = replace(silent, attention={0: 0.1, 12: 0.3, 3: 1 / 3}, turns_at_bps=-2 / 3)
    read = recorded_decisions([canonical_row(silent), canonical_row(replace(says, decision_id="s-P1/x"))])
    before, after = read[silent.decision_id], read["s-P1/x"]
    assert (before.attention, before.turns_at_bps) == ({}, None)
    assert (after.attention, after.turns_at_bps) == (says.attention, says.turns_at_bps)
    assert after == replace(before, attention=says.attention, turns_at_bps=says.turns_at_bps)


@pytest.fixture(scope="module")
def session_of_the_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded session of one order worked by the model, with a little history before it."""
    instrument, events, order, command = order_of_the_model()
    path = tmp_path_factory.mktemp("model") / "s"
    return record(path, instrument, events, [command], order)


def _decisions(path: Path) -> list[str]:
    return [row for row in SessionReader(path).outcome() if row.startswith("DecisionTaken|")]


def test_what_the_model_looked_at_replays(session_of_the_model: Path) -> None:
    """Attention and turning moves are in the session, and are computed again bit for bit."""
    rows = _decisions(session_of_the_model)
    assert any("|turns_at_bps=" in row for row in rows)
    assert all("|attention={" in row for row in rows if "sticky" not in row)
    result = verify(session_of_the_model).result
    assert result.match is True, result.difference


def test_a_session_from_before_turning_moves_still_replays(
    session_of_the_model: Path, tmp_path: Path
) -> None:
    """Recorded by the same model when decisions did not name them: what it recorded applies."""
    older = tmp_path / "s"
    shutil.copytree(session_of_the_model, older)
    header = json.loads((older / "session.json").read_text())
    assert header["fingerprint"].pop("decisions")
    (older / "session.json").write_text(json.dumps(header))
    outcome = older / "outcome.jsonl"
    outcome.write_text(re.sub(r"\|(attention|turns_at_bps)=[^|\n]*", "", outcome.read_text()))
    assert not any("attention=" in row or "turns_at_bps=" in row for row in _decisions(older))
    result = verify(older).result
    assert result.match is True, result.difference


def test_commands_replay_at_their_place(tmp_path: Path) -> None:
    """Pause, resume, amend and cancel are inputs like any other."""
    instrument, events = synthetic_tape()
    first = start(instrument, events, SMALL)

    def at(seconds: float, kind: CommandKind, **amend: float) -> ControlParent:
        moment = first.recv_ns + int(seconds * S)
        seq = int(events["seq"][np.searchsorted(events["recv_ns"], moment) - 1])
        return ControlParent(moment, seq, kind, "s-P1", f"c{seconds}", amend)

    commands = [
        first,
        at(2.0, CommandKind.PAUSE),
        at(5.5, CommandKind.RESUME),
        at(7.0, CommandKind.AMEND, risk_aversion=2.0),
        at(10.0, CommandKind.CANCEL),
    ]
    path = record(tmp_path / "s", instrument, events, list(commands), SMALL)
    done = verify(path)
    assert done.result.match is True, done.result.difference
    (parent,) = done.summary.parents()
    assert parent["state"] == "cancelled"
    assert 0 < Decimal(parent["filled"]) < Decimal("0.5")


def test_a_fresh_session_equals_its_replay(tmp_path: Path) -> None:
    """What this version records, this version replays."""
    done = verify(small_session(tmp_path / "s"))
    assert done.result.match is True, done.result.difference


def test_the_real_capture(tmp_path: Path) -> None:
    """2 BTC in 3 to 9 minutes on the capture by the LEM: batches agree, and the TCA sums exactly."""
    from agent.app.importing import import_files

    files = capture_files("btcusdt")
    report = import_files(list(files), "binance-raw", "BTC/USDT", tmp_path / "s", None, None).to_json()
    assert (report["lines"], report["gaps"], report["crossed"]) == (99_574, 0, 0)
    order = Order(
        quantity=Decimal(2),
        algo="lem",
        interval=45 * S,
        min_duration=180 * S,
        max_duration=540 * S,
        shadows=("twap", "vwap", "pov"),
    )

    def run(rows: int) -> Replayed:
        config = Config(order=order)
        return replay_session(tmp_path / "s", config, override=True, verify=False, speed=None, rows=rows)

    whole = run(10**9)
    assert {run(rows).result.digest for rows in (7, 4096)} == {whole.result.digest}
    (parent,) = whole.summary.parents()
    parts = parent["shortfall"]
    assert parent["state"] == "completed"
    assert sum(Decimal(parts[k]) for k in ("delay", "trading", "opportunity", "fees")) == Decimal(
        parts["total"]
    )
    assert all(s["arrival_slippage_bps"] is not None for s in parent["shadows"])
