"""How many trades a second the embedded exchange streams to the unmodified ccxt client, none lost.

The exchange runs in a process of its own, as it does beside a live run. Every raw trade it played must be
named by exactly one aggregate that ccxt delivered, judged by first and last raw ids.

Run: ``python benchmarks/bench_feed.py [--trades-per-s 10000] [--seconds 60] [--client ccxt] [--no-book]``;
prints one JSON document. ``--client raw`` reads with plain aiohttp and orjson: the server's share; ``feed``
with the product's feed, all its checks and the tape's rows on top of ccxt. ``--paired N`` runs ccxt and the
feed in turn, N times, and prints what the feed adds to ccxt's processor time: the least of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from agent.core.market.tape import Kind
from agent.system_clock import SystemClock
from connectors.backfill import RangeCoverage
from connectors.ccxt_feed import embedded_feed
from connectors.ccxt_link import load_ccxt
from connectors.embedded.loopback import loopback_session
from connectors.embedded.server import EmbeddedExchange, Endpoint, PlayFrom
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket

SYMBOL = "BTC/USDT"
QUIET_S = 3.0  # after the market's end, so long without a trade means that no more will come


async def serve_load(pipe: Connection, rate: float, seconds: float) -> None:
    """Play ``seconds`` of market once somebody listens; then say what was played."""
    market = SyntheticMarket(1, (SYMBOL,), seconds=seconds, past_s=0, trades_per_s=rate)
    exchange = EmbeddedExchange(market, SystemClock(), play_from=PlayFrom.SUBSCRIBED)
    endpoint = await exchange.start()
    pipe.send(endpoint.to_json())
    await exchange.wait_ended()
    store = exchange.lane(SYMBOL).trades
    raw, aggregates = store.raw.rows, store.aggregates.rows
    cpu_s = (
        resource.getrusage(resource.RUSAGE_SELF).ru_utime + resource.getrusage(resource.RUSAGE_SELF).ru_stime
    )
    status = exchange.status()
    pipe.send(
        {
            "first": int(raw["id"][0]),
            "last": int(raw["id"][-1]),
            "last_aggregate": int(aggregates["id"][-1]),
            "aggregates": len(aggregates),
            "cpu_s": cpu_s,
            **status,
        }
    )
    await asyncio.to_thread(pipe.recv)  # told to stop
    await exchange.stop()


def run_server(pipe: Connection, rate: float, seconds: float) -> None:
    asyncio.run(serve_load(pipe, rate, seconds))


async def read_ccxt(
    endpoint: dict[str, Any], take: Callable[[list[dict[str, Any]]], None], book: bool
) -> None:
    """Watch aggregates (and the book) with ccxt until cancelled."""
    import ccxt.pro

    session = loopback_session(endpoint["port"], endpoint["ca_file"])
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    options |= {"watchTrades": {"name": "aggTrade"}, "tradesLimit": 200_000}
    binance = ccxt.pro.binance({"session": session, "newUpdates": True, "options": options})

    async def books() -> None:
        while True:
            await binance.watch_order_book(SYMBOL, 1000)

    try:
        await binance.load_markets()
        watching = asyncio.create_task(books()) if book else None
        try:
            while True:
                take([trade["info"] for trade in await binance.watch_trades(SYMBOL)])
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    finally:
        await binance.close()
        await session.close()


async def read_raw(endpoint: dict[str, Any], take: Callable[[list[dict[str, Any]]], None]) -> None:
    """Read the aggregate stream with aiohttp and orjson alone."""
    session = loopback_session(endpoint["port"], endpoint["ca_file"])
    url = "wss://stream.binance.com:9443/ws/btcusdt@aggTrade"
    async with session, session.ws_connect(url) as ws:
        async for message in ws:
            take([orjson.loads(message.data)])


async def read_feed(endpoint: dict[str, Any], take: Callable[[list[dict[str, Any]]], None]) -> None:
    """Read the product's feed: trades and the book, to rows of the tape."""
    feed = embedded_feed(Endpoint(**endpoint | {"ca_file": Path(endpoint["ca_file"])}), SystemClock())
    try:
        await feed.instruments([SYMBOL])
        async for rows in feed.stream():
            trades = rows[rows["kind"] == Kind.TRADE]
            if len(trades):
                ids = {"a": int(trades["ext_id"][-1]), "n": len(trades), "T": trades["exch_ns"][-1] / 1e6}
                take([ids])
    finally:
        await feed.close()


READERS: dict[str, Callable[..., Any]] = {"ccxt": read_ccxt, "raw": read_raw, "feed": read_feed}


async def measure(rate: float, seconds: float, client: str, book: bool) -> dict[str, Any]:
    """Return what was played, what was covered, and how late it came."""
    ours, theirs = mp.get_context("spawn").Pipe()
    server = mp.get_context("spawn").Process(target=run_server, args=(theirs, rate, seconds))
    server.start()
    endpoint = await asyncio.to_thread(ours.recv)
    coverage, delays_ms, ends, rows = RangeCoverage(), [], [0, 0], 0

    def take(aggregates: list[dict[str, Any]]) -> None:
        nonlocal rows
        if client == "feed":  # its own checks have looked at ids and raw ranges
            rows += aggregates[0]["n"]
            ends[1] = aggregates[0]["a"]
        else:
            rows += len(aggregates)
            ends[0] = ends[0] or int(aggregates[0]["f"])
            ends[1] = int(aggregates[-1]["l"])
            for aggregate in aggregates:
                coverage.add(int(aggregate["f"]), int(aggregate["l"]))
        delays_ms.append(time.time() * 1e3 - int(aggregates[-1]["T"]))

    load_ccxt()  # its import is not what is measured
    start, cpu = time.perf_counter(), time.process_time()
    more = (book,) if client == "ccxt" else ()
    reading = asyncio.create_task(READERS[client](endpoint, take, *more))
    told = asyncio.create_task(asyncio.to_thread(ours.recv))
    await asyncio.wait({reading, told}, return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        server.terminate()
        reading.result()
    played = told.result()
    quiet_since = time.perf_counter()
    until = played["last_aggregate"] if client == "feed" else played["last"]
    while ends[1] < until and time.perf_counter() - quiet_since < QUIET_S:
        seen = ends[1]
        await asyncio.sleep(0.1)
        quiet_since = quiet_since if ends[1] == seen else time.perf_counter()
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    ours.send("stop")
    await asyncio.to_thread(server.join)
    delays_ms.sort()
    lost = (ends[0] - played["first"]) + (played["last"] - ends[1]) + coverage.missing
    return {
        "client": client,
        "book": client == "feed" or (book and client == "ccxt"),
        "trades": played["last"] - played["first"] + 1,
        "seconds": round(wall_s, 2),
        "trades_per_s": round((played["last"] - played["first"] + 1) / seconds),
        "aggregates_per_s": round(played["aggregates"] / seconds),
        "lost": played["aggregates"] - rows if client == "feed" else lost,
        "overlaps": coverage.overlaps,
        "server_max_lag_ms": round(played["max_lag_ns"] / 1e6, 1),
        "server_cpu_share": round(played["cpu_s"] / seconds, 3),
        "client_cpu_share": round(cpu_s / wall_s, 3),
        "client_cpu_s": round(cpu_s, 2),
        "delay_ms_p50": round(delays_ms[len(delays_ms) // 2], 1),
        "delay_ms_p99": round(delays_ms[int(len(delays_ms) * 0.99)], 1),
    }


def paired(rate: float, seconds: float, times: int) -> dict[str, Any]:
    """What the feed adds to ccxt, runs in turn."""
    found: dict[str, list[float]] = {"ccxt": [], "feed": []}
    lost = 0
    for _ in range(times):
        for client, spent in found.items():
            figures = asyncio.run(measure(rate, seconds, client, book=True))
            spent.append(figures["client_cpu_s"])
            lost += figures["lost"]
    least = {client: min(spent) for client, spent in found.items()}
    return {"cpu_s": found, "lost": lost, "own_cost": round(least["feed"] / least["ccxt"] - 1, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trades-per-s", type=float, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--client", choices=READERS, default="ccxt", help="what reads")
    parser.add_argument("--paired", type=int, help="ccxt and the feed in turn, so often")
    parser.add_argument("--no-book", action="store_true", help="watch trades only")
    given = parser.parse_args()
    if given.paired:
        figures = paired(given.trades_per_s, given.seconds, given.paired)
    else:
        book = not given.no_book
        figures = asyncio.run(measure(given.trades_per_s, given.seconds, given.client, book))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
