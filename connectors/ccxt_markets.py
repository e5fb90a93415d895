"""ccxt markets to instruments: tick, lot and minimums from precision and limits.

What an exchange means otherwise is in ``connectors.units.exchange_units``. What no money can be reckoned of
is refused with its reason: options, contracts settled in a third coin, combinations.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from agent.core.errors import ExchangeError, OrderError
from agent.core.instrument import Instrument
from agent.core.types import NS_PER_MS
from connectors.ccxt_types import CcxtMarket
from connectors.units.exchange_units import ExchangeUnits, units_of
from connectors.units.money_room import with_room
from connectors.units.price_steps import DigitSteps, judged_step

DECIMAL_PLACES = 2
SIGNIFICANT_DIGITS = 3
TICK_SIZE = 4
"""ccxt's precision modes: what a market's ``precision`` counts."""


def step(precision: float | str | None, mode: int, typical: float | None = None) -> Decimal | None:
    """Return the smallest step a precision stands for; None where it is not stated.

    With significant digits the step hangs on the value: ``typical`` is one (``DigitSteps``).
    """
    if precision is None:
        return None
    if mode == TICK_SIZE:
        return Decimal(str(precision)).normalize()
    if mode == DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(precision))
    if typical is None or typical <= 0:
        return None
    return DigitSteps(int(precision)).step(Decimal(str(typical)))


def price_is_needed(market: CcxtMarket, exchange: str, mode: int) -> bool:
    """Whether the market's price step moves with its price."""
    return mode == SIGNIFICANT_DIGITS or units_of(exchange).steps(market["quote"]) is not None


def instrument_of(
    market: CcxtMarket, number: int, exchange: str, mode: int, price: float | None = None
) -> Instrument:
    """Build the instrument of a ccxt market; ``exchange`` is ccxt's id.

    With a price its lot is coarser than the exchange's where 64 bits would hold too little money
    (``with_room``); without one that is left to ``judged_by_prices``, which sees what a lot is worth. Raises
    ExchangeError where it states no tick or lot, OrderError where it does not trade now, or its money cannot
    be reckoned or counted.
    """
    units = units_of(exchange)
    _check_active(market, exchange)
    _check_reckoned(market, exchange, units)
    tick, lot = _tick(market, units, mode, price), _lot(market, units, mode)
    if not tick or not lot:
        precision = market["precision"]
        raise ExchangeError(
            f"{exchange} states no price tick or quantity step for {market['symbol']} (price"
            f" {precision.get('price')}, amount {precision.get('amount')}): choose another symbol or exchange"
        )
    instrument = Instrument(
        number=number,
        exchange=exchange,
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle") or market["quote"],
        tick=tick,
        lot=lot,
        min_lots=max(1, int((_least_amount(market, units) / lot).to_integral_value(rounding=ROUND_CEILING))),
        min_notional=_least_value(market, units),
        multiplier=_multiplier(market, units),
        inverse=_is_contract(market) and bool(market.get("inverse")),
    )
    return with_room(instrument, Decimal(str(price))) if price else instrument


def judged_by_prices(instrument: Instrument, prices: Sequence[float | str], *, derived: bool) -> Instrument:
    """The instrument with the step that its market's prices show, and a lot for it.

    Raises ExchangeError (``judged_step``), OrderError (``with_room``).
    """
    what = f"{instrument.symbol} on {instrument.exchange}"
    tick = judged_step(instrument.tick, prices, derived=derived, what=what)
    seen = sorted(Decimal(str(price)) for price in prices)
    return with_room(replace(instrument, tick=tick), seen[len(seen) // 2] if seen else None)


def lot_is_coarser(instrument: Instrument, market: CcxtMarket, mode: int) -> bool:
    """Whether sizes are counted in more than the exchange's own step."""
    return _lot(market, units_of(instrument.exchange), mode) != instrument.lot


# --- what is refused ------------------------------------------------------------------------------------


def check_traded(market: CcxtMarket, exchange: str, now_ns: int) -> None:
    """Refuse a market that is not traded now: halted, delisted or expired. Raises OrderError."""
    _check_active(market, exchange)
    expiry_ms = market.get("expiry")
    if expiry_ms and _is_contract(market) and expiry_ms * NS_PER_MS <= now_ns:
        raise OrderError(
            f"{market['symbol']} expired on {exchange} at {market.get('expiryDatetime') or expiry_ms}:"
            " choose a contract that still trades"
        )


def _check_active(market: CcxtMarket, exchange: str) -> None:
    """Refuse a market that the exchange says it does not trade now."""
    if market.get("active") is not False:
        return
    info = market.get("info")
    status = info.get("status") if isinstance(info, dict) else None
    said = f"active: false, status {status}" if status else "active: false"
    raise OrderError(
        f"{market['symbol']} is not traded on {exchange} now ({said}): it is halted or delisted;"
        " choose another symbol, or come back when it trades"
    )


def _check_reckoned(market: CcxtMarket, exchange: str, units: ExchangeUnits) -> None:
    if reason := _not_reckoned(market, units):
        raise OrderError(
            f"{market['symbol']} on {exchange} is not taken: {reason}; choose a spot market, or a future or"
            " perpetual contract of another kind"
        )


def _not_reckoned(market: CcxtMarket, units: ExchangeUnits) -> str:
    if market.get("option") or market.get("type") == "option":
        return "it is an option, and what its orders are worth cannot be reckoned here"
    if not _is_contract(market):
        return ""
    if market.get("inverse") and units.inverse_in_coins:
        coin = market["base"]
        return f"its amounts are {coin} and it is settled in {coin}: neither a fixed sum each nor linear"
    if market.get("linear") is False and market.get("inverse") is False:
        return f"it is settled in {market.get('settle')}, which is no part of its price (a quanto contract)"
    return ""


def _is_contract(market: CcxtMarket) -> bool:
    """ccxt calls some spot markets inverse: the symbol tells."""
    return ":" in market["symbol"]


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


# --- units ----------------------------------------------------------------------------------------------


def _tick(market: CcxtMarket, units: ExchangeUnits, mode: int, price: float | None) -> Decimal | None:
    steps = units.steps(market["quote"])
    if steps is None or not price or price <= 0:
        return step(market["precision"].get("price"), mode, price)
    if isinstance(steps, DigitSteps) and units.price_decimals is not None:
        amount = step(market["precision"].get("amount"), mode) or Decimal(1)
        decimals = units.price_decimals + (0 if _is_contract(market) else 2) + amount.adjusted()
        steps = replace(steps, decimals=max(0, decimals))
    return steps.step(Decimal(str(price)))


def _lot(market: CcxtMarket, units: ExchangeUnits, mode: int) -> Decimal | None:
    if mode == SIGNIFICANT_DIGITS:  # both exchanges that count digits allow eight decimals in a quantity
        return Decimal("1e-8")
    stated = step(market["precision"].get("amount"), mode)
    if units.decimal_lot is not None and _raw(market).get("enable_decimal") and stated == 1:
        return units.decimal_lot
    return stated


def _multiplier(market: CcxtMarket, units: ExchangeUnits) -> Decimal:
    if units.uncounted_contracts or not _is_contract(market):
        return Decimal(1)
    return Decimal(str(market.get("contractSize") or 1))


def _least_amount(market: CcxtMarket, units: ExchangeUnits) -> Decimal:
    least = _limit(market["limits"], "amount")
    if units.least_in_coins and _is_contract(market) and not market.get("inverse"):
        return least / _multiplier(market, units)
    return least


def _least_value(market: CcxtMarket, units: ExchangeUnits) -> Decimal:
    """The highest of what the limits, the raw market and the exchange's rules say."""
    said = [
        _limit(market["limits"], "cost"),
        *(_decimal(_raw(market).get(name)) for name in units.least_value),
    ]
    said.append((units.least_value_by_quote or {}).get(market["quote"], Decimal(0)))
    return max(said)


def _limit(limits: Mapping[str, Mapping[str, float | None] | None], name: str) -> Decimal:
    return Decimal(str((limits.get(name) or {}).get("min") or 0))


def _raw(market: CcxtMarket) -> Mapping[str, object]:
    info = market.get("info")
    return info if isinstance(info, Mapping) else {}


def _decimal(said: object) -> Decimal:
    try:
        value = Decimal(str(said or 0))
    except InvalidOperation:
        return Decimal(0)
    return value if value.is_finite() else Decimal(0)
