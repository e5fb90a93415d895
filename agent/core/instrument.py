"""Instruments: versioned records that turn decimals into integers and back, exactly.

What a price and a size are worth is in ``agent.core.money``, for linear and inverse contracts.
A change of an exchange's precision is a new instrument number; nothing recorded is ever rescaled.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any

from agent.core.errors import OrderError
from agent.core.json_types import JsonObject
from agent.core.money import INVERSE_UNITS, average_ticks, value_tl

COUNTABLE = Decimal(10) ** 27
"""Steps of money that a minimum may be worth: more digits than a division gives are no number of steps."""
_DECIMALS = ("tick", "lot", "min_notional", "multiplier")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol at one precision.

    ``multiplier`` is what one unit of quantity is: base units of a linear contract (1 for spot), quote
    units of an ``inverse`` one (100 USD), which is settled in the base. ``settle`` is the currency of
    settlement; a symbol with a colon is a contract.
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

    @property
    def contract(self) -> bool:
        """Whether positions are held against margin, and not the currency itself."""
        return self.inverse or ":" in self.symbol

    @property
    def unit(self) -> str:
        """What a quantity counts: base currency, contracts, or money (inverse contracts of 1 each)."""
        if self.multiplier != 1:
            return "contracts"
        return self.quote if self.inverse else self.base

    def value_tl(self, price_ticks: int, lots: int) -> int:
        """Value of ``lots`` at a price, in the integers that every ``*_tl`` holds."""
        return value_tl(price_ticks, lots, inverse=self.inverse)

    def average_ticks(self, tl: int, lots: int) -> Fraction:
        """The average price of ``lots`` that are worth ``tl``: harmonic for inverse contracts."""
        return average_ticks(tl, lots, inverse=self.inverse)

    def notional(self, tl: int) -> Decimal:
        """Money of a value in the settle currency: quote of a linear instrument, base of an inverse."""
        if self.inverse:
            return self.lot * self.multiplier * tl / self.tick / INVERSE_UNITS
        return self.tick * self.lot * self.multiplier * tl

    def quote_notional(self, price_ticks: int, lots: int) -> Decimal:
        """Value of ``lots`` in the quote currency, in which limits and fee tiers are stated."""
        if self.inverse:
            return self.lot * self.multiplier * lots
        return self.tick * self.lot * self.multiplier * price_ticks * lots

    def most_money(self, price_ticks: int, most_tl: int) -> Decimal:
        """The quote money of a value of ``most_tl``; of an inverse contract at a price."""
        if self.inverse:
            return self.quote_notional(price_ticks, most_tl * price_ticks // INVERSE_UNITS)
        return self.notional(most_tl)

    def notional_tl(self, money: Decimal) -> int:
        """Return quote money in ticks x lots, rounded down. Linear instruments only."""
        unit = self.tick * self.lot * self.multiplier
        return int((money / unit).to_integral_value(rounding=ROUND_DOWN))

    def to_json(self) -> dict[str, object]:
        return {k: f"{v:f}" if isinstance(v, Decimal) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, record: JsonObject) -> Instrument:
        """Raises TypeError, ValueError or ArithmeticError for a member that is missing, unknown or wrong."""
        values: dict[str, Any] = dict(record)  # the constructor refuses other members
        values |= {k: Decimal(values[k]) for k in _DECIMALS if k in values}
        found = cls(**values)
        for name in _DECIMALS:
            value: Decimal = getattr(found, name)
            if not (value.is_finite() and value >= 0) or (value == 0 and name != "min_notional"):
                raise ValueError(f"{name} of an instrument is {value:f}, and not a positive number")
        if not found.min_notional < COUNTABLE * found.quote_notional(1, 1):
            raise ValueError(f"min_notional {found.min_notional:f} is beyond what a tick and a lot can count")
        if not (_is_int(found.number, 2**15) and _is_int(found.min_lots, 2**63)):
            raise ValueError(
                f"number {found.number!r} or min_lots {found.min_lots!r} is no such whole number"
            )
        texts = (found.exchange, found.symbol, found.base, found.quote, found.settle)
        if not all(isinstance(text, str) for text in texts) or not isinstance(found.inverse, bool):
            raise TypeError(f"an instrument's names are {texts!r}, inverse {found.inverse!r}")
        return found


def _is_int(value: object, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _exact(value: Decimal, unit: Decimal, what: str, unit_name: str) -> int:
    count = value / unit
    whole = count.to_integral_value(rounding=ROUND_DOWN)
    if whole != count:
        raise OrderError(
            f"{what} is not a multiple of the {unit_name} {unit:f}:"
            f" use {whole * unit:f} or {(whole + 1) * unit:f}"
        )
    return int(whole)
