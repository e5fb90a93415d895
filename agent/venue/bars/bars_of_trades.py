"""A tape of trades without a book as the bars that a replay works on, each as long as a slice of its order.

Rules kept here:

* a trade belongs to the bar of its own (the exchange's) time; sums of ticks x lots are exact, so the VWAP of
  any number of bars is that of their trades;
* a bar without a trade stands at the last price with no volume: nothing fills in it;
* a trade at an impossible price counts in none;
* a bar that a gap of the tape touches, from the last trade before it to the first after it, is flagged HOLED.

Example: trades of 5 at 100 (0.2 s) and 3 at 102 (0.7 s), then one at 2.4 s, in bars of a second: 8 lots worth
806 with a low of 100 and a high of 102, nothing at 102, and the third.
"""

from __future__ import annotations

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.market.tape import BAR, BarArray, EventArray, Flag, Kind
from agent.core.market.trading_time import BarFlag
from agent.core.money import MOST_TL, sums_from, values_tl

MOST_BARS = 10_000_000


def bars_of_trades(tape: EventArray, delta_ns: int) -> BarArray:
    """Bars of ``delta_ns`` from the first trade's to the last one's, of one instrument's rows.

    Raises ValueError where there is no trade, or where they are more than ``MOST_BARS``, or one is worth more
    than 64 bits hold.
    """
    counts = (tape["kind"] == Kind.TRADE) & (tape["flags"] & np.uint32(Flag.IMPOSSIBLE) == 0)
    trades = tape[counts]
    if not len(trades):
        raise ValueError("the tape holds no trades")
    trades = trades[np.argsort(trades["exch_ns"], kind="stable")]
    bucket = trades["exch_ns"] // delta_ns
    count = int(bucket[-1] - bucket[0]) + 1
    if count > MOST_BARS:
        raise ValueError(f"its trades would be {count:,} bars, at most {MOST_BARS:,} are made")
    rows = np.zeros(count, BAR)
    rows["open_ns"] = (bucket[0] + np.arange(count)) * delta_ns
    rows["recv_ns"], rows["delta_ns"] = rows["open_ns"] + delta_ns, delta_ns
    rows["seq"], rows["instrument"] = np.arange(1, count + 1), trades["instrument"][0]
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    _fill(rows, bucket[first] - bucket[0], first, trades)
    rows["flags"][_holed(tape, rows, delta_ns)] |= int(BarFlag.HOLED)
    return rows


def _fill(rows: BarArray, place: IntArray, first: IntArray, trades: EventArray) -> None:
    """The bars at ``place`` from trades that begin at ``first``; the others at the last close."""
    ticks, lots, side = (trades[name].astype(np.int64) for name in ("price_ticks", "qty_lots", "side"))
    last = np.append(first[1:], len(ticks)) - 1
    prices = {
        "open_ticks": ticks[first],
        "close_ticks": ticks[last],
        "high_ticks": np.maximum.reduceat(ticks, first),
        "low_ticks": np.minimum.reduceat(ticks, first),
    }
    empty = np.ones(len(rows), np.bool_)
    empty[place] = False
    newest = np.maximum.accumulate(np.where(empty, 0, np.arange(len(rows))))
    rows["close_ticks"][place] = prices["close_ticks"]
    for name, values in prices.items():
        rows[name][place] = values
        rows[name][empty] = rows["close_ticks"][newest[empty]]
    values = values_tl(ticks, lots, inverse=False)
    rows["base_lots"][place] = _held(sums_from(lots, first))
    rows["quote_tl"][place] = _held(sums_from(values, first))
    rows["trades"][place] = last - first + 1
    bought = sums_from(np.where(side > 0, lots, 0), first)
    bought_tl = sums_from(np.where(side > 0, values, 0), first)
    known = np.minimum.reduceat(np.abs(side), first) > 0
    rows["taker_base_lots"][place] = np.where(known, bought, -1)
    rows["taker_quote_tl"][place] = np.where(known, bought_tl, -1)


def _held(sums: IntArray) -> IntArray:
    """Sums that a bar can hold. Raises ValueError."""
    if max(sums.tolist()) > MOST_TL:
        raise ValueError("a bar of its trades would be worth more than 64 bits hold")
    return sums


def _holed(tape: EventArray, rows: BarArray, delta_ns: int) -> BoolArray:
    """Which bars lack trades: from the last one heard before a gap to the first one after it."""
    out = np.zeros(len(rows), np.bool_)
    is_trade = tape["kind"] == Kind.TRADE
    of_book = (tape["flags"] & int(Flag.BOOK)) > 0
    for begin in np.flatnonzero((tape["kind"] == Kind.GAP_BEGIN) & ~of_book):
        before, after = np.flatnonzero(is_trade[:begin]), np.flatnonzero(is_trade[begin:])
        from_ns = tape["exch_ns"][before[-1]] if len(before) else rows["open_ns"][0]
        to_ns = tape["exch_ns"][begin + after[0]] if len(after) else rows["open_ns"][-1]
        low, high = sorted(int((ns - rows["open_ns"][0]) // delta_ns) for ns in (from_ns, to_ns))
        out[max(0, low) : high + 1] = True
    return out
