"""Runs orders through hftbacktest: a line ``IN.npz<tab>OUT.npz`` on stdin is a job, ``done`` its answer.

Runs under the reference environment's own interpreter and imports nothing of the product. Every order
is followed by its responses alone, so each change of its open quantity is one record. One process does
many jobs: compiling takes seconds, a job hundredths of one.
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
    GTC,
    GTD,
    LOG_PROBABILITY,
    OPEN,
    POST_ONLY,
    POWER_PROBABILITY,
    REFUSED,
    STOPPED,
)

LIMIT = 0
HBT_NEW, HBT_EXPIRED, HBT_FILLED, HBT_CANCELED, HBT_PARTIAL = 1, 2, 3, 4, 5  # its order states
TIMEOUT, FEED, RESPONSE = 0, 2, 3  # why it wakes us
FAR_FUTURE_NS = 2**62
TRADE, LEVEL, SNAPSHOT_BEGIN = 1, 2, 3  # kinds of our tape; the others tell hftbacktest nothing


@njit
def replay(bot, orders, first, fills, n_fills, ends):
    """Send the orders from ``first`` on at their times and follow each to its end.

    Returns (next order, fill records, error). Orders of one group are sent together; at an error (0 is
    none) the group that it came in is the next, and has left no records.
    """
    bot.elapse(0)
    i = first
    while i < len(orders):
        kept = n_fills
        error = bot.elapse(orders[i].send_ns - bot.current_timestamp)
        group_end = i
        while not error and group_end < len(orders) and orders[group_end].send_ns == orders[i].send_ns:
            error = submit(bot, orders[group_end])
            group_end += 1
        for j in range(i, group_end):
            if not error:
                n_fills, error = follow(bot, orders[j], fills, n_fills, ends[j])
        if error:
            return i, kept, error
        bot.clear_inactive_orders(0)
        i = group_end
    return i, n_fills, 0


@njit
def submit(bot, o):
    """Send an order. Returns hftbacktest's error, 0 for none."""
    price, lots = float(o.price_ticks), float(o.lots)
    tif = GTC if o.tif == GTD else o.tif
    if o.side > 0:
        return bot.submit_buy_order(0, o.number, price, lots, tif, LIMIT, False)
    return bot.submit_sell_order(0, o.number, price, lots, tif, LIMIT, False)


@njit
def follow(bot, o, fills, n_fills, end):
    """Follow one order to its end, cancelling it at its time. Returns (fill records, error)."""
    fee = bot.state_values(0).fee
    start(o, end)
    cancels = o.cancel_ns > 0
    until_ns = o.cancel_ns if cancels else o.send_ns + o.entry_ns + o.response_ns
    while True:
        n_fills = look(bot, o, fills, n_fills, end)
        end.fee_tlp = round(bot.state_values(0).fee - fee)
        if end.outcome != OPEN:
            return n_fills, 0
        if bot.current_timestamp >= until_ns:
            if not cancels:
                return n_fills, 0
            bot.cancel(0, o.number, False)
            cancels = False
            until_ns = bot.current_timestamp + o.cancel_entry_ns + o.response_ns
        error = bot.wait_order_response(0, o.number, until_ns - bot.current_timestamp)
        if error:
            return n_fills, error


@njit
def start(o, end):
    """The record of an order of which nothing has been heard."""
    end.number, end.exch_ns, end.left_lots, end.outcome = o.number, 0, o.lots, OPEN


@njit
def look(bot, o, fills, n_fills, end):
    """Note what is known of an order now, and what of it is new as a fill. Returns the fill records."""
    seen = bot.orders(0).get(o.number)
    if seen.leaves_qty != end.left_lots:
        f = fills[n_fills]
        f.number, f.exch_ns, f.heard_ns = o.number, seen.exch_timestamp, bot.current_timestamp
        f.lots, f.last_lots = round(end.left_lots - seen.leaves_qty), round(seen.exec_qty)
        f.last_price_ticks, f.maker = seen.exec_price_tick, int(seen.arr[0].maker)
        n_fills += 1
    end.exch_ns, end.left_lots = seen.exch_timestamp, round(seen.leaves_qty)
    end.outcome = outcome_of(seen.status, o.tif)
    return n_fills


@njit
def replay_together(bot, orders, fills, ends):
    """Like ``replay`` for orders that are alive at once and all have a cancel. Returns (fill records, error).

    It wakes at every row of the tape and looks at every order that is out.
    """
    bot.elapse(0)
    n_fills, sent, error = 0, 0, 0
    asked = np.zeros(len(orders), np.bool_)
    out = np.zeros(len(orders), np.bool_)
    oldest = 0
    while not error and oldest < len(orders):
        now = bot.current_timestamp
        due = FAR_FUTURE_NS
        for i in range(oldest, sent):
            if not out[i]:
                continue
            n_fills = look(bot, orders[i], fills, n_fills, ends[i])
            out[i] = ends[i].outcome == OPEN
            if out[i] and now >= orders[i].cancel_ns and not asked[i]:
                error = error or bot.cancel(0, orders[i].number, False)
                asked[i] = True
            if out[i]:
                gone_ns = orders[i].cancel_ns + orders[i].cancel_entry_ns + orders[i].response_ns
                due = min(due, gone_ns if asked[i] else orders[i].cancel_ns)
        while sent < len(orders) and orders[sent].send_ns == now:
            start(orders[sent], ends[sent])
            error = error or submit(bot, orders[sent])
            out[sent] = True
            due = min(due, orders[sent].cancel_ns)
            sent += 1
        while oldest < sent and not out[oldest]:
            oldest += 1
        if sent < len(orders):
            due = min(due, orders[sent].send_ns)
        if oldest < len(orders):
            why = bot.wait_next_feed(True, due - now)
            error = error or (0 if why in (TIMEOUT, FEED, RESPONSE) else why)
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


def latencies(orders):
    """Return each order's own latencies as its interpolated model reads them: (request, exchange, answer).

    One order is alive at a time, so between two rows of an order lie only its own answers, which take
    equally long by both; what lies between two orders is asked of no one.
    """
    rows = []
    for o in orders:
        rows.append((o["send_ns"], o["entry_ns"], o["response_ns"]))
        if o["cancel_ns"]:
            rows.append((o["cancel_ns"], o["cancel_entry_ns"], o["response_ns"]))
    table = np.zeros((len(rows), 4), np.int64)
    table[:, :3] = np.cumsum(rows, axis=1)
    return table


def new_bot(rows, ways, given):
    """Return hftbacktest at the start of the tape. It reads ``rows`` and ``ways`` in place."""
    asset = hbt.BacktestAsset().data(rows).linear_asset(1.0).tick_size(1.0).lot_size(1.0)
    if len(ways):
        asset = asset.intp_order_latency(ways)
    else:
        asset = asset.constant_order_latency(int(given["entry_ns"]), int(given["response_ns"]))
    if int(given["queue_model"]) == POWER_PROBABILITY:
        asset = asset.power_prob_queue_model(float(given["queue_power"]))
    elif int(given["queue_model"]) == LOG_PROBABILITY:
        asset = asset.log_prob_queue_model()
    else:
        asset = asset.risk_adverse_queue_model()
    asset = asset.partial_fill_exchange()
    # Rates in ppm for rates: its fees are then whole numbers, which floats add up exactly.
    asset = asset.trading_value_fee_model(float(given["maker_ppm"]), float(given["taker_ppm"]))
    return hbt.HashMapMarketDepthBacktest([asset])


def run(source, target):
    """Read tape, orders and rules from ``source``; write fills and ends to ``target``.

    After an error the rest goes on in a new run from the tape's start. An order that stops a new run too
    is given up: its end is STOPPED.
    """
    with np.load(source) as found:
        given = dict(found)
    orders = given["orders"]
    rows = to_hbt(given["tape"], int(given["feed_ns"]))
    ways = latencies(orders) if given["varying"] else np.zeros((0, 4), np.int64)
    fills, ends = np.zeros(64 * len(orders) + 1, FILL), np.zeros(len(orders), END)
    done, n_fills = 0, 0
    while done < len(orders):
        bot = new_bot(rows, ways, given)
        last = done
        if given["together"]:
            n_fills, error = replay_together(bot, orders, fills, ends)
            assert not error, f"hftbacktest's error {error}"
            done = len(orders)
        else:
            done, n_fills, error = replay(bot, orders, done, fills, n_fills, ends)
        bot.close()
        if error and done == last:
            ends[done] = (orders["number"][done], 0, 0, STOPPED, 0)
            done += 1
    np.savez(target, fills=fills[:n_fills], ends=ends)


if __name__ == "__main__":
    for job in sys.stdin:
        run(*job.rstrip("\n").split("\t"))
        sys.stdout.write("done\n")
        sys.stdout.flush()
