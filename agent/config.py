"""Configuration: every tunable of ``config.yaml``, typed, frozen once loaded; unknown keys fail."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_type_hints

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from agent.core.database_url import DatabaseUrl, without_passwords
from agent.core.errors import ConfigError
from agent.durations import Duration
from agent.order_options import Order

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]
FeePpm = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
"""Of a fill's value, in parts per million: 1,000,000 is all of it; below 0 is a rebate."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class LatencyMs(Section):
    """Constant (``sigma`` 0), lognormal, or as ``measured``: a CSV file, in a recorded session its rows."""

    median_ms: Annotated[float, Field(ge=0)] | None = None
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    measured: Path | tuple[tuple[int, int], ...] | None = None  # rows: (at_ns, one way in ns)
    draw: Literal["random", "nearest"] = "random"

    @model_validator(mode="after")
    def _one_of_both(self) -> LatencyMs:
        if (self.median_ms is None) == (self.measured is None):
            raise ValueError("give one of median_ms and measured (the other is null)")
        if self.measured == ():
            raise ValueError("measured has no rows: give at least one")
        if isinstance(self.measured, tuple) and (wrong := [row for row in self.measured if row[1] < 0]):
            at_ns, ns = wrong[0]
            raise ValueError(f"measured has a row of {ns} ns, at {at_ns}: leave negative ones out")
        return self


class ImpactParameters(Section):
    """The square-root law of one symbol: see ``agent.venue.impact``."""

    y: Annotated[float, Field(gt=0, le=100)] = 1.0
    sigma_bps_per_day: Annotated[float, Field(gt=0)]
    volume_per_day: Annotated[float, Field(gt=0)]  # in the symbol's own quantity
    decay: Duration = 5 * 60 * 10**9  # half-life of the displacement


def _off(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare off as false


class FeeTier(Section):
    """Rates from a 30-day volume (quote currency) on."""

    volume: Positive
    maker_ppm: FeePpm
    taker_ppm: FeePpm


class Halt(Section):
    """No new order from ``start`` to before ``end``; without a symbol, of no symbol."""

    start: AwareDatetime
    end: AwareDatetime
    symbol: str | None = None

    @field_validator("end")
    @classmethod
    def _after_the_start(cls, end: AwareDatetime, info: ValidationInfo) -> AwareDatetime:
        if "start" in info.data and end <= info.data["start"]:
            raise ValueError(f"a halt ends after it starts, here at {info.data['start'].isoformat()}")
        return end


class RehearsalSection(Section):
    """Trouble on purpose, drawn by the seed and the order's number."""

    reject_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    timeout_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    timeout: Duration = 2 * 10**9


class Venue(Section):
    """The paper venue."""

    entry: LatencyMs = LatencyMs(median_ms=20)
    cancel: LatencyMs = LatencyMs(median_ms=20)
    acknowledgement: LatencyMs = LatencyMs(median_ms=20)
    market_data: LatencyMs = LatencyMs(median_ms=10)
    maker_fee_ppm: FeePpm = 1000
    taker_fee_ppm: FeePpm = 1000
    fee_tiers: tuple[FeeTier, ...] = ()
    fee_volume: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    fee_currency: Annotated[str, Field(min_length=1)] = "quote"
    fee_rate: Annotated[Decimal | None, Field(gt=0)] = None
    fee_discount_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    queue: Literal["risk_averse", "power_probability", "log_probability"] = "risk_averse"
    queue_power: Annotated[float, Field(gt=0)] = 3.0
    reach: Literal["shown", "whole"] = "shown"
    impact: Annotated[Literal["off", "sqrt"], BeforeValidator(_off)] = "off"
    impact_laws: dict[str, ImpactParameters] = {}
    calibration: Path | None = None
    noted_share: Share | None = 0.3
    price_band_bps: Annotated[float, Field(gt=0)] = 2000.0
    price_protection_bps: Annotated[float, Field(gt=0)] | None = None
    self_trade: Literal["cancel_newest", "allow"] = "cancel_newest"
    amend: Literal["keep_on_reduce", "lose_always"] = "keep_on_reduce"
    max_quantity: Positive | None = None
    max_open_orders: Annotated[int, Field(gt=0)] | None = 200
    halts: tuple[Halt, ...] = ()
    near_gap: Duration = 5 * 10**9
    on_stale: Literal["mark", "reject"] = "mark"
    max_book_age: Duration = 5 * 10**9
    rehearsal: RehearsalSection = RehearsalSection()
    balances: dict[str, Annotated[Decimal, Field(ge=0)]] = {
        "BTC": Decimal(100),
        "ETH": Decimal(1000),
        "USDT": Decimal(10_000_000),
        "USD": Decimal(10_000_000),
    }

    @field_validator("fee_tiers")
    @classmethod
    def _tiers_rise(cls, tiers: tuple[FeeTier, ...]) -> tuple[FeeTier, ...]:
        volumes = [t.volume for t in tiers]
        if any(b <= a for a, b in itertools.pairwise(volumes)):
            raise ValueError(f"give tiers by rising volume, not {', '.join(map(str, volumes))}")
        return tiers


class Bars(Section):
    """How fills are modelled in a session that holds bars and no tape: see ``agent.venue.bars.bar_venue``."""

    half_spread_bps: Annotated[Decimal, Field(ge=0, le=1000)] = Decimal(1)
    max_participation: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.2")
    reach_bps: Annotated[float, Field(gt=0, le=5000)] = 1000.0


class Risk(Section):
    """Limits of every order; null switches one off."""

    max_notional: Positive | None = Decimal(5_000_000)
    max_participation: Share | None = None
    max_volume_share: Annotated[float, Field(gt=0)] | None = 1.0
    price_collar_bps: Annotated[float, Field(gt=0)] | None = 100.0
    max_child_quantity: Positive | None = None
    max_orders_per_s: Annotated[int, Field(gt=0)] | None = 20
    stale_book: Duration | None = 5 * 10**9


class Tactics(Section):
    micro_slices: Annotated[int, Field(ge=1, le=1000)] = 5
    reach_bps: Annotated[float, Field(gt=0)] = 10.0
    repeg: Duration = 10**9
    repeg_by: Literal["cancel", "amend"] = "cancel"
    cross_share: Annotated[float, Field(gt=0, lt=1)] = 0.15


class EngineSection(Section):
    decision_latency: Duration = 100 * 10**6
    lookback: Annotated[int, Field(ge=1, le=5000)] = 312
    settle: Duration = 10**9


class Feed(Section):
    book_depth: Annotated[int, Field(ge=5, le=5000)] = 100
    stale_after: Duration = 10 * 10**9
    connect_timeout: Duration = 15 * 10**9
    warm_up: Duration = 2 * 3600 * 10**9


class Embedded(Section):
    """The local exchange of a first run."""

    market: str = "synthetic"  # or the directory of a recorded session
    seed: int = 1
    speed: Annotated[float, Field(gt=0)] = 1.0


class Model(Section):
    checkpoint: Path | None = None  # null: the one that ships with the program


class Schedule(Section):
    """A parent order started by the wall clock. One of ``cron`` (five fields, UTC) and ``every``."""

    name: str
    cron: str | None = None
    every: Duration | None = None
    order: Order = Order()


class Jobs(Section):
    heartbeat: Duration = 10 * 10**9
    rotate_session: Duration = 6 * 3600 * 10**9


class Config(Section):
    exchange: str = "embedded"
    symbol: str = "BTC/USDT"
    database: DatabaseUrl = DatabaseUrl("sqlite:///runs/agent.db")
    out: Path = Path("runs/sessions")
    seed: int = 1
    order: Order = Order()
    venue: Venue = Venue()
    bars: Bars = Bars()
    risk: Risk = Risk()
    tactics: Tactics = Tactics()
    engine: EngineSection = EngineSection()
    feed: Feed = Feed()
    embedded: Embedded = Embedded()
    model: Model = Model()
    schedules: tuple[Schedule, ...] = ()
    jobs: Jobs = Jobs()

    @model_validator(mode="after")
    def _third_currency_has_a_rate(self) -> Config:
        """The quote currency by its own name is no third one. Other instruments: ``venue_setup`` checks."""
        currency = self.venue.fee_currency
        own = self.symbol.partition("/")[2].split(":")
        if self.venue.fee_rate is None and currency not in ("quote", "received", *own):
            raise PydanticCustomError(_WHOLE, fee_rate_missing(currency))
        return self


_WHOLE = "section_of_sections"
"""Of complaints that more than one section gives rise to: they name their keys themselves."""


def fee_rate_missing(currency: str) -> str:
    """What is wrong with a third currency of fees that has no rate."""
    return f"venue.fee_rate = None: give what one {currency} is worth in the quote currency, as in 600"


def load_config(path: Path | None) -> Config:
    """Read ``path``, or the defaults when None. Raises ConfigError."""
    if path is None:
        return Config()
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist: give another --config") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {without_passwords(str(error))}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"configuration {path} must be a mapping of sections, not a {type(raw).__name__}")
    return parse_config(raw, str(path))


def parse_config(raw: Mapping[str, object], source: str = "configuration") -> Config:
    """Check ``raw`` against the schema. Raises ConfigError naming every wrong key and value."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_complaint(e) for e in error.errors())) from error


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass


def _complaint(error: ErrorDetails) -> str:
    if error["type"] == _WHOLE:
        return error["msg"]
    location = ".".join(str(key) for key in error["loc"])
    if error["type"] not in _UNKNOWN_KEY:
        given = without_passwords(repr(error["input"]))
        return f"{location} = {given}: {error['msg'].removeprefix('Value error, ')}"
    *parents, name = error["loc"]
    known = _fields_at(parents)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key {location}: {hint}"


def _fields_at(path: list[str | int]) -> list[str]:
    """The keys of the section at ``path``."""
    section: type = Config
    for key in path:
        kind = _fields(section).get(str(key))  # None for the number of an item
        nested = (k for k in (kind, *get_args(kind)) if isinstance(k, type) and _fields(k))
        section = next(nested, section)
    return list(_fields(section))


def _fields(section: type) -> dict[str, object]:
    """Name and type of each key of a section: a model, or the order's dataclass. Empty for anything else."""
    if issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return dict(get_type_hints(section)) if is_dataclass(section) else {}
