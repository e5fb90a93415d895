"""Live runs of the feed under faults of one stream, through the real ccxt client over TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.market.tape import Flag, Kind
from agent.system_clock import SystemClock
from connectors.backfill import BackfillLimits
from connectors.ccxt_feed import CcxtFeed
from connectors.supervisor import Patience
from tests.integration.faulty_binance import FaultyBinance
from tests.integration.test_ccxt_feed import QUICK, Run, expected, live, served

Event = dict[str, Any]
LIMITS = BackfillLimits(first_wait_s=0.1, most_wait_s=1.0, deadline_s=30.0)
OPTIONS = replace(QUICK, patience=Patience(stale_s=10.0, most_wait_s=1.0), backfill=LIMITS)


@pytest.fixture
async def run(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Run]:
    """A feed of the usual patience, 10 s where it has no better evidence; a test may give other options."""
    async for made in served(tmp_path, getattr(request, "param", OPTIONS)):
        yield made


async def keeps_trading(run: Run, what: Callable[[], bool], seconds: float) -> float:
    """Let the market go on until a condition holds. Returns how long that took, in seconds."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {run.feed.health()}"
        assert run._task is not None
        assert not run._task.done(), run._task
        await run.server.play(0.1)
    return time.monotonic() - began


def once(change: Event, nth: int = 3) -> Callable[[Event], Event]:
    """Changes one trade of the stream, the n-th from now."""
    left = [nth]

    def rewrite(event: Event) -> Event:
        left[0] -= 1
        changed = event | change
        return {k: v for k, v in changed.items() if v != "gone"} if left[0] == 0 else event

    return rewrite


async def whole(run: Run) -> None:
    """Every trade of the market on the tape once, none lost, no gap left open."""
    await run.until(lambda: sorted(run.trades()) == expected(run))
    marks = run.kinds(Flag.TRADES)
    assert marks.count(Kind.GAP_BEGIN) == marks.count(Kind.GAP_END)
    assert run.feed.health().lost == 0


async def test_a_lost_subscription_of_trades_is_noticed_while_the_book_goes_on(run: Run) -> None:
    """Within 2 s: the market's own rate makes the look due, REST shows what the stream does not bring."""
    await live(run)
    await run.server.play(1.5)
    run.server.forget("aggTrade")
    took = await keeps_trading(run, lambda: Kind.STALE in run.kinds(Flag.TRADES), 6)
    assert took < 3.0  # 1 s by the rate, 0.5 s to be sure, and what a slow machine needs
    await keeps_trading(run, lambda: any("aggTrade" in n for s in run.server.sockets.values() for n in s), 5)
    await run.server.play(0.3)
    await whole(run)
    assert run.feed.health().book_gaps == 0


async def test_a_lost_subscription_of_the_book_is_noticed_while_trades_go_on(run: Run) -> None:
    """Within 3 s: REST has another touch than the stream, and a moment later still."""
    await live(run)
    await run.server.play(1.5)
    run.server.forget("depth")
    took = await keeps_trading(run, lambda: Kind.STALE in run.kinds(Flag.BOOK), 6)
    assert took < 4.0
    await keeps_trading(run, lambda: any("depth" in n for s in run.server.sockets.values() for n in s), 5)
    await keeps_trading(run, lambda: run.book() == run.server_book(), 5)
    await whole(run)
    assert run.feed.health().gaps == 0


@pytest.mark.slow
async def test_a_book_that_stands_still_is_not_called_dead_by_its_rate(run: Run) -> None:
    """REST has the same touch: quiet, until the usual patience is over."""
    await live(run)
    await run.server.play(1.5)
    await asyncio.sleep(4.0)
    assert run.kinds(Flag.BOOK) == []
    assert run.kinds(Flag.TRADES) == []


@pytest.mark.parametrize("wild", [10**18, 2**70, 10**9, 5, -7, "abc", None, "gone", 1e300, [1], True])
async def test_a_wild_id_in_one_frame_costs_nothing(run: Run, wild: object) -> None:
    """What follows is no repeat, and the trade is fetched under its true id."""
    await live(run)
    await run.server.play(0.3)
    run.server.rewrite = once({"a": wild})
    await run.server.play(0.8)
    await whole(run)
    health = run.feed.health()
    assert health.odd_ids + health.malformed + health.duplicates + health.bad_frames >= 1
    assert health.new_counts == 0
    assert sum(r["qty_lots"] for r in run.tape if r["kind"] == Kind.GAP_END) == 0


async def test_a_wild_id_at_the_end_of_trading_is_settled_by_rest(run: Run) -> None:
    """Nothing follows that would show it: REST is asked, and brings the trade under its true id."""
    await live(run)
    await run.server.play(0.5)
    run.server.rewrite = once({"a": 10**12}, nth=1)
    await run.server.trade(1)
    await run.until(lambda: run.feed.health().odd_ids == 1, 4)
    await whole(run)


@pytest.mark.parametrize("cut", [False, True])
async def test_ids_that_start_again_lower_are_followed(run: Run, cut: bool) -> None:
    """An exchange's reset, with a break of the connection or without: all that follow reach the tape."""
    await live(run)
    await run.server.play(0.5)
    before = len(run.trades())
    assert before > 20
    run.server.count_anew()
    if cut:
        await run.server.drop()
        await run.server.trade(7)
    took = await keeps_trading(run, lambda: run.feed.health().new_counts == 1, 6)
    assert cut or took < 2.0
    await run.server.play(0.3)
    await run.until(lambda: sorted(run.trades()) == sorted(expected_of_both(run)))
    assert run.feed.health().lost == 0


def expected_of_both(run: Run) -> list[int]:
    """Ids of the old count from the first streamed on, and of the new one."""
    server = run.server
    old = [t["a"] for t in server.aggregates[: server.counted_from] if t["a"] >= run.trades()[0]]
    return old + [t["a"] for t in server.aggregates[server.counted_from :]]


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 429, 0])
async def test_a_hole_is_filled_when_rest_answers_again(run: Run, status: int) -> None:
    """REST says 503, 429 or [] for 9 s while trades are missing: asked again until it has them."""
    await live(run)
    await run.server.play(0.3)
    run.server.rest_status = status
    await run.server.drop()
    await run.server.trade(40)
    await keeps_trading(run, lambda: run.feed.health().gaps == 1, 5)
    asked = len(run.server.rest_calls)
    await asyncio.sleep(9.0)
    assert 3 < len(run.server.rest_calls) - asked < 40
    assert run.feed.health().lost == 0
    run.server.rest_status = 200
    await whole(run)
    assert run.feed.health().backfilled >= 40


SHORT = replace(OPTIONS, backfill=replace(LIMITS, deadline_s=2.0))


@pytest.mark.slow
@pytest.mark.parametrize("run", [SHORT], indirect=True)
async def test_during_a_ban_nothing_is_asked_and_nothing_lost(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says until when. A hole waits for the end of the ban, whatever time it has otherwise."""
    await live(run)
    await run.server.play(0.3)
    run.server.banned_until_ms = run.server.now_ms() + 4000
    await run.server.drop()
    await run.server.trade(40)
    asked = len(run.server.rest_calls)
    await keeps_trading(run, lambda: len(run.server.rest_calls) > asked, 5)
    await keeps_trading(run, lambda: run.server.now_ms() > run.server.banned_until_ms - 200, 5)
    assert len(run.server.rest_calls) - asked <= 2  # trades and the book may ask at the same moment
    await keeps_trading(run, lambda: run.book() == run.server_book(), 8)
    await whole(run)
    assert run.feed.health().backfilled >= 40
    assert "has banned this address" in "".join(capfd.readouterr())


@pytest.mark.parametrize("run", [replace(OPTIONS, patience=Patience(stale_s=1.0))], indirect=True)
async def test_a_quiet_book_keeps_its_connection_and_its_age(run: Run) -> None:
    """Nothing moves for three patiences: REST has the same book, and the tape says that it is so."""
    await live(run)
    await run.server.play(0.3)
    before = run.feed.health().reconnects
    await asyncio.sleep(3.5)
    assert run.kinds(Flag.BOOK) == []
    assert run.feed.health().reconnects == before
    last = run.tape[run.tape["kind"] == Kind.LEVEL][-1]
    assert SystemClock().now_ns() - int(last["exch_ns"]) < 2e9
    await run.server.play(0.3)
    await run.until(lambda: run.book() == run.server_book())


HOUR_MS = 3_600_000


@pytest.mark.parametrize("stamp", ["late", "early", 1e300, 2**70, -5, 0, "x", None, "gone", [], True])
async def test_a_wild_stamp_in_one_frame_costs_nothing(run: Run, stamp: object) -> None:
    """An hour ahead, or nothing that is a time: refused, and fetched with its true stamp."""
    await live(run)
    await run.server.play(0.3)
    wild = {"late": run.server.now_ms() + HOUR_MS, "early": run.server.now_ms() - HOUR_MS}
    run.server.rewrite = once({"T": wild.get(str(stamp), stamp)})
    await run.server.play(0.8)
    await whole(run)
    trades = run.tape[run.tape["kind"] == Kind.TRADE]
    true_ms = {t["a"]: t["T"] for t in run.server.aggregates}
    off_ms = [abs(int(r["exch_ns"]) // 10**6 - true_ms[int(r["ext_id"])]) for r in trades]
    assert max(off_ms) < 1000
    health = run.feed.health()
    assert health.malformed + health.bad_frames >= 1
    assert health.clock_steps == 0


@pytest.mark.parametrize("by_ms", [20_000, HOUR_MS, -20_000])
async def test_a_step_of_the_clock_is_proven_and_marked(run: Run, by_ms: int) -> None:
    """As when the machine has slept: the offset follows at once, every trade has a stamp of our clock."""
    await live(run)
    await run.server.play(0.6)
    began = time.monotonic()
    run.server.clock_ahead_ms += by_ms
    await keeps_trading(run, lambda: run.feed.health().clock_steps == 1, 5)
    assert time.monotonic() - began < 3
    await run.server.play(0.5)
    await whole(run)
    (step,) = [r for r in run.tape if r["kind"] == Kind.CLOCK_STEP]
    assert abs(int(step["side"]) * int(step["qty_lots"]) - by_ms) < 100
    assert abs(run.feed.health().clock_offset_ns / 1e6 - by_ms) < 500
    if by_ms > 0:
        now_ns = SystemClock().now_ns()
        trades = run.tape[run.tape["kind"] == Kind.TRADE]
        assert now_ns - 20e9 < trades["exch_ns"].min()
        assert trades["exch_ns"].max() < now_ns + 1e9


@pytest.mark.parametrize("run", [replace(OPTIONS, clock_every_s=0.3)], indirect=True)
async def test_one_wild_answer_of_the_clock_is_no_step(run: Run) -> None:
    """It is asked again at once; two that say the same are a step."""
    await live(run)

    def looks() -> int:
        return sum(call.startswith("time") for call in run.server.rest_calls)

    run.server.wild_times, before = 1, looks()
    await keeps_trading(run, lambda: looks() >= before + 4, 5)
    assert run.feed.health().clock_steps == 0
    run.server.wild_times = 2
    await keeps_trading(run, lambda: run.feed.health().clock_steps >= 1, 5)


@pytest.mark.parametrize("ahead_ms", [20_000, -20_000])
async def test_without_a_clock_to_ask_stamps_bound_the_offset(tmp_path: Path, ahead_ms: int) -> None:
    """Our clock 20 s behind the exchange's, or before it: within seconds stamps are of our clock."""
    server = FaultyBinance(clock_ahead_ms=ahead_ms)
    await server.start(tmp_path)
    await server.trade(50)
    config: Event = {"has": {"fetchTime": False}}
    feed = CcxtFeed("binance", SystemClock(), session_factory=server.session, options=OPTIONS, config=config)
    run = Run(server, feed)
    try:
        await live_within(run)
        await keeps_trading(run, lambda: abs(feed.health().clock_offset_ns / 1e6 - ahead_ms) < 500, 4)
        await server.play(0.3)
        await whole(run)
        assert feed.health().clock_steps == 0
        last = run.tape[run.tape["kind"] == Kind.TRADE][-1]
        assert abs(SystemClock().now_ns() - int(last["exch_ns"])) < 2e9
        server.clock_ahead_ms += 3_600_000
        await keeps_trading(run, lambda: feed.health().clock_steps == 1, 4)
        await server.play(0.3)
        await whole(run)
    finally:
        await run.close()
        await server.stop()


async def live_within(run: Run) -> None:
    """As ``live``, where the first trades may have to wait for what their stamps prove."""
    await run.feed.instruments(["BTC/USDT"])
    run.start()
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await keeps_trading(run, lambda: bool(run.trades()), 5)
