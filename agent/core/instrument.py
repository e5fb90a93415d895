"""Instruments: versioned records that turn decimals into integers and back, exactly.

A change of an exchange's precision is a new instrument number; nothing recorded is ever rescaled.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from agent.core.errors import OrderError


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol at one precision.

    ``multiplier`` is base units a contract (1 for spot). ``inverse`` contracts are quoted in the
    quote currency and settled in the base.
    """

    number: int
    exchange: str
    symbol: str  # unified, as ccxt writes it: "BTC/USDT"
    base: str
    quote: str
    settle: str
    tick: Decimal
    lot: Decimal
    min_lots: int = 1
    min_notional: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(1)
    inverse: bool = False

    def to_ticks(self, price: Decimal) -> int:
        """Return ``price`` in ticks. Raises OrderError when it is not a multiple of the tick."""
        return _exact(price, self.tick, f"price {price:f} of {self.symbol}", "tick")

    def to_lots(self, quantity: Decimal) -> int:
        """Return ``quantity`` in lots. Raises OrderError when it is not a multiple of the lot."""
        return _exact(quantity, self.lot, f"quantity {quantity:f} of {self.symbol}", "lot")

    def price(self, ticks: int) -> Decimal:
        return self.tick * ticks

    def quantity(self, lots: int) -> Decimal:
        return self.lot * lots

    def notional(self, ticks_x_lots: int) -> Decimal:
        """Money of ``ticks x lots``, in the settle currency of a linear instrument (quote)."""
        return self.tick * self.lot * self.multiplier * ticks_x_lots

    def notional_tl(self, money: Decimal) -> int:
        """Return ``money`` in ticks x lots, rounded down."""
        unit = self.tick * self.lot * self.multiplier
        return int((money / unit).to_integral_value(rounding=ROUND_DOWN))

    def to_json(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Decimal) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Instrument:
        decimals = ("tick", "lot", "min_notional", "multiplier")
        values: dict[str, Any] = {k: Decimal(v) if k in decimals else v for k, v in record.items()}
        return cls(**values)


def _exact(value: Decimal, unit: Decimal, what: str, unit_name: str) -> int:
    count = value / unit
    whole = count.to_integral_value(rounding=ROUND_DOWN)
    if whole != count:
        raise OrderError(
            f"{what} is not a multiple of the {unit_name} {unit}: use {whole * unit} or {(whole + 1) * unit}"
        )
    return int(whole)
