"""Fees in parts per million of the notional, maker and taker apart; a rebate is negative."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from agent.core.instrument import Instrument
from agent.core.types import Side

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Fees:
    """``currency`` "quote" charges the quote currency; "received" what the fill brings in."""

    maker_ppm: int
    taker_ppm: int
    currency: Literal["quote", "received"] = "quote"

    def fee_tlp(self, price_ticks: int, lots: int, maker: bool) -> int:
        """Fee in ticks x lots x ppm: exact, valued in quote at the fill's price."""
        return price_ticks * lots * (self.maker_ppm if maker else self.taker_ppm)

    def currency_of(self, instrument: Instrument, side: Side) -> str:
        if self.currency == "received" and side is Side.BUY:
            return instrument.base
        return instrument.quote

    def worst_rate(self) -> Decimal:
        """The larger of both rates, 0 for rebates: what must be set aside with an order."""
        return Decimal(max(self.maker_ppm, self.taker_ppm, 0)) / PPM
