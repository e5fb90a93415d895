"""A live run, whole: the real ccxt client over TLS, the engine, a session, SQLite, and its replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from agent import app
from agent.app.replay_session import replay_session
from agent.app.venue_setup import venue_setup
from agent.calibration.measured_files import resolved
from agent.calibration.session_calibration import Calibration, write_latencies
from agent.config import Config, LatencyMs, Order, Venue
from agent.core.events import AuditEvent, CommandKind, SlippageMeasured
from agent.core.market.tape import Flag, Kind
from agent.core.orders.venue_messages import Report
from agent.core.types import MarketView, OrderView, Slice
from agent.deciding.decision_thread import DecisionThread, ThreadedPolicy
from agent.journal import round_trips
from agent.orders import build_spec
from agent.runtime import LiveRun
from agent.shadow import shadow_specs
from agent.summary import Summary
from agent.system_clock import SystemClock
from agent.venue.outside import OutsideVenue
from connectors.ccxt_feed import CcxtFeed
from storage.log import queries
from storage.log.execution_log import SqlExecutionLog
from storage.log.kept_log import KeptLog
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import leave
from tests.integration.faulty_binance import FaultyBinance

S = 10**9


class Slow:
    """An algo that answers too late, always."""

    name = "slow"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        import time

        time.sleep(0.4)
        return Slice(1.0, True)


class Link(Protocol):
    """The other half of a venue outside, as a test scripts it."""

    venue: OutsideVenue

    @property
    def waiting(self) -> bool: ...

    def release(self) -> None: ...

    def connect(self, deliver: Callable[[Report], None], session: Path) -> None: ...


class Live:
    """A server, a feed, and a run of one order on them."""

    def __init__(self, folder: Path, order: Order) -> None:
        self.folder, self.path = folder, folder / "session"
        self.config = Config(order=order, database=f"sqlite:///{folder / 'agent.db'}")
        self.server, self.clock = FaultyBinance(), SystemClock()
        self.events: list[AuditEvent] = []

    async def run(
        self,
        *,
        slow: bool = False,
        command: CommandKind | None = None,
        link: Link | None = None,
        missed: int = 0,
    ) -> Summary:
        """``missed``: trades between the history that is fetched and the stream."""
        await self.server.start(self.folder)
        feed = CcxtFeed("binance", self.clock, session_factory=self.server.session)
        (instrument,) = await feed.instruments(["BTC/USDT"])
        config, name = self.config, "live"
        header = SessionHeader(
            name,
            (instrument,),
            self.clock.now_ns(),
            config=config.model_dump(mode="json"),
            fingerprint=app.fingerprint(config),
            route=link.venue.route() if link else {},
        )
        log = KeptLog(SqlExecutionLog(config.database, name, [instrument]))
        await log.open(opened_ns=self.clock.now_ns(), balances=config.venue.balances)
        late: list[str] = []
        thread = DecisionThread(self.clock, ThreadPoolExecutor(1))
        engine = app.build_engine(
            config,
            [instrument],
            lambda s: ThreadedPolicy(Slow() if slow else app.algo(s.algo, config), thread, late),
            outside=link.venue if link else None,
        )
        summary = Summary([instrument])
        writer = SessionWriter.create(self.path, header)

        def watch(events: Sequence[AuditEvent]) -> None:
            self.events.extend(events)
            summary.add(events)

        parts = (feed, engine, writer, log, self.clock, late, watch, link)
        live = LiveRun(*parts)
        if link is not None:
            link.connect(live.deliver, self.path)
        await self.server.trade(20)
        live.warm_up(*await feed.history(instrument, self.clock.now_ns() - 600 * S))
        await self.server.trade(missed)

        async def begin() -> None:
            spec = build_spec(config.order, instrument, f"{name}-P1", None)
            live.start(spec, shadow_specs(spec, config.order.shadows))
            if command is not None:
                await leave(config.database, name, "c1", command, created_ns=self.clock.now_ns())

        play = asyncio.create_task(self.server.play(20, 100))
        try:
            done = live.run(begin, lambda: bool(engine.workers) and engine.settled)
            await asyncio.wait_for(done, 30)
        finally:
            play.cancel()
            await asyncio.gather(play, return_exceptions=True)
            await self.server.stop()
            thread.close()
            self.end = await log.finish(closed_ns=self.clock.now_ns(), seq=engine.seq, state="closed")
        return summary


def order(**changes: object) -> Order:
    base = {
        "quantity": Decimal("0.5"),
        "min_duration": 2 * S,
        "max_duration": 3 * S,
        "interval": S,
        "algo": "twap",
        "shadows": ("vwap",),
    }
    return Order(**{**base, **changes})  # type: ignore[arg-type]


async def test_a_run_is_stored_and_replays_to_the_same_bytes(tmp_path: Path) -> None:
    """From the ccxt client to rows in SQLite; the replay's digest is the run's."""
    live = Live(tmp_path, order())
    summary = await live.run()
    (parent,) = summary.parents()
    assert (parent["state"], parent["filled"]) == ("completed", "0.50000")
    rows = (await asyncio.to_thread(queries.query, live.config.database, "parents")).dicts()
    assert [(r["parent_id"], r["state"], r["filled"]) for r in rows] == [("live-P1", "completed", "0.50000")]
    fills = (await asyncio.to_thread(queries.query, live.config.database, "fills")).dicts()
    assert sum(Decimal(str(f["quantity"])) for f in fills) == Decimal("0.5")
    replayed = replay_session(live.path, None, override=False, verify=True, speed=None)
    assert replayed.result.match is True, replayed.result.difference
    assert [p["id"] for p in replayed.summary.parents()] == ["live-P1"]


async def test_an_order_starts_when_its_history_is_joined(tmp_path: Path) -> None:
    """Trades between the fetched history and the stream come before the order, so no number is marked."""
    live = Live(tmp_path, order())
    await live.run(missed=30)
    reader = SessionReader(live.path)
    (start,) = (entry for entry in reader.journal() if entry["kind"] == "start")
    rows = reader.events()
    fetched = rows[(rows["kind"] == Kind.TRADE) & ((rows["flags"] & Flag.BACKFILL) != 0)]
    assert len(fetched) >= 30
    assert fetched["recv_ns"].max() < start["recv_ns"]
    measured = [e for e in live.events if isinstance(e, SlippageMeasured)]
    assert measured
    assert not any("late_trades" in shares for e in measured for shares in e.flags.values())


async def test_round_trips_are_measured_recorded_and_given_back(tmp_path: Path) -> None:
    """The clock's requests at connecting are in the journal; as a file they become the venue's latency."""
    live = Live(tmp_path, order(shadows=()))
    await live.run()
    trips = round_trips(SessionReader(live.path).journal())
    assert len(trips) >= 5
    assert all(sent_ns > 0 and 0 < ns < 5 * S for sent_ns, ns in trips)
    empty = np.zeros((0, 2), np.int64)
    found = Calibration("live", {}, {}, {"round_trip": np.array(trips), "market_data_book": empty})
    (file,) = write_latencies(found, tmp_path / "measured")
    config = resolved(Config(venue=Venue(entry=LatencyMs(measured=file, draw="nearest"))))
    entry = venue_setup(config).rules.latencies.entry
    assert [entry.draw(1, 0, 1, sent_ns) for sent_ns, _ in trips] == [ns // 2 for _, ns in trips]


async def test_late_decisions_fall_back_and_replay_the_same(tmp_path: Path) -> None:
    """A model that is always late: the fallback acts, the journal says so, the replay agrees."""
    live = Live(tmp_path, order(shadows=()))
    summary = await live.run(slow=True)
    decisions = summary.records["live-P1"].decisions
    assert decisions
    assert all(d.overrun and d.algo == "optimal_stopping" for d in decisions if not d.view.finishing)
    assert summary.parents()[0]["state"] == "completed"
    replayed = replay_session(live.path, None, override=False, verify=True, speed=None)
    assert replayed.result.match is True, replayed.result.difference


@pytest.mark.parametrize("kind", [CommandKind.CANCEL, CommandKind.KILL])
async def test_a_command_from_outside_is_journalled_and_obeyed(tmp_path: Path, kind: CommandKind) -> None:
    """A row in ``commands`` ends the order within moments, is answered, and replays."""
    live = Live(tmp_path, order())
    summary = await live.run(command=kind)
    parent = summary.parents()[0]
    assert parent["state"] == "cancelled"
    assert kind.value in parent["reason"]
    answered = await asyncio.to_thread(queries.sql, live.config.database, "SELECT outcome FROM commands")
    assert answered.rows[0][0]
    replayed = replay_session(live.path, None, override=False, verify=True, speed=None)
    assert replayed.result.match is True, replayed.result.difference
