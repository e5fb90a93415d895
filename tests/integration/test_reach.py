"""What a large order gets, from the session to ``replay --verify``: no more than the market showed."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agent.app import venue_setup
from agent.app.replay_session import Replayed, replay_session
from agent.config import Order, Risk, Tactics, Venue
from agent.core.events import AuditEvent, ChildFilled
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.report.session_page import session_page
from agent.terminal.closing_tables import render_summary
from agent.venue.kernel.tape_market import TapeMarket
from storage.recordings.inspection import inspect_session
from tests.fakes import S, first_book_of, record, start, synthetic_tape

HUGE = Order(
    quantity=Decimal(2_000),
    min_duration=6 * S,
    max_duration=24 * S,
    interval=3 * S,
    algo="twap",
    tactic="peg",
    shadows=("immediate",),
)
LAW = {"sigma_bps_per_day": 300, "volume_per_day": 900}
NO_LIMIT = Risk(max_notional=None)
FREE = {"BTC": Decimal(10) ** 9, "USDT": Decimal(10) ** 15}


def session(path: Path, **venue: object) -> Path:
    instrument, events = synthetic_tape()
    given = Venue.model_validate({"balances": FREE, **venue})
    return record(path, instrument, events, [start(instrument, events, HUGE)], HUGE, given, risk=NO_LIMIT)


def verified(path: Path) -> Replayed:
    return replay_session(path, None, override=False, verify=True, speed=None)


def traded() -> Decimal:
    instrument, events = synthetic_tape()
    return instrument.quantity(int(events["qty_lots"][events["kind"] == Kind.TRADE].sum()))


def test_a_pegged_order_far_larger_than_the_book_gets_what_was_there(tmp_path: Path) -> None:
    """2,000 BTC in 24 s: some of it, at rest and as a taker, within what was there in every window."""
    path = session(tmp_path / "s")
    done = verified(path)
    assert done.result.match is True
    assert (done.within_tape, done.notes) == (True, ())
    (parent,) = done.summary.parents()
    assert traded() < Decimal(parent["filled"]) < HUGE.quantity


def test_the_reference_s_rule_fills_whole_and_is_exempt(tmp_path: Path) -> None:
    """``reach: whole`` gives more, replays as recorded, and the verification says what it did not look at."""
    path = session(tmp_path / "s", reach="whole")
    done = verified(path)
    assert (done.result.match, done.within_tape) == (True, None)
    assert "venue.reach is whole" in done.notes[0]
    ours = verified(session(tmp_path / "t")).summary.parents()[0]["filled"]
    assert Decimal(done.summary.parents()[0]["filled"]) > Decimal(ours)


def test_a_session_of_before_the_key_is_replayed_by_the_rule_of_then(tmp_path: Path) -> None:
    """No ``reach`` in its header: it was recorded by the reference's rule, and verifies by it."""
    path = session(tmp_path / "s", reach="whole")
    header = json.loads((path / "session.json").read_text())
    del header["config"]["venue"]["reach"]
    (path / "session.json").write_text(json.dumps(header))
    done = verified(path)
    assert (done.result.match, done.within_tape) == (True, None)


class Forgetful(TapeMarket):
    """Broken on purpose: what a lane took is there again for its next taker."""

    def take(self, number, lane, intent, now_ns):  # type: ignore[no-untyped-def]
        self.forget_lane(lane)
        return super().take(number, lane, intent, now_ns)


def test_a_venue_that_gives_too_much_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded and replayed alike by a broken venue: every row is equal, and the window is named."""
    monkeypatch.setattr(venue_setup, "TapeMarket", Forgetful)
    path = session(tmp_path / "s")
    done = verified(path)
    assert (done.result.match, done.within_tape) == (False, False)
    assert done.result.digest == done.result.recorded_digest
    assert (done.result.difference or "").startswith("fills beyond the tape: ")
    assert "bought" in (done.result.difference or "")


# --- a result that is too good says so -----------------------------------------------------------


def test_an_order_that_is_most_of_the_volume_says_so_everywhere(tmp_path: Path) -> None:
    """Summary, JSON, session list and page, execution log: the share, the key, and what would mend it."""
    path = session(tmp_path / "s")
    database = f"sqlite:///{tmp_path / 'log.db'}"
    done = replay_session(path, None, override=False, verify=False, speed=None, database=database)
    (parent,) = done.summary.parents()
    assert parent["measures"] is not None
    note = parent["measures"]["flags"] or ""
    assert f"own fills were {parent['participation_rate']:.0%} of the market's volume" in note
    assert "venue.noted_share: 30%" in note
    assert "venue.impact: sqrt prices them" in note
    console = Console(record=True, width=400)
    render_summary(done.summary, console)
    assert note in console.export_text()
    document = inspect_session(path).to_json()
    assert json.loads(json.dumps(document))["orders"][0]["note"] == note
    assert "venue.impact: sqrt prices them" in session_page(document)
    with sqlite3.connect(tmp_path / "log.db") as log:
        own = "SELECT measures FROM slippage WHERE shadow_of IS NULL AND own_benchmark"
        (stored,) = log.execute(own).fetchone()
    assert json.loads(stored)["flags"] == note


@pytest.mark.parametrize(
    ("venue", "said"),
    [
        ({"noted_share": None}, False),
        ({"noted_share": 1.0}, True),
        ({"noted_share": 0.0001}, True),
        ({"impact": "sqrt", "impact_laws": {"BTC/USDT": LAW}}, True),
    ],
)
def test_the_note_follows_its_key(tmp_path: Path, venue: dict[str, object], said: bool) -> None:
    """Null switches it off; with an impact law it says that the law was never asked that much."""
    (parent,) = verified(session(tmp_path / "s", **venue)).summary.parents()
    assert parent["measures"] is not None
    note = parent["measures"]["flags"] or ""
    assert ("own fills were" in note) is said
    share = venue.get("noted_share")
    assert ("venue.noted_share: 0.01%)" in note) is (share == 0.0001)
    assert ("more than the impact law can speak of" in note) is ("impact" in venue)


# --- trades told late ------------------------------------------------------------------------------


def with_trade_told_late(flags: int, happened_s: float) -> tuple[Instrument, EventArray]:
    """The tape with a sale of 50 BTC far below the touch, told eight seconds after the first book."""
    instrument, events = synthetic_tape()
    after = first_book_of(events)[0] + 8 * S
    at = int(np.searchsorted(events["recv_ns"], after))
    row = events[at - 1 : at].copy()
    lowest = int(events["price_ticks"][events["kind"] == Kind.TRADE].min())
    row["kind"], row["side"], row["flags"] = Kind.TRADE, -1, flags | Flag.LAST
    row["price_ticks"], row["qty_lots"] = lowest - 1000, instrument.to_lots(Decimal(50))
    row["exch_ns"] = after - int(happened_s * S)
    told = np.concatenate([events[:at], row, events[at:]])
    told["seq"] = np.arange(1, len(told) + 1)
    return instrument, told


@pytest.mark.parametrize("flags", [Flag.LATE, Flag.BACKFILL, Flag.BACKFILL | Flag.LATE])
def test_what_happened_before_an_order_came_does_not_fill_it(tmp_path: Path, flags: int) -> None:
    """A trade told late fills what rested when it happened, and no order that was sent since then."""
    filled = {}
    for happened_s in (1.0, 2.5):  # the interval began two seconds ago
        instrument, events = with_trade_told_late(int(flags), happened_s)
        order = replace(HUGE, quantity=Decimal(40), interval=6 * S, shadows=())
        path = record(
            tmp_path / f"s{happened_s:g}",
            instrument,
            events,
            [start(instrument, events, order)],
            order,
            Venue.model_validate({"balances": FREE}),
            Tactics(repeg=3600 * S),
            risk=NO_LIMIT,
        )
        happened: list[AuditEvent] = []
        done = replay_session(path, None, override=False, verify=True, speed=None, watch=happened.extend)
        assert (done.result.match, done.within_tape) == (True, True)
        (told,) = events[events["qty_lots"] == instrument.to_lots(Decimal(50))]
        filled[happened_s] = [
            e for e in happened if isinstance(e, ChildFilled) and e.fill_ns == told["recv_ns"]
        ]
    assert [fill.maker for fill in filled[1.0]] == [True]
    assert filled[2.5] == []
