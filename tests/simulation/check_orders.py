"""Orders, children, fills and commands: none wrong, none in lost time, no price that was not there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from agent.core.market.tape import EventArray
from agent.core.market.tape import Kind as Row
from tests.simulation.simulated_run import Outcome
from tests.simulation.violation import MS, Database, Kind, Rows, S, Violation, failed

TERMINAL = {"completed", "expired", "cancelled", "failed"}
CHILD_TERMINAL = {"filled", "cancelled", "rejected", "expired"}
STOOD_STILL_S = 2.0
NEAR_S = 3.0
PAPER_FEE_PPM = 1000


def of_orders(outcome: Outcome, database: Database, tape: EventArray) -> Iterator[Violation]:
    yield from _fills(outcome, database)
    yield from _dead_time(outcome, database)
    yield from _commands(database)
    yield from _on_fresh_books(outcome, database, tape)
    fills, children = database.rows("fills"), database.rows("child_orders")
    parents = database.rows("parent_orders")
    real = {row["parent_id"].rpartition("-")[2] for row in parents if row["shadow_of"] is None}
    result = outcome.result
    if result is not None and not isinstance(result, BaseException):
        unstarted = {each.name for each in result.not_started}
        for row in outcome.scenario.orders:
            if (row.id in real) == (row.id in unstarted):
                yield Violation(
                    Kind.ORDERS, f"order {row.id} started: {row.id in real}, and was told otherwise"
                )
    for parent in parents:
        own = [fill for fill in fills if fill["parent_id"] == parent["parent_id"]]
        for text in _parent_faults(parent, own):
            yield Violation(Kind.ORDERS, f"{parent['parent_id']} ({parent['state']}): {text}")
    for child in children:
        own = [fill for fill in fills if fill["child_id"] == child["child_id"]]
        lots = sum(fill["qty_lots"] for fill in own)
        if child["filled_lots"] != lots or lots > child["qty_lots"]:
            text = (
                f"{child['child_id']} filled {child['filled_lots']} of {child['qty_lots']} by fills of {lots}"
            )
            yield Violation(Kind.ORDERS, text)
        if child["state"] not in CHILD_TERMINAL and not failed(outcome) and outcome.kills == 0:
            yield Violation(Kind.ORDERS, f"{child['child_id']} is {child['state']} at the end")


def _parent_faults(parent: Mapping[str, Any], fills: Rows) -> Iterator[str]:
    lots = sum(fill["qty_lots"] for fill in fills)
    money = sum(fill["price_ticks"] * fill["qty_lots"] for fill in fills)
    if (parent["filled_lots"], parent["filled_tl"]) != (lots, money):
        yield f"filled {parent['filled_lots']} lots, its fills are {lots}"
    if parent["state"] not in TERMINAL:
        yield "it has not ended"
    by_quantity = parent["target_kind"] == "quantity"
    filled, target = (lots if by_quantity else money), parent["target_units"]
    if filled > target:
        yield f"filled {filled} of {target}"
    if parent["state"] == "completed":
        dearest = 0 if by_quantity else max((fill["price_ticks"] for fill in fills), default=0)
        if target - filled > dearest * 1.01:
            yield f"completed with {filled} of {target}"
    elif not parent["reason"]:
        yield "it says no reason"
    until_ns = (parent["started_ns"] or 0) + parent["max_duration_ns"] + 2 * S
    late = [fill for fill in fills if fill["fill_ns"] > until_ns]
    if late and parent["align"] == "none":
        yield f"{len(late)} fills after its longest duration"


def _fills(outcome: Outcome, database: Database) -> Iterator[Violation]:
    """No price that the exchange's book did not show about then; no id twice."""
    fills = database.rows("fills")
    numbers = {row["number"]: row["symbol"] for row in database.rows("instruments")}
    ahead_ns = outcome.exchange.clock.ahead_ns
    for fill in fills:
        quotes = outcome.exchange.quotes[numbers[fill["instrument"]]]
        from_ms = (fill["fill_ns"] + ahead_ns - fill["book_age_ns"]) // MS - int(NEAR_S * 1000)
        to_ms = (fill["fill_ns"] + ahead_ns) // MS + int(NEAR_S * 1000)
        lo, hi = max(0, bisect_left(quotes.ms, from_ms) - 1), bisect_right(quotes.ms, to_ms)
        if lo >= hi:
            continue
        buys, price = fill["side"] == "buy", fill["price_ticks"]
        if fill["maker"]:
            best = min(quotes.bids[lo:hi]) if buys else max(quotes.asks[lo:hi])
            slack = (max(quotes.asks[lo:hi]) - min(quotes.bids[lo:hi])) * 3 + best // 500
        else:
            best, slack = (min(quotes.asks[lo:hi]) if buys else max(quotes.bids[lo:hi])), 0
        fee = Decimal(fill["notional"]) * PAPER_FEE_PPM / 1_000_000
        if Decimal(fill["fee"]) != fee:
            yield Violation(Kind.ORDERS, f"{fill['fill_id']}: a fee of {fill['fee']}, and {fee} is due")
        if (price < best - slack) if buys else (price > best + slack):
            text = f"{fill['fill_id']}: {fill['side']} at {price}, and the best shown about then was {best}"
            yield Violation(Kind.ORDERS, text)


def _dead_time(outcome: Outcome, database: Database) -> Iterator[Violation]:
    """Nothing is decided, sent or filled while the agent is dead or stands still, nor made up for after."""
    lengths = {row["parent_id"]: row["interval_ns"] for row in database.rows("parent_orders")}
    for from_ns, to_ns in outcome.dead:
        if to_ns - from_ns <= STOOD_STILL_S * S:
            continue
        dead = (from_ns + MS, to_ns - MS)
        for table, column in (("fills", "fill_ns"), ("decisions", "at_ns"), ("child_orders", "sent_ns")):
            inside = [row for row in database.rows(table) if dead[0] < row[column] < dead[1]]
            if inside:
                text = f"{len(inside)} {table} dated in dead time, as at {inside[0][column]}"
                yield Violation(Kind.ORDERS, text)
        for row in database.rows("decisions"):
            ended_ns = row["asked_ns"] + lengths[row["parent_id"]]
            if dead[0] < row["asked_ns"] and ended_ns < dead[1]:
                yield Violation(Kind.ORDERS, f"{row['decision_id']} is of an interval within dead time")
                break


def _commands(database: Database) -> Iterator[Violation]:
    """After the kill switch nothing is sent."""
    children = database.rows("child_orders")
    for command in database.rows("commands"):
        if command["kind"] != "kill" or command["handled_ns"] is None:
            continue
        sent = [child for child in children if child["sent_ns"] > command["handled_ns"]]
        if sent:
            yield Violation(Kind.ORDERS, f"{len(sent)} orders sent after the kill switch")


def _on_fresh_books(outcome: Outcome, database: Database, tape: EventArray) -> Iterator[Violation]:
    """No order goes out on a book that the risk rule calls stale."""
    most_ns = outcome.config.risk.stale_book or 0
    of_book = tape[(tape["kind"] >= Row.LEVEL) & (tape["kind"] <= Row.SNAPSHOT_END)]
    for child in database.rows("child_orders"):
        seen = of_book["recv_ns"][of_book["instrument"] == child["instrument"]]
        before = seen[seen <= child["sent_ns"]]
        if not len(before) or child["sent_ns"] - int(before[-1]) > most_ns:
            yield Violation(Kind.ORDERS, f"{child['child_id']} was sent on a stale book")
            return
