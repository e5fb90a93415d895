"""Price steps that follow the price, and steps that the prices of a book contradict."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import ExchangeError
from agent.core.instrument import Instrument
from agent.core.market.tape import Kind
from connectors.normalise import BookDiffer, Scale
from connectors.units.exchange_units import UNITS
from connectors.units.price_steps import DigitSteps, common_step, judged_step, ladder, tidy

WON = ladder(("1000000", "1000"), ("500000", "500"), ("100000", "100"), ("0", "1"))


@pytest.mark.parametrize(
    ("steps", "price", "step"),
    [
        (DigitSteps(5), "73217", "1"),
        (DigitSteps(5), "10500", "0.1"),  # at half of it the step is finer
        (DigitSteps(5), "0.00000846", "0.0000000001"),
        (DigitSteps(5, whole_allowed=True), "1500000", "1"),
        (DigitSteps(5, decimals=1), "80.123", "0.1"),
        (UNITS["hyperliquid"].price_steps, "1500000", "1"),
        (WON, "80000000", "1000"),
        (WON, "1500000", "500"),
        (WON, "150000", "1"),
    ],
)
def test_a_step_is_exact_until_the_price_has_halved(steps: DigitSteps, price: str, step: str) -> None:
    """By digits and by ladder; never finer than the exchange's decimals."""
    assert steps.step(Decimal(price)) == Decimal(step)


@given(st.integers(1, 10**6), st.sampled_from([10, 20, 25, 50]), st.integers(-8, 4))
def test_a_step_is_found_in_the_prices_that_have_it(first: int, step: int, power: int) -> None:
    """Also one that is no power of ten."""
    tick = Decimal(step).scaleb(power)
    prices = [f"{tick * (first + k):f}" for k in range(20)]
    assert judged_step(Decimal(7 * 10**15), prices, derived=True, what="X") == tick


def test_the_common_step_divides_both() -> None:
    """0.5 and 0.2 share 0.1; 1000 and 25 share 25."""
    assert common_step(Decimal("0.5"), Decimal("0.2")) == Decimal("0.1")
    assert common_step(Decimal("1E+3"), Decimal(25)) == 25
    assert tidy(Decimal(30)) == 10
    assert tidy(Decimal("0.75")) == Decimal("0.25")


def test_prices_off_a_stated_step_refuse_the_market() -> None:
    """A step of 0.01 where the market trades at 0.00000846; a few old orders off the tick do no harm."""
    prices = [846 * 1e-8 + k * 1e-8 for k in range(20)]
    with pytest.raises(ExchangeError, match=r"price tick of X .* says 0\.01, and 20 of 20 .* 0\.00000001\)"):
        judged_step(Decimal("0.01"), [f"{p:.8f}" for p in prices], derived=False, what="X")
    some = [f"{100 + k}" for k in range(20)] + ["100.5", "101.5"]
    assert judged_step(Decimal(1), some, derived=False, what="X") == 1
    assert judged_step(Decimal(1), ["0.5", "0.6"], derived=False, what="X") == 1  # too few to tell


def test_levels_on_one_tick_add_up_and_never_cross() -> None:
    """A tick of 10 over a market of 1: bids go down, asks up, and no size is lost."""
    on = Instrument(0, "x", "BTC/KRW", "BTC", "KRW", "KRW", Decimal(10), Decimal("0.1"))
    bids, asks = [[1003 - k, 0.1 * (k + 1)] for k in range(9)], [[1004 + k, 0.1 * (k + 1)] for k in range(9)]
    rows = BookDiffer(Scale.of(on), 50).update(bids, asks, 0, 0, snapshot=True)
    rows = rows[rows["kind"] == Kind.LEVEL]
    book = {(int(r["side"]), int(r["price_ticks"])): int(r["qty_lots"]) for r in rows}
    assert book == {(1, 100): 1 + 2 + 3 + 4, (1, 99): 5 + 6 + 7 + 8 + 9, (-1, 101): 28, (-1, 102): 17}
