"""Streams that never die, the outbox's bounds, and trades of exchanges whose ids have gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agent.core.errors import ExchangeError, InternalError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.system_clock import SystemClock
from connectors.access.ban import Ban
from connectors.backfill import BackfillLimits
from connectors.ccxt_markets import instrument_of, unknown_symbol
from connectors.ccxt_trades import TradeSource
from connectors.clock_offset import ClockOffset
from connectors.exchange_quirks import Quirks
from connectors.normalise import Scale, mark_row
from connectors.supervisor import Outbox, Patience, Supervisor

PATIENCE = Patience(stale_s=0.05, first_wait_s=0.001, most_wait_s=0.01)


class Script:
    """A source that plays a list of steps: an exception to raise, None to stay silent, or a message."""

    name, number, flag = "script", 0, Flag.TRADES

    def __init__(self, steps: list[Any], dead: bool = True) -> None:
        self.steps, self.dead = steps, dead
        self.got: list[Any] = []
        self.breaks = self.restarts = 0

    async def watch(self) -> Any:
        step = self.steps.pop(0) if self.steps else None
        if step is None:
            await asyncio.sleep(3600)
        if isinstance(step, BaseException):
            raise step
        return step

    def drain(self, got: Any | None) -> int:
        if got is None:
            return 0
        if got == "poison":
            raise ValueError("a bug of ours")
        self.got.append(got)
        return 1

    def broken(self) -> None:
        self.breaks += 1

    async def is_dead(self) -> bool:
        return self.dead

    def restart(self) -> None:
        self.restarts += 1


async def supervised(
    script: Script, until: Callable[[], bool], **kwargs: Any
) -> tuple[Supervisor, list[Kind]]:
    """Run a script until a condition holds; return the supervisor and the kinds on the tape."""
    outbox = Outbox()
    supervisor = Supervisor(script, outbox, SystemClock(), PATIENCE, **kwargs)
    task = asyncio.ensure_future(supervisor.run())
    try:
        async with asyncio.timeout(5):
            while not until():
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    outbox.close()
    kinds = []
    while (rows := await outbox.take(100)) is not None:
        kinds += [Kind(k) for k in rows["kind"]]
    return supervisor, kinds


async def test_errors_of_the_world_are_retried_for_ever() -> None:
    """Network errors, raw TypeErrors, even a CancelledError from the client: the stream goes on."""
    world: list[Any] = [ConnectionError("reset"), TypeError("no field"), asyncio.CancelledError(), "message"]
    script = Script(world)
    supervisor, _ = await supervised(script, lambda: script.got == ["message"])
    assert script.breaks == 3
    assert supervisor.counters.failures == 3


async def test_silence_is_stale_until_something_is_heard() -> None:
    """STALE once, a restart at each further silence, ALIVE with the next message, the time counted."""
    script = Script(["one", None, None, "two"])
    supervisor, kinds = await supervised(script, lambda: script.got == ["one", "two"])
    assert kinds[:2] == [Kind.STALE, Kind.ALIVE]
    assert script.restarts == supervisor.counters.restarts >= 2
    assert supervisor.counters.stale_ns >= 0.05e9


async def test_a_quiet_market_is_left_alone() -> None:
    """When the source says the market is quiet, silence neither restarts nor marks anything."""
    script = Script([None, None, "late"], dead=False)
    _, kinds = await supervised(script, lambda: script.got == ["late"])
    assert (kinds, script.restarts) == ([], 0)


class SlowToTell(Script):
    """REST takes an hour to say whether the stream is dead; meanwhile messages wait to be drained."""

    waiting = 0

    async def is_dead(self) -> bool:
        self.waiting = 3
        await asyncio.sleep(3600)
        return True

    def drain(self, got: Any | None) -> int:
        if got is None and self.waiting:
            self.got += ["waited"] * self.waiting
            taken, self.waiting = self.waiting, 0
            return taken
        return super().drain(got)


async def test_what_comes_while_rest_is_asked_is_taken_at_once() -> None:
    """The stream is alive then, whatever REST would have said in the end."""
    script = SlowToTell([None, "late"])
    _, kinds = await supervised(script, lambda: script.got == ["waited"] * 3 + ["late"])
    assert (kinds, script.restarts) == ([], 0)


async def test_a_bug_of_ours_is_not_retried() -> None:
    """What fails while rows are made stops the stream with that error."""
    with pytest.raises(ValueError, match="a bug of ours"):
        await supervised(Script(["poison"]), lambda: False)


async def test_an_error_no_retry_mends_is_raised() -> None:
    """``fatal`` turns an exchange's refusal into the error the user sees."""
    script = Script([KeyError("not supported")])
    with pytest.raises(ExchangeError, match="refused"):
        await supervised(script, lambda: False, fatal=lambda *_: ExchangeError("refused"))


def test_waits_grow_to_the_cap_and_the_first_retry_is_immediate() -> None:
    """0, then doubling from first_wait_s, never above most_wait_s."""
    patience = Patience(first_wait_s=0.1, most_wait_s=1.0)
    assert [patience.wait_s(k) for k in (1, 2, 3, 4, 50)] == [0.0, 0.1, 0.2, 0.4, 1.0]


def rows(n: int) -> EventArray:
    return np.concatenate([mark_row(Kind.ALIVE, Flag.BOOK, 0, i) for i in range(n)])


async def test_the_outbox_keeps_updates_whole_and_in_order() -> None:
    """Batches are joined up to the size asked for, never cut; closing ends the reader."""
    outbox = Outbox()
    for n in (2, 3, 4):
        outbox.put(rows(n))
    first, second = await outbox.take(5), await outbox.take(1)
    assert first is not None
    assert second is not None
    assert first["exch_ns"].tolist() == [0, 1, 0, 1, 2]
    assert len(second) == 4  # one update of four rows, though one row was asked for
    outbox.close()
    assert await outbox.take(5) is None


async def test_a_hopelessly_slow_reader_gets_a_clear_error() -> None:
    """The box grows up to its hard limit: trades are never dropped, the feed says what to do instead."""
    outbox = Outbox(crowded_rows=4, hard_rows=10)
    outbox.put(rows(6))
    assert outbox.crowded
    with pytest.raises(InternalError, match="hard_rows"):
        outbox.put(rows(5))


class SparseLink:
    """The requests a trade source makes, answered from a list: an exchange whose ids have gaps."""

    class Exchange:
        """As a ccxt exchange before its first trade: no cache, so what ``watch`` gave is what there is."""

        trades: dict[str, Any] = {}  # noqa: RUF012  (never written)

    def __init__(self, market: list[dict[str, Any]]) -> None:
        self.market, self.connections = market, 1
        self.quirks, self.clock, self.exchange = Quirks(), ClockOffset(), self.Exchange()
        self.ban = Ban(SystemClock())

    async def trades(self, symbol: str, *, from_id: int | None = None, since_ms: int | None = None) -> Any:
        return [t for t in self.market if t["timestamp"] >= (since_ms or 0)][:5]


def sparse_trade(n: int) -> dict[str, Any]:
    return {"id": str(7 * n), "price": 10.0, "amount": 1.0, "timestamp": 1000 * n, "side": "buy", "info": {}}


async def test_without_gapless_ids_an_interruption_is_bridged_by_time() -> None:
    """After a break the trades since the last one are fetched, repeats dropped, the gap closed: 0 lost."""
    btc = Instrument(0, "x", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.01"))
    market = [sparse_trade(n) for n in range(1, 30)]
    link: Any = SparseLink(market)
    limits = BackfillLimits(attempts=2, first_wait_s=0.001)
    source = TradeSource(link, "BTC/USDT", Scale.of(btc), False, SystemClock(), limits, 1.0)
    outbox = source.outbox = Outbox()
    source.drain(market[:10])
    source.broken()
    source.drain(market[20:])
    async with asyncio.timeout(5):
        assert source._repair is not None
        await source._repair
    outbox.close()
    tape = []
    while (got := await outbox.take(1000)) is not None:
        tape += list(got)
    ids = [int(r["ext_id"]) for r in tape if r["kind"] == Kind.TRADE]
    assert sorted(ids) == [7 * n for n in range(1, 30)]
    marks = [(Kind(r["kind"]), int(r["qty_lots"])) for r in tape if r["kind"] != Kind.TRADE]
    assert marks == [(Kind.GAP_BEGIN, 0), (Kind.GAP_END, 0)]
    assert source.counters.backfilled == 10


SPOT = {
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "limits": {"amount": {"min": 0.00015}, "cost": {"min": None}},
}


def test_precision_modes_give_exact_ticks() -> None:
    """Tick size, decimal places and significant digits become the decimals they stand for."""
    by_size = instrument_of({**SPOT, "precision": {"price": 0.01, "amount": 1e-05}}, 0, "x", 4)
    assert (by_size.tick, by_size.lot, by_size.min_lots) == (Decimal("0.01"), Decimal("0.00001"), 15)
    by_places = instrument_of({**SPOT, "precision": {"price": 2, "amount": 5}}, 0, "x", 2)
    assert (by_places.tick, by_places.lot) == (Decimal("0.01"), Decimal("0.00001"))
    by_digits = instrument_of({**SPOT, "precision": {"price": 5, "amount": 8}}, 0, "x", 3, price=61234.0)
    assert by_digits.tick == 1
    with pytest.raises(ExchangeError, match="no price tick"):
        instrument_of({**SPOT, "precision": {"price": None, "amount": 5}}, 0, "x", 4)


def test_an_unknown_symbol_names_what_was_probably_meant() -> None:
    """BTCUSDT and btc-usdt both lead to BTC/USDT."""
    listed = ["ETH/BTC", "BTC/USDT", "BTC/USDC"]
    assert "BTC/USDT" in str(unknown_symbol("BTCUSDT", "x", listed))
    assert "did you mean BTC/USDT" in str(unknown_symbol("btc-usdt", "x", listed))


async def test_a_stream_that_has_come_is_not_given_up() -> None:
    """What would be fatal at the start is retried once the stream has brought something."""
    script = Script(["one", KeyError("not supported"), "two"])
    told: list[tuple[int, int]] = []

    def fatal(error: Exception, failures: int, messages: int) -> Exception | None:
        told.append((failures, messages))
        return None if messages else error

    await supervised(script, lambda: script.got == ["one", "two"], fatal=fatal)
    assert script.breaks == 1
    assert told == [(1, 1)]
