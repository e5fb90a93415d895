"""What an order is worth, and the least that an exchange takes: one definition for whoever limits an order.

An order is judged at the limit price it is sent with, for that is the price an exchange judges it at: a child
that buys is worth no less when it arrives, however the market has moved. Where the money of an order is
bounded, that bound is its value, and its quantity is what the money buys at the limit.

The value is in the quote currency, in which minimums, limits and fee tiers are stated. A contract of an
inverse instrument is a fixed sum of it, at any price.

Example: tick 0.01, lot 0.00001 BTC, minimum 5 USDT. A sale with its limit at 49,950.00 USDT needs
ceil(5 / (49,950.00 x 0.00001)) = 11 lots, which are worth 5.49 USDT there.
"""

from __future__ import annotations

from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.money import INVERSE_UNITS
from agent.core.types import Side

SLACK_BPS = 50.0
"""How far the price may move between the moment that an amount is planned and the one that it is sent."""


def order_value(instrument: Instrument, price_ticks: int, lots: int, cap_tl: int = 0) -> Decimal:
    """Quote money of an order at its limit; ``cap_tl``: what bounds its money (0: nothing)."""
    if cap_tl:
        return instrument.notional(cap_tl)
    return instrument.quote_notional(price_ticks, lots)


def order_lots(price_ticks: int, lots: int, cap_tl: int) -> int:
    """Lots of an order at its limit; those of an order bounded by money are what the money buys there."""
    return min(lots, cap_tl // price_ticks) if cap_tl else lots


def too_much(instrument: Instrument, price_ticks: int, lots: int, cap_tl: int, most_tl: int) -> str:
    """Why an order cannot be counted (its value is above ``most_tl``), with the most that can be, or "".

    A ``price_ticks`` of 0 is not known: then the least that it can be worth is judged, one tick a lot.
    """
    price = price_ticks or (INVERSE_UNITS if instrument.inverse else 1)
    value = cap_tl or instrument.value_tl(price, lots)
    if value <= most_tl and lots <= most_tl:
        return ""
    quote = instrument.quote
    at = f" at {instrument.price(price_ticks):f}" if price_ticks and not cap_tl else ""
    what = (
        f"{instrument.notional(cap_tl):f} {quote}"
        if cap_tl
        else f"{instrument.quantity(lots):f} {instrument.unit}"
    )
    most = _short(instrument.most_money(price, most_tl))
    return (
        f"{what}{at} is more than can be counted: an order may be worth {most} {quote} in steps of"
        f" {instrument.tick:f} and {instrument.lot:f}"
    )


def _short(money: Decimal) -> str:
    """Rounded down to six digits, and written out: what is named is allowed."""
    digits = Decimal(1).scaleb(money.adjusted() - 5)
    return f"{(money // digits * digits).normalize():f}" if money else "0"


def least_tl(instrument: Instrument) -> int:
    """The minimum value in ticks x lots, rounded up; of an inverse instrument in lots."""
    return -int(-(instrument.min_notional / instrument.quote_notional(1, 1)) // 1)


def least_lots(instrument: Instrument, price_ticks: int) -> int:
    """The fewest lots that an exchange takes in an order with its limit there."""
    value = least_tl(instrument)
    by_value = value if instrument.inverse else -(-value // max(1, price_ticks))
    return max(1, instrument.min_lots, by_value)


def reach_ticks(far_ticks: int, reach_bps: float) -> int:
    """How far beyond the far touch a marketable order may walk."""
    return int(far_ticks * reach_bps * 1e-4)


def send_price_ticks(
    side: Side, touch: tuple[int, int], reach_bps: float, limit_ticks: int | None = None
) -> int:
    """The limit of a marketable order: ``reach_bps`` beyond the far touch, within the parent's own limit.

    ``touch`` is (bid, ask).
    """
    far = touch[1] if side is Side.BUY else touch[0]
    price = max(1, far + side * reach_ticks(far, reach_bps))
    if limit_ticks is None:
        return price
    return min(price, limit_ticks) if side is Side.BUY else max(price, limit_ticks)


def highest_price_ticks(side: Side, touch: tuple[int, int], reach_bps: float) -> int:
    """The highest limit that a child may be sent with soon: a buy reaches above the ask."""
    reach = reach_bps if side is Side.BUY else 0.0
    return 1 + int(touch[1] * (1 + reach * 1e-4) * (1 + SLACK_BPS * 1e-4))


def lowest_price_ticks(
    side: Side, touch: tuple[int, int], reach_bps: float, limit_ticks: int | None = None
) -> int:
    """The lowest limit that a child may be sent with soon, the market's next move counted in.

    A sale reaches below the bid; a buy may rest at it. So an amount planned for this price is no smaller than
    the minimum at the price it will be sent with.
    """
    reach = reach_bps if side is Side.SELL else 0.0
    price = int(touch[0] * (1 - min(9_900.0, reach + SLACK_BPS) * 1e-4))
    if limit_ticks is not None and side is Side.BUY:
        price = min(price, limit_ticks)
    return max(1, price)
