"""What the venue refuses by its rules: counts, sizes, halts, stale books; each reason has value and limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agent.core.market.tape import Flag, Kind, empty_events
from agent.core.orders.venue_messages import ReportKind
from agent.core.types import Side, TimeInForce
from agent.venue.rules import Halt
from tests.venue import MS, Stand

REJECTED = ReportKind.REJECTED
S = 1000 * MS


def rest(stand: Stand, at_ms: float, **changes: Any) -> None:
    stand.send(at_ms, **{"tif": TimeInForce.POST_ONLY, "price_ticks": 9_999, **changes})
    stand.until(at_ms + 50)


def last(stand: Stand) -> tuple[ReportKind, str]:
    return stand.reports[-1][1].kind, stand.reports[-1][1].reason


def test_only_so_many_orders_rest_at_once() -> None:
    """The third is refused; one that cannot rest is taken; another lane has a count of its own."""
    stand = Stand(rules={"max_open_orders": 2})
    for i in range(3):
        rest(stand, 100 * i)
    assert last(stand) == (
        REJECTED,
        "2 orders of ours are open on BTC/USDT: at most 2 are allowed (venue.max_open_orders)",
    )
    rest(stand, 300, tif=TimeInForce.IOC, price_ticks=10_002)
    assert last(stand)[0] is ReportKind.FILLED
    rest(stand, 400, lane=1)
    assert last(stand)[0] is ReportKind.ACKNOWLEDGED
    stand.cancel(1, 500 * MS)
    stand.until(600)
    rest(stand, 600)
    assert last(stand)[0] is ReportKind.ACKNOWLEDGED


def test_a_quantity_above_the_maximum_is_refused() -> None:
    """0.050 is allowed, 0.051 is not."""
    stand = Stand(rules={"max_quantity": Decimal("0.050")})
    stand.send(0, lots=51)
    stand.send(100, lots=50)
    stand.until(300)
    assert stand.reports[0][1].reason == ("quantity 0.051 is above the maximum 0.050 (venue.max_quantity)")
    assert stand.kinds()[1] is ReportKind.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("symbol", "at_ms", "taken"),
    [
        ("", 69, True),  # it arrives 30 ms later: before the halt
        ("", 70, False),
        ("BTC/USDT", 169, False),
        ("BTC/USDT", 170, True),  # the end belongs to the market
        ("ETH/USDT", 100, True),
    ],
)
def test_a_halted_market_takes_no_order(symbol: str, at_ms: int, taken: bool) -> None:
    """Orders that arrive from 100 to 200 ms are refused where the symbol is halted."""
    stand = Stand(rules={"halts": (Halt(100 * MS, 200 * MS, symbol),)})
    stand.send(at_ms)
    stand.until(500)
    assert stand.kinds()[0] is (ReportKind.ACKNOWLEDGED if taken else REJECTED)
    if not taken:
        assert last(stand)[1] == "BTC/USDT is halted until 1970-01-01T00:00:00.200Z (venue.halts)"


def test_a_halt_lets_cancels_through() -> None:
    """What rests may be cancelled while nothing new is taken, and cannot be amended."""
    stand = Stand(rules={"halts": (Halt(100 * MS, 200 * MS),)})
    rest(stand, 0)
    stand.amend(1, 9_998, 10, 80 * MS)
    stand.until(130)
    assert last(stand)[0] is ReportKind.AMEND_REJECTED
    stand.cancel(1, 130 * MS)
    stand.until(200)
    assert last(stand)[0] is ReportKind.CANCELLED


def stale(max_age: int | None) -> Stand:
    return Stand(rules={"max_book_age_ns": max_age})


@pytest.mark.parametrize(("sent_ms", "kind"), [(4970, ReportKind.FILLED), (4971, REJECTED)])
def test_an_old_book_can_be_vetoed(sent_ms: int, kind: ReportKind) -> None:
    """The book is of 0 ms: an order that arrives 5 s later fills, a millisecond later it is refused."""
    stand = stale(5 * S)
    stand.send(sent_ms)
    stand.until(6000)
    assert last(stand)[0] is kind
    if kind is REJECTED:
        assert last(stand)[1] == (
            "the book is 5.001 s old: a marketable order is filled on one of at most 5 s"
            " (venue.on_stale: reject, venue.max_book_age)"
        )


def test_an_old_book_is_only_marked_by_default() -> None:
    """Without the veto the fill stands and says how old its book was."""
    stand = stale(None)
    stand.send(60_000)
    stand.until(61_000)
    assert stand.reports[-1][1].book_age_ns == 60_030 * MS


def test_what_does_not_cross_may_rest_on_an_old_book() -> None:
    """Nothing is priced by it: a post-only order and a bid below the asks are taken."""
    stand = stale(5 * S)
    rest(stand, 9000)
    rest(stand, 9100, tif=TimeInForce.GTC)
    assert stand.kinds() == [ReportKind.ACKNOWLEDGED] * 2


def gap(stand: Stand, kind: Kind, at_ms: int) -> None:
    stand.until(at_ms)
    row = empty_events(1)
    row["recv_ns"], row["kind"], row["flags"] = at_ms * MS, kind, int(Flag.LAST | Flag.BOOK)
    stand.market.note(row[0])


def test_a_gap_can_be_vetoed() -> None:
    """From its first edge until ``near_gap`` after its last no marketable order is filled."""
    stand = Stand(rules={"max_book_age_ns": 3600 * S}, near_gap_ns=1 * S)
    for at_ms in (0, 1000, 2000, 2500, 3500):
        if at_ms == 1000:
            gap(stand, Kind.GAP_BEGIN, 1000)
        if at_ms == 2000:
            gap(stand, Kind.GAP_END, 2000)
        stand.send(at_ms, side=Side.BUY, lots=10)
        stand.until(at_ms + 100)
    assert [k for k in stand.kinds() if k is not ReportKind.ACKNOWLEDGED] == [
        ReportKind.FILLED,
        REJECTED,
        REJECTED,
        REJECTED,
        ReportKind.FILLED,
    ]
    refused = next(r for _, r in stand.reports if r.kind is REJECTED)
    assert refused.reason == (
        "the feed has a gap, or had one less than 1 s ago: no marketable order is filled then"
        " (venue.on_stale: reject, venue.near_gap)"
    )
    assert np.count_nonzero(stand.market.state.counts[0]) == 0
