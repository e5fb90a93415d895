"""Rules that hold for an order wherever it is judged: at the venue, and before its parent starts.

Each yields its reason, or nothing. A reason names the value, the limit and where the limit stands: a key of
the configuration, or the exchange's own, which the instrument's record holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.orders.order_value import order_value


def least_refusals(instrument: Instrument, price_ticks: int, lots: int, cap_tl: int) -> Iterator[str]:
    """What the exchange's minimums have against an order with its limit there."""
    if lots < instrument.min_lots:
        least = instrument.quantity(instrument.min_lots)
        yield f"quantity {instrument.quantity(lots):f} is below the minimum {least:f} (exchange.min_quantity)"
    value = order_value(instrument, price_ticks, lots, cap_tl)
    if value < instrument.min_notional:
        at = "" if cap_tl else f" at its limit {instrument.price(price_ticks):f}"
        yield (
            f"notional {value:f} {instrument.quote}{at} is below the minimum {instrument.min_notional:f}"
            " (exchange.min_notional)"
        )


def most_refusals(instrument: Instrument, lots: int, most: Decimal | None) -> Iterator[str]:
    """What ``venue.max_quantity`` has against one order."""
    if most is not None and instrument.quantity(lots) > most:
        yield f"quantity {instrument.quantity(lots):f} is above the maximum {most:f} (venue.max_quantity)"


def band_refusals(
    instrument: Instrument, price_ticks: int, mid_half_ticks: int, band_bps: float
) -> Iterator[str]:
    """What ``venue.price_band_bps`` has against a limit."""
    away = abs(2 * price_ticks - mid_half_ticks)
    if away * 10_000 > band_bps * mid_half_ticks:
        mid, away_bps = instrument.tick * mid_half_ticks / 2, away * 1e4 / mid_half_ticks
        yield (
            f"price {instrument.price(price_ticks):f} is {away_bps:.2f} bps from the mid {mid:f}, at most"
            f" {band_bps:g} bps is allowed (venue.price_band_bps)"
        )
