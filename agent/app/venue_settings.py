"""The venue's rules that are more than a number, built from the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agent.config import Venue
from agent.venue.fees import Fees, FeeTier
from agent.venue.rehearsal import Rehearsal
from agent.venue.rules import Halt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fees(venue: Venue) -> Fees:
    return Fees(
        maker_ppm=venue.maker_fee_ppm,
        taker_ppm=venue.taker_fee_ppm,
        currency=venue.fee_currency,
        tiers=tuple(FeeTier(t.volume, t.maker_ppm, t.taker_ppm) for t in venue.fee_tiers),
        start_volume=venue.fee_volume,
        rate=venue.fee_rate or Decimal(1),
        discount_ppm=venue.fee_discount_ppm,
    )


def halts(venue: Venue) -> tuple[Halt, ...]:
    return tuple(Halt(_ns(h.start), _ns(h.end), h.symbol or "") for h in venue.halts)


def rehearsal(venue: Venue) -> Rehearsal:
    given = venue.rehearsal
    return Rehearsal(given.reject_ppm, given.timeout_ppm, given.timeout)


def _ns(at: datetime) -> int:
    """Nanoseconds since 1970, exact."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
