"""What both venues are given and give back, as numpy records (numpy is all that this module needs).

Times are the exchange's, in ns; prices are ticks and sizes lots. Both venues report the fills of one
order at one time as one record: hftbacktest shows no more of them than their sum and the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]

ORDER = np.dtype(
    [
        ("number", "<i8"),
        ("send_ns", "<i8"),  # when it leaves us; orders of one group share it
        ("cancel_ns", "<i8"),  # when a cancel leaves us, if the order is still open then; 0: never
        ("price_ticks", "<i8"),
        ("lots", "<i8"),
        ("side", "i1"),
        ("tif", "u1"),
        ("entry_ns", "<i8"),  # its own latencies: on its way, its cancel's, and every answer's
        ("cancel_entry_ns", "<i8"),
        ("response_ns", "<i8"),
    ]
)

FILL = np.dtype(
    [
        ("number", "<i8"),
        ("exch_ns", "<i8"),
        ("heard_ns", "<i8"),
        ("lots", "<i8"),  # all that was filled at this time
        ("last_price_ticks", "<i8"),
        ("last_lots", "<i8"),
        ("maker", "i1"),
    ]
)

END = np.dtype(
    [
        ("number", "<i8"),
        ("exch_ns", "<i8"),
        ("left_lots", "<i8"),
        ("outcome", "u1"),
        ("fee_tlp", "<i8"),  # ticks x lots x ppm
    ]
)

GTC, POST_ONLY, FOK, IOC = 0, 1, 2, 3
"""Times in force, by hftbacktest's numbers."""
GTD = 4
"""It has no such order: there, a GTC order cancelled at the time."""

OPEN, FILLED, EXPIRED, CANCELLED, REFUSED, STOPPED = 0, 1, 2, 3, 4, 5
OUTCOMES = ("open", "filled", "expired", "cancelled", "refused", "stopped")
"""``STOPPED``: the venue failed while it worked the order."""

RISK_AVERSE, POWER_PROBABILITY, LOG_PROBABILITY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Rules:
    """The latencies, constant where an order has none of its own, the queue model, and fees in ppm."""

    entry_ns: int = 20_000_000
    response_ns: int = 30_000_000
    feed_ns: int = 10_000_000
    queue_model: int = RISK_AVERSE
    queue_power: float = 3.0
    maker_ppm: int = 0
    taker_ppm: int = 0
    varying: bool = False  # orders have latencies of their own
    together: bool = False  # several orders are alive at once


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a venue made of the orders."""

    fills: Records
    ends: Records


def records(rows: list[tuple[Any, ...]], dtype: np.dtype[np.void]) -> Records:
    """Return rows as records, ordered by number and time."""
    found = np.array(rows, dtype)
    return found[np.lexsort((found["exch_ns"], found["number"]))]
