"""The orders that a session starts: the run's own, those of a list, and those of the clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import structlog

from agent.app.build import LEM
from agent.app.checks.start_orders import Known, check_start, look_back_ns
from agent.app.checks.trading_checks import RunOrder, has_own_order, run_orders
from agent.app.lives.former_session import FormerSession
from agent.config import Config, names_of
from agent.core.errors import AgentError, OrderError
from agent.core.instrument import Instrument
from agent.jobs.listed_starts import ListedStarts, NotStarted
from agent.order_options import Order
from agent.orders import build_spec
from agent.runtime import LiveRun
from agent.shadow import shadow_specs
from agent.unattended.watchman import Watchman

log = structlog.get_logger("live")
THREADED = frozenset({LEM})
"""Algos that decide on a thread; the others decide at once."""
START_LOOK_S = 0.05
"""How often it is looked whether an order of the list is due."""


class OrderStarts:
    """Of one session. ``known``, what was fetched of each instrument before the first event, comes later."""

    def __init__(
        self,
        config: Config,
        session: str,
        instruments: Sequence[Instrument],
        watchman: Watchman,
        *,
        trade: bool,
        first: bool,
        former: FormerSession | None,
    ) -> None:
        """``trade``: else the market is only recorded. ``first``: this session works the run's own orders.

        ``former``: the session is one that goes on.
        """
        self.known: list[Known] = []
        self.begun = False  # there is a book, and what starts at once has started
        self._config, self._session, self._watchman = config, session, watchman
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._trade, self._first, self._former = trade, first, former
        self._parents = 0
        self._listed = ListedStarts(
            [one.start for one in config.orders] if trade and first else (),
            names_of(config.orders),
            config.feed.connect_timeout,
            {n for n, one in enumerate(config.orders) if THREADED & {one.order.algo, *one.order.shadows}},
        )
        self._started = former.started() if former is not None else set[str]()
        self._listed.leave_out(self._started)

    # --- what there is to start -------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether orders of the list are still to start."""
        return bool(self._listed.pending)

    @property
    def not_started(self) -> list[NotStarted]:
        """The orders of the list that never worked."""
        return self._listed.not_started

    @property
    def listed_ids(self) -> list[str]:
        """The parent orders of the list, in its order."""
        return [f"{self._session}-{name}" for name in self._listed.names]

    @property
    def has_own(self) -> bool:
        """Whether this session starts the configured order. One that goes on has: it began with that."""
        return self._trade and self._first and self._former is None and has_own_order(self._config)

    @property
    def any_at_first(self) -> bool:
        """Whether it starts orders that no clock does."""
        return self.has_own or bool(self._trade and self._first and self._config.orders)

    def look_back_ns(self, number: int) -> int:
        """How far back what is still to start may look at an instrument's trades."""
        symbol = next(i.symbol for i in self._by_symbol.values() if i.number == number)
        orders = run_orders(self._config) if self._trade else []
        pending = [one for one in orders if self._may_start(one)]
        return look_back_ns(pending, symbol, self._config.engine.lookback)

    def _may_start(self, one: RunOrder) -> bool:
        if one.listed is not None:
            return self.pending
        return not self.begun or one.place[0] == "schedules"

    # --- starting ---------------------------------------------------------------------------------------

    def begin(self, live: LiveRun, now_ns: int) -> None:
        """There is a book: start the configured order; times of the list count from now."""
        if self.has_own:
            self.start(live, self._config.order)
        self._listed.begin(now_ns if self._former is None else self._former.begun_ns)
        self.begun = True

    def give_up(self, reason: str) -> None:
        """What has not started never will."""
        self._listed.give_up(reason)

    async def start_listed(self, live: LiveRun) -> None:
        """Start the orders of the list as they become due, until the session ends."""
        symbols = self._config.listed_symbols

        def has_book(number: int) -> bool:
            return bool(live.engine.market.mid_half_ticks(self._by_symbol[symbols[number]].number))

        def start(number: int) -> None:
            if self._former is not None and (gone := self._former.unworkable.get(symbols[number])):
                raise OrderError(gone)
            order, name = self._config.orders[number].order, self._listed.names[number]
            self._start(live, order, self._by_symbol[symbols[number]], name)

        while True:
            await asyncio.sleep(START_LOOK_S)
            if live.engine.killed:
                self.give_up("the run was killed before its time")
            elif live.cancelled_all:
                self.give_up("every order was cancelled before its time")
            elif not live.ending:
                self._listed.start_due(live.clock.now_ns(), has_book, start)

    def start(self, live: LiveRun, order: Order) -> None:
        """Start an order of the configured symbol now. Raises AgentError."""
        names = {*self._listed.names, *self._started}
        self._parents = next(n for n in itertools.count(self._parents + 1) if f"P{n}" not in names)
        self._start(live, order, self._by_symbol[self._config.symbol], f"P{self._parents}")

    def _start(self, live: LiveRun, order: Order, instrument: Instrument, name: str) -> None:
        self._watchman.check_disk()
        market, venue = live.engine.market, live.engine.venue
        mid = market.mid_half_ticks(instrument.number)
        price = instrument.tick * mid / 2 if mid else None
        spec = build_spec(order, instrument, f"{self._session}-{name}", price)
        klines = self.known[instrument.number].klines
        check_start(spec, self._config, market, venue, klines, live.clock.now_ns())
        live.start(spec, shadow_specs(spec, order.shadows))


class Scheduled:
    """A session as the run's jobs see it."""

    def __init__(self, starts: OrderStarts, live: LiveRun) -> None:
        self._starts, self._live = starts, live

    @property
    def ending(self) -> bool:
        return self._live.ending

    def rotate(self) -> bool:
        return not self._starts.pending and self._live.rotate()

    async def start_order(self, name: str, order: Order) -> None:
        log.info("schedule_started", schedule=name)
        try:
            self._starts.start(self._live, order)
        except AgentError as error:
            log.error("schedule_refused", schedule=name, reason=str(error))

    def alive(self) -> None:
        live = self._live
        log.info("alive", events=live.events, trades=live.trades, working=live.engine.working)
