"""Embedded exchange (own process) -> ccxt -> feed -> recorded tape and engine: what is lost, what it costs.

``python benchmarks/bench_tape.py [--trades-per-s N] [--seconds 60]``. Every raw trade played must be on the
tape exactly once, judged by lots and money. Our own cost is the CPU time spent in the feed's ``drain`` and in
``LiveRun.ingest`` (stamp, record, engine), as a share of what the rest (ccxt, asyncio, TLS) used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent import app
from agent.config import Config
from agent.core.events import AuditEvent
from agent.core.market.tape import Flag, Kind
from agent.runtime import LiveRun
from agent.system_clock import SystemClock
from connectors.ccxt_books import BookSource
from connectors.ccxt_feed import embedded_feed
from connectors.ccxt_trades import TradeSource
from connectors.embedded.server import EmbeddedExchange, PlayFrom
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter

SYMBOL = "BTC/USDT"
QUIET_NS = 3 * 10**9


async def serve(pipe: Connection, rate: float, seconds: float) -> None:
    market = SyntheticMarket(1, (SYMBOL,), seconds=seconds, past_s=0, trades_per_s=rate)
    exchange = EmbeddedExchange(market, SystemClock(), play_from=PlayFrom.SUBSCRIBED)
    pipe.send((await exchange.start()).to_json())
    await exchange.wait_ended()
    trades = exchange.lane(SYMBOL).trades
    raw = trades.raw.rows
    pipe.send({"trades": int(raw["id"][-1] - raw["id"][0] + 1), "aggregates": len(trades.aggregates.rows)})
    await asyncio.to_thread(pipe.recv)
    await exchange.stop()


def run_server(pipe: Connection, rate: float, seconds: float) -> None:
    asyncio.run(serve(pipe, rate, seconds))


class Meter:
    """CPU seconds spent inside the functions it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - began

        setattr(owner, name, timed)


class NoLog:
    def take(self, events: Sequence[AuditEvent]) -> None:
        """Nothing is traded."""

    def commands(self) -> Sequence[Any]:
        return ()


async def measure(rate: float, seconds: float, folder: Path) -> dict[str, Any]:
    ours, theirs = mp.get_context("spawn").Pipe()
    server = mp.get_context("spawn").Process(target=run_server, args=(theirs, rate, seconds))
    server.start()
    endpoint = await asyncio.to_thread(ours.recv)
    meter = Meter()
    for source in (TradeSource, BookSource):
        meter.wrap(source, "drain")
    clock = SystemClock()
    feed = embedded_feed(SimpleNamespace(port=endpoint["port"], ca_file=Path(endpoint["ca_file"])), clock)
    (instrument,) = await feed.instruments([SYMBOL])
    writer = SessionWriter.create(folder / "s", SessionHeader("s", (instrument,), clock.now_ns()))
    config = Config()
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    live = LiveRun(feed, engine, writer, NoLog(), clock, [], lambda events: None)
    ingest = Meter()
    ingest.wrap(live, "ingest")
    told = asyncio.create_task(asyncio.to_thread(ours.recv))
    cpu, began = time.process_time(), time.perf_counter()
    meter.seconds = 0.0

    async def begin() -> None:
        """Nothing is traded."""

    await live.run(begin, lambda: told.done() and live.quiet(QUIET_NS))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    own_s = meter.seconds + ingest.seconds
    played, health = told.result(), feed.health()
    ours.send("stop")
    await asyncio.to_thread(server.join)
    tape = SessionReader(folder / "s").events()
    trades = tape[(tape["kind"] == Kind.TRADE) & (tape["flags"] & Flag.HISTORY == 0)]
    return {
        "trades_per_s": round(played["trades"] / seconds),
        "messages_per_s": round(played["aggregates"] / seconds),
        "seconds": round(wall_s, 1),
        "messages_played": played["aggregates"],
        "messages_on_tape": len(trades),
        "duplicates": len(trades) - len(set(trades["ext_id"].tolist())),
        "lost": health.lost + health.range_missing + played["aggregates"] - len(trades),
        "gaps": health.gaps,
        "tape_rows": len(tape),
        "own_cost_share_of_ccxt": round(own_s / (cpu_s - own_s), 3),
        "feed_us_per_message": round(meter.seconds / max(1, len(trades)) * 1e6, 2),
        "record_and_engine_us_per_message": round(ingest.seconds / max(1, len(trades)) * 1e6, 2),
        "own_us_per_message": round(own_s / max(1, len(trades)) * 1e6, 2),
        "cpu_share": round(cpu_s / wall_s, 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trades-per-s", type=float, default=27_000, help="raw trades; see messages_per_s")
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(given.trades_per_s, given.seconds, Path(folder)))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
