"""A replay says how far it is, to a terminal and to nobody else."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from agent.app.replay_session import replay_session
from agent.terminal import replay_view as module
from agent.terminal.replay_view import replay_progress

GOLDEN = Path(__file__).parents[2] / "data" / "small-session"


def test_a_replay_counts_its_rows_up_to_the_sessions() -> None:
    """Told after every batch: rows so far, never less than before, and at the end all there are."""
    told: list[tuple[int, int]] = []
    done = replay_session(
        GOLDEN,
        None,
        override=False,
        verify=False,
        speed=None,
        rows=4096,
        progress=lambda *seen: told.append(seen),
    )
    counts = [count for count, _ in told]
    assert counts == sorted(counts)
    assert len(counts) > 4
    assert told[-1] == (done.result.events, done.result.events)


def test_the_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of all rows on a terminal; not a byte into a pipe."""
    monkeypatch.setattr(module, "STEP_S", 0.0)
    shown = {}
    for terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=100)
        with replay_progress(time.monotonic, console) as progress:
            progress(1000, 4000)
            progress(2000, 4000)
        shown[terminal] = out.getvalue()
    assert "2000/4000" in shown[True]
    assert shown[False] == ""
