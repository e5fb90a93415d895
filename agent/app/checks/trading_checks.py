"""What a run that trades refuses before it connects. One check: ``run`` makes it, and ``doctor`` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from agent.app.build import LEM, check_algos, check_model
from agent.config import Config, Schedule
from agent.core.errors import ConfigError, InputError
from agent.core.instrument import Instrument
from agent.jobs.triggers import check_schedules
from agent.order_options import Order
from agent.orders import build_spec, order_faults
from storage.log.database import parse_url

Place = tuple[str | int, ...]
"""Keys of the configuration, from the top."""


def check_trading(config: Config, now: datetime) -> None:
    """Schedules, algos, parameters, sizes and durations of every order, the model. Raises InputError."""
    for _, fault in trading_faults(config, now):
        raise fault


def trading_faults(config: Config, now: datetime) -> Iterator[tuple[Place, InputError]]:
    """Each fault with the key that it is about: the database's URL, schedules, orders, the model."""
    yield from fault_of(("database",), partial(parse_url, config.database))
    names: list[str] = []
    for number, schedule in enumerate(config.schedules):
        names.append(schedule.name)
        same = [s for s in config.schedules if s.name == schedule.name]
        same = same if names.count(schedule.name) == 2 else [schedule]  # told once
        yield from fault_of(("schedules", number), partial(check_schedules, same, now))
    if has_own_order(config):
        for key, error in _order_faults(config.order, config):
            yield ("order", key), error
    for number, schedule in enumerate(config.schedules):
        for key, error in _order_faults(schedule.order, config):
            yield ("schedules", number, "order", key), ConfigError(f"schedule {schedule.name!r}: {error}")
    if LEM in algos_of(config):
        yield from fault_of(("model", "checkpoint"), partial(check_model, config))


def fault_of(place: Place, check: Callable[[], object]) -> Iterator[tuple[Place, InputError]]:
    """What ``check`` refuses, at its place; nothing where it passes."""
    try:
        check()
    except InputError as error:
        yield place, error


def check_sizes(config: Config, instrument: Instrument) -> None:
    """What the exchange's own instrument says of every order. Raises InputError."""
    if has_own_order(config):
        build_spec(config.order, instrument, "check", None)
    for schedule in config.schedules:
        _scheduled(schedule, partial(build_spec, schedule.order, instrument, "check", None))


def _scheduled(schedule: Schedule, check: Callable[[], object]) -> None:
    """A refusal of a schedule's order names the schedule."""
    try:
        check()
    except InputError as error:
        raise ConfigError(f"schedule {schedule.name!r}: {error}") from error


def _order_faults(order: Order, config: Config) -> Iterator[tuple[str, InputError]]:
    """With the key of the order that each is about."""
    for key, name in (("algo", order.algo), *(("shadows", name) for name in order.shadows)):
        if name != LEM:
            for _, error in fault_of((key,), partial(check_algos, [name], config)):
                yield key, error
    yield from order_faults(order)


def has_own_order(config: Config) -> bool:
    """Whether a run starts the configured order; with schedules it may have no size, and is none then."""
    return config.order.has_size or not config.schedules


def orders_of(config: Config) -> list[Order]:
    """The configured order and those of schedules."""
    own = [config.order] if has_own_order(config) else []
    return [*own, *(schedule.order for schedule in config.schedules)]


def algos_of(config: Config) -> list[str]:
    """Every algo that may decide in a session that trades."""
    return [name for order in orders_of(config) for name in (order.algo, *order.shadows)]
