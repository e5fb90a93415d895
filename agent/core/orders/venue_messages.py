"""What travels between us and a venue: orders out, reports back. Values, whatever the venue.

A report carries two stamps, both in engine time: the venue's own (when it did what it reports) and ours (when
the report reached us). A venue that is computed from the tape gives both; one outside gives its own, and the
ingest point gives ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.core.errors import InternalError
from agent.core.types import Side, TimeInForce


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order on its way. ``cap_tl`` bounds its money (0: none), as a quote-quantity order does.

    ``expire_ns`` is the engine time at which a GTD order ends at the venue; other orders have none.
    """

    number: int  # unique in the session, given in order of sending
    lane: int  # 0: the real orders; each shadow has a lane of its own
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


class ReportKind(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"
    EXPIRED = "expired"
    AMENDED = "amended"  # price_ticks and lots are the order's new ones
    AMEND_REJECTED = "amend_rejected"


ENDS = frozenset({ReportKind.REJECTED, ReportKind.CANCELLED, ReportKind.EXPIRED})
"""Kinds that say that an order is over without having been filled whole."""


@dataclass(slots=True)
class Report:
    """The venue's answer about order ``number``. The fill fields are 0 for other kinds.

    The venue fills in what it did, and ``venue_ns``; ``recv_ns`` is stamped as the report reaches us.
    """

    number: int
    kind: ReportKind
    reason: str = ""
    price_ticks: int = 0
    lots: int = 0
    fee_tlp: int = 0
    fee_currency: str = ""
    maker: bool = False
    venue_ns: int = 0
    recv_ns: int = 0
    mid_half_ticks: int = 0
    book_age_ns: int = 0
    near_gap: bool = False
    price_model: str = ""
    impact_ticks: int | None = None  # None: no impact model
    displacement_half_ticks: int | None = None
    sequence: int = 0  # tells reports about one order apart: a repeated one counts once
    again: bool = False  # rejected by no fault of its own: the same may be sent again
    fee_amount: Decimal | None = None  # in the fee's own currency; None where that is the quote currency
    filled_lots: int | None = None  # of a closing report: all that the venue filled; None: what it reported


Deliver = Callable[[Report], None]
"""Called when a report reaches us, its ``recv_ns`` stamped."""


def not_connected(report: Report) -> None:
    """Take the reports of a venue that was never connected. Raises InternalError."""
    raise InternalError(f"report {report.kind} of order {report.number} before the venue was connected")


@dataclass(frozen=True, slots=True)
class VenueTraits:
    """What the engine has to know of how a venue works."""

    answer_within_ns: int | None = None  # ask about an order silent for longer; None: no answer is ever lost
    fills_later: bool = False  # an order may meet prices that the book does not show yet (bars)
    own_impact: bool = False  # our own flow moves the prices of our own fills
    repeats: bool = False  # reports about an order may come again, or after its end
    travel_ns: int = 0  # how long an order usually takes to meet the book
    round_trip_ns: int = 0  # ... and until its report is here
    max_quantity: Decimal | None = None  # of one order; a larger one is refused
    survives: bool = False  # what rests there goes on while nobody is here
