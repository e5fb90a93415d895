"""The venue's rules through the whole engine: rehearsed trouble, two parents, vetoes, amendments."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import app
from agent.app.replay_session import replay_session
from agent.config import Config, ImpactParameters, LatencyMs, Order, RehearsalSection, Risk, Tactics, Venue
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, ChildChanged, ChildFilled, Command, ParentChanged
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Kind, empty_events
from agent.core.types import ChildState, ParentState
from agent.engine.engine import Engine
from tests.fakes import record, start, synthetic_tape
from tests.property.test_engine import BTC, LAST, S, random_tape

MS = 10**6
TROUBLE = RehearsalSection(reject_ppm=200_000, timeout_ppm=100_000, timeout=300 * MS)


class Run:
    """Orders worked on a tape from its first book on, and what the engine said."""

    def __init__(
        self,
        tape: EventArray,
        orders: list[Order],
        batch: int = 64,
        instrument: Instrument = BTC,
        **sections: Any,
    ) -> None:
        config = Config(order=orders[0], risk=Risk(max_orders_per_s=None), **sections)
        self.engine: Engine = app.build_engine(config, [instrument], app.inline_policies(config))
        commands = [start(instrument, tape, order, f"s-P{i}") for i, order in enumerate(orders, start=1)]
        at = int(np.flatnonzero(tape["seq"] == commands[0].seq)[0]) + 1
        self.engine.advance(tape[:at])
        for command in commands:
            self.engine.command(command)
        for i in range(at, len(tape), batch):
            self.engine.advance(tape[i : i + batch])
        self.engine.close(int(tape["recv_ns"][-1]) + 5 * S)
        self.events: list[AuditEvent] = self.engine.drain()

    def of(self, kind: type[Any], parent_id: str = "") -> list[Any]:
        found = [e for e in self.events if isinstance(e, kind)]
        return [e for e in found if not parent_id or e.parent_id == parent_id]

    def last(self, parent_id: str) -> ParentChanged:
        return [e for e in self.of(ParentChanged) if e.spec.parent_id == parent_id][-1]

    def bought(self, lane: int) -> int:
        """Lots by which the venue's own account of a lane has grown."""
        balance = self.engine.venue.account(lane).balances()["BTC"]
        return int((balance - 100) / self.engine.market.instruments[0].lot)


def buy(quantity: str = "0.2", **changes: Any) -> Order:
    values = {"algo": "twap", "interval": 2 * S, "min_duration": 12 * S, "max_duration": 14 * S, **changes}
    return Order(**{"shadows": ("twap",), **values}, quantity=Decimal(quantity))


# --- rehearsed trouble --------------------------------------------------------------------------------


@pytest.mark.parametrize("repeg_by", ["cancel", "amend"])
@pytest.mark.parametrize("tactic", ["twap_micro", "peg", "sweep"])
@pytest.mark.parametrize("thin", [False, True])
def test_an_order_completes_exactly_in_trouble(tactic: str, thin: bool, repeg_by: str) -> None:
    """20 % rejects, 10 % timeouts: every lot is filled once, and the venue's books are the desk's."""
    order = buy("0.05" if thin else "0.2", tactic=tactic)
    tactics = Tactics(repeg_by=repeg_by)  # type: ignore[arg-type]
    for seed in (1, 2, 3):
        tape = random_tape(seed, updates=700, thin=thin)
        run = Run(tape, [order], venue=Venue(rehearsal=TROUBLE), tactics=tactics)
        for lane, parent_id in enumerate(("s-P1", "s-P1~twap")):
            fills = run.of(ChildFilled, parent_id)
            assert run.last(parent_id).state is ParentState.COMPLETED, run.last(parent_id).reason
            assert sum(f.qty_lots for f in fills) == run.last(parent_id).filled_lots == run.bought(lane)
            assert len({f.fill_id for f in fills}) == len(fills)


def test_every_kind_of_trouble_was_met() -> None:
    """The runs above are no proof unless orders were rejected, lost, asked about and partly filled."""
    reasons: Counter[str] = Counter()
    states: Counter[ChildState] = Counter()
    for seed in (1, 2, 3):
        tape = random_tape(seed, updates=700, thin=True)
        for tactic in ("twap_micro", "peg"):
            run = Run(tape, [buy("0.05", tactic=tactic)], venue=Venue(rehearsal=TROUBLE))
            for child in run.of(ChildChanged):
                reasons[child.reason.split(" (")[0]] += 1
                states[child.state] += 1
    assert reasons["rehearsed reject"] >= 10
    assert reasons["the venue does not know the order: it was lost on its way"] >= 2
    assert reasons["no answer within 0.3 s: the venue was asked"] >= 4
    assert states[ChildState.PARTIALLY_FILLED] >= 10


def test_trouble_is_the_same_however_the_tape_is_cut() -> None:
    """Every audit event to the bit, in batches of 1, 7 and all."""
    tape = random_tape(5, updates=400)
    order = buy("0.1", max_duration=8 * S, min_duration=6 * S)
    venue = Venue(rehearsal=TROUBLE)
    rows = [[canonical_row(e) for e in Run(tape, [order], n, venue=venue).events] for n in (1, 7, len(tape))]
    assert rows[0] == rows[1] == rows[2]


def test_a_session_in_trouble_replays_to_its_digest(tmp_path: Path) -> None:
    """Recorded with rehearsed trouble and fee tiers, its replay is byte-identical."""
    instrument, events = synthetic_tape()
    order = buy("0.5", tactic="peg", interval=3 * S, min_duration=6 * S, max_duration=18 * S)
    tier: Any = {"volume": 10_000, "maker_ppm": -50, "taker_ppm": 700}
    venue = Venue(rehearsal=TROUBLE, fee_tiers=(tier,))
    commands: list[Command] = [start(instrument, events, order)]
    path = record(tmp_path / "s", instrument, events, commands, order, venue)
    done = replay_session(path, None, override=False, verify=True, speed=None)
    assert done.result.match is True, done.result.difference
    assert "rehearsed reject" in (path / "outcome.jsonl").read_text()


def test_only_what_was_not_heard_of_is_asked_about() -> None:
    """Orders that rest for longer than the timeout, acknowledged long ago, are left alone."""
    quiet = Venue(rehearsal=RehearsalSection(timeout_ppm=1, timeout=100 * MS))
    instrument, tape = synthetic_tape(25.0, 2)
    order = buy("0.5", tactic="peg", shadows=(), min_duration=12 * S, max_duration=14 * S)
    run = Run(tape, [order], instrument=instrument, venue=quiet)
    children = run.of(ChildChanged)
    rested = [c for c in children if c.state is not ChildState.PENDING_NEW and c.at_ns - c.sent_ns > 300 * MS]
    assert rested
    assert not [c for c in children if "the venue was asked" in c.reason]


def test_time_that_was_lost_by_waiting_is_made_up_for_at_once() -> None:
    """An order that was asked about and was not filled whole: the rest is sent the moment that is known."""
    made_up = 0
    for seed in range(8):
        tape = random_tape(seed, updates=700, thin=True)
        trouble = Venue(rehearsal=RehearsalSection(timeout_ppm=300_000, timeout=300 * MS))
        run = Run(tape, [buy("0.4", tactic="sweep", shadows=())], venue=trouble)
        children = run.of(ChildChanged)
        asked = {c.child_id for c in children if "the venue was asked" in c.reason}
        short = {c.at_ns for c in children if c.child_id in asked and c.state is ChildState.EXPIRED}
        made_up += sum(c.state is ChildState.PENDING_NEW and c.sent_ns in short for c in children)
    assert made_up >= 2


def test_nothing_is_sent_again_between_intervals() -> None:
    """Every order is rejected and sent again, but never before the next decision takes effect."""
    tape = random_tape(2, updates=400)
    venue = Venue(rehearsal=RehearsalSection(reject_ppm=1_000_000))
    run = Run(tape, [buy("0.1", shadows=(), min_duration=6 * S, max_duration=8 * S)], venue=venue)
    begun_ns = run.last("s-P1").started_ns or 0
    offsets = [(c.sent_ns - begun_ns) % (2 * S) for c in run.of(ChildChanged)]
    assert len(offsets) > 50
    assert min(offsets) >= 100 * MS  # the decision's latency


# --- several parents ----------------------------------------------------------------------------------


def test_two_parents_share_what_is_displayed() -> None:
    """While a book stands still, two buyers of one lane together get at most what each level shows."""
    tape = random_tape(3, updates=0)
    shown = {
        int(level["price_ticks"]): int(level["qty_lots"])
        for level in tape[(tape["kind"] == Kind.LEVEL) & (tape["side"] == -1)]
    }
    order = buy("100", algo="immediate", interval=S, min_duration=S, max_duration=4 * S, shadows=())
    run = Run(tape, [order, order])
    got: Counter[int] = Counter()
    for fill in run.of(ChildFilled):
        got[fill.price_ticks] += fill.qty_lots
    assert got
    assert all(lots <= shown[price] for price, lots in got.items())
    filled = [run.last(f"s-P{i}").filled_lots for i in (1, 2)]
    assert sum(filled) == sum(got.values()) == run.bought(0)
    assert min(filled) == 0  # the first took all there was: nothing was filled twice


@pytest.mark.parametrize("rule", ["cancel_newest", "allow"])
def test_a_buyer_and_a_seller_never_trade_with_each_other(rule: str) -> None:
    """Both pegged to a touch inside which they meet: each fills from the tape alone, and both end named."""
    tape = random_tape(11, updates=500)
    orders = [buy("0.3", tactic="peg", shadows=()), buy("0.3", tactic="twap_micro", shadows=(), side="sell")]
    run = Run(tape, orders, venue=Venue(self_trade=rule))  # type: ignore[arg-type]
    met = [c for c in run.of(ChildChanged) if "self_trade" in c.reason]
    assert bool(met) == (rule == "cancel_newest")
    assert {c.state for c in met} <= {ChildState.EXPIRED, ChildState.REJECTED}
    lots = {i: sum(f.qty_lots for f in run.of(ChildFilled, f"s-P{i}")) for i in (1, 2)}
    assert run.bought(0) == lots[1] - lots[2]
    assert min(lots.values()) > 0


# --- vetoes -------------------------------------------------------------------------------------------


def test_a_veto_on_old_books_reaches_the_audit() -> None:
    """The feed falls silent for 3 s: with a veto of 500 ms no fill is on an older book, and it is said."""
    tape = random_tape(4, updates=300)
    tape["recv_ns"][len(tape) // 2 :] += 3 * S
    tape["exch_ns"] = tape["recv_ns"]
    venue = Venue(on_stale="reject", max_book_age=500 * MS)
    run = Run(tape, [buy(shadows=())], venue=venue)
    marked = Run(tape, [buy(shadows=())])
    assert max(f.book_age_ns for f in run.of(ChildFilled)) <= 500 * MS
    assert max(f.book_age_ns for f in marked.of(ChildFilled)) > 500 * MS
    reasons = [c.reason for c in run.of(ChildChanged) if c.state is ChildState.REJECTED]
    assert reasons
    assert all(r.endswith("(venue.on_stale: reject, venue.max_book_age)") for r in reasons)


def test_what_is_left_names_the_venue_s_rule() -> None:
    """An order that a halt or its money kept from trading expires with that as the reason, counted."""
    tape = random_tape(4, updates=300)
    short = buy(shadows=(), min_duration=4 * S, max_duration=6 * S)
    halt: Any = {"start": "1970-01-01T00:16:42Z", "end": "1970-01-01T01:00:00Z"}  # from the third second on
    halted = Run(tape, [short], venue=Venue(halts=(halt,))).last("s-P1")
    assert halted.state is ParentState.EXPIRED
    assert re.search(r"unfilled: the venue's rule venue.halts \(\d+x\)", halted.reason)
    poor = Run(tape, [short], venue=Venue(balances={"USDT": Decimal("11.5")})).last("s-P1")
    assert re.search(r"unfilled: the venue's rule venue.balances \(\d+x\)", poor.reason)


def sellers_leave() -> EventArray:
    """A book of two sides for 300 ms, then of bids alone; trades go on."""
    rows: list[tuple[Any, ...]] = []

    def row(ms: int, kind: Kind, price: int, lots: int, side: int, flags: int = 0) -> None:
        at_ns, seq = 1_000 * S + ms * MS, len(rows) + 1
        rows.append((at_ns, at_ns, seq, seq, price, lots, 0, kind, side, flags))

    def snapshot(ms: int, sides: tuple[int, ...]) -> None:
        row(ms, Kind.SNAPSHOT_BEGIN, 0, 0, 0)
        for side in sides:
            for depth in range(1, 5):
                row(ms, Kind.LEVEL, 10_000 - side * depth, 500, side)
        row(ms, Kind.SNAPSHOT_END, 0, 0, 0, LAST)

    snapshot(0, (1, -1))
    snapshot(300, (1,))
    for ms in range(400, 15_000, 100):
        row(ms, Kind.TRADE, 9_999, 5, -1, LAST)
        row(ms, Kind.LEVEL, 9_990, 400 + ms, 1, LAST)
    events = empty_events(len(rows))
    events[:] = np.array(rows, dtype=events.dtype)
    return events


@pytest.mark.parametrize("tactic", ["twap_micro", "peg", "sweep"])
def test_an_order_that_met_no_seller_says_so(tactic: str) -> None:
    """What was left is named with what stood in the way."""
    order = buy(tactic=tactic, shadows=(), min_duration=4 * S, max_duration=6 * S)
    last = Run(sellers_leave(), [order]).last("s-P1")
    assert last.state is ParentState.EXPIRED
    assert re.search(r"BTC unfilled: no two-sided book \(\d+x\)$", last.reason)


# --- amendments ---------------------------------------------------------------------------------------


def test_a_pegged_order_follows_by_amendments() -> None:
    """It moves without leaving the book: fewer orders, no cancel, as many lots at the touch."""
    instrument, tape = synthetic_tape(40.0, 2)
    order = buy("0.5", tactic="peg", interval=5 * S, min_duration=30 * S, max_duration=35 * S, shadows=())
    sections = {by: {"tactics": Tactics(repeg_by=by)} for by in ("cancel", "amend")}  # type: ignore[arg-type]
    runs = {by: Run(tape, [order], instrument=instrument, **more) for by, more in sections.items()}
    for run in runs.values():
        assert run.last("s-P1").state is ParentState.COMPLETED
        assert run.last("s-P1").filled_lots == 50_000 == run.bought(0)
    states = {by: Counter(c.state for c in run.of(ChildChanged)) for by, run in runs.items()}
    assert states["amend"][ChildState.PENDING_AMEND] >= 5
    assert states["cancel"][ChildState.PENDING_AMEND] == 0
    assert states["amend"][ChildState.PENDING_NEW] < states["cancel"][ChildState.PENDING_NEW]
    made = {by: sum(f.qty_lots for f in run.of(ChildFilled) if f.maker) for by, run in runs.items()}
    assert made["amend"] >= made["cancel"]


def test_a_pegged_order_by_money_never_exceeds_it() -> None:
    """Moved to higher prices, an order with a money target shrinks in lots: the target is kept."""
    order = Order(
        notional=Decimal(30_000),
        algo="immediate",
        tactic="peg",
        interval=10 * S,
        min_duration=10 * S,
        max_duration=20 * S,
        shadows=(),
    )
    amended = 0
    for seed in (2, 3, 6):
        instrument, tape = synthetic_tape(25.0, seed)
        run = Run(tape, [order], instrument=instrument, tactics=Tactics(repeg_by="amend", repeg=100 * MS))
        last = run.last("s-P1")
        assert last.state is ParentState.COMPLETED
        assert last.filled_tl <= last.spec.target
        amended += sum(c.state is ChildState.PENDING_AMEND for c in run.of(ChildChanged))
    assert amended >= 5


def test_an_amendment_in_flight_counts_as_the_larger_of_both() -> None:
    """Until the answer is heard a child may fill its old lots and price or its new ones."""
    instrument, tape = synthetic_tape(5.0)
    config = Config(order=buy("0.5", tactic="peg", shadows=()))
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    command = start(instrument, tape, config.order)
    at = int(np.flatnonzero(tape["seq"] == command.seq)[0]) + 1
    engine.advance(tape[:at])
    engine.command(command)
    engine.advance_time(command.recv_ns + 500 * MS)
    execution = engine.workers["s-P1"].execution
    (child,) = execution.open_children()
    old = child.remaining_lots
    assert execution.in_flight_of(child) == old
    less, price = child.remaining_lots // 2, child.price_ticks - 5
    assert execution.amend(child, price, less, engine.now_ns)
    assert execution.in_flight_of(child) == old
    engine.advance_time(engine.now_ns + 200 * MS)
    assert child.state is ChildState.OPEN
    assert execution.in_flight_of(child) == less
    more, higher = 2 * less, price + 2
    assert execution.amend(child, higher, more, engine.now_ns)
    assert execution.in_flight_of(child) == more


def test_rejects_without_any_latency_do_not_hold_up_the_run() -> None:
    """Every order rejected the moment it is sent: the next goes out with the next slice."""
    none = LatencyMs(median_ms=0)
    venue = Venue(
        entry=none,
        cancel=none,
        acknowledgement=none,
        market_data=none,
        rehearsal=RehearsalSection(reject_ppm=1_000_000),
    )
    order = Order(
        quantity=Decimal("0.05"), min_duration=S, max_duration=4 * S, interval=S, algo="twap", shadows=()
    )
    run = Run(random_tape(1, 300), [order], venue=venue)
    assert run.last("s-P1").state is ParentState.EXPIRED
    assert 4 <= len({child.child_id for child in run.of(ChildChanged)}) < 40


def test_an_obstacle_is_counted_once_with_impact_on() -> None:
    """An order that price protection stops is counted under the rule's name alone."""
    law = ImpactParameters(sigma_bps_per_day=300, volume_per_day=20)
    venue = Venue(impact="sqrt", impact_laws={"BTC/USDT": law}, price_protection_bps=3)
    order = Order(
        quantity=Decimal("0.3"), min_duration=S, max_duration=4 * S, interval=S, algo="twap", shadows=()
    )
    run = Run(random_tape(1, 300), [order], venue=venue)
    assert "the venue's rule venue.price_protection_bps (" in run.last("s-P1").reason
    assert "from the far touch" not in run.last("s-P1").reason
