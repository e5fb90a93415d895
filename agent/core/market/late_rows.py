"""Late rows: stamped by the exchange earlier than a row before them. Flagged, counted, never dropped.

Whoever brings rows in judges them here: the live feed and every importer. The mark informs; bars go by the
stamp itself: a late trade lands in the bar of its own time (``agent.core.market.trade_bars``), so that bar is
revised for later decisions and for the final analysis, and decisions already taken stand. Measurements wait
``engine.settle`` for what is late.
"""

from __future__ import annotations

import numpy as np

from agent.core.market.tape import EventArray, Flag, Kind


def is_late(exch_ns: int, newest_ns: int) -> bool:
    """Whether a row is older than the newest before it: the rule of ``mark_late``, for one row."""
    return exch_ns < newest_ns


def mark_late(rows: EventArray, newest_ns: int, kind: Kind | None = None) -> tuple[int, int]:
    """Flag LATE what is older than a row before it; ``kind``: only rows of that kind.

    ``newest_ns`` is the newest stamp before these rows. Returns (newest stamp now, how many were late).
    """
    if not len(rows):
        return newest_ns, 0
    exch = rows["exch_ns"]
    if exch[0] >= newest_ns and bool((exch[1:] >= exch[:-1]).all()):
        return int(exch[-1]), 0
    newest = np.maximum.accumulate(np.concatenate([[newest_ns], exch]))
    late = exch < newest[:-1]
    if kind is not None:
        late &= rows["kind"] == kind
    rows["flags"][late] |= np.uint32(Flag.LATE)
    return int(newest[-1]), int(late.sum())
