"""The account's money by asset: free, and locked for open orders. Exact decimals; nothing goes below zero."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from agent.core.errors import InputError, InternalError

ZERO = Decimal(0)


class Balances:
    """One account. ``changed`` are the assets that moved since somebody last cleared it."""

    def __init__(self, opening: Mapping[str, Decimal]) -> None:
        self.changed: dict[str, None] = {}  # insertion-ordered set
        self.reset(opening)

    def reset(self, opening: Mapping[str, Decimal]) -> None:
        """As it opened: all of it free."""
        self._free, self._locked = dict(opening), dict.fromkeys(opening, ZERO)
        self.changed.clear()

    def assets(self) -> list[str]:
        return list(self._free)

    def free(self, asset: str) -> Decimal:
        return self._free.get(asset, ZERO)

    def locked(self, asset: str) -> Decimal:
        return self._locked.get(asset, ZERO)

    def lock(self, asset: str, amount: Decimal) -> None:
        """Set free money aside; negative: free it again. Raises InternalError for more than is there."""
        self._put(asset, self.free(asset) - amount, self.locked(asset) + amount)

    def receive(self, asset: str, amount: Decimal) -> None:
        """Add to what is free; negative: pay. Raises InternalError for more than is there."""
        self._put(asset, self.free(asset) + amount, self.locked(asset))

    def change(self, asset: str, amount: Decimal) -> None:
        """A deposit, or a withdrawal (negative). Raises InputError for more than is free."""
        if self.free(asset) + amount < 0:
            raise InputError(
                f"{-amount:f} {asset} cannot leave the account, which has {self.free(asset):f} free:"
                " take out less"
            )
        self.receive(asset, amount)

    def _put(self, asset: str, free: Decimal, locked: Decimal) -> None:
        if free < 0 or locked < 0:
            raise InternalError(f"the exchange's account would have {free:f} free, {locked:f} locked {asset}")
        self._free[asset], self._locked[asset] = free, locked
        self.changed[asset] = None
