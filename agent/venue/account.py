"""A paper account: balances moved by fills and fees, amounts set aside for open orders."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal


class Account:
    """Exact decimal balances by currency. A lane of the venue has one of its own."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._total = dict(balances)
        self._held: dict[str, Decimal] = {}

    def available(self, currency: str) -> Decimal:
        return self._total.get(currency, Decimal(0)) - self._held.get(currency, Decimal(0))

    def hold(self, currency: str, amount: Decimal) -> bool:
        """Set ``amount`` aside; False, and nothing changes, when it is not there."""
        if amount > self.available(currency):
            return False
        self._held[currency] = self._held.get(currency, Decimal(0)) + amount
        return True

    def tie(self, currency: str, amount: Decimal) -> None:
        """Set ``amount`` aside whatever is there: the collateral of contracts that were filled."""
        self._held[currency] = self._held.get(currency, Decimal(0)) + amount

    def release(self, currency: str, amount: Decimal) -> None:
        self._held[currency] -= amount

    def move(self, currency: str, amount: Decimal) -> None:
        """Add ``amount`` (negative: pay)."""
        self._total[currency] = self._total.get(currency, Decimal(0)) + amount

    def balances(self) -> dict[str, Decimal]:
        return dict(self._total)
