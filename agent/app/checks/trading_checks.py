"""What a run that trades refuses before it connects. One check: ``run`` makes it, and ``doctor`` shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from agent.app.build import LEM, check_algos, check_model
from agent.config import Config
from agent.core.errors import ConfigError, InputError
from agent.core.instrument import Instrument
from agent.jobs.triggers import check_schedules
from agent.order_options import Order
from agent.orders import build_spec, check_order
from storage.log.database import parse_url


def check_trading(config: Config, now: datetime) -> None:
    """Schedules, algos, parameters, sizes and durations of every order, the model. Raises InputError."""
    parse_url(config.database)
    check_schedules(config.schedules, now)
    _of_each(config, lambda order: _check(order, config))
    if LEM in algos_of(config):
        check_model(config)


def check_sizes(config: Config, instrument: Instrument) -> None:
    """What the exchange's own instrument says of every order. Raises InputError."""
    _of_each(config, lambda order: build_spec(order, instrument, "check", None))


def _of_each(config: Config, check: Callable[[Order], object]) -> None:
    """Check every order; a refusal of a schedule's names the schedule."""
    if has_own_order(config):
        check(config.order)
    for schedule in config.schedules:
        try:
            check(schedule.order)
        except InputError as error:
            raise ConfigError(f"schedule {schedule.name!r}: {error}") from error


def _check(order: Order, config: Config) -> None:
    check_algos([name for name in (order.algo, *order.shadows) if name != LEM], config)
    check_order(order)


def has_own_order(config: Config) -> bool:
    """Whether a run starts the configured order; with schedules it may have no size, and is none then."""
    sized = config.order.quantity is not None or config.order.notional is not None
    return sized or not config.schedules


def orders_of(config: Config) -> list[Order]:
    """The configured order and those of schedules."""
    own = [config.order] if has_own_order(config) else []
    return [*own, *(schedule.order for schedule in config.schedules)]


def algos_of(config: Config) -> list[str]:
    """Every algo that may decide in a session that trades."""
    return [name for order in orders_of(config) for name in (order.algo, *order.shadows)]
