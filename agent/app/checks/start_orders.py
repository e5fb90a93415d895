"""Orders held against every limit before their first child: live before anything is written, and in replays.

The judgement is ``agent.preflight.start_check``; here are the facts it is given. Before a live session the
exchange is asked for its book and its history; without a book the last trade's price stands for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from agent.app.build import engine_settings
from agent.app.checks.trading_checks import RunOrder, check_each, run_orders
from agent.app.venue_setup import paper_venue, venue_setup
from agent.bar_session import BarSession
from agent.config import Config
from agent.core.agenda import FAR_FUTURE_NS, Agenda
from agent.core.events import Command, StartParent
from agent.core.instrument import Instrument
from agent.core.market.tape import BarArray, EventArray, Flag, Kind
from agent.core.market.trade_bars import BookSample
from agent.core.orders.venue_messages import VenueOrder
from agent.core.ports import Market, OrderVenue, SessionReader
from agent.core.types import ParentSpec
from agent.orders import build_spec
from agent.preflight.order_at_start import Finding, StartFacts, StartRules
from agent.preflight.size_findings import Lacking
from agent.preflight.start_check import judge, refuse
from agent.preflight.volume_forecast import expected_lots, history_ns
from agent.replay import inputs

log = structlog.get_logger("order")


@dataclass(frozen=True, slots=True)
class Known:
    """What was fetched of one instrument before its session: trades and klines, and the book of now."""

    trades: EventArray
    klines: BarArray
    book: BookSample | None

    def without_trades(self) -> Known:
        """The same once the market has the trades: they are kept once."""
        return Known(self.trades[:0].copy(), self.klines, None)


def start_rules(config: Config, bars: BarSession | None = None) -> StartRules:
    """What the configuration holds an order against; a session of bars has rules of its own."""
    settings, venue = engine_settings(config), venue_setup(config)
    if bars is not None:
        settings, venue = bars.settings(settings), bars.venue(venue)
    return StartRules(settings.risk, settings.tactics, venue.rules, config.risk.max_volume_share)


# --- live ---------------------------------------------------------------------------------------------


def check_before_session(
    config: Config,
    instruments: Sequence[Instrument],
    known: Sequence[Known],
    now_ns: int,
    lacking: Lacking,
) -> None:
    """Refuse the run's orders that can only fail. Raises OrderError; of a list every one is told."""
    numbers = {i.symbol: i.number for i in instruments}
    both_sides = len({one.order.side for one in run_orders(config)}) > 1
    rules = start_rules(config)

    def check(one: RunOrder) -> None:
        number = numbers[one.symbol]
        spec = build_spec(one.order, instruments[number], "check", None)
        facts = _facts_known(known[number], now_ns, spec.max_duration_ns)
        # What an order needs may come from one of the other side before it.
        paid_for = _covered if one.whose and both_sides else lacking
        findings = judge(spec, instruments[number], rules, facts, paid_for)
        # What is only doubtful of an order that starts now is told at its start.
        _tell(spec, [f for f in findings if f.fatal or one.place[0] == "schedules"])

    check_each(config, check)


def _covered(order: VenueOrder) -> str:
    """Nobody can say yet what the account will lack."""
    return ""


def check_start(
    spec: ParentSpec, config: Config, market: Market, venue: OrderVenue, klines: BarArray, now_ns: int
) -> None:
    """Refuse an order that starts now and can only fail. Raises OrderError."""
    _check(spec, start_rules(config), market, venue, klines, now_ns)


def look_back_ns(orders: Iterable[RunOrder], symbol: str, lookback: int) -> int:
    """How far back the start of one of these orders may look at a symbol's trades; 0 where none is of it.

    For the bars of its algo (``lookback``: ``engine.lookback``), and for the volume to be expected.
    """
    mine = [one.order for one in orders if one.symbol == symbol]
    bars = max((lookback * order.interval for order in mine), default=0)
    volumes = max((history_ns(order.max_duration) for order in mine), default=0)
    return max(bars, volumes)


def _facts_known(known: Known, now_ns: int, window_ns: int) -> StartFacts:
    counts = (known.trades["kind"] == Kind.TRADE) & (known.trades["flags"] & Flag.IMPOSSIBLE == 0)
    trades, klines, book = known.trades[counts], known.klines, known.book
    expected = expected_lots(klines, trades["exch_ns"], trades["qty_lots"], now_ns, window_ns)
    if book is not None:
        return _facts_shown(now_ns, book, expected)
    last = int(trades["price_ticks"][-1]) if len(trades) else 0
    last = last or (int(klines["close_ticks"][-1]) if len(klines) else 0)
    return StartFacts(now_ns, (last, last), expected)


def _facts_shown(now_ns: int, book: BookSample, expected: float | None) -> StartFacts:
    shown = (book.bid_depth_lots, book.ask_depth_lots) if book.bid_ticks else None
    return StartFacts(now_ns, (book.bid_ticks, book.ask_ticks), expected, shown)


# --- replayed -----------------------------------------------------------------------------------------


def check_replayed(
    reader: SessionReader, config: Config, bars: BarSession | None, pending: Sequence[Command]
) -> None:
    """Refuse another order on a recorded session where it can only fail. Raises OrderError.

    A market of its own is shown the session up to the start, so that nothing has happened when it refuses.
    """
    setup = venue_setup(config)
    market, venue = paper_venue(reader.instruments, bars.venue(setup) if bars else setup, Agenda())
    source: SessionReader = bars or reader
    for item in inputs(source, pending):
        if isinstance(item, StartParent):
            klines = source.bars()
            _check(item.spec, start_rules(config, bars), market, venue, klines, item.recv_ns)
            return
        if isinstance(item, np.ndarray):
            _show(market, item)


def _show(market: Market, rows: EventArray) -> None:
    at = 0
    while at < len(rows):
        at, _ = market.run(rows, at, FAR_FUTURE_NS)


# --- both ---------------------------------------------------------------------------------------------


def _check(
    spec: ParentSpec,
    rules: StartRules,
    market: Market,
    venue: OrderVenue,
    klines: BarArray,
    now_ns: int,
) -> None:
    trades, mine = market.trades(spec.instrument), klines[klines["instrument"] == spec.instrument]
    expected = expected_lots(mine, trades.exch_ns, trades.qty_lots, now_ns, spec.max_duration_ns)
    facts = _facts_shown(now_ns, market.book(spec.instrument), expected)
    _tell(spec, judge(spec, market.instruments[spec.instrument], rules, facts, venue.lacking))


def _tell(spec: ParentSpec, findings: list[Finding]) -> None:
    """Raise what is fatal, log the rest."""
    for warning in refuse(spec, findings):
        log.warning("order_doubtful", order=spec.parent_id, reason=warning)
