"""Sessions that hold bars, or trades and no book: read in trading time, with an order in its place.

Rules kept here:

* an order starts between two bars: where ``start_ns`` says, or after ``engine.lookback`` intervals of history
  where the session has as many and the order still fits behind them, else as late as it fits;
* its interval is a multiple of the bars', its durations multiples of the interval, all in trading time
  (``agent.core.market.trading_time``). Whatever leaves here is in wall time again;
* the reach of a child order is ``bars.reach_bps``, either side of the last close: while a bar runs, its VWAP
  is not known, so collar, band and age of a book, which speak of a book, are off. Its own limit holds;
* a tape of trades without a book is read as bars of a slice of the order's interval: ``tactics.micro_slices``
  of them, or fewer where one would be shorter than a second;
* algos see bars without a time where the market closes (no time of day fits them) and no volume profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np

from agent.config import Config
from agent.core.clock import in_utc
from agent.core.errors import ConfigError, OrderError, SessionError
from agent.core.events import AuditEvent, StartParent
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject
from agent.core.market.tape import BarArray, EventArray, empty_events
from agent.core.market.trading_time import BarFlag, TradingTime
from agent.core.ports import SessionReader, SlicePolicy
from agent.core.session_header import SessionHeader
from agent.core.types import DAY_NS, NS_PER_S, Align, MarketView, OrderView, ParentSpec, Slice
from agent.core.wall_times import Translation
from agent.durations import format_duration
from agent.engine.settings import EngineSettings
from agent.engine.tactics.tactic_registry import tactic_classes
from agent.orders import build_spec
from agent.shadow import shadow_specs
from agent.venue.bars.bars_of_trades import bars_of_trades
from agent.venue.rules import BarRules, Halt, VenueSetup
from agent.venue.wire.rehearsal import Rehearsal

PolicyFactory = Callable[[ParentSpec], SlicePolicy]
BATCH_ROWS = 65536
PROFILE_NS = 60 * DAY_NS  # of history for the volume profile
OF_BARS, OF_TRADES = "klines", "trades"
SOURCES = (OF_BARS, OF_TRADES)
NOTE = "bars-only session: fills are modelled at the interval's VWAP"
TRADES_NOTE = "trades-only session: fills are modelled at the VWAP of each {} of trades"


def _refuse_resting(name: str) -> None:
    classes = tactic_classes()
    if classes[name].rests:
        others = " or ".join(other for other, tactic in classes.items() if not tactic.rests)
        raise OrderError(f"tactic {name} rests in a queue, and bars hold none: use {others}")


def is_bars_only(reader: SessionReader) -> bool:
    """Whether a session holds no book: bars, or trades that are read as bars."""
    return reader.header.source in SOURCES


class BarSession:
    """A session of bars and one order, as ``replay`` reads it (a ``SessionReader``)."""

    def __init__(
        self, reader: SessionReader, instrument: Instrument, config: Config, start_ns: int | None = None
    ) -> None:
        """``start_ns``: no earlier than then (wall time).

        Raises SessionError, OrderError and ConfigError: bars, order or account do not fit.
        """
        self._reader, self._config, self.instrument = reader, config, instrument
        self._of: Literal["bars", "trades"] = "bars"
        bars = reader.bars()
        if reader.header.source == OF_TRADES and not len(bars):
            bars, self._of = _of_its_trades(reader, instrument, config), "trades"
        bars = _of_one_length(bars, instrument)
        self.clock = TradingTime.of(bars)
        self._bars = self.clock.laid(bars)
        self._per = self._bars_of_an_interval()
        self._start_ns = self.clock.origin_ns + self._place(start_ns) * self.clock.delta_ns
        self._end_ns = self._start_ns + config.order.max_duration
        self._note = NOTE if self._of == "bars" else TRADES_NOTE.format(format_duration(self.clock.delta_ns))
        self._translation = Translation(self.clock, self._note, self._of)
        _check_account(config, instrument)

    # --- what replay reads --------------------------------------------------------------------------

    @property
    def header(self) -> SessionHeader:
        return self._reader.header

    @property
    def instruments(self) -> Sequence[Instrument]:
        return self._reader.instruments

    @property
    def cut_off(self) -> bool:
        return self._reader.cut_off

    @property
    def losses(self) -> Sequence[str]:
        return self._reader.losses

    def journal(self) -> Sequence[JsonObject]:
        return []

    def outcome(self) -> Sequence[str]:
        return []

    def bars(self) -> BarArray:
        """The history an order starts with: since the last split."""
        reach_ns = max(PROFILE_NS, self._config.engine.lookback * self._per * self.clock.delta_ns)
        past = self._bars[self._bars["recv_ns"] <= self._start_ns]
        split = np.flatnonzero(past["flags"] & BarFlag.SPLIT)
        past = past[split[-1] if len(split) else 0 :]
        past = past[past["open_ns"] < past["recv_ns"]]  # untraded ones take no time
        return past[past["open_ns"] >= self._start_ns - reach_ns]

    def batches(self, rows: int = 65536) -> Iterator[EventArray]:
        """The bars from the last one before the start to one after the order's full window."""
        known = self._bars["recv_ns"]
        first = int(np.searchsorted(known, self._start_ns))
        stop = int(np.searchsorted(known, self._end_ns + self.clock.delta_ns, side="right"))
        for k in range(first, stop, rows):
            yield self._bars[k : min(k + rows, stop)]

    # --- the order ----------------------------------------------------------------------------------

    def start(self) -> StartParent:
        """The configured order with its shadows, at its place after the bars known by then."""
        name = f"{self.header.session}-P1"
        spec = replace(build_spec(self._config.order, self.instrument, name, None), align=Align.NONE)
        _refuse_resting(spec.tactic)
        self._refuse_split()
        known = self._bars[self._bars["recv_ns"] <= self._start_ns]
        shadows = tuple(shadow_specs(spec, self._config.order.shadows))
        return StartParent(self._start_ns, int(known["seq"][-1]), spec, shadows)

    def _window(self) -> BarArray:
        """The bars of the order's full window, untraded ones among them."""
        known = self._bars["recv_ns"]
        return self._bars[(known > self._start_ns) & (known <= self._end_ns)]

    def _refuse_split(self) -> None:
        split = self._window()[(self._window()["flags"] & BarFlag.SPLIT) > 0]
        if len(split):
            at_ns = self.clock.began(int(split["open_ns"][0]))
            raise OrderError(
                f"the order's window crosses a split before {in_utc(at_ns)}: prices and quantities after it"
                " are of other shares; give another --start or a shorter --max-duration"
            )

    def _bars_of_an_interval(self) -> int:
        interval, delta = self._config.order.interval, self.clock.delta_ns
        if interval % delta:
            near = max(1, round(interval / delta)) * delta
            raise OrderError(
                f"interval {format_duration(interval)} is not a multiple of the session's"
                f" {format_duration(delta)} bars: the nearest is {format_duration(near)}"
            )
        return interval // delta

    def _place(self, wanted_ns: int | None) -> int:
        """How many traded bars come before the order."""
        longest, delta = self._config.order.max_duration, self.clock.delta_ns
        needed, there = longest // delta, len(self.clock.start_ns)
        if needed + 1 > there:
            raise OrderError(
                f"max duration {format_duration(longest)} is {needed:,} bars of {format_duration(delta)}, and"
                f" the session holds {there:,} that may be traded, the first for the arrival price: give at"
                f" most {format_duration(max(1, there - 1) * delta)}, or import more"
            )
        if wanted_ns is None:
            return max(1, min(self._config.engine.lookback * self._per, there - needed))
        place = int(np.searchsorted(self.clock.start_ns, wanted_ns))
        if not 1 <= place <= there - needed:
            first, last = (in_utc(int(self.clock.start_ns[k])) for k in (1, there - needed))
            raise OrderError(
                f"start {in_utc(wanted_ns)} leaves no bar before the order or too few for its"
                f" {format_duration(longest)}: give {first} to {last}"
            )
        return place

    # --- the engine -----------------------------------------------------------------------------------

    def policies(self, policies: PolicyFactory) -> PolicyFactory:
        """The same policies, which see no times of day where the market closes."""
        return policies if self.clock.is_wall else lambda spec: _Dateless(policies(spec))

    def in_wall_time(self, watch: Callable[[list[AuditEvent]], None]) -> Callable[[list[AuditEvent]], None]:
        """``watch`` with every event in wall time."""
        return lambda events: watch(self._translation.all(events))

    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of the fills."""
        rules, flags = self._config.bars, self._window()["flags"]
        closed, absent, holed = (
            int(((flags & f) > 0).sum()) for f in (BarFlag.CLOSED, BarFlag.ABSENT, BarFlag.HOLED)
        )
        notes = [
            f"{self._note}, {rules.half_spread_bps:f} bps worse, at most {rules.max_participation:.0%} of a"
            " bar's volume (bars: in the configuration)"
        ]
        if not self.clock.is_wall:
            notes.append(
                f"durations are trading time: the full window is {in_utc(self.clock.began(self._start_ns))}"
                f" to {in_utc(self.clock.ended(self._end_ns))}, nights and days without a session left out"
            )
        if absent:
            notes.append(f"{absent:,} bars of the window are missing in the files: nothing fills in them")
        if holed:
            notes.append(f"trades are missing in {holed:,} bars of the window: what they show is not all")
        if closed:
            notes.append(
                f"{closed:,} bars of the window hold an auction or reach out of the session: not traded"
            )
        return tuple(notes)

    def settings(self, base: EngineSettings) -> EngineSettings:
        """``base`` with the rules of a book off."""
        reach_bps = self._config.bars.reach_bps
        return replace(
            base,
            risk=replace(base.risk, price_collar_bps=None, stale_book_ns=None),
            tactics=replace(base.tactics, micro_slices=self._per, cross_share=0.0, reach_bps=reach_bps),
        )

    def venue(self, base: VenueSetup) -> VenueSetup:
        """``base`` with fills from bars, a band as wide as the reach, and halts in engine time."""
        bars = self._config.bars
        band_bps = bars.reach_bps + float(bars.half_spread_bps) + 10.0
        halts = tuple(
            Halt(self.clock.of_wall(h.start_ns), self.clock.of_wall(h.end_ns), h.symbol)
            for h in base.rules.halts
        )
        rules = replace(
            base.rules,
            price_band_bps=max(base.rules.price_band_bps, band_bps),
            halts=halts,
            rehearsal=Rehearsal(),
        )
        modelled = BarRules(
            Fraction(bars.half_spread_bps),
            Fraction(bars.max_participation),
            Fraction(bars.reach_bps),
            of=self._of,
        )
        return replace(base, rules=rules, bars=modelled)


def _of_its_trades(reader: SessionReader, instrument: Instrument, config: Config) -> BarArray:
    """The trades of a tape as bars of a slice of the order's interval."""
    interval = config.order.interval
    most = max(1, min(config.tactics.micro_slices, interval // NS_PER_S))
    slices = next(n for n in range(most, 0, -1) if interval % n == 0)
    found = [batch[batch["instrument"] == instrument.number] for batch in reader.batches(BATCH_ROWS)]
    try:
        return bars_of_trades(np.concatenate([empty_events(), *found]), interval // slices)
    except ValueError as error:
        raise SessionError(
            f"the session of {instrument.symbol} makes no bars: {error}; give a longer --interval, or import"
            " other trades"
        ) from error


def _of_one_length(bars: BarArray, instrument: Instrument) -> BarArray:
    mine: BarArray = bars[bars["instrument"] == instrument.number]
    if not len(mine):
        raise SessionError(f"the session holds no bars of {instrument.symbol}: import some")
    lengths = np.unique(mine["delta_ns"])
    if len(lengths) > 1:
        mixed = ", ".join(format_duration(int(x)) for x in lengths)
        raise SessionError(f"the session mixes bars of {mixed}: import files of one interval")
    return mine


def _check_account(config: Config, instrument: Instrument) -> None:
    """Refuse an account without the currency before anything starts: it would refuse every child order."""
    spot = instrument.quote if config.order.side == "buy" else instrument.base
    currency = instrument.settle if instrument.contract else spot
    if config.venue.balances.get(currency, 0) <= 0:
        raise ConfigError(
            f"the paper account holds no {currency} to {config.order.side} {instrument.symbol} with: name it"
            f" in the configuration, as in venue.balances: {{{currency}: 1000000}}"
        )


class _Dateless:
    """Shows an algo the market without times of day: bars at their place in the row, no klines."""

    def __init__(self, policy: SlicePolicy) -> None:
        self._policy = policy

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        bars = market.bars.copy()
        bars["start_ns"] = 0
        self._policy.request(decision_id, order, replace(market, bars=bars, klines=None))

    def collect(self, decision_id: str) -> Slice | None:
        return self._policy.collect(decision_id)
