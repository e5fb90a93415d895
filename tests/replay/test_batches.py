"""Where a tape is cut cannot matter: one session with everything in it, replayed in batches of any size.

Two instruments; a pegged order with shadows and, beside it, a notional one that is paused and resumed; gaps,
silence, a book sent anew; resting fills, marketable fills, fills near a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agent.app.replay_session import replay_session
from agent.config import Order, Tactics
from agent.core.canonical import canonical_row
from agent.core.events import (
    AuditEvent,
    ChildFilled,
    Command,
    CommandHandled,
    CommandKind,
    ControlParent,
    DecisionTaken,
    GapSeen,
    StartParent,
)
from agent.core.instrument import Instrument
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.journal import commands
from agent.orders import build_spec
from agent.shadow import shadow_specs
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from storage.recordings.session import SessionReader
from tests.fakes import S, record

PEGGED = Order(
    side="sell",
    quantity=Decimal(3),
    min_duration=8 * S,
    max_duration=16 * S,
    interval=S,
    algo="optimal_stopping",
    tactic="peg",
    shadows=("twap", "vwap", "pov"),
)
SOLD = Order(
    side="sell",
    notional=Decimal(20_000),
    min_duration=6 * S,
    max_duration=12 * S,
    interval=3 * S,
    algo="vwap",
    tactic="twap_micro",
    shadows=("almgren_chriss",),
)
SIZES = (1, 7, 4096, 10**9)


def tape(seconds: float = 40.0) -> tuple[Sequence[Instrument], EventArray]:
    """Two markets with trades lost at a third of the time, the feed silent at half, the book sent anew."""
    instruments, events = synthetic_session(3, seconds, ("BTC/USDT", "ETH/USDT"), trades_per_s=6.0)
    ends = np.flatnonzero(events["flags"] & Flag.LAST)
    marks = (  # (share of the tape, kind, instrument, flags, lost)
        (0.30, Kind.GAP_BEGIN, 0, Flag.TRADES, 0),
        (0.33, Kind.GAP_END, 0, Flag.TRADES, 4),
        (0.50, Kind.STALE, 1, 0, 0),
        (0.52, Kind.ALIVE, 1, 0, 0),
    )
    parts, last = [], 0
    for share, kind, instrument, flags, lost in marks:
        cut = int(ends[int(share * len(ends))]) + 1
        row = np.zeros(1, EVENT)
        row["recv_ns"] = row["exch_ns"] = events["recv_ns"][cut - 1]
        row["kind"], row["instrument"], row["flags"], row["qty_lots"] = (
            kind,
            instrument,
            flags | Flag.LAST,
            lost,
        )
        parts += [events[last:cut], row]
        last = cut
    whole = np.concatenate([*parts, events[last:]])
    whole["seq"] = np.arange(1, len(whole) + 1)
    return instruments, whole


def place(events: EventArray, seconds: float) -> tuple[int, int]:
    """(recv_ns, seq) of a command so long after the tape's start, behind the last row before it."""
    moment = int(events["recv_ns"][0]) + int(seconds * S)
    return moment, int(events["seq"][np.searchsorted(events["recv_ns"], moment, side="right") - 1])


def begin(instrument: Instrument, order: Order, name: str, at: tuple[int, int]) -> StartParent:
    spec = build_spec(order, instrument, name, None)
    return StartParent(*at, spec, tuple(shadow_specs(spec, order.shadows)))


@pytest.fixture(scope="module", params=["cancel", "amend"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session, its pegged orders moved by cancelling and sending anew, or by amending."""
    instruments, events = tape()
    inputs: list[Command] = [
        begin(instruments[0], PEGGED, "s-P1", place(events, 3.0)),
        begin(instruments[1], SOLD, "s-P2", place(events, 5.0)),
        ControlParent(*place(events, 9.0), CommandKind.PAUSE, "s-P2", "c1"),
        ControlParent(*place(events, 12.5), CommandKind.RESUME, "s-P2", "c2"),
    ]
    tactics = Tactics(repeg=S // 4, repeg_by=request.param)
    path = tmp_path_factory.mktemp("batches") / "s"
    return record(path, instruments, events, inputs, PEGGED, tactics=tactics)


def replayed(path: Path, rows: int) -> tuple[list[AuditEvent], bool | None, str | None]:
    happened: list[AuditEvent] = []
    done = replay_session(
        path, None, override=False, verify=True, speed=None, rows=rows, watch=happened.extend
    )
    return happened, done.result.match, done.result.difference


def test_the_session_holds_what_could_depend_on_a_cut(session: Path) -> None:
    """Both instruments, every kind of fill, gaps, silence, shadows, commands: what the next test is worth."""
    happened, _, _ = replayed(session, 4096)
    fills = [e for e in happened if isinstance(e, ChildFilled)]
    assert {f.instrument for f in fills} == {0, 1}
    assert {(f.parent_id, f.maker) for f in fills} >= {("s-P1", True), ("s-P1", False), ("s-P2", False)}
    assert {f.near_gap for f in fills} == {True, False}
    assert {f.parent_id for f in fills if "~" in f.parent_id and f.maker} >= {"s-P1~twap", "s-P1~vwap"}
    assert {e.stream for e in happened if isinstance(e, GapSeen)} == {"trades", "feed silent"}
    assert [e.outcome for e in happened if isinstance(e, CommandHandled)] == ["done", "done"]
    assert len({e.parent_id for e in happened if isinstance(e, DecisionTaken)}) == 6
    assert len(commands(SessionReader(session).journal())) == 4


@pytest.mark.parametrize("rows", SIZES)
def test_batches_of_any_size_give_the_recorded_bytes(session: Path, rows: int) -> None:
    """Batches of 1, 7, 4,096 rows and the whole: every row of the outcome as it was recorded in others."""
    happened, match, difference = replayed(session, rows)
    assert match is True, difference
    recorded = [row for row in SessionReader(session).outcome() if not row.startswith("tape|")]
    assert [canonical_row(e) for e in happened] == recorded
