"""Price steps that no market states as one number: they follow the price, or show in the prices.

Rules kept here:

* where the step moves with the price (significant digits, a ladder), it is that of half the price: so it
  stays exact until the price has halved, and every dearer price is a multiple of it too;
* prices judge a step: when most of them lie off it, it is wrong. One that was derived is taken from them
  then; one that the exchange states is refused, because one of the two is not what we think it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import gcd

from agent.core.errors import ExchangeError

HALVED = Decimal(2)
"""A step is exact until the price has fallen by this factor."""

LEAST_PRICES = 8
"""Fewer different prices than this say nothing about a step."""

_TIDY = (Decimal(5), Decimal("2.5"), Decimal(2), Decimal(1))


@dataclass(frozen=True, slots=True)
class DigitSteps:
    """So many significant digits, and at most so many decimals; whole numbers always."""

    digits: int
    decimals: int | None = None
    whole_allowed: bool = False

    def step(self, price: Decimal) -> Decimal:
        step = Decimal(1).scaleb((price / HALVED).adjusted() + 1 - self.digits)
        if self.whole_allowed:
            step = min(step, Decimal(1))
        return step if self.decimals is None else max(step, Decimal(1).scaleb(-self.decimals))


@dataclass(frozen=True, slots=True)
class LadderSteps:
    """(from this price on, the step), dearest first; the last one is for every cheaper price."""

    rungs: tuple[tuple[Decimal, Decimal], ...]

    def step(self, price: Decimal) -> Decimal:
        """The largest step that divides the one at half the price and all above it up to twice the price."""
        low, high = price / HALVED, price * HALVED
        steps = [self._at(low), *(step for start, step in self.rungs if low < start <= high)]
        found = steps[0]
        for other in steps[1:]:
            found = common_step(found, other)
        return found

    def _at(self, price: Decimal) -> Decimal:
        return next((step for start, step in self.rungs if price >= start), self.rungs[-1][1])


def ladder(*rungs: tuple[str, str]) -> LadderSteps:
    return LadderSteps(tuple((Decimal(start), Decimal(step)) for start, step in rungs))


def common_step(one: Decimal, other: Decimal) -> Decimal:
    """The largest number that divides both."""
    places = max(0, -_exponent(one), -_exponent(other))
    return Decimal(gcd(int(one.scaleb(places)), int(other.scaleb(places)))).scaleb(-places)


def judged_step(step: Decimal, prices: Sequence[float | str], *, derived: bool, what: str) -> Decimal:
    """``step``, or the one that the prices show. ``what`` names the market.

    Raises ExchangeError where the exchange states a step that most of its own prices are off.
    """
    seen = sorted({Decimal(str(price)) for price in prices})
    seen = [price for price in seen if price.is_finite() and price > 0]
    off = [price for price in seen if price % step]
    if len(seen) < LEAST_PRICES or 2 * len(off) <= len(seen):
        return step
    shown = tidy(shown_step(seen))
    if derived:
        return shown
    raise ExchangeError(
        f"the price tick of {what} cannot be trusted: the exchange says {step:f}, and {len(off)} of"
        f" {len(seen)} prices in its book are off it, as {off[0]:f} is (they are multiples of {shown:f});"
        " choose another symbol or exchange"
    )


def shown_step(prices: Sequence[Decimal]) -> Decimal:
    """The largest number that divides every price."""
    found = prices[0]
    for price in prices[1:]:
        found = common_step(found, price)
    return found


def tidy(step: Decimal) -> Decimal:
    """The largest of 1, 2, 2.5 and 5 times a power of ten that divides a step: what an exchange would use."""
    if not step:
        return step
    power = Decimal(1).scaleb(step.adjusted())
    while True:
        for factor in _TIDY:
            if factor * power <= step and not step % (factor * power):
                return factor * power
        power = power.scaleb(-1)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    return exponent
