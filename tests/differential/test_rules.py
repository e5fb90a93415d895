"""Kinds of orders, price protection, refusals and rehearsed trouble: each alone, against hftbacktest.

Where hftbacktest has no such rule, it is given what the rule makes of the orders, worked out here from
the book that each order met: shorter limits, or fewer orders. Then nothing may differ.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from agent.core.market.tape import EventArray, Kind
from agent.core.market.trade_bars import BookSample
from agent.venue import reach
from agent.venue.rules import Halt
from agent.venue.wire.rehearsal import Rehearsal
from tests.differential.books import arrivals, books_at
from tests.differential.compare import differing
from tests.differential.ours import INSTRUMENT, Run, Setting
from tests.differential.plans import Style, random_plan
from tests.differential.records import (
    CANCELLED,
    EXPIRED,
    FILLED,
    FOK,
    GTD,
    IOC,
    REFUSED,
    Outcome,
    Records,
    Rules,
)
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

pytestmark = pytest.mark.slow

RULES = Rules()


def tape_of(name: str) -> EventArray:
    return random_tape(int(name), 20_000) if name.isdigit() else capture_tape(name)


@pytest.mark.parametrize(
    ("name", "filled", "killed"),
    [("1", 276, 519), ("2", 278, 511), ("btcusdt", 843, 273), ("ethusdt", 794, 322)],
)
def test_fill_or_kill_is_the_same(name: str, filled: int, killed: int) -> None:
    """All or nothing, at the same prices: no difference."""
    tape = tape_of(name)
    orders = random_plan(tape, RULES, 1500, 1, Style(taking=FOK, takers=0.5))
    ours = Run(RULES)(tape, orders)
    assert differing(ours, run_reference(tape, orders, RULES)) == []
    ends = ours.ends["outcome"][orders["tif"] == FOK]
    assert ((ends == FILLED).sum(), (ends == EXPIRED).sum(), len(ends)) == (filled, killed, filled + killed)


@pytest.mark.parametrize(
    ("name", "ended", "walked"), [("1", 51, 24), ("2", 53, 17), ("btcusdt", 747, 0), ("ethusdt", 732, 0)]
)
def test_good_till_date_is_a_cancel_that_arrives_at_the_time(name: str, ended: int, walked: int) -> None:
    """The same as a cancel there at that nanosecond; only orders that crossed on arrival differ.

    Those are marketable: hftbacktest gives such an order all it asks for (see ``test_classes``).
    """
    tape = tape_of(name)
    orders = random_plan(tape, RULES, 1000, 1, Style(resting=GTD, takers=0.0))
    ours, theirs = Run(RULES)(tape, orders), run_reference(tape, orders, RULES)
    wrong = differing(ours, theirs)
    crossed = theirs.fills["number"][theirs.fills["maker"] == 0]
    assert np.isin(wrong, crossed).all()
    for number in wrong:
        mine = ours.fills[ours.fills["number"] == number]
        assert not mine["maker"][0]
        assert mine["lots"][0] < orders["lots"][number - 1]
    assert (int((ours.ends["outcome"] == CANCELLED).sum()), len(wrong)) == (ended, walked)


@pytest.mark.parametrize(
    ("name", "bps", "shortened"),
    [("1", 2.5, 162), ("2", 7.0, 41), ("btcusdt", 0.01, 5), ("ethusdt", 0.05, 43)],
)
def test_price_protection_is_a_shorter_limit(name: str, bps: float, shortened: int) -> None:
    """No difference once hftbacktest's takers have the limit to which they are protected."""
    tape = tape_of(name)
    orders = random_plan(tape, RULES, 1000, 1, Style(takers=0.5))
    ours = Run(RULES, Setting(venue=(("price_protection_bps", bps),)))(tape, orders)
    kept = protected(tape, orders, bps)
    assert differing(ours, run_reference(tape, kept, RULES)) == []
    apart = differing(ours, run_reference(tape, orders, RULES))
    assert np.isin(apart, orders["number"][kept["price_ticks"] != orders["price_ticks"]]).all()
    assert len(apart) == shortened


def test_protection_that_ends_a_tick_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees an edge of the protected range that is one tick off."""
    tape = tape_of("1")
    orders = random_plan(tape, RULES, 1000, 1, Style(takers=0.5))
    walk = reach.Reach.walk

    def early(self: reach.Reach, *args: object) -> reach.Walk:
        found = walk(self, *args)  # type: ignore[arg-type]
        return replace(found, limit_ticks=found.limit_ticks - int(args[0].side)) if found.why else found  # type: ignore[attr-defined]

    monkeypatch.setattr(reach.Reach, "walk", early)
    ours = Run(RULES, Setting(venue=(("price_protection_bps", 2.5),)))(tape, orders)
    assert differing(ours, run_reference(tape, protected(tape, orders, 2.5), RULES)) != []


def protected(tape: EventArray, orders: Records, bps: float) -> Records:
    """The orders with the limits of takers cut to whole ticks within ``bps`` of the far touch they met."""
    kept = orders.copy()
    for order, book in zip(kept, books_at(tape, orders, RULES), strict=True):
        side = int(order["side"])
        far = book.ask_ticks if side > 0 else book.bid_ticks
        edge = far + side * int(Fraction(str(bps)) / 10_000 * far)
        if order["tif"] == IOC:
            order["price_ticks"] = side * min(side * int(order["price_ticks"]), side * edge)
    return kept


REFUSALS = {
    "price_band": Setting(venue=(("price_band_bps", 6.0),)),
    "min_notional": Setting(instrument=replace(INSTRUMENT, min_notional=Decimal(150_000))),
    "min_quantity": Setting(instrument=replace(INSTRUMENT, min_lots=12)),
    "max_quantity": Setting(venue=(("max_quantity", Decimal(40)),)),
    "halt": Setting(venue=(("halts", (Halt(1_010 * 10**9, 1_030 * 10**9),)),)),
    "stale": Setting(venue=(("max_book_age_ns", 15_000_000),)),
}


@pytest.mark.parametrize(
    ("why", "refused"),
    [
        ("price_band", 254),
        ("min_notional", 187),
        ("min_quantity", 139),
        ("max_quantity", 512),
        ("halt", 111),
        ("stale", 91),
    ],
)
def test_exactly_the_orders_that_break_a_rule_are_refused(why: str, refused: int) -> None:
    """The orders that differ are those that the rule, told again here, refuses: no other changes."""
    tape = random_tape(1, 48_000)
    orders = random_plan(tape, RULES, 1000, 1)
    ours, theirs = Run(RULES, REFUSALS[why])(tape, orders), run_reference(tape, orders, RULES)
    met = zip(orders, books_at(tape, orders, RULES), arrivals(orders, RULES), strict=True)
    broke = np.array([breaks(why, order, book, at_ns, tape) for order, book, at_ns in met])
    refused_there = theirs.ends["outcome"] == REFUSED  # post-only, and it would have traded
    assert differing(ours, theirs) == orders["number"][broke & ~refused_there].tolist()
    assert (ours.ends["outcome"][broke] == REFUSED).all()
    assert int(broke.sum()) == refused


def breaks(why: str, order: Records, book: BookSample, at_ns: int, tape: EventArray) -> bool:
    """Whether an order that met ``book`` breaks the rule."""
    price, lots, side = int(order["price_ticks"]), int(order["lots"]), int(order["side"])
    mid, far = Fraction(book.bid_ticks + book.ask_ticks, 2), book.ask_ticks if side > 0 else book.bid_ticks
    if why == "price_band":
        return abs(price - mid) > mid * 6 / 10_000
    if why == "halt":
        return 1_010 * 10**9 <= at_ns < 1_030 * 10**9
    if why == "stale":
        whole = tape["recv_ns"][np.isin(tape["kind"], (Kind.LEVEL, Kind.SNAPSHOT_END))]
        seen_ns = int(whole[np.searchsorted(whole, at_ns, "right") - 1])
        return order["tif"] == IOC and (price - far) * side >= 0 and at_ns - seen_ns > 15_000_000
    return {"min_notional": price * lots < 150_000, "min_quantity": lots < 12, "max_quantity": lots > 40}[why]


TROUBLE = Rehearsal(reject_ppm=100_000, timeout_ppm=250_000, timeout_ns=500_000_000)


@pytest.mark.parametrize(
    ("name", "met"),
    [("1", (51, 33, 36, 39)), ("btcusdt", (99, 68, 73, 71)), ("ethusdt", (99, 68, 73, 71))],
)
def test_rehearsed_trouble_meets_the_orders_that_are_drawn(name: str, met: tuple[int, ...]) -> None:
    """Rejected, lost, mute and late orders are those of the draws, and all others are the same.

    A late answer is heard later by what was drawn; asked about, a mute order has done what it would have.
    """
    tape = tape_of(name)
    orders = random_plan(tape, RULES, 1000, 1)
    theirs = run_reference(tape, orders, RULES)
    fates = [TROUBLE.fate(1, int(n)) for n in orders["number"]]
    fate = np.array([trouble.value for trouble, _ in fates])
    late_ns = np.array([late for _, late in fates])
    ours = Run(RULES, Setting(venue=(("rehearsal", TROUBLE),)))(tape, orders)
    asked = Run(RULES, Setting(asks=True, venue=(("rehearsal", TROUBLE),)))(tape, orders)
    gone = np.isin(fate, ("rejected", "lost"))
    assert (ours.ends["outcome"][fate == "rejected"] == REFUSED).all()
    assert (asked.ends["outcome"][gone] == REFUSED).all()
    assert not np.isin(orders["number"][gone | (fate == "mute")], ours.fills["number"]).any()
    ours.fills["heard_ns"] -= late_ns[ours.fills["number"] - 1]
    assert np.array_equal(ours.fills, without(theirs, gone | (fate == "mute")).fills)
    untimed = fate != "none"  # when asked, what is heard, and so what an end's time is taken from, is later
    for outcome in (asked, theirs):
        outcome.fills["heard_ns"][untimed[outcome.fills["number"] - 1]] = 0
        outcome.ends["exch_ns"][untimed] = 0
    assert differing(without(asked, gone), without(theirs, gone)) == []
    assert tuple(int((fate == kind).sum()) for kind in ("rejected", "lost", "mute", "late")) == met


def without(outcome: Outcome, gone: npt.NDArray[np.bool_]) -> Outcome:
    """The outcome of the other orders."""
    return Outcome(outcome.fills[~gone[outcome.fills["number"] - 1]], outcome.ends[~gone])
