"""Ticks inferred from prices: powers of ten, and the steps in use between them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from connectors.importers.raw_rows import Place
from connectors.importers.tick_and_lot import UnitFinder


def _found(step: str, count: int, *, tolerant: bool = True, odd: tuple[str, ...] = ()) -> Decimal:
    """The unit of ``count`` multiples of a step in a row, and a few odd values."""
    place = Place()
    place.open("x.csv")
    finder = UnitFinder("tick", "prices", None, place, tolerant=tolerant)
    values = [Decimal(step) * (4001 + k) for k in range(count)] + [Decimal(value) for value in odd]
    finder.learn(
        np.array([int(value.scaleb(8)) for value in values], np.int64), np.full(len(values), place.code)
    )
    return finder.unit()


@pytest.mark.parametrize(
    "step", ["0.25", "0.5", "0.05", "0.2", "0.02", "2.5", "25", "50", "0.1", "1", "0.00001"]
)
def test_a_tick_is_the_step_that_all_prices_share(step: str) -> None:
    """Also one that is no power of ten."""
    assert _found(step, 1_000) == Decimal(step)


def test_what_chance_may_explain_stays_a_power_of_ten() -> None:
    """Few prices, or one price between the steps; and quantities, of which round ones are liked best."""
    assert _found("0.5", 999) == Decimal("0.1")
    assert _found("0.5", 1_000, odd=("2000.1",)) == Decimal("0.1")
    assert _found("0.5", 1_000, tolerant=False) == Decimal("0.1")
