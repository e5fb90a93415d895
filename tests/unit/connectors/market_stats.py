"""What makes a tape look like a real market: one measure for recorded and for synthetic rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.market.tape import EventArray, Flag, Kind
from agent.core.types import NS_PER_S


@dataclass(frozen=True, slots=True)
class MarketStats:
    """What makes a market look real. Sizes in lots, spreads and moves in ticks."""

    one_tick_spread: float  # share of time
    spread_ticks: float  # mean over time
    touch_lots: float  # mean over time and both sides
    depth_10bps_lots: float  # mean a side, at depth updates
    trades_per_s: float
    trade_p90_lots: float
    trade_p99_lots: float
    top_5pct_volume: float  # share of volume in the largest 5 % of trades
    takers_per_s: float
    taker_fano_1s: float  # variance / mean of takers in 1 s: 1 without clustering
    taker_fano_10s: float
    volume_cv_10s: float  # standard deviation / mean of the volume in 10 s
    mid_std_1s_ticks: float
    mid_autocorrelation_1s: float
    bbo_per_s: float
    levels_per_s: float


def market_stats(rows: EventArray) -> MarketStats:
    """Measure a tape of one instrument that has trades, levels and BBO rows."""
    trades, quotes = rows[rows["kind"] == Kind.TRADE], rows[rows["kind"] == Kind.BBO]
    bid, ask = quotes[quotes["side"] > 0], quotes[quotes["side"] < 0]
    seconds = float(rows["recv_ns"][-1] - rows["recv_ns"][0]) / NS_PER_S
    held = np.diff(bid["recv_ns"], append=rows["recv_ns"][-1]).astype(np.float64)
    spread = ask["price_ticks"] - bid["price_ticks"]
    lots = trades["qty_lots"]
    ordered = np.sort(lots)[::-1]
    taker = np.append(True, (np.diff(trades["exch_ns"]) != 0) | (np.diff(trades["side"]) != 0))
    moves = np.diff(_mid_each(bid, ask, NS_PER_S))
    per_10s = _per(trades["exch_ns"], 10 * NS_PER_S, lots)
    takers_1s, takers_10s = (_per(trades["exch_ns"][taker], w * NS_PER_S) for w in (1, 10))
    return MarketStats(
        one_tick_spread=float(np.average(spread == 1, weights=held)),
        spread_ticks=float(np.average(spread, weights=held)),
        touch_lots=float(np.average((bid["qty_lots"] + ask["qty_lots"]) / 2, weights=held)),
        depth_10bps_lots=_depth(rows, 1e-3),
        trades_per_s=len(trades) / seconds,
        trade_p90_lots=float(np.quantile(lots, 0.9)),
        trade_p99_lots=float(np.quantile(lots, 0.99)),
        top_5pct_volume=float(ordered[: len(lots) // 20].sum() / lots.sum()),
        takers_per_s=float(taker.sum()) / seconds,
        taker_fano_1s=float(takers_1s.var() / takers_1s.mean()),
        taker_fano_10s=float(takers_10s.var() / takers_10s.mean()),
        volume_cv_10s=float(per_10s.std() / per_10s.mean()),
        mid_std_1s_ticks=float(moves.std()),
        mid_autocorrelation_1s=float(np.corrcoef(moves[:-1], moves[1:])[0, 1]),
        bbo_per_s=len(bid) / seconds,
        levels_per_s=float((rows["kind"] == Kind.LEVEL).sum()) / seconds,
    )


def _per(stamps: IntArray, window_ns: int, weights: IntArray | None = None) -> FloatArray:
    """Counts, or sums of ``weights``, in whole windows from the first stamp."""
    slot = (stamps - stamps[0]) // window_ns
    return np.bincount(slot, weights=weights)[:-1].astype(np.float64)


def _mid_each(bid: EventArray, ask: EventArray, window_ns: int) -> FloatArray:
    ends = np.arange(bid["recv_ns"][0] + window_ns, bid["recv_ns"][-1], window_ns)
    at = np.searchsorted(bid["recv_ns"], ends, side="right") - 1
    mids: FloatArray = (bid["price_ticks"][at] + ask["price_ticks"][at]) / 2
    return mids


def _depth(rows: EventArray, band: float, samples: int = 60) -> float:
    """Mean lots a side within ``band`` of the best price, at ``samples`` depth updates."""
    book = rows[(rows["kind"] >= Kind.LEVEL) & (rows["kind"] <= Kind.SNAPSHOT_END)]
    ends = np.flatnonzero(book["flags"] & Flag.LAST)
    every = max(1, len(ends) // samples)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    total, start, seen = 0.0, 0, 0
    for end in ends[every::every].tolist():
        for row in book[start : end + 1].tolist():
            if row[7] == Kind.LEVEL:
                sides[0 if row[8] > 0 else 1][row[4]] = row[5]
        start = end + 1
        for levels, best in zip(sides, (max, min), strict=True):
            live = {ticks: q for ticks, q in levels.items() if q}
            touch = best(live)
            total += sum(q for ticks, q in live.items() if abs(ticks - touch) <= band * touch)
            seen += 1
    return total / seen
