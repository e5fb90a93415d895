"""Runs orders through hftbacktest: ``python -m tests.differential.hbt_worker IN.npz OUT.npz``.

Runs under the reference environment's own interpreter and imports nothing of the product. Every order
is followed by its responses alone, so each change of its open quantity is one record.
"""

from __future__ import annotations

import sys

import hftbacktest as hbt
import numpy as np
from hftbacktest.types import event_dtype
from numba import njit

from tests.differential.records import (
    CANCELLED,
    END,
    EXPIRED,
    FILL,
    FILLED,
    OPEN,
    POST_ONLY,
    POWER_PROBABILITY,
    REFUSED,
    STOPPED,
)

LIMIT = 0
HBT_NEW, HBT_EXPIRED, HBT_FILLED, HBT_CANCELED, HBT_PARTIAL = 1, 2, 3, 4, 5  # its order states
TRADE, LEVEL, SNAPSHOT_BEGIN = 1, 2, 3  # kinds of our tape; the others tell hftbacktest nothing


@njit
def replay(bot, orders, first, fills, n_fills, ends, flight_ns):
    """Send the orders from ``first`` on at their times and follow each to its end.

    Returns (next order, fill records, error). Orders of one group are sent together; at an error (0 is
    none) the group that it came in is the next, and has left no records. ``flight_ns``: entry plus
    response latency.
    """
    bot.elapse(0)
    i = first
    while i < len(orders):
        kept = n_fills
        error = bot.elapse(orders[i].send_ns - bot.current_timestamp)
        group_end = i
        while not error and group_end < len(orders) and orders[group_end].send_ns == orders[i].send_ns:
            o = orders[group_end]
            price, lots = float(o.price_ticks), float(o.lots)
            if o.side > 0:
                error = bot.submit_buy_order(0, o.number, price, lots, o.tif, LIMIT, False)
            else:
                error = bot.submit_sell_order(0, o.number, price, lots, o.tif, LIMIT, False)
            group_end += 1
        for j in range(i, group_end):
            if not error:
                n_fills, error = follow(bot, orders[j], fills, n_fills, ends[j], flight_ns)
        if error:
            return i, kept, error
        bot.clear_inactive_orders(0)
        i = group_end
    return i, n_fills, 0


@njit
def follow(bot, o, fills, n_fills, end, flight_ns):
    """Follow one order to its end, cancelling it at its time. Returns (fill records, error)."""
    left = float(o.lots)
    cancels = o.cancel_ns > 0
    until_ns = o.cancel_ns if cancels else o.send_ns + flight_ns
    while True:
        seen = bot.orders(0).get(o.number)
        if seen.leaves_qty != left:
            f = fills[n_fills]
            f.number, f.exch_ns, f.heard_ns = o.number, seen.exch_timestamp, bot.current_timestamp
            f.lots, f.last_lots = round(left - seen.leaves_qty), round(seen.exec_qty)
            f.last_price_ticks, f.maker = seen.exec_price_tick, int(seen.arr[0].maker)
            n_fills += 1
            left = seen.leaves_qty
        end.number, end.exch_ns, end.left_lots = o.number, seen.exch_timestamp, round(left)
        end.outcome = outcome_of(seen.status, o.tif)
        if end.outcome != OPEN:
            return n_fills, 0
        if bot.current_timestamp >= until_ns:
            if not cancels:
                return n_fills, 0
            bot.cancel(0, o.number, False)
            cancels = False
            until_ns = bot.current_timestamp + flight_ns
        error = bot.wait_order_response(0, o.number, until_ns - bot.current_timestamp)
        if error:
            return n_fills, error


@njit
def outcome_of(status, tif):
    """Our name of its order state; a post-only order that would trade "expires" there."""
    if status == HBT_FILLED:
        return FILLED
    if status == HBT_CANCELED:
        return CANCELLED
    if status == HBT_EXPIRED:
        return REFUSED if tif == POST_ONLY else EXPIRED
    return OPEN


def to_hbt(tape, feed_ns):
    """Return our tape in its format: levels and trades, seen by us ``feed_ns`` after the exchange."""
    kept = tape[np.isin(tape["kind"], (TRADE, LEVEL, SNAPSHOT_BEGIN))]
    kind = np.select(
        [kept["kind"] == TRADE, kept["kind"] == LEVEL],
        [hbt.TRADE_EVENT, hbt.DEPTH_EVENT],
        hbt.DEPTH_CLEAR_EVENT,
    ).astype(np.uint64)
    side = np.select([kept["side"] > 0, kept["side"] < 0], [hbt.BUY_EVENT, hbt.SELL_EVENT], 0)
    rows = np.zeros(len(kept), event_dtype)
    rows["ev"] = kind | side.astype(np.uint64) | np.uint64(hbt.EXCH_EVENT | hbt.LOCAL_EVENT)
    rows["local_ts"] = kept["recv_ns"]
    rows["exch_ts"] = kept["recv_ns"] - feed_ns
    rows["px"] = kept["price_ticks"]
    rows["qty"] = kept["qty_lots"]
    return rows


def new_bot(rows, given):
    """Return hftbacktest at the start of the tape."""
    asset = hbt.BacktestAsset().data(rows).linear_asset(1.0).tick_size(1.0).lot_size(1.0)
    asset = asset.constant_order_latency(int(given["entry_ns"]), int(given["response_ns"]))
    if int(given["queue_model"]) == POWER_PROBABILITY:
        asset = asset.power_prob_queue_model(float(given["queue_power"]))
    else:
        asset = asset.risk_adverse_queue_model()
    asset = asset.partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
    return hbt.HashMapMarketDepthBacktest([asset])


def main(source: str, target: str) -> None:
    """Read tape, orders and rules from ``source``; write fills and ends to ``target``.

    After an error the rest goes on in a new run from the tape's start. An order that stops a new run too
    is given up: its end is STOPPED.
    """
    given = np.load(source)
    orders = given["orders"]
    rows = to_hbt(given["tape"], int(given["feed_ns"]))  # named: hftbacktest reads it in place
    flight_ns = int(given["entry_ns"] + given["response_ns"])
    fills, ends = np.zeros(64 * len(orders) + 1, FILL), np.zeros(len(orders), END)
    done, n_fills = 0, 0
    while done < len(orders):
        bot = new_bot(rows, given)
        last = done
        done, n_fills, error = replay(bot, orders, done, fills, n_fills, ends, flight_ns)
        bot.close()
        if error and done == last:
            ends[done] = (orders["number"][done], 0, 0, STOPPED)
            done += 1
    np.savez(target, fills=fills[:n_fills], ends=ends)


if __name__ == "__main__":
    main(*sys.argv[1:])
