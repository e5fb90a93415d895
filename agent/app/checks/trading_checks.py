"""What a run that trades refuses before it connects. One check: ``run`` makes it, and ``doctor`` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from agent.app.build import LEM, check_algos, check_model
from agent.config import Config, names_of
from agent.core.errors import ConfigError, InputError
from agent.core.instrument import Instrument
from agent.jobs.triggers import check_schedules
from agent.order_list.order_files import refuse_orders
from agent.order_options import Order
from agent.orders import build_spec, order_faults
from storage.log.database import parse_url

Place = tuple[str | int, ...]
"""Keys of the configuration, from the top."""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """An order that a run starts: whose it is, for messages, and where the configuration has it."""

    order: Order
    symbol: str
    whose: str
    place: Place
    listed: int | None = None  # its number in ``orders``

    def fault(self, error: InputError) -> InputError:
        """The same fault with whose order it is."""
        return ConfigError(f"{self.whose}: {error}") if self.whose else error


def run_orders(config: Config) -> list[RunOrder]:
    """The configured order, those of the list, those of schedules."""
    own = [RunOrder(config.order, config.symbol, "", ("order",))] if has_own_order(config) else []
    rows = zip(config.orders, config.listed_symbols, names_of(config.orders), strict=True)
    listed = [
        RunOrder(row.order, symbol, row.place or f"order {name!r}", ("orders", number, "order"), number)
        for number, (row, symbol, name) in enumerate(rows)
    ]
    scheduled = [
        RunOrder(one.order, config.symbol, f"schedule {one.name!r}", ("schedules", number, "order"))
        for number, one in enumerate(config.schedules)
    ]
    return [*own, *listed, *scheduled]


def check_trading(config: Config, now: datetime) -> None:
    """Schedules, algos, parameters, sizes and durations of every order, the model. Raises InputError.

    Of a list every order that cannot be used is told, of anything else the first fault.
    """
    listed: list[tuple[str, str]] = []
    for place, fault in trading_faults(config, now):
        if place[0] != "orders":
            raise fault
        listed.append(_apart(fault))
    refuse_orders(listed, len(config.orders))


def _apart(fault: InputError) -> tuple[str, str]:
    """Whose order it is about, and what is wrong."""
    whose, _, what = str(fault).partition(": ")
    return whose, what


def trading_faults(config: Config, now: datetime) -> Iterator[tuple[Place, InputError]]:
    """Each fault with the key that it is about: the database's URL, schedules, orders, the model."""
    yield from fault_of(("database",), partial(parse_url, config.database))
    names: list[str] = []
    for number, schedule in enumerate(config.schedules):
        names.append(schedule.name)
        same = [s for s in config.schedules if s.name == schedule.name]
        same = same if names.count(schedule.name) == 2 else [schedule]  # told once
        yield from fault_of(("schedules", number), partial(check_schedules, same, now))
    known: dict[str, InputError | None] = {}
    for one in run_orders(config):
        for key, error in _order_faults(one.order, config, known):
            yield (*one.place, key), one.fault(error)
    if LEM in algos_of(config):
        yield from fault_of(("model", "checkpoint"), partial(check_model, config))


def fault_of(place: Place, check: Callable[[], object]) -> Iterator[tuple[Place, InputError]]:
    """What ``check`` refuses, at its place; nothing where it passes."""
    try:
        check()
    except InputError as error:
        yield place, error


def check_sizes(config: Config, instruments: Mapping[str, Instrument]) -> None:
    """What the exchange's own instruments, by symbol, say of every order. Raises InputError."""
    check_each(config, lambda one: build_spec(one.order, instruments[one.symbol], "check", None))


def check_each(config: Config, check: Callable[[RunOrder], object]) -> None:
    """Check every order of a run. Raises InputError: of a list every one refused is told, else the first."""
    listed: list[tuple[str, str]] = []
    for one in run_orders(config):
        try:
            check(one)
        except InputError as error:
            if one.listed is None:
                raise one.fault(error) from error
            listed.append((one.whose, str(error)))
    refuse_orders(listed, len(config.orders))


def _order_faults(
    order: Order, config: Config, known: dict[str, InputError | None]
) -> Iterator[tuple[str, InputError]]:
    """With the key of the order that each is about. ``known``: what was found of algos before."""
    for key, name in (("algo", order.algo), *(("shadows", name) for name in order.shadows)):
        if name == LEM:
            continue
        if name not in known:
            known[name] = next((e for _, e in fault_of((key,), partial(check_algos, [name], config))), None)
        if (error := known[name]) is not None:
            yield key, error
    yield from order_faults(order)


def has_own_order(config: Config) -> bool:
    """Whether a run starts the configured order: with a list it is what others leave out, and with schedules
    it may have no size, and is none then."""
    return not config.orders and (config.order.has_size or not config.schedules)


def symbols_of(config: Config) -> list[str]:
    """What a run that trades streams, each once: of its orders."""
    return list(dict.fromkeys(one.symbol for one in run_orders(config))) or [config.symbol]


def algos_of(config: Config) -> list[str]:
    """Every algo that may decide in a session that trades."""
    return list(
        dict.fromkeys(name for one in run_orders(config) for name in (one.order.algo, *one.order.shadows))
    )
