"""Configuration: every tunable of ``config.yaml``, typed, frozen once loaded; unknown keys fail."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
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
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from agent.core.errors import ConfigError
from agent.core.secret_url import DatabaseUrl, ProxyUrl, without_passwords
from agent.durations import Duration, Start
from agent.order_options import Order

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]
FeePpm = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
"""Of a fill's value, in parts per million: 1,000,000 is all of it; below 0 is a rebate."""


_WHOLE = "section_of_sections"
"""Of complaints that name their keys themselves: more than one section gives rise to them, or no value is
to be quoted."""


class Section(BaseModel):
    """A section. The text below a key is its comment in the file that ``agent config init`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class LatencyMs(Section):
    """Constant (``sigma`` 0), lognormal, or as ``measured``: a CSV file, in a recorded session its rows."""

    median_ms: Annotated[float, Field(ge=0)] | None = None
    """milliseconds; null with measured"""
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    """above 0: lognormal, of that spread"""
    measured: Path | tuple[tuple[int, int], ...] | None = None  # rows: (at_ns, one way in ns)
    """a CSV file, as `agent calibrate --latencies` writes it, in place of median_ms"""
    draw: Literal["random", "nearest"] = "random"
    """from measured: at random by the seed, or the one measured nearest in time"""

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
    """factor of the law"""
    sigma_bps_per_day: Annotated[float, Field(gt=0)]
    """volatility, basis points a day"""
    volume_per_day: Annotated[float, Field(gt=0)]
    """what trades in a day, in the symbol's own quantity"""
    decay: Duration = 5 * 60 * 10**9
    """half-life of what our own flow moved"""


def _off(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare off as false


class FeeTier(Section):
    """Rates from a 30-day volume (quote currency) on."""

    volume: Positive
    """30-day volume from which it holds, quote currency"""
    maker_ppm: FeePpm
    """parts per million of a fill's value"""
    taker_ppm: FeePpm
    """the same"""


class Halt(Section):
    """No new order from ``start`` to before ``end``; without a symbol, of no symbol."""

    start: AwareDatetime
    """as in 2026-01-05T10:00:00Z"""
    end: AwareDatetime
    """the same, after start"""
    symbol: str | None = None
    """null: of every symbol"""

    @field_validator("end")
    @classmethod
    def _after_the_start(cls, end: AwareDatetime, info: ValidationInfo) -> AwareDatetime:
        if "start" in info.data and end <= info.data["start"]:
            raise ValueError(f"a halt ends after it starts, here at {info.data['start'].isoformat()}")
        return end


class RehearsalSection(Section):
    """Trouble on purpose, drawn by the seed and the order's number."""

    reject_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """orders rejected, of a million"""
    timeout_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """orders not answered in time, of a million"""
    timeout: Duration = 2 * 10**9
    """how long that is"""


class Venue(Section):
    """The paper venue."""

    entry: LatencyMs = LatencyMs(median_ms=20)
    """order entry: us to venue"""
    cancel: LatencyMs = LatencyMs(median_ms=20)
    """cancelling: us to venue"""
    acknowledgement: LatencyMs = LatencyMs(median_ms=20)
    """reports: venue to us"""
    market_data: LatencyMs = LatencyMs(median_ms=10)
    """what the tape shows: venue to us"""
    maker_fee_ppm: FeePpm = 1000
    """parts per million of a fill's value: 1000 is 10 bps; below 0 is a rebate"""
    taker_fee_ppm: FeePpm = 1000
    """the same"""
    fee_tiers: tuple[FeeTier, ...] = ()
    """rates by 30-day volume, in place of both; by rising volume"""
    fee_volume: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """that volume at the start, quote currency; what the session trades is added"""
    fee_currency: Annotated[str, Field(min_length=1)] = "quote"
    """quote | received | a third currency such as BNB, while its balance lasts"""
    fee_rate: Annotated[Decimal | None, Field(gt=0)] = None
    """exchange rate: what one unit of the third currency is worth in quote"""
    fee_discount_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """off a fee that the third currency pays, parts per million: 250000 is 25 %"""
    queue: Literal["risk_averse", "power_probability", "log_probability"] = "risk_averse"
    """how a resting order moves up"""
    queue_power: Annotated[float, Field(gt=0)] = 3.0
    """exponent of power_probability"""
    reach: Literal["shown", "whole"] = "shown"
    """what a resting order gets of a trade through its price, and when the far touch reaches it: their
    lots, or (hftbacktest's rule, for comparison) all it wants"""
    impact: Annotated[Literal["off", "sqrt"], BeforeValidator(_off)] = "off"
    """sqrt: our own flow moves the price of our own fills, and fades"""
    impact_laws: dict[str, ImpactParameters] = {}
    """of sqrt, by symbol, as in {BTC/USDT: {sigma_bps_per_day: 250, volume_per_day: 20000}}"""
    calibration: Path | None = None
    """file of `agent calibrate --out`: laws of the symbols that impact_laws leaves out"""
    noted_share: Share | None = 0.3
    """own share of the market's volume above which a result says that it is too large to be
    believed as it is; null: never"""
    price_band_bps: Annotated[float, Field(gt=0)] = 2000.0
    """basis points: limits further from the mid are rejected"""
    price_protection_bps: Annotated[float, Field(gt=0)] | None = None
    """basis points: no order walks further than this from the far touch; null: to its
    limit"""
    self_trade: Literal["cancel_newest", "allow"] = "cancel_newest"
    """what becomes of an order that would meet our own on the other side"""
    amend: Literal["keep_on_reduce", "lose_always"] = "keep_on_reduce"
    """the queue position of an order made smaller"""
    max_quantity: Positive | None = None
    """of one order, base currency"""
    max_open_orders: Annotated[int, Field(gt=0)] | None = 200
    """resting at once, per symbol; null: any number"""
    halts: tuple[Halt, ...] = ()
    """no new orders between two times"""
    near_gap: Duration = 5 * 10**9
    """a fill this close to a gap of the feed is marked"""
    on_stale: Literal["mark", "reject"] = "mark"
    """what becomes of a fill near a gap, or on a book older than max_book_age"""
    max_book_age: Duration = 5 * 10**9
    """how old a book may be. Marks: near_gap, and a price model that ends in +stale_book"""
    rehearsal: RehearsalSection = RehearsalSection()
    """trouble on purpose, drawn by the seed"""
    balances: dict[str, Annotated[Decimal, Field(ge=0)]] = {
        "BTC": Decimal(100),
        "ETH": Decimal(1000),
        "USDT": Decimal(10_000_000),
        "USD": Decimal(10_000_000),
    }
    """what the account holds at the start, by currency"""

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
    """basis points: a bar's VWAP is made worse by this"""
    max_participation: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.2")
    """no cap of orders: at most this share of one bar's volume is filled"""
    reach_bps: Annotated[float, Field(gt=0, le=5000)] = 1000.0
    """basis points: no fill in a bar whose price is further than this from the last close, on either side"""


class Risk(Section):
    """Limits of every order, and of all orders of a run together; null switches one off."""

    max_notional: Positive | None = Decimal(5_000_000)
    """of one parent order, quote currency"""
    max_participation: Share | None = None
    """participation cap of every order: most own share of the market's volume since its start; the tighter
    of it and order.participation_cap holds"""
    max_volume_share: Annotated[float, Field(gt=0)] | None = 1.0
    """refused at the start: more than this share of what is shown and expected to trade"""
    price_collar_bps: Annotated[float, Field(gt=0)] | None = 100.0
    """basis points: how far beyond the mid an order may reach"""
    max_child_quantity: Positive | None = None
    """of one child order, base currency"""
    max_orders_per_s: Annotated[int, Field(gt=0)] | None = 20
    """orders a second, of all parents of a symbol"""
    stale_book: Duration | None = 5 * 10**9
    """no order goes out on a book older than this"""
    max_symbol_notional: Positive | None = None
    """quote currency: of what all working parents of a symbol have filled and open together"""
    max_total_notional: Positive | None = None
    """the same over all symbols of a quote currency"""
    max_open_notional: Positive | None = None
    """quote currency: of the open child orders of all parents and symbols together"""
    max_symbol_participation: Share | None = None
    """most own share, of all working parents of a symbol together, of its market's volume since the
    first of them started"""
    max_total_orders_per_s: Annotated[int, Field(gt=0)] | None = None
    """orders a second, of all parents and symbols"""


class Tactics(Section):
    micro_slices: Annotated[int, Field(ge=1, le=1000)] = 5
    """twap_micro: child orders an interval"""
    reach_bps: Annotated[float, Field(gt=0)] = 10.0
    """basis points: how far beyond the far touch the limit of a marketable child order is"""
    repeg: Duration = 10**9
    """peg: how often the price is looked at"""
    repeg_by: Literal["cancel", "amend"] = "cancel"
    """peg: how an order follows the price; amend saves a round trip"""
    cross_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """peg: the last part of an interval, in which what is left is crossed"""


class EngineSection(Section):
    decision_latency: Duration = 100 * 10**6
    """a decision acts this long after its interval began; a later one falls back"""
    lookback: Annotated[int, Field(ge=1, le=5000)] = 312
    """bars of history the algos see before an order's first interval; the shipped model uses 312
    at most: it looks at 120, whose features look back on the 192 before them"""
    settle: Duration = 10**9
    """how long late trades are waited for before a measurement"""


class Feed(Section):
    book_depth: Annotated[int, Field(ge=5, le=5000)] = 100
    """book levels a side on the tape"""
    stale_after: Duration = 10 * 10**9
    """a stream silent for longer is restarted"""
    connect_timeout: Duration = 15 * 10**9
    """how long a connection may take"""
    warm_up: Duration = 2 * 3600 * 10**9
    """history fetched before the first decision"""


_NO_CREDENTIALS = frozenset(
    {
        *("apikey", "key", "secret", "password", "passphrase", "uid", "login", "twofa", "token"),
        *("privatekey", "walletaddress", "accountid", "authorization", "cookie"),
    }
)
"""Names under which ccxt's classes take what signs a request."""
_LONG_CREDENTIALS = ("apikey", "secret", "password", "passphrase", "privatekey", "accesstoken")
"""Endings of others, as of a header's name."""
_CCXT_PROXIES = {
    **dict.fromkeys(("httpproxy", "httpsproxy", "socksproxy", "aiohttpproxy"), "proxy"),
    **dict.fromkeys(("wsproxy", "wssproxy", "wssocksproxy"), "websocket_proxy"),
}


class Ccxt(Section):
    """How an exchange is reached. Nothing here signs a request: credentials are refused."""

    options: dict[str, object] = {}
    """of ccxt's class for the exchange, as its manual names them"""
    hostname: Annotated[str, Field(min_length=1)] | None = None
    """another host of the same exchange, as in bytick.com for bybit"""
    proxy: ProxyUrl | None = None
    """http://HOST:PORT or socks5://HOST:PORT (socks5h: names are looked up there); null: HTTPS_PROXY"""
    websocket_proxy: ProxyUrl | None = None
    """for streams alone; null: the same"""
    certificates: Path | None = None
    """a file of authorities to trust besides the usual ones, as a company's proxy needs"""

    @model_validator(mode="before")
    @classmethod
    def _by_the_names_here(cls, raw: object) -> object:
        for path in _paths(raw):
            name = path.rpartition(".")[2].replace("_", "").replace("-", "").lower()
            if name in _NO_CREDENTIALS or name.endswith(_LONG_CREDENTIALS):
                raise _complaint(
                    f"ccxt.{path} is refused: this program signs nothing, keep credentials out", path
                )
            if name in _CCXT_PROXIES and path not in cls.model_fields:
                raise _complaint(f"ccxt.{path}: write it as ccxt.{_CCXT_PROXIES[name]}", path)
        return raw


def _complaint(message: str, path: str) -> PydanticCustomError:
    """Of a key that may hold what nobody else is to see: its value is not quoted."""
    return PydanticCustomError(_WHOLE, "{said}", {"said": message, "place": ("ccxt", *path.split("."))})


def _paths(raw: object, above: str = "") -> Iterator[str]:
    """The dotted names of all members, at any depth."""
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            yield f"{above}{name}"
            yield from _paths(value, f"{above}{name}.")
    elif isinstance(raw, list | tuple):
        for value in raw:
            yield from _paths(value, above)


class Embedded(Section):
    """The local exchange of a first run."""

    market: str = "synthetic"
    """what it plays: synthetic, made by its seed, or the directory of a recorded session"""
    seed: int = 1
    """of the synthetic market's trades and book"""
    speed: Annotated[float, Field(gt=0)] = 1.0
    """2.0 plays twice as fast"""


class Model(Section):
    checkpoint: Path | None = None
    """null: the one that ships with the program"""


class Schedule(Section):
    """A parent order started by the wall clock. One of ``cron`` (five fields, UTC) and ``every``."""

    name: str
    """what it is called"""
    cron: str | None = None
    """five fields, UTC, as in "30 12 * * mon-fri"; exactly one of cron and every"""
    every: Duration | None = None
    """how often"""
    order: Order = Order()
    """the keys of order above; what is left out is their default"""


class OrderRow(Section):
    """One of many parent orders of a run; what its ``order`` leaves out is as in the section ``order``."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = None
    """what it is called: letters, digits, dots and dashes, 40 at most; null: P and its number"""
    symbol: str | None = None
    """null: the symbol above"""
    start: Start = 0
    """after the first order book of the run, as in 15m, or at a time, as in 2026-01-05T10:00Z"""
    order: Order = Order()
    """the keys of order above; what is left out is as there"""
    _place: str = PrivateAttr("")  # the line of the file that it is from

    @property
    def place(self) -> str:
        """Where people find it: ``orders.csv:12``; "" in the configuration itself."""
        return self._place

    def found_at(self, place: str) -> OrderRow:
        """The same, of that line of a file."""
        copy = self.model_copy()
        copy._place = place
        return copy


class Jobs(Section):
    heartbeat: Duration = 10 * 10**9
    """a line ("alive") in the log so often, in `run` and `record`"""
    rotate_session: Duration = 6 * 3600 * 10**9
    """with schedules: a new session so often, as soon as no parent works"""


AlertName = Literal[
    "stale_feed", "gap_given_up", "risk_refusal", "expiry", "kill", "resume", "disk", "log_behind"
]


class Unattended(Section):
    """What lets a run be left alone: see ``agent.unattended``."""

    alerts: Path | None = None
    """a file of apprise's that names who is told, by mail, chat or push; needs the extra [alerts]"""
    alert_on: tuple[AlertName, ...] = get_args(AlertName)
    """of what"""
    ping_url: Annotated[str | None, Field(pattern=r"^https?://\S+$")] = None
    """asked for while the run lives, so that its silence is noticed (healthchecks.io and its like)"""
    ping_every: Duration = 60 * 10**9
    """so often"""
    least_free_mb: Annotated[int, Field(ge=0)] = 500
    """megabytes free on the disk of out, below which no new order starts"""
    keep_sessions: Duration | None = None
    """recorded sessions that ended longer ago are deleted; null: none is"""


class Config(Section):
    exchange: str = "embedded"
    """a ccxt exchange id (binance, kraken, ...), or embedded: no account, no network"""
    symbol: str = "BTC/USDT"
    """as ccxt writes it"""
    database: DatabaseUrl = DatabaseUrl("sqlite:///runs/agent.db")
    """execution log; postgresql+asyncpg://... works too"""
    out: Path = Path("runs/sessions")
    """where recorded sessions go"""
    resume: Annotated[Literal["off", "auto"], BeforeValidator(_off)] = "off"
    """auto: where a session in out died over its orders, a run goes on with the latest and starts no other"""
    seed: int = 1
    """of what the paper venue draws: latencies, rehearsed trouble"""
    order: Order = Order()
    """the parent order of `run`, and of `replay` on a session without one"""
    venue: Venue = Venue()
    """the paper venue"""
    bars: Bars = Bars()
    """fills in a session of bars alone (klines, equities): a bar's VWAP, made worse"""
    risk: Risk = Risk()
    """holds for every order, the last five for all of a run together; null switches a rule off"""
    tactics: Tactics = Tactics()
    """how slices become child orders"""
    engine: EngineSection = EngineSection()
    """the trading loop"""
    feed: Feed = Feed()
    """market data"""
    ccxt: Ccxt = Ccxt()
    """how the exchange is reached"""
    embedded: Embedded = Embedded()
    """the local exchange"""
    model: Model = Model()
    """the Large Execution Model"""
    schedules: tuple[Schedule, ...] = ()
    """parent orders started by the wall clock (UTC), for example:
    - {name: lunch, cron: "30 12 * * mon-fri", order: {quantity: 1, min_duration: 10m, max_duration: 30m}}
    - {name: steady, every: 2h, order: {notional: 50000, min_duration: 5m, max_duration: 15m}}"""
    orders: tuple[OrderRow, ...] = ()
    """many parent orders of one run, in place of order, for example:
    - {id: first, symbol: BTC/USDT, order: {quantity: 1}}
    - {symbol: ETH/USDT, start: 15m, order: {side: sell, notional: 50000, algo: twap}}"""
    jobs: Jobs = Jobs()
    """what a run does by the clock"""
    unattended: Unattended = Unattended()
    """what lets a run be left alone"""

    @model_validator(mode="before")
    @classmethod
    def _listed_as_the_order(cls, raw: object) -> object:
        """What an item of ``orders`` leaves out is as in ``order``."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("orders"), list | tuple):
            return raw
        own = raw.get("order", {})
        return {**raw, "orders": [_completed(item, own) for item in raw["orders"]]}

    @model_validator(mode="after")
    def _ids_differ(self) -> Config:
        names = names_of(self.orders)
        for number, other in same_names(names):
            what = f"orders.{number}.id = {names[number]!r}: order {other + 1} is called so too"
            raise PydanticCustomError(_WHOLE, "{said}", {"said": what, "place": ("orders", number, "id")})
        return self

    @property
    def listed_symbols(self) -> list[str]:
        """That of each listed order."""
        return [one.symbol or self.symbol for one in self.orders]

    @model_validator(mode="after")
    def _third_currency_has_a_rate(self) -> Config:
        """The quote currency by its own name is no third one. Other instruments: ``venue_setup`` checks."""
        currency = self.venue.fee_currency
        symbols = self.listed_symbols or [self.symbol]
        own = {part for symbol in symbols for part in symbol.partition("/")[2].split(":")}
        if self.venue.fee_rate is None and currency not in ("quote", "received", *own):
            where = {"place": ("venue", "fee_currency")}
            raise PydanticCustomError(_WHOLE, fee_rate_missing(currency), where)
        return self


def recorded(config: Config) -> dict[str, object]:
    """A configuration as a session keeps it: without what is secret, and with paths that hold elsewhere."""
    market, checkpoint = Path(config.embedded.market), config.model.checkpoint
    kept = config.model_copy(
        update={
            "unattended": config.unattended.model_copy(update={"ping_url": None}),
            "model": config.model.model_copy(update={"checkpoint": checkpoint and checkpoint.absolute()}),
            "embedded": config.embedded.model_copy(
                update={"market": str(market.absolute()) if market.is_dir() else config.embedded.market}
            ),
        }
    )
    return kept.model_dump(mode="json")


def names_of(orders: Sequence[OrderRow]) -> list[str]:
    """What listed orders are called: the ends of their parents' ids."""
    return [one.id or f"P{number}" for number, one in enumerate(orders, 1)]


def same_names(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(number of a name, number of the first that is the same) where there is one."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            yield number, first[name]


def _completed(item: object, own: object) -> object:
    """A listed order as it is written, with what it leaves out."""
    order = item.get("order", {}) if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(order, Mapping) or not isinstance(own, Mapping):
        return item  # what is wrong with it is told of the item itself
    return {**item, "order": completed_order(order, own)}


def completed_order(order: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """The keys of an order, those of ``own`` where it has none; of one that says its size, not theirs."""
    sizes = ("quantity", "notional")
    sized = any(order.get(name) is not None for name in sizes)
    return {**{k: v for k, v in own.items() if not (sized and k in sizes)}, **order}


def fee_rate_missing(currency: str) -> str:
    """What is wrong with a third currency of fees that has no rate."""
    return f"venue.fee_rate = None: give what one {currency} is worth in the quote currency, as in 600"


def load_config(path: Path | None) -> Config:
    """Read ``path``, or the defaults when None. Raises ConfigError."""
    if path is None:
        return Config()
    try:
        raw = yaml.load(read_text(path), _EachKeyOnce) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path} cannot be read: {without_passwords(str(error))}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"configuration {path} must be a mapping of sections, not a {type(raw).__name__}")
    return parse_config(raw, str(path))


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that is there twice: of an order's size, which one was meant?"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                where = f"{key.value} is there twice, again in line {key.start_mark.line + 1}: leave one out"
                raise yaml.constructor.ConstructorError(problem=where)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_text(path: Path, what: str = "configuration", hint: str = "give another --config") -> str:
    """The text of a file that people write. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{what} {path} does not exist: {hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {without_passwords(str(error))}") from error


def configuration_file(path: Path | None) -> Path | None:
    """``path`` where one is given, else config.yaml in this folder; None where there is none."""
    here = Path("config.yaml")
    return here if path is None and here.is_file() else path


def parse_config(raw: Mapping[str, object], source: str = "configuration") -> Config:
    """Check ``raw`` against the schema. Raises ConfigError naming every wrong key and value."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(complaint(e) for e in error.errors())) from error


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass


def complaint(error: ErrorDetails) -> str:
    """What one fault of a configuration is, with the key, the value and what is allowed."""
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
    if not is_dataclass(section):
        return {}
    hints = get_type_hints(section)
    return {each.name: hints[each.name] for each in fields(section)}
