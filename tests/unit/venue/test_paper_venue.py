"""What the engine's fills say of the tape they were made on: how old the book was, whether a gap was near.

The venue's own rules (latency, rejects, fees, money, queue) are in ``tests/contract/test_venue_contract.py``.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from agent.config import Order
from agent.core.events import GapSeen
from agent.core.market.tape import EventArray, Flag, Kind
from tests.property.test_engine import S, random_tape, work

MS = 10**6
NEAR_NS = 5 * S  # the configuration's default: this long after an edge, a gap still counts as near


def with_gap(tape: EventArray, begin_ns: int, end_ns: int, lost: int) -> EventArray:
    """The same tape with a gap of the trade stream, its edges at times between its updates."""
    edges = np.zeros(2, tape.dtype)
    edges["recv_ns"] = edges["exch_ns"] = [begin_ns, end_ns]
    edges["kind"] = [Kind.GAP_BEGIN, Kind.GAP_END]
    edges["qty_lots"] = [0, lost]
    edges["flags"] = int(Flag.LAST | Flag.TRADES)
    whole = np.concatenate([tape, edges])
    whole = whole[np.argsort(whole["recv_ns"], kind="stable")]
    whole["seq"] = np.arange(1, len(whole) + 1)
    return whole


def test_fills_near_a_gap_say_so() -> None:
    """From a gap's first edge until five seconds after its last every fill is marked, and no other."""
    tape = random_tape(3, updates=600)
    start_ns = int(tape["recv_ns"][0])
    begin_ns, end_ns = start_ns + 3 * S + MS, start_ns + 4 * S + MS
    order = Order(
        quantity=Decimal("0.4"), algo="twap", interval=S, min_duration=12 * S, max_duration=12 * S, shadows=()
    )
    ran = work(order, with_gap(tape, begin_ns, end_ns, lost=7), 64)
    fills = ran.fills("s-P1")
    marked = [f.near_gap for f in fills]
    assert marked == [begin_ns <= f.fill_ns <= end_ns + NEAR_NS for f in fills]
    assert marked.count(True) > 3
    assert marked.count(False) > 3
    gaps = [e for e in ran.events if isinstance(e, GapSeen)]
    assert [(g.stream, g.ended, g.lost) for g in gaps] == [("trades", False, 0), ("trades", True, 7)]


def test_a_fill_says_how_old_its_book_was() -> None:
    """The age is the fill's time less that of the last book row shown by then, recomputed from the tape."""
    tape = random_tape(4, updates=300)
    order = Order(
        quantity=Decimal("0.2"), algo="twap", interval=S, min_duration=6 * S, max_duration=6 * S, shadows=()
    )
    fills = work(order, tape, 64).fills("s-P1")
    book_ns = tape["recv_ns"][np.isin(tape["kind"], (Kind.LEVEL, Kind.SNAPSHOT_END))]
    ages = [f.fill_ns - int(book_ns[book_ns <= f.fill_ns][-1]) for f in fills]
    assert [f.book_age_ns for f in fills] == ages
    assert max(ages) > 0
