"""What a large order gets, from the session to ``replay --verify``: no more than the market showed."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from agent.app import venue_setup
from agent.app.replay_session import Replayed, replay_session
from agent.config import Order, Risk, Venue
from agent.core.market.tape import Kind
from agent.venue.kernel.tape_market import TapeMarket
from tests.fakes import S, record, start, synthetic_tape

HUGE = Order(
    quantity=Decimal(2_000),
    min_duration=6 * S,
    max_duration=24 * S,
    interval=3 * S,
    algo="twap",
    tactic="peg",
    shadows=("immediate",),
)
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
