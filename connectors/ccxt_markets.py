"""ccxt markets to instruments: tick, lot and minimums from precision and limits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal

from agent.core.errors import ExchangeError, OrderError
from agent.core.instrument import Instrument
from connectors.ccxt_types import CcxtMarket

DECIMAL_PLACES = 2
SIGNIFICANT_DIGITS = 3
TICK_SIZE = 4
"""ccxt's precision modes: what a market's ``precision`` counts."""


def step(precision: float | str | None, mode: int, typical: float | None = None) -> Decimal | None:
    """Return the smallest step a precision stands for; None where it is not stated.

    With significant digits the step hangs on the value: that of ``typical`` is taken, one digit finer,
    so that it stays exact when the price falls below a power of ten.
    """
    if precision is None:
        return None
    if mode == TICK_SIZE:
        return Decimal(str(precision)).normalize()
    if mode == DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(precision))
    if typical is None or typical <= 0:
        return None
    return Decimal(1).scaleb(Decimal(str(typical)).adjusted() - int(precision))


def instrument_of(
    market: CcxtMarket, number: int, exchange: str, mode: int, price: float | None = None
) -> Instrument:
    """Build the instrument of a ccxt market. Raises ExchangeError where it states no tick or lot."""
    precision, limits = market["precision"], market["limits"]
    tick = step(precision.get("price"), mode, price)
    # bitfinex, the one exchange that counts digits, allows eight decimals in a quantity
    lot = Decimal("1e-8") if mode == SIGNIFICANT_DIGITS else step(precision.get("amount"), mode)
    if not tick or not lot:
        raise ExchangeError(
            f"{exchange} states no price tick or quantity step for {market['symbol']} (price"
            f" {precision.get('price')}, amount {precision.get('amount')}): choose another symbol or exchange"
        )
    least = _limit(limits, "amount")
    return Instrument(
        number=number,
        exchange=exchange,
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle") or market["quote"],
        tick=tick,
        lot=lot,
        min_lots=max(1, int((least / lot).to_integral_value(rounding=ROUND_CEILING))),
        min_notional=_limit(limits, "cost"),
        multiplier=Decimal(str(market.get("contractSize") or 1)),
        inverse=bool(market.get("inverse")),
    )


def check_traded(market: CcxtMarket, exchange: str) -> None:
    """Refuse a market that the exchange says it does not trade now. Raises OrderError."""
    if market.get("active") is not False:
        return
    info = market.get("info")
    status = info.get("status") if isinstance(info, dict) else None
    said = f"active: false, status {status}" if status else "active: false"
    raise OrderError(
        f"{market['symbol']} is not traded on {exchange} now ({said}): it is halted or delisted;"
        " choose another symbol, or come back when it trades"
    )


def _limit(limits: Mapping[str, Mapping[str, float | None] | None], name: str) -> Decimal:
    return Decimal(str((limits.get(name) or {}).get("min") or 0))


def unknown_symbol(symbol: str, exchange: str, symbols: Iterable[str]) -> OrderError:
    """The error for a symbol that the exchange does not list, with the nearest that it does."""
    listed = list(symbols)
    near = difflib.get_close_matches(symbol.upper(), listed, n=3, cutoff=0.5)
    joined = symbol.upper().replace("/", "").replace("-", "").replace("_", "")
    near = [s for s in listed if s.replace("/", "") == joined][:1] + near
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"it lists {len(listed)} symbols"
    return OrderError(
        f"unknown symbol {symbol!r} on {exchange}: write it as BASE/QUOTE, e.g. BTC/USDT; {hint}"
    )
