"""Whole runs on the embedded exchange under faults: an order is worked, its measures say what they stand on.

Through the real ccxt client over TLS; each session is replayed to the same results.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.app.embedded_market import embedded_exchange
from agent.app.live.run_views import LiveResult
from agent.app.live_feed import Market
from agent.app.live_session import run_paper
from agent.app.replay_session import replay_session
from agent.app.world.run_world import World
from agent.config import Config, Feed, Order
from agent.core.clock import Clock
from agent.core.events import AuditEvent, ChildChanged, DecisionTaken, SlippageMeasured
from agent.core.json_types import JsonObject
from agent.core.market.tape import EventArray, Flag, Kind
from connectors.ccxt_feed import embedded_feed
from connectors.embedded.server import EmbeddedExchange
from storage.recordings.session import SessionReader
from tests.integration.test_parity import Quiet

pytestmark = pytest.mark.slow

S = 10**9
Fault = Callable[[EmbeddedExchange], None]


class Begins(Quiet):
    """Makes a fault at the order's first decision."""

    def __init__(self, fault: Callable[[], None]) -> None:
        self.events: list[AuditEvent] = []
        self._fault: Callable[[], None] | None = fault

    def add(self, events: Sequence[AuditEvent]) -> None:
        self.events += events
        if self._fault is not None and any(isinstance(e, DecisionTaken) for e in events):
            fault, self._fault = self._fault, None
            asyncio.get_running_loop().call_later(1.0, fault)


class Ran:
    """A run and what came of it."""

    def __init__(self, result: LiveResult, events: list[AuditEvent]) -> None:
        self.result, self.events = result, events
        (self.parent,) = result.summary.parents()
        self.measured = [e for e in events if isinstance(e, SlippageMeasured) and e.own_benchmark][-1]
        self.tape: EventArray = SessionReader(result.path).events()

    def flags(self, measure: str) -> dict[str, float]:
        return dict(self.measured.flags.get(measure, {}))


async def ran(folder: Path, fault: Fault, seconds: int = 8) -> Ran:
    """An order of so many seconds; ``fault`` is made a second after its first decision."""
    exchanges: list[EmbeddedExchange] = []

    @contextlib.asynccontextmanager
    async def open_feed(
        config: Config, clock: Clock, began_ns: int | None
    ) -> AsyncIterator[tuple[Any, Market]]:
        async with embedded_exchange(config, clock) as (exchange, endpoint):
            exchanges.append(exchange)
            feed = embedded_feed(endpoint, clock)
            try:
                yield feed, Market(lambda: exchange.ended)
            finally:
                await feed.close()

    order = Order(quantity=Decimal(1), interval=2 * S, min_duration=seconds * S, max_duration=seconds * S,
                  algo="twap", shadows=())  # fmt: skip
    config = Config(
        order=order, database=f"sqlite:///{folder / 'a.db'}", out=folder / "s", feed=Feed(warm_up=60 * S)
    )
    view = Begins(lambda: fault(exchanges[0]))
    result = await asyncio.wait_for(run_paper(config, view, world=World(open_feed=open_feed)), 120)
    replayed = replay_session(result.path, None, override=False, verify=True, speed=None)
    assert replayed.to_json()["match"] is True
    return Ran(result, view.events)


def changing(change: Callable[[int, dict[str, Any]], JsonObject], part: str = "aggTrade") -> Fault:
    """Changes messages of the streams whose names hold ``part``, by their number."""

    def fault(exchange: EmbeddedExchange) -> None:
        count = [0]

        def rewrite(stream: str, payload: JsonObject) -> JsonObject:
            if part not in stream:
                return payload
            count[0] += 1
            return change(count[0], dict(payload))

        exchange.faults.rewrite = rewrite

    return fault


@pytest.mark.parametrize("wild", ["-1.00", "times ten"])
async def test_an_impossible_price_moves_no_number(tmp_path: Path, wild: str) -> None:
    """Every seventh trade from some moment on: marked, kept as sent, in no benchmark, also when replayed."""

    def change(n: int, trade: dict[str, Any]) -> JsonObject:
        far = str(Decimal(trade["p"]) * 10) if wild == "times ten" else wild
        return {**trade, "p": far} if n % 7 == 0 else trade

    run = await ran(tmp_path, changing(change))
    trades = run.tape[run.tape["kind"] == Kind.TRADE]
    marked = trades["flags"] & Flag.IMPOSSIBLE != 0
    assert 3 < marked.sum() == run.result.feed.impossible
    middle = float(np.median(trades["price_ticks"]))
    far = (trades["price_ticks"] < middle / 2) | (trades["price_ticks"] > middle * 2)
    assert np.array_equal(far, marked)
    assert abs(run.measured.used_price * 100 / middle - 1) < 0.01
    assert 0 < run.flags("used_price")["impossible_price"] < 0.5
    assert run.parent["state"] == "completed"


async def test_lost_trades_flag_the_measures(tmp_path: Path) -> None:
    """The subscription of trades is lost while the book goes on: noticed, filled, and said of each number."""
    run = await ran(tmp_path, lambda exchange: exchange.forget_subscriptions("@aggTrade"))
    feed = run.result.feed
    assert (feed.lost, feed.range_missing, feed.range_overlaps) == (0, 0, 0)
    assert feed.stale == 1
    assert run.flags("used_price")["gap"] > 0
    assert run.parent["state"] == "completed"


async def test_odd_frames_end_nothing(tmp_path: Path) -> None:
    """Sizes of 1e30, stamps of 1e300, missing ranges, errors of any code: refused, counted, fetched."""
    odd: list[JsonObject] = [
        *({"q": "1e30"}, {"T": 1e300}, {"q": "-1"}, {"q": "0"}, {"p": "0"}, {"p": None}, {"T": None}),
        *({"f": None}, {"l": "x"}, {"a": "abc"}, {"a": 2**70}, {"a": 10**18}, {"e": "error"}, {"s": None}),
    ]

    def change(n: int, trade: dict[str, Any]) -> JsonObject:
        return {**trade, **odd[n // 5 % len(odd)]} if n % 5 == 0 else trade

    def fault(exchange: EmbeddedExchange) -> None:
        changing(change)(exchange)
        for code in (-1121, -2015, -1003, 2):
            exchange.send_frame(f'{{"error":{{"code":{code},"msg":"no"}}}}')

    run = await ran(tmp_path, fault)
    feed = run.result.feed
    assert run.parent["state"] == "completed"
    assert feed.refused > 5
    assert feed.lost == 0
    trades = run.tape[run.tape["kind"] == Kind.TRADE]
    ids = trades["ext_id"]
    assert len(np.unique(ids)) == len(ids) == ids.max() - ids.min() + 1


async def test_a_loop_that_stood_still_trades_on_nothing_it_did_not_see(tmp_path: Path) -> None:
    """No order goes out on a book of before; the time is marked, on the tape and in every measure."""
    stalled: list[int] = []

    def fault(exchange: EmbeddedExchange) -> None:
        stalled.append(time.time_ns())
        time.sleep(3.5)
        stalled.append(time.time_ns())

    run = await ran(tmp_path, fault, seconds=12)
    (lost,) = run.tape[run.tape["kind"] == Kind.LOST_TIME]
    assert 3.0 < (lost["exch_ns"] - lost["recv_ns"]) / S < 5.0
    assert run.flags("used_price")["lost_time"] > 0.1
    assert not [e for e in run.events if lost["recv_ns"] < e.at_ns < lost["exch_ns"]]
    later = (run.tape["kind"] == Kind.LEVEL) & (run.tape["exch_ns"] > lost["exch_ns"])
    fresh = run.tape[later]["recv_ns"].min()
    sent = {e.child_id: e.at_ns for e in reversed(run.events) if isinstance(e, ChildChanged)}
    assert not [at_ns for at_ns in sent.values() if lost["recv_ns"] < at_ns < fresh]
    assert [at_ns for at_ns in sent.values() if at_ns >= fresh]
