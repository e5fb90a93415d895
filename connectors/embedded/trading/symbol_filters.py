"""The filters of a symbol: what ``exchangeInfo`` tells is what an order is held to (-1013)."""

from __future__ import annotations

from decimal import Decimal

from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.symbol_info import AVERAGE_MINUTES, MAX_NOTIONAL, MAX_PRICE, MAX_QUANTITY
from connectors.embedded.traded_symbol import Lane

_MINUTE_MS = 60_000
_LOOKED_AT = 4096  # trades: of a busy market the average is that of fewer minutes


def refuse(name: str) -> BadRequestError:
    return BadRequestError(-1013, f"Filter failure: {name}")


def to_ticks(lane: Lane, price: Decimal) -> int:
    """A limit price in ticks. Raises BadRequestError for one that PRICE_FILTER does not let pass."""
    instrument = lane.instrument
    if not instrument.tick <= price <= MAX_PRICE or price % instrument.tick:
        raise refuse("PRICE_FILTER")
    return int(price / instrument.tick)


def to_lots(lane: Lane, quantity: Decimal) -> int:
    """A quantity in lots. Raises BadRequestError for one that LOT_SIZE does not let pass."""
    instrument = lane.instrument
    least = instrument.quantity(instrument.min_lots)
    if not least <= quantity <= MAX_QUANTITY or quantity % instrument.lot:
        raise refuse("LOT_SIZE")
    return int(quantity / instrument.lot)


def check_notional(lane: Lane, value: Decimal, *, market: bool) -> None:
    """Hold an order's value in quote to NOTIONAL; of a market order there is a least one only."""
    if value < lane.instrument.min_notional or (not market and value > MAX_NOTIONAL):
        raise refuse("NOTIONAL")


def average_price(lane: Lane, now_ms: int) -> Decimal | None:
    """What a market order is valued at: the average of the last minutes' trades, else the last one's.

    None where nothing has traded yet: then it is not held to a least value.
    """
    rows = lane.trades.raw.rows
    if not len(rows):
        return None
    recent = rows[-_LOOKED_AT:]
    recent = recent[recent["ms"] > now_ms - AVERAGE_MINUTES * _MINUTE_MS]
    if not len(recent):
        return lane.instrument.price(int(rows["ticks"][-1]))
    lots: int = sum(recent["lots"].tolist())
    value: int = sum(t * q for t, q in zip(recent["ticks"].tolist(), recent["lots"].tolist(), strict=True))
    return lane.instrument.price(1) * value / lots
