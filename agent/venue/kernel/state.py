"""What the venue kernel knows, as flat arrays: it can be saved, compared and restored.

A *lane* is one copy of the paper venue: lane 0 works the real parents, each shadow has its own.
Lanes share the market (book, trades, mid) and differ in what they have consumed and what rests.
Sides of books are addressed by row and key, as in ``agent.core.market.ladder``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit_inner
from agent.core.market.ladder import LEVELS, Ladders, new_ladders

T = TypeVar("T", bound=np.generic)

# Columns of ``market``, one row an instrument.
(
    M_IN_SNAPSHOT,
    M_BOOK_NS,  # book_time of the last book update; 0 before the first
    M_CROSSED,  # updates that ended with a crossed book
    M_TRADES,  # rows used in the trade store
    M_MID,  # half-ticks; 0 while there is no two-sided, uncrossed book
    M_MIDS,  # rows used in the path of the mid
    M_TOUCHED,  # the book changed since the last LAST
    M_COLUMNS,
) = range(8)

# Columns of ``resting``, one row a resting order.
(
    R_ORDER,
    R_LANE,
    R_INSTRUMENT,
    R_SIDE,
    R_PRICE,
    R_LOTS,
    R_THERE_NS,  # exch_ns from which it was at the exchange
    R_GIVEN,  # lots that the row of the tape at hand gives it
    R_COLUMNS,
) = range(9)

# Columns of ``consumed``.
C_LANE, C_ROW, C_KEY, C_LOTS, C_COLUMNS = range(5)

# Columns of ``fills``.
F_ORDER, F_PRICE, F_LOTS, F_MAKER, F_NS, F_MID, F_BOOK_NS, F_COLUMNS = range(8)

# Columns of ``span``, one row a side of a book: the keys of all that rests and of all that was consumed
# there lie between these. What a tape row says about other keys concerns no lane.
S_REST_LOW, S_REST_HIGH, S_TAKEN_LOW, S_TAKEN_HIGH, S_COLUMNS = range(5)
NO_LOW, NO_HIGH = 2**62, -(2**62)

# Entries of ``counts``.
(
    N_RESTING,
    N_CONSUMED,
    N_FILLS,
    N_EVENTS,
    N_WANTED,  # entries of ``consumed`` that the end of the next row's update wants; 0: it has not begun
    N_COUNTS,
) = range(6)

# Entries of ``queue_model``: how an order moves up, and what reaches it.
Q_MODEL, Q_REACH, Q_COLUMNS = range(3)

RISK_AVERSE, POWER_PROBABILITY, LOG_PROBABILITY = 0, 1, 2
QUEUE_MODELS = {
    "risk_averse": RISK_AVERSE,
    "power_probability": POWER_PROBABILITY,
    "log_probability": LOG_PROBABILITY,
}

# What trades through an order, and the far touch that reaches it, give: what they are, or all of it.
SHOWN, WHOLE = 0, 1
REACHES = {"shown": SHOWN, "whole": WHOLE}

# As numpy's integers: for each literal that a function is given, and for the rest, Numba compiles it anew.
FIRST, TAKER, MAKER = (cast(int, np.int64(value)) for value in (0, 0, 1))


class KernelState(NamedTuple):
    """Everything the kernel knows."""

    book: Ladders
    market: IntArray  # [instrument, M_COLUMNS]
    trade_ns: IntArray  # [instrument, trade] exch_ns
    trade_ticks: IntArray
    trade_lots: IntArray
    trade_side: npt.NDArray[np.int8]
    mid_ns: IntArray  # [instrument, step] when the mid changed ...
    mid_half_ticks: IntArray  # ... and to what; 0: no two-sided, uncrossed book
    span: IntArray  # [row, S_COLUMNS]
    resting: IntArray  # [order, R_COLUMNS]
    ahead: FloatArray  # [order] lots in front of us in the queue
    traded: FloatArray  # [order] lots traded at our price since the level last changed
    consumed: IntArray  # [entry, C_COLUMNS]
    fills: IntArray  # [fill, F_COLUMNS]
    counts: IntArray  # [N_COUNTS]
    queue_model: IntArray  # [Q_COLUMNS]
    queue_power: FloatArray  # [1]


def new_state(
    instruments: int, queue_model: int = RISK_AVERSE, queue_power: float = 3.0, reach: int = SHOWN
) -> KernelState:
    """Return an empty state; arrays grow as the tape needs."""
    levels, trades, orders = 2048, 1 << 14, 64
    span = np.zeros((2 * instruments, S_COLUMNS), np.int64)
    span[:, [S_REST_LOW, S_TAKEN_LOW]] = NO_LOW
    span[:, [S_REST_HIGH, S_TAKEN_HIGH]] = NO_HIGH
    return KernelState(
        book=new_ladders(instruments, levels),
        market=np.zeros((instruments, M_COLUMNS), np.int64),
        trade_ns=np.zeros((instruments, trades), np.int64),
        trade_ticks=np.zeros((instruments, trades), np.int64),
        trade_lots=np.zeros((instruments, trades), np.int64),
        trade_side=np.zeros((instruments, trades), np.int8),
        mid_ns=np.zeros((instruments, trades), np.int64),
        mid_half_ticks=np.zeros((instruments, trades), np.int64),
        span=span,
        resting=np.zeros((orders, R_COLUMNS), np.int64),
        ahead=np.zeros(orders),
        traded=np.zeros(orders),
        consumed=np.zeros((256, C_COLUMNS), np.int64),
        fills=np.zeros((1024, F_COLUMNS), np.int64),
        counts=np.zeros(N_COUNTS, np.int64),
        queue_model=np.array([queue_model, reach], np.int64),
        queue_power=np.array([queue_power]),
    )


@njit_inner
def has_room(s: KernelState) -> bool:
    """Whether any one row of the tape, and what it does to our orders, fits into every array."""
    for inst in range(len(s.market)):
        if (
            s.market[inst, M_TRADES] + 1 >= s.trade_ns.shape[1]
            or s.market[inst, M_MIDS] + 1 >= s.mid_ns.shape[1]
        ):
            return False
    for row in range(len(s.span)):
        if s.book.head[row, LEVELS] + 1 >= s.book.far_key.shape[1]:
            return False
    # A row fills a resting order at most twice: as a trade, and as an update.
    return bool(s.counts[N_FILLS] + 2 * s.counts[N_RESTING] + 1 < len(s.fills))


def grown(s: KernelState, force: bool = False) -> KernelState:
    """Return the state with every array that is nearly full doubled along its growing axis.

    ``force`` doubles what marketable and resting orders use in any case.
    """
    book = s.book
    if book.head[:, LEVELS].max() + 2 > book.far_key.shape[1]:
        book = book._replace(far_key=_wider(book.far_key, 1), far_lots=_wider(book.far_lots, 1))
        s = s._replace(book=book)
    if s.market[:, M_TRADES].max() + 2 > s.trade_ns.shape[1]:
        s = s._replace(
            trade_ns=_wider(s.trade_ns, 1),
            trade_ticks=_wider(s.trade_ticks, 1),
            trade_lots=_wider(s.trade_lots, 1),
            trade_side=_wider(s.trade_side, 1),
        )
    if s.market[:, M_MIDS].max() + 2 > s.mid_ns.shape[1]:
        s = s._replace(mid_ns=_wider(s.mid_ns, 1), mid_half_ticks=_wider(s.mid_half_ticks, 1))
    if force or s.counts[N_RESTING] + 2 > len(s.resting):
        s = s._replace(resting=_wider(s.resting, 0), ahead=_wider(s.ahead, 0), traded=_wider(s.traded, 0))
    wanted = s.counts[N_CONSUMED] + max(64, int(s.counts[N_WANTED]))
    if force or wanted > len(s.consumed):
        s = s._replace(consumed=_wider(s.consumed, 0))
        while wanted > len(s.consumed):
            s = s._replace(consumed=_wider(s.consumed, 0))
    if force or s.counts[N_FILLS] + 2 * len(s.resting) + 64 > len(s.fills):
        s = s._replace(fills=_wider(s.fills, 0))
    return s


def _wider(array: npt.NDArray[T], axis: int) -> npt.NDArray[T]:
    """Twice as long; memory that is not written to yet is none of the process's."""
    shape = [2 * n if at == axis else n for at, n in enumerate(array.shape)]
    wider = np.zeros(shape, array.dtype)
    wider[tuple(slice(n) for n in array.shape)] = array
    return wider


@njit_inner
def emit_fill(
    s: KernelState, order: int, price: int, lots: int, maker: int, ns: int, mid: int, book_ns: int
) -> None:
    """Put a fill where ``Market.drain_fills`` finds it."""
    n = s.counts[N_FILLS]
    s.fills[n, F_ORDER] = order
    s.fills[n, F_PRICE] = price
    s.fills[n, F_LOTS] = lots
    s.fills[n, F_MAKER] = maker
    s.fills[n, F_NS] = ns
    s.fills[n, F_MID] = mid
    s.fills[n, F_BOOK_NS] = book_ns
    s.counts[N_FILLS] = n + 1
