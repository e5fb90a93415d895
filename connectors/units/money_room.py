"""How much money an instrument must be able to count, and the lot that lets it.

Money is ticks x lots in 64 bits. Where an exchange's steps are so fine that these hold too little, sizes are
counted in a lot that is coarser by a power of ten: what we send stays a multiple of the exchange's own step,
and what others traded is rounded to the nearest lot, at least one. Where such a lot would be worth more than
a small order, the market is refused with the most money that its own steps hold.

Of inverse contracts the value of a lot hangs on the price and not on the steps: each amount is held against
the bound where it comes in (``agent.core.money.fits``).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

import structlog

from agent.core.errors import OrderError
from agent.core.instrument import Instrument

log = structlog.get_logger("feed")

LEAST_USD = Decimal(10) ** 8
"""What 64 bits must hold at least: the largest orders, and bars of the busiest minutes."""

LARGEST_LOT_USD = Decimal(10)
"""A coarser lot may be worth so much: the least order of most exchanges."""

SUMS = Decimal(2**63 - 1)

_ONE_USD = {
    **dict.fromkeys(("BTC", "XBT", "WBTC"), Decimal("0.000014")),
    **dict.fromkeys(("ETH", "WETH", "STETH"), Decimal("0.0004")),
    **dict.fromkeys(("BNB", "BCH", "PAXG", "XAUT"), Decimal("0.001")),
    **dict.fromkeys(("SOL", "LTC", "AAVE"), Decimal("0.01")),
    **dict.fromkeys(("CNY", "CNH", "BRL", "MXN", "ZAR", "PLN", "AED", "HKD"), Decimal(5)),
    **dict.fromkeys(("TRY", "RUB", "INR", "PHP", "THB", "TWD", "UAH", "CZK"), Decimal(40)),
    **dict.fromkeys(("JPY", "ARS", "KES", "HUF", "KZT"), Decimal(150)),
    **dict.fromkeys(("KRW", "NGN", "CLP"), Decimal(1400)),
    **dict.fromkeys(("COP", "IDR", "VND", "UZS", "LAK", "IRT"), Decimal(15000)),
}
"""What is about one US dollar, to an order of magnitude: no more is needed."""


def about_usd(instrument: Instrument) -> Decimal:
    """About how much quote money is a dollar: as listed, else a fifth of the least order, else 1."""
    listed = _ONE_USD.get(instrument.quote)
    if listed is not None or not instrument.min_notional or instrument.quote.startswith("USD"):
        return listed or Decimal(1)
    return min(Decimal(10) ** 6, max(Decimal("1e-6"), instrument.min_notional / 5))


def most_money(instrument: Instrument) -> Decimal:
    """What 64 bits hold of a linear instrument, in the quote currency."""
    return SUMS * instrument.tick * instrument.lot * instrument.multiplier


def coarser_lot(instrument: Instrument) -> Decimal:
    """Its lot, or, where that lets too little money be counted, the finest ten-fold of it that does not."""
    least, lot = LEAST_USD * about_usd(instrument), instrument.lot
    while not instrument.inverse and most_money(replace(instrument, lot=lot)) < least:
        lot = (lot * 10).normalize()
    return lot


def with_room(instrument: Instrument, price: Decimal | None) -> Instrument:
    """The instrument, or one with a lot in which enough money can be counted. Raises OrderError.

    ``price``: about the market's; None: not known, and then the lot's own worth is not judged.
    """
    lot, usd = coarser_lot(instrument), about_usd(instrument)
    if lot == instrument.lot:
        return instrument
    least = instrument.quantity(instrument.min_lots) / lot
    coarse = replace(
        instrument, lot=lot, min_lots=max(1, int(least.to_integral_value(rounding=ROUND_CEILING)))
    )
    _refuse_large_lot(instrument, coarse, price, usd)
    log.warning("lot_coarsened", symbol=instrument.symbol, reason=_told(instrument, coarse))
    return coarse


def _refuse_large_lot(
    instrument: Instrument, coarse: Instrument, price: Decimal | None, usd: Decimal
) -> None:
    worth = Decimal(0) if price is None else price * coarse.lot * coarse.multiplier
    if worth > LARGEST_LOT_USD * usd:
        raise OrderError(
            f"{instrument.symbol} on {instrument.exchange} cannot be counted: with steps of"
            f" {instrument.tick:f} and {instrument.lot:f} 64 bits hold {_short(most_money(instrument))}"
            f" {instrument.quote} at most, and a lot in which more fits would be worth {_short(worth)}"
            f" {instrument.quote}: choose another symbol or exchange"
        )


def _told(instrument: Instrument, coarse: Instrument) -> str:
    return (
        f"quantities of {instrument.symbol} are counted in {coarse.lot:f} {instrument.unit}, not in the"
        f" exchange's {instrument.lot:f}: with that 64 bits would hold {_short(most_money(instrument))}"
        f" {instrument.quote} in all, so they hold {_short(most_money(coarse))}"
    )


def _short(money: Decimal) -> str:
    """Three digits, written out."""
    return f"{Decimal(f'{money:.2e}'):f}" if money < 1000 else f"{int(Decimal(f'{money:.2e}')):,}"
