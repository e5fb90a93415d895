"""What travels between us and the venue: orders, amendments and the venue's reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.core.types import Side, TimeInForce

GONE = "the order was no longer open when the {} arrived"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order on its way. ``cap_tl`` bounds its money (0: none), as a quote-quantity order does.

    ``expire_ns`` is the engine time at which a GTD order ends at the venue; other orders have none.
    """

    number: int  # unique in the session, given in order of sending
    lane: int
    instrument: int
    side: Side
    tif: TimeInForce
    price_ticks: int
    lots: int
    cap_tl: int = 0
    expire_ns: int = 0

    @property
    def may_rest(self) -> bool:
        """Whether what is not filled at once stays in the book."""
        return self.tif not in (TimeInForce.IOC, TimeInForce.FOK)


@dataclass(frozen=True, slots=True)
class DecimalOrder:
    """An order from elsewhere, in decimals: the venue checks that they fit the tick and the lot."""

    number: int
    lane: int
    instrument: int
    side: Side
    tif: TimeInForce
    price: Decimal
    quantity: Decimal
    expire_ns: int = 0


class ReportKind(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"
    EXPIRED = "expired"
    AMENDED = "amended"  # price_ticks and lots are the order's new ones
    AMEND_REJECTED = "amend_rejected"


@dataclass(frozen=True, slots=True)
class Report:
    """The venue's answer about order ``number``. The fill fields are 0 for other kinds."""

    number: int
    kind: ReportKind
    reason: str = ""
    price_ticks: int = 0
    lots: int = 0
    fee_tlp: int = 0
    fee_currency: str = ""
    maker: bool = False
    fill_ns: int = 0
    mid_half_ticks: int = 0
    book_age_ns: int = 0
    near_gap: bool = False
    price_model: str = ""
    impact_ticks: int | None = None  # None: no impact model
    displacement_half_ticks: int | None = None
    sequence: int = 0  # of what is said about the order, from 1: what is heard twice counts once
    again: bool = False  # rejected by no fault of its own: the same may be sent again
    fee_amount: Decimal | None = None  # in the fee's own currency; None where that is the quote currency


Deliver = Callable[[int, Report], None]
"""Called with the time at which we hear of it."""
