"""Rows that speak of a span of time: a clock that stepped, time in which nothing was done."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.measures.data_faults import Fault
from agent.core.orders.risk import MarketFacts, OrderIntent, RiskGate, RiskLimits
from agent.core.types import Side
from agent.venue.kernel.tape_market import TapeMarket
from tests.unit.connectors.test_id_jumps import BTC

S = 10**9


def row(kind: Kind, recv_s: float, exch_s: float, side: int = 0, price: int = 0) -> EventArray:
    rows = np.zeros(1, EVENT)
    rows["recv_ns"], rows["exch_ns"], rows["kind"] = int(recv_s * S), int(exch_s * S), kind
    rows["side"], rows["price_ticks"], rows["qty_lots"], rows["flags"] = side, price, 5, int(Flag.LAST)
    return rows


def market(*rows: EventArray) -> TapeMarket:
    made, tape = TapeMarket([BTC]), np.concatenate(rows)
    at = 0
    while at < len(tape):
        before = at
        at, _ = made.run(tape, at, 2**62)
        for seen in tape[before:at]:
            if seen["kind"] in (Kind.CLOCK_STEP, Kind.LOST_TIME):
                made.note(seen)
    return made


def book(recv_s: float, exch_s: float) -> EventArray:
    return np.concatenate([row(Kind.LEVEL, recv_s, exch_s, side, 100 - side) for side in (1, -1)])


@pytest.mark.parametrize(
    ("kind", "recv_s", "exch_s", "fault"),
    [(Kind.CLOCK_STEP, 30, 10, Fault.CLOCK_STEP), (Kind.LOST_TIME, 10, 30, Fault.LOST_TIME)],
)
def test_a_span_flags_what_holds_some_of_it(kind: Kind, recv_s: int, exch_s: int, fault: Fault) -> None:
    """By its share of the window; a window before it or after it is unmarked, and the mid is known in it."""
    faults = market(book(1, 1), row(kind, recv_s, exch_s)).faults(0)
    assert faults.shares(0, 40 * S, lambda a, b: 1) == {fault.value: pytest.approx(0.5)}
    assert faults.shares(15 * S, 25 * S, lambda a, b: 1) == {fault.value: 1.0}
    assert faults.shares(0, 9 * S, lambda a, b: 1) == {}
    assert faults.shares(31 * S, 40 * S, lambda a, b: 1) == {}
    assert faults.book_holes() == []


def test_after_lost_time_only_a_book_of_later_counts() -> None:
    """Updates that waited to be read show the market of before; the first that was sent later ends it."""
    lost = row(Kind.LOST_TIME, 2, 9)
    assert not market(book(1, 1)).unseen(0)
    assert market(book(1, 1), lost).unseen(0)
    assert market(book(1, 1), lost, book(9.1, 4)).unseen(0)
    assert not market(book(1, 1), lost, book(9.1, 4), book(9.2, 9.15)).unseen(0)


@pytest.mark.parametrize(
    ("recv_s", "exch_s", "known_s"), [(5, 4.9, 5), (5, 3, 3), (5, 6, 5), (200_000, 1, 200_000)]
)
def test_a_book_read_late_is_as_old_as_its_stamp(recv_s: float, exch_s: float, known_s: float) -> None:
    """More than a second late; a stamp of a day ago is none."""
    assert market(book(recv_s, exch_s)).book_ns(0) == int(known_s * S)


def test_no_order_goes_out_unseen() -> None:
    """The rule of the stale book refuses it and says why; switched off, it does not."""
    intent = OrderIntent("P", Side.BUY, 1, 100)
    facts = MarketFacts(mid_half_ticks=200, book_ns=1, unseen=True)
    refused = RiskGate(RiskLimits(stale_book_ns=5 * S), BTC).check(intent, facts, 2)
    assert refused is not None
    assert (refused.rule, "stood still" in refused.reason) == ("stale_book", True)
    assert RiskGate(RiskLimits(), BTC).check(intent, facts, 2) is None
