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
)

LIMIT = 0
HBT_NEW, HBT_EXPIRED, HBT_FILLED, HBT_CANCELED, HBT_PARTIAL = 1, 2, 3, 4, 5  # its order states
TRADE, LEVEL, SNAPSHOT_BEGIN = 1, 2, 3  # kinds of our tape; the others tell hftbacktest nothing


@njit
def replay(bot, orders, fills, ends, flight_ns):
    """Send every order at its time and follow it to its end. Returns (orders done, fill records, error).

    ``flight_ns``: entry plus response latency. Orders of one group are sent together. Stops at the
    first error, whose code is returned with the group that it came in; 0 is none.
    """
    n_fills = 0
    bot.elapse(0)
    i = 0
    while i < len(orders):
        group_end = i + 1
        while group_end < len(orders) and orders[group_end].send_ns == orders[i].send_ns:
            group_end += 1
        error = bot.elapse(orders[i].send_ns - bot.current_timestamp)
        if error:
            return i, n_fills, error
        for j in range(i, group_end):
            o = orders[j]
            price, lots = float(o.price_ticks), float(o.lots)
            if o.side > 0:
                bot.submit_buy_order(0, o.number, price, lots, o.tif, LIMIT, False)
            else:
                bot.submit_sell_order(0, o.number, price, lots, o.tif, LIMIT, False)
        for j in range(i, group_end):
            n_fills, error = follow(bot, orders[j], fills, n_fills, ends[j], flight_ns)
            if error:
                return i, n_fills, error
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


def main(source: str, target: str) -> None:
    """Read tape, orders and rules from ``source``; write fills and ends to ``target``."""
    given = np.load(source)
    entry_ns, response_ns, feed_ns = (int(given[k]) for k in ("entry_ns", "response_ns", "feed_ns"))
    rows = to_hbt(given["tape"], feed_ns)  # named: hftbacktest reads it in place
    asset = hbt.BacktestAsset().data(rows).linear_asset(1.0)
    asset = asset.constant_order_latency(entry_ns, response_ns).partial_fill_exchange()
    if int(given["queue_model"]) == POWER_PROBABILITY:
        asset = asset.power_prob_queue_model(float(given["queue_power"]))
    else:
        asset = asset.risk_adverse_queue_model()
    asset = asset.trading_value_fee_model(0.0, 0.0).tick_size(1.0).lot_size(1.0)
    orders = given["orders"]
    fills, ends = np.zeros(64 * len(orders) + 1, FILL), np.zeros(len(orders), END)
    bot = hbt.HashMapMarketDepthBacktest([asset])
    done, n, error = replay(bot, orders, fills, ends, entry_ns + response_ns)
    bot.close()
    del rows
    if error:
        raise SystemExit(f"hftbacktest stopped with error {error} at {orders[done]}")
    np.savez(target, fills=fills[:n], ends=ends)


if __name__ == "__main__":
    main(*sys.argv[1:])
