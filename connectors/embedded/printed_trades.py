"""The trades an exchange has printed: raw, aggregated, and as klines.

Raw trade ids and aggregate ids are two spaces. An aggregate joins consecutive raw trades (ids without
a hole) of the same price, side and millisecond, and names its first and last raw id (``f``, ``l``); so
aggregates cover every raw id exactly once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import IntArray
from agent.core.money import MOST_TL, sums_from, values_tl

Rows = npt.NDArray[np.void]

RAW = np.dtype([("id", "<i8"), ("ms", "<i8"), ("ticks", "<i8"), ("lots", "<i8"), ("side", "<i8")])
AGG = np.dtype(
    [
        ("id", "<i8"),
        ("first", "<i8"),  # raw ids
        ("last", "<i8"),
        ("ms", "<i8"),
        ("ticks", "<i8"),
        ("lots", "<i8"),
        ("side", "<i8"),
    ]
)
KLINE = np.dtype(
    [
        ("open_ms", "<i8"),
        ("open", "<i8"),  # ticks
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("lots", "O"),  # sums: Python's integers, which never wrap
        ("tl", "O"),  # quote volume, ticks x lots
        ("trades", "<i8"),
        ("taker_lots", "O"),
        ("taker_tl", "O"),
    ]
)


def aggregate(raw: Rows, next_id: int) -> Rows:
    """Return the aggregates (``AGG``) of raw trades (``RAW``) in order, numbered from ``next_id``."""
    if not len(raw):
        return np.zeros(0, AGG)
    breaks = np.diff(raw["id"]) != 1
    for name in ("ms", "ticks", "side"):
        breaks |= np.diff(raw[name]) != 0
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    ends = np.append(starts[1:], len(raw)) - 1
    out = np.zeros(len(starts), AGG)
    out["id"] = next_id + np.arange(len(starts))
    out["first"], out["last"] = raw["id"][starts], raw["id"][ends]
    out["lots"] = np.minimum(sums_from(raw["lots"], starts), MOST_TL)
    for name in ("ms", "ticks", "side"):
        out[name] = raw[name][starts]
    return out


class GrowingRows:
    """Rows that only grow at the end; the oldest half is forgotten when ``most`` is reached."""

    def __init__(self, dtype: np.dtype[np.void], most: int) -> None:
        self._rows = np.zeros(1024, dtype)
        self._count = 0
        self._most = most

    @property
    def rows(self) -> Rows:
        return self._rows[: self._count]

    def append(self, rows: Rows) -> None:
        if self._count + len(rows) > self._most:
            kept = self.rows[max(0, self._count - self._most // 2) :].copy()
            self._rows[: len(kept)] = kept
            self._count = len(kept)
        need = self._count + len(rows)
        if need > len(self._rows):
            grown = np.zeros(max(need, 2 * len(self._rows)), self._rows.dtype)
            grown[: self._count] = self.rows
            self._rows = grown
        self._rows[self._count : need] = rows
        self._count = need


class TradeStore:
    """What the REST endpoints may show: trades already played, never those still to come."""

    def __init__(self, most: int = 4_000_000) -> None:
        self.raw = GrowingRows(RAW, most)
        self.aggregates = GrowingRows(AGG, most)

    def since_id(self, kind: str, from_id: int, limit: int) -> Rows:
        """Rows of "raw" or "agg" with id >= ``from_id``, oldest first."""
        rows = self.raw.rows if kind == "raw" else self.aggregates.rows
        start = int(np.searchsorted(rows["id"], from_id))
        return rows[start : start + limit]

    def latest(self, kind: str, limit: int) -> Rows:
        rows = self.raw.rows if kind == "raw" else self.aggregates.rows
        return rows[max(0, len(rows) - limit) :]

    def aggregates_between(self, start_ms: int | None, end_ms: int | None, limit: int) -> Rows:
        """Aggregates with ``start_ms <= ms <= end_ms``; without a start, the last before the end."""
        rows = self.aggregates.rows
        # Stamps of different takers may be a little out of order; running maxima can be searched.
        order = np.maximum.accumulate(rows["ms"])
        end = len(rows) if end_ms is None else int(np.searchsorted(order, end_ms, side="right"))
        if start_ms is None:
            return rows[max(0, end - limit) : end]
        start = int(np.searchsorted(order, start_ms))
        return rows[start : min(end, start + limit)]

    def klines(self, interval_ms: int, start_ms: int | None, end_ms: int, limit: int) -> Rows:
        """Bars (``KLINE``) on the grid of ``interval_ms``, oldest first, the open one included.

        A bar without trades repeats the last close with volume 0; there are none of the time before
        the first trade known. With ``start_ms`` the first ``limit`` bars from there, else the last.
        """
        rows = self.raw.rows
        if not len(rows):
            return np.zeros(0, KLINE)
        first = int(rows["ms"][0]) // interval_ms
        last = end_ms // interval_ms
        if start_ms is None:
            first = max(first, last - limit + 1)
        else:
            first = max(first, -(-start_ms // interval_ms))
            last = min(last, first + limit - 1)
        if last < first:
            return np.zeros(0, KLINE)
        order = np.maximum.accumulate(rows["ms"])
        lo = int(np.searchsorted(order, first * interval_ms))
        hi = int(np.searchsorted(order, (last + 1) * interval_ms))
        close_before = int(rows["ticks"][max(0, lo - 1)])
        return _bars(rows[lo:hi], order[lo:hi] // interval_ms - first, first, last, interval_ms, close_before)


def _bars(rows: Rows, slot: IntArray, first: int, last: int, interval_ms: int, close_before: int) -> Rows:
    """Bars ``first .. last`` of ``rows``, whose bar is ``first + slot``."""
    out = np.zeros(last - first + 1, KLINE)
    out["open_ms"] = (first + np.arange(len(out))) * interval_ms
    if len(rows):
        starts = np.concatenate([[0], np.flatnonzero(np.diff(slot)) + 1])
        ends = np.append(starts[1:], len(rows)) - 1
        at, ticks, lots = slot[starts], rows["ticks"], rows["lots"]
        bought = np.where(rows["side"] > 0, lots, 0)
        out["open"][at], out["close"][at] = ticks[starts], ticks[ends]
        out["high"][at], out["low"][at] = (
            np.maximum.reduceat(ticks, starts),
            np.minimum.reduceat(ticks, starts),
        )
        out["trades"][at] = ends - starts + 1
        values = values_tl(ticks, lots, inverse=False)
        taken = np.where(rows["side"] > 0, values, 0)
        for name, summed in (("lots", lots), ("tl", values), ("taker_lots", bought), ("taker_tl", taken)):
            out[name][at] = sums_from(summed, starts)
    empty = out["trades"] == 0
    seen = np.maximum.accumulate(np.where(empty, -1, np.arange(len(out))))
    close = np.where(seen >= 0, out["close"][seen], close_before)
    for name in ("open", "high", "low", "close"):
        out[name][empty] = close[empty]
    return out
