"""The paper venue and its market, built from the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config import Config, LatencyMs, Venue, fee_rate_missing
from agent.core.agenda import Agenda
from agent.core.errors import ConfigError, InternalError
from agent.core.instrument import Instrument
from agent.core.ports import OrderVenue
from agent.core.types import NS_PER_MS
from agent.durations import moment_ns
from agent.venue.bars.bar_market import BarMarket
from agent.venue.bars.bar_venue import BarVenue
from agent.venue.fees import Fees, FeeTier
from agent.venue.impact import ImpactLaw
from agent.venue.kernel.loop import QUEUE_MODELS, REACHES
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.paper import PaperVenue
from agent.venue.rules import Halt, VenueRules, VenueSetup
from agent.venue.wire.latency import Latencies, Latency, LatencyModel, MeasuredLatency
from agent.venue.wire.rehearsal import Rehearsal


def venue_setup(config: Config) -> VenueSetup:
    """The configured venue of a session with a tape."""
    venue = config.venue
    rules = VenueRules(
        latencies=Latencies(
            entry=_latency(venue.entry),
            cancel=_latency(venue.cancel),
            acknowledgement=_latency(venue.acknowledgement),
            market_data=_latency(venue.market_data),
        ),
        fees=_fees(venue),
        balances=venue.balances,
        price_band_bps=venue.price_band_bps,
        near_gap_ns=venue.near_gap,
        seed=config.seed,
        impact=_impact_laws(venue),
        price_protection_bps=venue.price_protection_bps,
        self_trade=venue.self_trade,
        amend_keeps_queue=venue.amend == "keep_on_reduce",
        max_quantity=venue.max_quantity,
        max_open_orders=venue.max_open_orders,
        halts=tuple(Halt(moment_ns(h.start), moment_ns(h.end), h.symbol or "") for h in venue.halts),
        max_book_age_ns=venue.max_book_age if venue.on_stale == "reject" else None,
        marked_age_ns=venue.max_book_age if venue.on_stale == "mark" else None,
        rehearsal=_rehearsal(venue),
    )
    return VenueSetup(rules, QUEUE_MODELS[venue.queue], venue.queue_power, reach=REACHES[venue.reach])


def paper_venue(
    instruments: Sequence[Instrument], setup: VenueSetup, agenda: Agenda
) -> tuple[TapeMarket, OrderVenue]:
    """The market and the venue that matches on it. Raises ConfigError where a fee's currency has no rate."""
    _check_fee_currency(instruments, setup.rules.fees)
    if setup.bars is not None:
        bars = BarMarket(instruments, setup.bars)
        return bars, BarVenue(bars, agenda, setup.rules)
    market = TapeMarket(instruments, setup.queue_model, setup.queue_power, setup.reach)
    return market, PaperVenue(market, agenda, setup.rules)


def _check_fee_currency(instruments: Sequence[Instrument], fees: Fees) -> None:
    """A third currency needs a rate, unless each instrument settles in it: then it is none."""
    if fees.rate is None and any(fees.third not in ("", i.settle) for i in instruments):
        raise ConfigError(fee_rate_missing(fees.third))


def _latency(given: LatencyMs) -> LatencyModel:
    if isinstance(given.measured, tuple):
        return MeasuredLatency.of(given.measured, nearest=given.draw == "nearest")
    if given.median_ms is None:
        raise InternalError(f"latency file {given.measured} was not read: see measured_files")
    return Latency(round(given.median_ms * NS_PER_MS), given.sigma)


def _impact_laws(venue: Venue) -> dict[str, ImpactLaw] | None:
    if venue.impact == "off":
        return None
    return {
        symbol: ImpactLaw(law.y, law.sigma_bps_per_day, law.volume_per_day, law.decay)
        for symbol, law in venue.impact_laws.items()
    }


def _fees(venue: Venue) -> Fees:
    return Fees(
        maker_ppm=venue.maker_fee_ppm,
        taker_ppm=venue.taker_fee_ppm,
        currency=venue.fee_currency,
        tiers=tuple(FeeTier(t.volume, t.maker_ppm, t.taker_ppm) for t in venue.fee_tiers),
        start_volume=venue.fee_volume,
        rate=venue.fee_rate,
        discount_ppm=venue.fee_discount_ppm,
    )


def _rehearsal(venue: Venue) -> Rehearsal:
    given = venue.rehearsal
    return Rehearsal(given.reject_ppm, given.timeout_ppm, given.timeout)
