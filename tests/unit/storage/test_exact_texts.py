"""Numbers of an instrument as the execution log holds them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from storage.log.bulk.instrument_texts import InstrumentTexts, text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_a_number_never_has_an_exponent(number: Decimal) -> None:
    """Written in full, to the last zero that it was given with, however small or large it is."""
    assert text(number) == f"{number:f}"
    assert Decimal(text(number)) == number


def test_money_of_the_two_kinds_of_contract() -> None:
    """By hand: 0.3 of 61,500.01 USDT at a fee of 0.1 %; and 50 contracts of 100 USD at 40,000 USD."""
    spot = InstrumentTexts(
        Instrument(0, "x", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"))
    )
    assert spot.notional(6_150_001, 30_000) == "18450.0030000"
    assert spot.fee(6_150_001 * 30_000 * 1000) == "18.4500030"
    assert (spot.price(6_150_001), spot.quantity(30_000)) == ("61500.01", "0.30000")
    assert spot.mid(12_300_003) == "61500.015"
    coin = InstrumentTexts(
        Instrument(
            1, "x", "BTC/USD:BTC", "BTC", "USD", "BTC", Decimal("0.1"), Decimal(1), multiplier=Decimal(100),
            inverse=True,
        )
    )  # fmt: skip
    assert Decimal(coin.notional(400_000, 50)) == Decimal("0.125")
    assert "E" not in coin.notional(400_000, 50)
