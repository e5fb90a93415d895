"""Tape rows from a batch's columns, in one pass: one pass for each column would read the rows ten times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit
from agent.core.market.tape import EventArray


@njit
def interleave(
    rows: EventArray,
    recv_ns: IntArray,
    exch_ns: IntArray,
    seq: IntArray,
    ext_id: IntArray,
    price_ticks: IntArray,
    qty_lots: IntArray,
    instrument: npt.NDArray[np.int16],
    kind: npt.NDArray[np.uint8],
    side: npt.NDArray[np.int8],
    flags: npt.NDArray[np.uint32],
) -> None:
    """Fill ``rows``, of ``EVENT``, from its columns, given in its order and of its length."""
    for i in range(len(rows)):
        row = rows[i]
        row.recv_ns = recv_ns[i]
        row.exch_ns = exch_ns[i]
        row.seq = seq[i]
        row.ext_id = ext_id[i]
        row.price_ticks = price_ticks[i]
        row.qty_lots = qty_lots[i]
        row.instrument = instrument[i]
        row.kind = kind[i]
        row.side = side[i]
        row.flags = flags[i]
