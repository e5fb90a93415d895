"""The tape: one structured dtype holds every market event, live and recorded.

Rules kept here:

* prices are integer ticks and quantities integer lots, so sums are exact;
* the total order of a session is ``(recv_ns, seq)``; ``recv_ns`` never steps back;
* all rows of one exchange update share ``recv_ns`` and the last of them carries ``LAST``.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

EventArray = npt.NDArray[np.void]
"""One-dimensional array of ``EVENT`` rows."""

BarArray = npt.NDArray[np.void]
"""One-dimensional array of ``BAR`` rows."""

EVENT = np.dtype(
    [
        ("recv_ns", "<i8"),  # our stamp at ingest: session start + monotonic clock
        ("exch_ns", "<i8"),  # the exchange's stamp, clock offset removed
        ("seq", "<i8"),  # given at ingest, unique within the session
        ("ext_id", "<i8"),  # the exchange's trade or update id, or a stable hash
        ("price_ticks", "<i8"),
        ("qty_lots", "<i8"),
        ("instrument", "<i2"),
        ("kind", "u1"),
        ("side", "i1"),
        ("flags", "<u4"),
    ]
)
"""56 bytes a row, no padding."""

BAR = np.dtype(
    [
        ("recv_ns", "<i8"),
        ("seq", "<i8"),
        ("open_ns", "<i8"),  # start of the bar, exchange time
        ("delta_ns", "<i8"),  # length of the bar
        ("open_ticks", "<i8"),
        ("high_ticks", "<i8"),
        ("low_ticks", "<i8"),
        ("close_ticks", "<i8"),
        ("base_lots", "<i8"),
        ("quote_tl", "<i8"),  # quote volume in ticks x lots
        ("trades", "<i8"),
        ("taker_base_lots", "<i8"),  # bought by takers; -1 where the source does not say
        ("taker_quote_tl", "<i8"),  # -1 where the source does not say
        ("instrument", "<i2"),
        ("pad", "<i2"),
        ("flags", "<u4"),
    ]
)
"""A kline as an exchange publishes it, in integers."""


class Kind(IntEnum):
    """What one tape row is."""

    TRADE = 1  # side: +1 the taker bought, -1 the taker sold, 0 nobody knows
    LEVEL = 2  # absolute size of a book level; 0 deletes. side: +1 bid, -1 ask
    SNAPSHOT_BEGIN = 3  # the book is cleared; levels follow
    SNAPSHOT_END = 4  # the book is whole again
    BBO = 5  # best bid (+1) or ask (-1), price and size; informs, never edits the book
    GAP_BEGIN = 6  # data is known to be missing from here; flags say which stream
    GAP_END = 7  # qty_lots: events lost for good (0 if all were filled in)
    STALE = 8  # the feed has been silent too long
    ALIVE = 9  # and sends again
    CLOCK_STEP = (
        10  # the exchange's clock or ours stepped since exch_ns (ours): by qty_lots ms, side the sign
    )
    LOST_TIME = 11  # nothing is done from here to exch_ns (ours): the process stands still


SPANS = {Kind.CLOCK_STEP: "clock step", Kind.LOST_TIME: "lost time"}
"""Rows that speak of the time between their ``recv_ns`` and their ``exch_ns``, which is on our clock."""

SILENT = " silent"
"""Ends the name of an interruption in which nothing is known to be missing: the stream said nothing."""


class Flag(IntFlag):
    """Bits of the ``flags`` column."""

    LAST = 1  # ends one exchange update: matching and crossing checks happen here only
    HISTORY = 2  # warm-up data, fetched before the first live event
    LATE = 4  # exch_ns is older than an event of the same stream already seen
    BACKFILL = 8  # fetched over REST to fill a gap
    TRADES = 16  # a gap or stale row is of the trade stream
    BOOK = 32  # ... of the book stream
    CARRIED = 64  # a slice's opening (book, history, open gaps), made from what came before it
    IMPOSSIBLE = 128  # a trade whose price is far from everything around it: it counts for nothing


def interruption(kind: int, flags: int) -> tuple[str, bool] | None:
    """What a gap, stale or span row is about and whether it ended: ("trades", False), ("feed silent", True).

    The name of what was interrupted is the same at both ends; results and the log keep it. None: another row.
    """
    if kind in SPANS:
        return SPANS[Kind(kind)], True
    if kind not in (Kind.GAP_BEGIN, Kind.GAP_END, Kind.STALE, Kind.ALIVE):
        return None
    stream = "trades" if flags & Flag.TRADES else "book" if flags & Flag.BOOK else "feed"
    silent = SILENT if kind in (Kind.STALE, Kind.ALIVE) else ""
    return stream + silent, kind in (Kind.GAP_END, Kind.ALIVE)


class TradesBefore(NamedTuple):
    """The last trades of one instrument's tape, for whoever continues it.

    ``gap_id``: the first id missing of a gap that is still open on it.
    """

    rows: EventArray
    gap_id: int | None = None


def empty_events(n: int = 0) -> EventArray:
    """Return ``n`` zeroed tape rows."""
    return np.zeros(n, dtype=EVENT)
