"""Files of measurements that a configuration names: read once, and kept in the configuration itself.

A recorded session holds its configuration with the numbers in it, not with the paths: a replay depends on
the session's directory alone.
"""

from __future__ import annotations

import csv
from pathlib import Path

import yaml

from agent.config import Config, LatencyMs, parse_config
from agent.core.errors import ConfigError

LATENCIES = ("entry", "cancel", "acknowledgement", "market_data")
ONE_WAY, ROUND_TRIP = "latency_ns", "round_trip_ns"
MOST_ROWS = 100_000
"""They are written into every session's header."""


def resolved(config: Config) -> Config:
    """The same configuration with the files it names read. Raises ConfigError."""
    venue = config.venue
    changes: dict[str, object] = {}
    if venue.calibration is not None:
        known = {symbol: law.model_dump() for symbol, law in venue.impact_laws.items()}
        changes["impact_laws"] = {**_laws(venue.calibration), **known}
        changes["calibration"] = None
    for name in LATENCIES:
        given: LatencyMs = getattr(venue, name)
        if isinstance(given.measured, Path):
            try:
                changes[name] = {"measured": read_latencies(given.measured), "draw": given.draw}
            except ConfigError as error:
                raise ConfigError(f"venue.{name}.measured: {error}") from error
    if not changes:
        return config
    whole = config.model_dump()
    whole["venue"].update(changes)
    source = f"configuration with the laws of {venue.calibration}" if venue.calibration else "configuration"
    return parse_config(whole, source)


def _laws(path: Path) -> dict[str, dict[str, object]]:
    """The laws of a file made by `calibrate`, by symbol."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        laws = {symbol: dict(found["impact"]) for symbol, found in document["symbols"].items()}
    except FileNotFoundError as error:
        raise ConfigError(f"venue.calibration {path} does not exist: {_MAKE_IT}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"venue.calibration {path} cannot be read ({error}): {_MAKE_IT}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"venue.calibration {path} is not a calibration ({error!r}): {_MAKE_IT}") from error
    return laws


_MAKE_IT = "make it with `python -m agent calibrate SESSION --out FILE`"


def read_latencies(path: Path) -> tuple[tuple[int, int], ...]:
    """(at_ns, one way in ns) of a CSV file; a round trip counts half each way. Raises ConfigError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"latency file {path} cannot be read ({error}): give another") from error
    header = tuple(lines[0]) if lines else ()
    if header not in (("at_ns", ONE_WAY), ("at_ns", ROUND_TRIP)):
        raise ConfigError(
            f"latency file {path} begins with {','.join(header)!r}: its first line must be at_ns,{ONE_WAY}"
            f" (one way) or at_ns,{ROUND_TRIP}, as `agent calibrate --latencies` writes it"
        )
    if not 0 < len(lines) - 1 <= MOST_ROWS:
        raise ConfigError(f"latency file {path} has {len(lines) - 1:,} rows: give 1 to {MOST_ROWS:,}")
    share = 2 if header[1] == ROUND_TRIP else 1
    return tuple(_row(path, number, line, share) for number, line in enumerate(lines[1:], start=2))


def _row(path: Path, number: int, line: list[str], share: int) -> tuple[int, int]:
    try:
        at_ns, ns = (int(cell) for cell in line)
    except ValueError as error:
        raise ConfigError(
            f"latency file {path}, line {number}: {','.join(line)!r} is not two whole numbers of nanoseconds"
        ) from error
    if ns < 0:
        raise ConfigError(f"latency file {path}, line {number}: {ns} ns is negative; leave the row out")
    return at_ns, ns // share
