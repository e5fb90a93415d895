"""What a decision is shown of the book: the touch and the depth around it."""

from __future__ import annotations

import numpy as np

from agent.core.compile.jit import njit_flat
from agent.core.market.ladder import BEST, level_lots, lots_within
from agent.venue.kernel.state import M_MID, KernelState


@njit_flat
def book_sample(s: KernelState, inst: int, band_bps: float) -> tuple[int, int, int, int, int, int]:
    """(bid ticks, bid lots, ask ticks, ask lots, bid lots within the band, ask lots within it).

    All 0 while there is no two-sided, uncrossed book.
    """
    if s.market[inst, M_MID] == 0:
        return 0, 0, 0, 0, 0, 0
    bids, asks = 2 * inst, 2 * inst + 1
    bid, ask = s.book.head[bids, BEST], -s.book.head[asks, BEST]
    half_band = (bid + ask) * 0.5 * band_bps * 1e-4
    mid = (bid + ask) * 0.5
    low, high = int(np.ceil(mid - half_band)), int(np.floor(mid + half_band))
    return (
        bid,
        level_lots(s.book, bids, bid),
        ask,
        level_lots(s.book, asks, -ask),
        lots_within(s.book, bids, low),
        lots_within(s.book, asks, -high),
    )
