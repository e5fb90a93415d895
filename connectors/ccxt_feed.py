"""The live feed: any exchange that ccxt.pro streams trades and order books from, as tape rows.

``CcxtFeed`` is the ``Feed`` port. It builds the link, the sources, their supervisors and the outbox, and
hands their rows over; what each does about faults is in its own module.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from agent.core.clock import Clock
from agent.core.errors import ExchangeError, InternalError, OrderError
from agent.core.instrument import Instrument
from agent.core.market.tape import BarArray, EventArray, Flag, Kind, TradesBefore
from agent.core.market.trade_bars import BookSample
from agent.core.ports import FeedHealth
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.access.reaching import Reaching
from connectors.access.refusals import Bearing, Refusal, refusal_of, sentence
from connectors.backfill import BackfillLimits
from connectors.ccxt_books import BboSource, BookSource
from connectors.ccxt_history import HistoryLimits, book_now, book_prices, recent_bars, recent_trades
from connectors.ccxt_link import CcxtLink, ExchangeConfig, SessionFactory, load_ccxt
from connectors.ccxt_markets import (
    check_traded,
    instrument_of,
    judged_by_prices,
    lot_is_coarser,
    price_is_needed,
    unknown_symbol,
)
from connectors.ccxt_trades import TradeCounters, TradeSource
from connectors.continuity.stalls import LOOK_S
from connectors.continuity.stamp_watch import StampWatch
from connectors.normalise import Scale, TradeReading, mark_row, trade_ids, usable
from connectors.supervisor import Outbox, Patience, Supervisor
from connectors.units.exchange_units import EMBEDDED

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger("feed")

_CLOCK_PROBES = 5
_REFUSALS = 3
"""Times that an exchange must refuse a stream, before its first message, to be believed."""
_DOUBT_S = 0.1
_DOUBT_PAUSE_S = 2.0
"""Between two looks at the exchange's clock that stamps asked for; doubled while they find nothing."""
_GAPLESS_FROM = 20  # trades in a row that must be numbered without a gap to call the ids gapless


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Tunables of the feed; the defaults suit a liquid spot market."""

    book_depth: int = 50  # levels a side on the tape
    bbo: bool = False  # also stream best bid and offer, where the exchange has watchBidsAsks
    connect_deadline_s: float = 15.0
    patience: Patience = field(default_factory=Patience)
    backfill: BackfillLimits = field(default_factory=BackfillLimits)
    history: HistoryLimits = field(default_factory=HistoryLimits)
    clock_every_s: float = 20.0  # between two looks at the exchange's clock, and so between round trips
    batch_rows: int = 4096
    crowded_rows: int = 50_000  # waiting rows above which book updates are conflated
    hard_rows: int = 2_000_000  # waiting rows above which the feed stops with an error


class EndpointLike(Protocol):
    """Where an embedded exchange listens."""

    @property
    def port(self) -> int: ...

    @property
    def ca_file(self) -> Path: ...


@dataclass(slots=True)
class _Streams:
    """What serves one instrument."""

    symbol: str
    scale: Scale
    trades: TradeSource
    book: BookSource
    bbo: BboSource | None

    def sources(self) -> list[TradeSource | BookSource | BboSource]:
        return [s for s in (self.trades, self.book, self.bbo) if s is not None]


class CcxtFeed:
    """Live trades and books of one exchange. Call ``instruments`` first, in a running event loop."""

    def __init__(
        self,
        exchange_id: str,
        clock: Clock,
        *,
        session_factory: SessionFactory | None = None,
        options: FeedOptions | None = None,
        config: ExchangeConfig | None = None,
        name: str | None = None,
        reaching: Reaching | None = None,
    ) -> None:
        """``session_factory`` makes the aiohttp session (closed by ``close``); ``config`` goes to ccxt.

        ``reaching``: proxies and authorities, where the client makes its session itself.
        """
        self.exchange_id, self.name = exchange_id, name or exchange_id
        self.options = options or FeedOptions()
        self._session_factory, self._reaching = session_factory, reaching
        self._config = {**(reaching.client_config() if reaching else {}), **(config or {})}
        self._clock = clock
        self._link: CcxtLink | None = None
        self._streams: list[_Streams] = []
        self._supervisors: list[Supervisor] = []
        self._outbox: Outbox | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._clock_failures = self._clock_steps = self._refusals = self._refused_told = 0
        self._ban_told: BaseException | None = None
        self._stamps: StampWatch | None = None
        self._doubt_again_s, self._doubt_pause_s = 0.0, _DOUBT_PAUSE_S
        self._closed = False

    # --- connecting ---------------------------------------------------------------------------------

    async def instruments(
        self, symbols: Sequence[str], numbers: Sequence[int] | None = None
    ) -> list[Instrument]:
        """Connect, and return the symbols' instruments, numbered in order or as ``numbers`` says.

        Raises InputError (unknown exchange), OrderError (unknown symbol), ExchangeError (no answer within the
        deadline, which counts anew for each symbol; a capability or a precision is missing).
        """
        await asyncio.to_thread(load_ccxt)
        self._link = link = CcxtLink(
            self.exchange_id, self._config, self._session_factory, self._clock, symbols, self._reaching
        )
        try:
            link.require("watchTrades", "watchOrderBook")
            return await self._connected(link, symbols, range(len(symbols)) if numbers is None else numbers)
        except BaseException:
            await self.close()
            raise

    async def _connected(
        self, link: CcxtLink, symbols: Sequence[str], numbers: Sequence[int]
    ) -> list[Instrument]:
        limit_s = self.options.connect_deadline_s
        try:
            async with asyncio.timeout(limit_s) as deadline:
                await link.exchange.load_markets()
                await link.measure_clock(_CLOCK_PROBES)
                found: list[Instrument] = []
                for number, symbol in zip(numbers, symbols, strict=True):
                    deadline.reschedule(asyncio.get_running_loop().time() + limit_s)
                    found.append(await self._instrument(link, number, symbol))
                return found
        except TimeoutError as error:
            raise ExchangeError(f"cannot reach {self.name} within {limit_s:g} s: {self._advice()}") from error
        except Exception as error:
            if (kind := refusal_of(error, link.through)) is not None:
                raise ExchangeError(sentence(kind, self.name, link.through, error)) from error
            if not isinstance(error, load_ccxt().BaseError):
                raise
            network = isinstance(error, load_ccxt().NetworkError)
            what = f"cannot reach {self.name}" if network else f"{self.name} refused to serve"
            raise ExchangeError(f"{what} ({_brief(error)}): {self._advice()}") from error

    def _advice(self) -> str:
        if self.name == EMBEDDED:
            return "the embedded exchange does not answer on loopback; start it again"
        return "check the network, or try --exchange embedded"

    async def _instrument(self, link: CcxtLink, number: int, symbol: str) -> Instrument:
        try:
            return await self._found(link, number, symbol)
        except OrderError as error:
            error.symbol = symbol
            raise

    async def _found(self, link: CcxtLink, number: int, symbol: str) -> Instrument:
        exchange = link.exchange
        if not exchange.markets:  # an answer without content: no word about this symbol
            raise ExchangeError(f"{self.name} lists no market at all just now: {self._advice()}")
        if symbol not in exchange.markets:
            raise unknown_symbol(symbol, self.name, exchange.symbols)
        market, mode, price = exchange.market(symbol), exchange.precisionMode, None
        check_traded(market, self.name, self._clock.now_ns())
        moving = price_is_needed(market, self.name, mode)
        if moving:
            price = (await exchange.fetch_ticker(symbol)).get("last")
        instrument = instrument_of(market, number, self.name, mode, price)
        instrument = judged_by_prices(instrument, await book_prices(link, symbol), derived=moving)
        reading = Scale.of(instrument).reading
        gapless = link.quirks.aggregates or await self._numbers_without_gaps(link, symbol, reading)
        coarse = lot_is_coarser(instrument, market, mode)
        self._streams.append(self._build(link, instrument, gapless, Scale.of(instrument, coarse=coarse)))
        return instrument

    @staticmethod
    async def _numbers_without_gaps(link: CcxtLink, symbol: str, reading: TradeReading) -> bool:
        """Learn from one REST page whether the exchange numbers a symbol's trades consecutively."""
        if not link.exchange.has.get("fetchTrades"):
            return False
        ids, hashed = trade_ids(usable(await link.trades(symbol)), reading)
        return not hashed and len(ids) >= _GAPLESS_FROM and bool(np.all(np.diff(np.sort(ids)) == 1))

    def _build(self, link: CcxtLink, instrument: Instrument, gapless: bool, scale: Scale) -> _Streams:
        o, symbol = self.options, instrument.symbol
        silent_s = o.patience.stale_s
        bbo = o.bbo and bool(link.exchange.has.get("watchBidsAsks"))
        return _Streams(
            symbol,
            scale,
            TradeSource(link, symbol, scale, gapless, self._clock, o.backfill, silent_s),
            BookSource(link, symbol, scale, self._clock, o.book_depth, silent_s),
            BboSource(link, symbol, scale, self._clock) if bbo else None,
        )

    # --- warm-up ------------------------------------------------------------------------------------

    async def history(self, instrument: Instrument, since_ns: int) -> tuple[EventArray, BarArray]:
        """Return (trades, one-minute klines) from ``since_ns`` (our clock) on, as far as limits allow."""
        link, streams = self._connected_link(), self._streams_of(instrument)
        offset_ns = link.clock.offset_ns
        since_ms = (since_ns + offset_ns) // NS_PER_MS
        until_ms = (self._clock.now_ns() + offset_ns) // NS_PER_MS
        limits = self.options.history
        trades = await recent_trades(link, streams.symbol, streams.scale, since_ms, limits)
        bars = await recent_bars(link, streams.symbol, streams.scale, since_ms, until_ms, limits)
        return streams.trades.seed(trades), bars

    async def book_now(self, instrument: Instrument) -> BookSample | None:
        """The book of this moment, asked for; None where there is none to be had."""
        streams = self._streams_of(instrument)
        return await book_now(self._connected_link(), streams.symbol, streams.scale)

    def go_on(self, instrument: Instrument, before: TradesBefore) -> None:
        """Let the stream continue a tape: it fetches what was missed since. Call it before ``stream``."""
        self._streams_of(instrument).trades.go_on(before)

    def _streams_of(self, instrument: Instrument) -> _Streams:
        return next(s for s in self._streams if s.scale.number == instrument.number)

    def _connected_link(self) -> CcxtLink:
        if self._link is None or not self._streams:
            raise InternalError("the feed is not connected: call instruments() before history() or stream()")
        return self._link

    # --- streaming ----------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[EventArray]:
        """Yield batches of whole exchange updates until ``close``. Raises what no retry can mend."""
        link, o = self._connected_link(), self.options
        self._outbox = outbox = Outbox(o.crowded_rows, o.hard_rows)
        link.clock.take_steps()  # before the stream there was nothing to mark
        self._stamps = StampWatch(link.clock, self._clock)
        self._start(self._keep_clock(link))
        self._start(_look_for_stalls(link))
        for streams in self._streams:
            for source in streams.sources():
                source.outbox = outbox
                if not isinstance(source, BboSource):
                    source.stamps = self._stamps
                wait_s = None if isinstance(source, BboSource) else source.wait_s
                supervisor = Supervisor(
                    source, outbox, self._clock, o.patience, partial(self._fatal, Bearing()), wait_s
                )
                self._supervisors.append(supervisor)
                self._start(supervisor.run())
            if streams.trades.went_on:
                self._start(streams.trades.catch_up())
        try:
            while not self._closed:
                rows = await outbox.take(o.batch_rows)
                if rows is None:
                    return
                yield rows
        finally:
            await self._stop()

    def _start(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._outbox is not None:
            self._outbox.fail(error)

    def _fatal(self, bearing: Bearing, error: Exception, failures: int, messages: int) -> Exception | None:
        """The errors no retry mends: the exchange does not do this at all, or refuses it again and again.

        One such error is one odd frame, and a stream that has brought something is one that it does.
        """
        through = "" if self._link is None else self._link.through
        kind = refusal_of(error, through)
        if bearing.too_long(kind, self._clock.now_ns(), anew=failures == 1) and kind is not None:
            return ExchangeError(f"for {kind.borne_s} s: {sentence(kind, self.name, through, error)}")
        if messages or kind is not None:
            return None
        ccxt = load_ccxt()
        if isinstance(error, ccxt.BadSymbol | ccxt.AuthenticationError):
            self._refusals += 1
        if isinstance(error, ccxt.NotSupported) or self._refusals >= _REFUSALS:
            return ExchangeError(f"{self.name} does not stream this ({_brief(error)}): {self._advice()}")
        return None

    async def _keep_clock(self, link: CcxtLink) -> None:
        while True:
            await self._until_look_is_due()
            try:
                looked = await link.measure_clock()
            except Exception:
                self._clock_failures += 1  # the last estimate stands
            else:
                if looked:  # else nothing was learned, and what waits goes on waiting
                    self._clock_looked()

    async def _until_look_is_due(self) -> None:
        """Wait for the next look at the exchange's clock, or until stamps make one due; tell of steps."""
        loop, every_s = asyncio.get_running_loop(), self.options.clock_every_s
        began_s = loop.time()
        while loop.time() - began_s < every_s:
            await asyncio.sleep(min(_DOUBT_S, every_s))
            self._tell_steps()
            self._tell_refused()
            self._tell_ban()
            if self._stamps is not None and self._stamps.doubted and loop.time() >= self._doubt_again_s:
                self._doubt_again_s = loop.time() + self._doubt_pause_s
                self._doubt_pause_s = min(2 * self._doubt_pause_s, every_s)
                return

    def _clock_looked(self) -> None:
        stepped = self._tell_steps()
        if self._stamps is not None and self._connected_link().exchange.has.get("fetchTime"):
            self._stamps.looked()
            for streams in self._streams:
                streams.trades.clock_looked(stepped=stepped)

    def _tell_refused(self) -> None:
        """Say what is not believed, when it is more than a trickle and each time that it has doubled."""
        health = self.health()
        if health.trickles and health.refused >= 2 * self._refused_told:
            self._refused_told = health.refused
            names = ("malformed", "odd_ids", "impossible", "book_refused", "bad_frames", "rest_rejected")
            counts = {name: health[name] for name in names if health[name]}
            log.warning("refused", exchange=self.exchange_id, errors=list(health.last_errors), **counts)

    def _tell_ban(self) -> None:
        """Say once that REST is not asked any more, and once that it is again."""
        link = self._connected_link()
        if link.ban.error is not self._ban_told:
            self._ban_told = error = link.ban.error
            if error is None:
                log.info("ban_over", exchange=self.exchange_id)
            else:
                said = sentence(Refusal.BANNED, self.name, link.through, error)
                log.warning("banned", exchange=self.exchange_id, meaning=said)

    def _tell_steps(self) -> bool:
        """A step of a clock is a fault of every instrument's data. Returns whether there was one."""
        before = self._clock_steps
        for step in self._connected_link().clock.take_steps():
            self._clock_steps += 1
            self._doubt_pause_s = _DOUBT_PAUSE_S
            log.warning("clock_step", by_s=step.by_ns / NS_PER_S, exchange=self.exchange_id)
            for streams in self._streams:
                row = mark_row(Kind.CLOCK_STEP, Flag.TRADES | Flag.BOOK, streams.scale.number, step.since_ns)
                row["qty_lots"], row["side"] = abs(step.by_ns) // NS_PER_MS, 1 if step.by_ns > 0 else -1
                if self._outbox is not None:
                    self._outbox.put(row)
        return self._clock_steps > before

    async def close(self) -> None:
        """Stop the stream and close every connection. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        if self._outbox is not None:
            self._outbox.close()
        await self._stop()  # first: a watcher that outlived the client would connect again
        if self._link is not None:
            await self._link.close()

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        waiting = set(tasks)
        while waiting:  # again and again: a wait that ends as it is cancelled swallows one cancellation
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=0.5)
        await asyncio.gather(*(s.trades.stop() for s in self._streams))

    def round_trips(self) -> list[tuple[int, int]]:
        """(sent_ns, ns) of the small requests timed since the last call."""
        taken = [] if self._link is None else list(self._link.round_trips)
        if self._link is not None:
            self._link.round_trips.clear()
        return taken

    # --- health -------------------------------------------------------------------------------------

    def health(self) -> FeedHealth:
        link, outbox = self._link, self._outbox
        return FeedHealth(
            **self._trade_counters(),
            **self._book_counters(),
            ids=[_ids(s.trades) for s in self._streams],
            reconnects=sum(s.counters.failures + s.counters.restarts for s in self._supervisors),
            stale=sum(s.counters.stale for s in self._supervisors),
            stale_now=[f"{s.source.name}:{s.source.number}" for s in self._supervisors if s.is_stale],
            stale_ns=sum(s.stale_ns() for s in self._supervisors),
            last_errors=[s.counters.last_error for s in self._supervisors if s.counters.last_error],
            waiting_rows=0 if outbox is None else outbox.rows,
            most_waiting_rows=0 if outbox is None else outbox.most_rows,
            bad_frames=0 if link is None else link.bad_frames,
            rest_rejected=0 if link is None else link.rest_rejected,
            joining=sum(s.trades.joining for s in self._streams),
            clock_offset_ns=0 if link is None else link.clock.offset_ns,
            clock_failures=self._clock_failures,
            clock_steps=self._clock_steps,
            clock_round_trip_ns=None if link is None else link.clock.round_trip_ns,
        )

    def _trade_counters(self) -> dict[str, int]:
        trades = [s.trades for s in self._streams]
        covered = [t.coverage for t in trades if t.coverage is not None]
        return {
            **{f.name: sum(getattr(t.counters, f.name) for t in trades) for f in fields(TradeCounters)},
            "duplicates": sum(t.ledger.duplicates + t.seen.duplicates for t in trades),
            "range_overlaps": sum(c.overlaps for c in covered),
            "range_missing": sum(c.missing for c in covered),
        }

    def _book_counters(self) -> dict[str, int]:
        books = [s.book for s in self._streams]
        names = ("updates", "snapshots", "gaps", "conflated", "crossed", "refused")
        return {
            **{f"book_{name}": sum(getattr(b.counters, name) for b in books) for name in names},
            "book_off_tick": sum(b.differ.off_tick for b in books),
        }


def _ids(source: TradeSource) -> str:
    """What a symbol's trade ids can show: where they are not gapless, gaps are not found by id."""
    if source.hashed:
        return "hashed: repeats are found, gaps only by interruption"
    return "gapless" if source.gapless else "sparse: repeats are found, gaps only by interruption"


async def _look_for_stalls(link: CcxtLink) -> None:
    while True:
        link.stalls.look()
        await asyncio.sleep(LOOK_S)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]


def embedded_feed(endpoint: EndpointLike, clock: Clock, *, options: FeedOptions | None = None) -> CcxtFeed:
    """The feed of ``--exchange embedded``: ccxt's binance, every host resolved to loopback."""

    def session() -> aiohttp.ClientSession:
        from connectors.embedded.loopback import loopback_session

        return loopback_session(endpoint.port, endpoint.ca_file)

    return CcxtFeed("binance", clock, session_factory=session, options=options, name=EMBEDDED)
