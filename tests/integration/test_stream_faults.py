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
from tests.integration.test_ccxt_feed import QUICK, Run, expected, live

Event = dict[str, Any]
LIMITS = BackfillLimits(first_wait_s=0.1, most_wait_s=1.0, deadline_s=30.0)
OPTIONS = replace(QUICK, patience=Patience(stale_s=10.0, most_wait_s=1.0), backfill=LIMITS)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """A feed whose patience, where it has no better evidence, is the usual 10 s."""
    server = FaultyBinance()
    await server.start(tmp_path)
    await server.trade(50)
    feed = CcxtFeed("binance", SystemClock(), session_factory=server.session, options=OPTIONS)
    made = Run(server, feed)
    yield made
    await made.close()
    await server.stop()


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


@pytest.mark.parametrize("status", [503, 429, 418, 0])
async def test_a_hole_is_filled_when_rest_answers_again(run: Run, status: int) -> None:
    """REST says 503, 429, 418 or [] for 9 s while trades are missing: asked again until it has them."""
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
