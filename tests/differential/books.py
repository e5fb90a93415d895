"""The book that each order meets: what a test needs to say beforehand what must come of it."""

from __future__ import annotations

from agent.core.market.tape import EventArray
from agent.core.market.trade_bars import BookSample
from agent.venue.kernel.tape_market import TapeMarket
from tests.differential.ours import INSTRUMENT
from tests.differential.records import Records, Rules


def arrivals(orders: Records, rules: Rules) -> list[int]:
    """When each order is at the exchange, on the tape's clock."""
    return [int(ns) for ns in orders["send_ns"] + orders["entry_ns"] + rules.feed_ns]


def books_at(tape: EventArray, orders: Records, rules: Rules) -> list[BookSample]:
    """The book as each order finds it; all 0 where it has not two sides. Orders are in order of arrival."""
    market, at = TapeMarket([INSTRUMENT]), 0
    found = []
    for due_ns in arrivals(orders, rules):
        while at < len(tape) and tape["recv_ns"][at] <= due_ns:
            at, _ = market.run(tape, at, due_ns)
        found.append(market.book(0))
    return found
