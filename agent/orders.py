"""A parent order as a user gives it, checked against the instrument and turned into a ``ParentSpec``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from agent.algos.registry import check_params
from agent.amounts import check_positive
from agent.core.errors import InputError, OrderError
from agent.core.instrument import Instrument
from agent.core.money import MOST_ORDER_TL
from agent.core.orders.amendments import MOST_TICKS
from agent.core.orders.order_value import order_value, too_much
from agent.core.orders.projection import check_rates
from agent.core.types import Align, BenchmarkKind, ParentSpec, Side, TargetKind
from agent.durations import format_duration
from agent.order_options import Order


def build_spec(order: Order, instrument: Instrument, parent_id: str, price: Decimal | None) -> ParentSpec:
    """Check everything an exchange or a schedule would trip over. Raises InputError.

    ``price`` (the current mid) lets a quantity be compared with the minimum notional; None skips that.
    """
    check_order(order)
    kind, target = _target(order, instrument, price)
    limit = None if order.limit_price is None else instrument.to_ticks(order.limit_price)
    _check_counted(instrument, kind, target, price, limit)
    return ParentSpec(
        parent_id=parent_id,
        instrument=instrument.number,
        symbol=instrument.symbol,
        side=Side.BUY if order.side == "buy" else Side.SELL,
        target_kind=kind,
        target=target,
        benchmark=BenchmarkKind(order.benchmark),
        interval_ns=order.interval,
        min_duration_ns=order.min_duration,
        max_duration_ns=order.max_duration,
        algo=order.algo,
        tactic=order.tactic,
        limit_price_ticks=limit,
        participation_cap=order.participation_cap,
        min_rate=order.min_rate,
        max_rate=order.max_rate,
        risk_aversion=order.risk_aversion,
        align=Align(order.align),
        algo_params=dict(order.algo_params),
    )


def check_order(order: Order) -> None:
    """Check all that needs no instrument, before anything is connected. Raises InputError."""
    for _, fault in order_faults(order):
        raise fault


def order_faults(order: Order) -> Iterator[tuple[str, InputError]]:
    """Every fault that needs no instrument, with the key that it is about."""
    checks: tuple[tuple[str, Callable[[Order], object]], ...] = (
        ("quantity" if order.notional is None else "notional", _amount),
        ("interval", _check_durations),
        ("min_rate", _check_rates),
        ("algo_params", lambda order: check_params([order.algo, *order.shadows], order.algo_params)),
        ("participation_cap", _check_cap),
        ("limit_price", _check_limit),
    )
    for key, check in checks:
        try:
            check(order)
        except InputError as fault:
            yield key, fault


def _check_rates(order: Order) -> None:
    n, m = order.max_duration // order.interval, order.min_duration // order.interval
    check_rates(n, m, order.min_rate, order.max_rate)


def _check_cap(order: Order) -> None:
    cap = order.participation_cap
    if cap is not None and not 0 < cap <= 1:
        raise OrderError(f"participation cap {cap:g} is not allowed: it must be in (0, 1], as in 0.1")


def _check_limit(order: Order) -> None:
    if order.limit_price is not None:
        check_positive(order.limit_price, "limit price")


def _amount(order: Order) -> Decimal:
    """The order's size, whichever way it was given."""
    if order.notional is not None and order.quantity is None:
        return check_positive(order.notional, "notional")
    if order.quantity is not None and order.notional is None:
        return check_positive(order.quantity, "quantity")
    raise OrderError("give exactly one of --quantity and --notional")


def _target(order: Order, instrument: Instrument, price: Decimal | None) -> tuple[TargetKind, int]:
    if order.notional is not None:
        money = _amount(order)
        if instrument.inverse:
            raise OrderError(_not_by_notional(money, instrument))
        if money < instrument.min_notional:
            raise OrderError(
                f"notional {money:f} {instrument.quote} is below the exchange's minimum"
                f" {instrument.min_notional:f}"
            )
        return TargetKind.NOTIONAL, instrument.notional_tl(money)
    quantity = _amount(order)
    lots = instrument.to_lots(quantity)
    if lots < instrument.min_lots:
        least = instrument.quantity(instrument.min_lots)
        raise OrderError(f"quantity {quantity:f} {instrument.unit} is below the exchange's minimum {least:f}")
    if price is not None:
        worth = order_value(instrument, int(price / instrument.tick), lots)
        if worth < instrument.min_notional:
            raise OrderError(
                f"quantity {quantity:f} {instrument.unit} is worth {worth:.2f} {instrument.quote}: "
                f"the exchange's minimum is {instrument.min_notional:f}"
            )
    return TargetKind.QUANTITY, lots


def _check_counted(
    instrument: Instrument, kind: TargetKind, target: int, price: Decimal | None, limit: int | None
) -> None:
    """Refuse an order whose money is more than can be counted, or none at all; its limit too."""
    if target < 1:
        least = instrument.notional(1)
        raise OrderError(f"the notional is below one tick of one lot of {instrument.symbol}, {least:f}")
    if limit is not None and limit > MOST_TICKS:
        said, most = instrument.price(limit), instrument.price(MOST_TICKS)
        raise OrderError(f"limit price {said:f} is not allowed for {instrument.symbol}: at most {most:f}")
    at = [ticks for ticks in (price and int(price / instrument.tick), limit) if ticks]
    dearest = (min if instrument.inverse else max)(at, default=0)
    bounds = (target, 0) if kind is TargetKind.QUANTITY else (1, target)
    if fault := too_much(instrument, dearest, *bounds, MOST_ORDER_TL):
        raise OrderError(f"{fault}; give less")


def _not_by_notional(money: Decimal, instrument: Instrument) -> str:
    """The message for money in an inverse contract: the quantity that it would be, in the market's unit."""
    each = instrument.multiplier
    lots = max(instrument.min_lots, int(money / (each * instrument.lot)))
    return (
        f"notional {money:f} is not allowed for {instrument.symbol}: a contract is {each:f}"
        f" {instrument.quote} at any price; give --quantity {instrument.quantity(lots):f} ({instrument.unit})"
    )


def _check_durations(order: Order) -> None:
    interval, shortest, longest = order.interval, order.min_duration, order.max_duration
    if shortest > longest:
        raise OrderError(
            f"min duration {format_duration(shortest)} is longer than max duration {format_duration(longest)}"
        )
    for name, value in (("min", shortest), ("max", longest)):
        if value % interval:
            near = max(1, round(value / interval)) * interval
            raise OrderError(
                f"{name} duration {format_duration(value)} is not a multiple of the interval "
                f"{format_duration(interval)}: the nearest is {format_duration(near)}"
            )
