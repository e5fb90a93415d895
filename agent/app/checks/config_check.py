"""What a run would refuse of a configuration at its start, as far as that shows without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from agent.app.checks.trading_checks import Place, fault_of, trading_faults
from agent.app.embedded_market import SYNTHETIC
from agent.calibration.measured_files import LATENCIES, read_latencies, resolved
from agent.config import Config
from agent.core.errors import ConfigError
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from connectors.units.exchange_units import EMBEDDED
from storage.recordings.header_file import HEADER


def start_faults(config: Config) -> Iterator[tuple[Place, str]]:
    """Each with the key that it is about. An order without a size is none: ``run`` may be given one."""
    for place, error in trading_faults(sized(config), datetime.now(UTC)):
        yield place, str(error)
    for name in LATENCIES:
        file = getattr(config.venue, name).measured
        if isinstance(file, Path):
            for place, error in fault_of(("venue", name, "measured"), partial(read_latencies, file)):
                yield place, f"venue.{name}.measured: {error}"
    if config.venue.calibration is not None:
        unmeasured = {name: getattr(Config().venue, name) for name in LATENCIES}
        alone = config.model_copy(update={"venue": config.venue.model_copy(update=unmeasured)})
        for place, error in fault_of(("venue", "calibration"), partial(resolved, alone)):
            yield place, str(error)
    for place, error in fault_of(("embedded", "market"), partial(_check_market, config)):
        yield place, str(error)
    for place, error in fault_of(("symbol",), partial(_check_symbol, config)):
        yield place, str(error)


def sized(config: Config) -> Config:
    """The same with an order of some size, where it has none and no schedule starts another."""
    order = config.order
    if order.has_size or config.schedules or config.orders:
        return config
    return config.model_copy(update={"order": replace(order, quantity=Decimal(1))})


def _check_market(config: Config) -> None:
    market = config.embedded.market
    if config.exchange == EMBEDDED and market != SYNTHETIC and not (Path(market) / HEADER).is_file():
        raise ConfigError(
            f"embedded.market = {market!r}: neither {SYNTHETIC} nor the directory of a recorded session"
        )


def _check_symbol(config: Config) -> None:
    embedded = config.exchange == EMBEDDED and config.embedded.market == SYNTHETIC
    symbols = (config.symbol, *config.listed_symbols)
    if embedded and (wrong := [symbol for symbol in symbols if symbol not in SYMBOLS]):
        raise ConfigError(
            f"symbol = {wrong[0]!r}: the embedded exchange has {', '.join(SYMBOLS)}; choose one of them,"
            " or another exchange"
        )
