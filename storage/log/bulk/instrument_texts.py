"""Prices, quantities and money of an instrument as exact text; what comes again and again is made once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from agent.core.instrument import Instrument
from agent.core.money import PPM

REMEMBERED = 4096
"""Texts of a kind: the prices of a busy hour, in a megabyte."""


def text(value: Decimal) -> str:
    """Return a decimal in full, never in exponents."""
    return format(value, "f")


class InstrumentTexts:
    """Integers of one instrument in, exact decimals out."""

    def __init__(self, on: Instrument) -> None:
        self._on = on
        self._unit = None if on.inverse else on.tick * on.lot * on.multiplier
        remembered = lru_cache(REMEMBERED)
        self.price: Callable[[int], str] = remembered(lambda ticks: text(on.price(ticks)))
        self.quantity: Callable[[int], str] = remembered(lambda lots: text(on.quantity(lots)))
        self.mid: Callable[[int], str] = remembered(lambda half_ticks: text(on.tick * half_ticks / 2))

    def money(self, tl: int) -> Decimal:
        """What a value (``agent.core.money``) is in the settle currency."""
        return self._on.notional(tl) if self._unit is None else self._unit * tl

    def notional(self, price_ticks: int, lots: int) -> str:
        """Of a fill, in the settle currency."""
        return text(self.money(self._on.value_tl(price_ticks, lots)))

    def fee(self, fee_tlp: int) -> str:
        """In the settle currency."""
        return text(self.money(fee_tlp) / PPM)
