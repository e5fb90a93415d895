"""The embedded exchange as the real, unmodified ccxt.pro client sees it, over TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import aiohttp
import ccxt.pro
import numpy as np
import pytest

from agent.app.embedded_market import embedded_exchange
from agent.config import Config
from agent.core.errors import ExchangeError, InputError, OrderError
from agent.core.market.tape import EventArray, Kind
from agent.system_clock import SystemClock
from connectors.embedded.faults import RestFault
from connectors.embedded.loopback import LoopbackResolver, loopback_session
from connectors.embedded.market_source import MarketSource, RecordedMarket
from connectors.embedded.server import EmbeddedExchange, Endpoint, PlayFrom
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket, synthetic_session
from connectors.embedded.traded_symbol import Lane
from tests.loaded_captures import load
from tests.realdata import capture_files

SYMBOL = "BTC/USDT"
HOSTS = {"api.binance.com", "stream.binance.com"}


@asynccontextmanager
async def running(market: MarketSource, **options: Any) -> AsyncIterator[tuple[EmbeddedExchange, Endpoint]]:
    exchange = EmbeddedExchange(market, SystemClock(), **options)
    endpoint = await exchange.start()
    try:
        yield exchange, endpoint
    finally:
        await exchange.stop()


@asynccontextmanager
async def client(endpoint: Endpoint, trades: str = "aggTrade") -> AsyncIterator[Any]:
    """A ccxt client with nothing changed but its session; every host it tried is one of Binance's."""
    resolver = LoopbackResolver(endpoint.port)
    session = loopback_session(endpoint.port, endpoint.ca_file, resolver)
    options = {
        "fetchMarkets": {"types": ["spot"]},
        "fetchCurrencies": False,
        "fetchMargins": False,
        "watchTrades": {"name": trades},
        "tradesLimit": 200_000,
    }
    binance = ccxt.pro.binance({"session": session, "newUpdates": True, "options": options})
    try:
        yield binance
    finally:
        await binance.close()
        await session.close()
    assert set(resolver.hosts) <= HOSTS


def busy(seconds: float, trades_per_s: float = 300, **options: Any) -> tuple[RecordedMarket, EventArray]:
    instruments, rows = synthetic_session(11, seconds, trades_per_s=trades_per_s, **options)
    return RecordedMarket.of(instruments, rows), rows[rows["kind"] == Kind.TRADE]


async def collect(
    watch: Callable[[], Awaitable[list[Any]]], done: Callable[[list[Any]], bool], within_s: float = 20
) -> list[Any]:
    got: list[Any] = []
    async with asyncio.timeout(within_s):
        while not done(got):
            got += await watch()
    return got


def covered(aggregates: list[Any]) -> list[int]:
    """Raw ids that aggregates name by their first and last, in order of arrival."""
    return [i for t in aggregates for i in range(int(t["info"]["f"]), int(t["info"]["l"]) + 1)]


async def until_quiet(ws: aiohttp.ClientWebSocketResponse) -> list[int]:
    """Trade ids that still come until nothing has come for 0.7 s."""
    ids = []
    with contextlib.suppress(TimeoutError):
        while True:  # aiohttp's own timeout starts anew at every pong
            ids.append((await asyncio.wait_for(ws.receive_json(), 0.7))["t"])
    return ids


async def test_markets_book_time_and_candles() -> None:
    """load_markets gives tick, lot and minimum; REST book, time and candles are unified without a key."""
    async with running(SyntheticMarket(1, (SYMBOL, "ETH/USDT"), past_s=900)) as (exchange, endpoint):
        async with client(endpoint) as binance:
            markets = await binance.load_markets()
            assert sorted(markets) == [SYMBOL, "ETH/USDT"]
            assert markets[SYMBOL]["precision"]["price"] == 0.01
            assert markets[SYMBOL]["precision"]["amount"] == 0.00001
            assert markets[SYMBOL]["limits"]["cost"]["min"] == 5
            book = await binance.fetch_order_book(SYMBOL, 100)
            assert len(book["bids"]) == len(book["asks"]) == 100
            assert book["bids"][0][0] < book["asks"][0][0]
            assert abs(await binance.fetch_time() - binance.milliseconds()) < 2000
            candles = await binance.fetch_ohlcv(SYMBOL, "1m", limit=10)
            ticker = await binance.fetch_ticker(SYMBOL)
        raw = exchange.lane(SYMBOL).trades.raw.rows
        assert [c[0] for c in candles] == list(range(candles[0][0], candles[-1][0] + 1, 60_000))
        inside = (raw["ms"] >= candles[5][0]) & (raw["ms"] < candles[6][0])
        bar = raw[inside]
        expected = [bar["ticks"][0], bar["ticks"].max(), bar["ticks"].min(), bar["ticks"][-1]]
        assert candles[5][1:5] == pytest.approx([ticks * 0.01 for ticks in expected])
        assert candles[5][5] == pytest.approx(bar["lots"].sum() * 1e-5)
        assert ticker["last"] == pytest.approx(candles[-1][4], rel=0.01)
        assert ticker["change"] == pytest.approx(ticker["last"] - ticker["open"], abs=1e-6)


async def test_aggregate_stream_covers_every_trade_once() -> None:
    """Every raw trade played is named by exactly one streamed aggregate, sums and stamps agreeing."""
    market, trades = busy(2.5)
    async with (
        running(market, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint),
        client(endpoint) as binance,
    ):
        last = int(trades["ext_id"][-1])
        got = await collect(
            lambda: binance.watch_trades(SYMBOL), lambda t: bool(t) and int(t[-1]["info"]["l"]) == last
        )
        await exchange.wait_ended()
        now = binance.milliseconds()
    assert covered(got) == trades["ext_id"].tolist()
    assert sum(round(t["amount"] * 1e5) for t in got) == int(trades["qty_lots"].sum())
    assert [int(t["id"]) for t in got] == list(range(int(got[0]["id"]), int(got[-1]["id"]) + 1))
    assert 0 <= now - got[-1]["timestamp"] < 5000
    assert exchange.ended


async def test_raw_trade_stream_has_raw_ids() -> None:
    """The trade stream carries raw ids, one message a trade, in a space apart from the aggregates'."""
    market, trades = busy(2)
    async with running(market, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint):
        async with client(endpoint, trades="trade") as binance:
            count = len(trades)
            got = await collect(lambda: binance.watch_trades(SYMBOL), lambda t: len(t) >= count)
        aggregate_ids = exchange.lane(SYMBOL).trades.aggregates.rows["id"]
    assert [int(t["id"]) for t in got] == trades["ext_id"].tolist()
    assert [t["side"] for t in got] == ["buy" if side > 0 else "sell" for side in trades["side"]]
    assert not set(aggregate_ids.tolist()) & {int(t["id"]) for t in got}


async def test_watched_book_is_uncrossed_and_equals_the_servers() -> None:
    """ccxt's book, kept from diffs, is never crossed and ends equal to the server's own, level by level."""
    market, _ = busy(2.5)
    async with running(market, play_from=PlayFrom.RELEASED) as (exchange, endpoint):
        lane = exchange.lane(SYMBOL)
        async with client(endpoint) as binance:
            await binance.load_markets()
            # The client waits for a first diff before it asks for the snapshot.
            first = asyncio.create_task(binance.watch_order_book(SYMBOL, 1000))
            await asyncio.sleep(0.2)
            exchange.release()
            book = await first
            updates = 0
            async with asyncio.timeout(20):
                while not (exchange.ended and book["nonce"] == lane.update_id):
                    book = await binance.watch_order_book(SYMBOL, 1000)
                    updates += 1
                    assert book["bids"][0][0] < book["asks"][0][0]
            bids, asks = lane.top(500)
            assert updates > 10
            for theirs, ours in ((book["bids"], bids), (book["asks"], asks)):
                levels = [(round(p * 100), round(q * 1e5)) for p, q, *_ in theirs[:500]]
                assert levels == ours


async def test_paging_by_id_covers_history_once() -> None:
    """fetch_trades with fromId, page after page, names each raw trade of the past exactly once."""
    market = SyntheticMarket(2, seconds=0.5, past_s=240)
    async with running(market) as (exchange, endpoint):
        await exchange.wait_ended()
        store = exchange.lane(SYMBOL).trades
        async with client(endpoint) as binance:
            got: list[Any] = []
            next_id = int(store.aggregates.rows["id"][0])
            while True:
                page = await binance.fetch_trades(SYMBOL, limit=1000, params={"fromId": next_id})
                if not page:
                    break
                got += page
                next_id = int(page[-1]["id"]) + 1
            since = got[len(got) // 2]["timestamp"]
            later = await binance.fetch_trades(SYMBOL, since=since, limit=5)
    assert len(got) > 1000
    assert covered(got) == store.raw.rows["id"].tolist()
    assert (np.diff(store.aggregates.rows["last"]) > 0).all()
    assert later[0]["timestamp"] >= since
    assert later[0]["id"] == next(t["id"] for t in got if t["timestamp"] >= since)


async def test_reconnects_after_a_drop_and_rest_fills_the_hole() -> None:
    """After a cut socket ccxt raises, subscribes anew, and fetch_trades brings what was missed."""
    market, trades = busy(2.5)
    async with (
        running(market, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint),
        client(endpoint) as binance,
    ):
        got = await binance.watch_trades(SYMBOL)
        assert await exchange.drop_connections() == 1
        errors = 0
        async with asyncio.timeout(20):
            while int(got[-1]["info"]["l"]) < int(trades["ext_id"][-1]):
                try:
                    new = await binance.watch_trades(SYMBOL)
                except ccxt.NetworkError:
                    errors += 1
                    continue
                missed = int(got[-1]["id"]) + 1
                if int(new[0]["id"]) > missed:
                    page = await binance.fetch_trades(SYMBOL, limit=1000, params={"fromId": missed})
                    got += [t for t in page if int(t["id"]) < int(new[0]["id"])]
                got += new
    assert errors >= 1
    assert covered(got) == trades["ext_id"].tolist()


async def test_two_streams_on_one_combined_socket() -> None:
    """/stream wraps messages with the stream's name; diffs chain by U and u; bookTicker agrees in form."""
    market, _ = busy(2)
    async with running(market, play_from=PlayFrom.RELEASED) as (exchange, endpoint):
        async with loopback_session(endpoint.port, endpoint.ca_file) as session:
            url = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
            async with session.ws_connect(url) as ws:
                await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 7})
                assert await ws.receive_json() == {"result": None, "id": 7}
                await ws.send_json({"method": "NONSENSE", "id": 8})
                assert (await ws.receive_json())["error"]["code"] == 2
                exchange.release()
                await exchange.wait_ended()
                await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
                messages = []
                while (message := await ws.receive_json()).get("id") != 9:
                    messages.append(message)
        by_stream = {
            m["stream"]: [n["data"] for n in messages if n["stream"] == m["stream"]] for m in messages
        }
        depth = by_stream["btcusdt@depth@100ms"]
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(depth))
        assert depth[-1]["u"] == exchange.lane(SYMBOL).update_id
        assert all(float(m["b"]) < float(m["a"]) for m in by_stream["btcusdt@bookTicker"])
        assert len(by_stream["btcusdt@trade"]) == exchange.status()["trades"]
        assert exchange.status()["withheld"] == 0


async def test_the_slow_stream_says_the_same_more_seldom() -> None:
    """@depth once a second: its differences chain, and lead to the book that the fast ones lead to."""
    market, _ = busy(4)
    books: dict[str, dict[tuple[str, str], float]] = {"btcusdt@depth": {}, "btcusdt@depth@100ms": {}}
    updates: dict[str, list[dict[str, Any]]] = {name: [] for name in books}
    url = f"wss://stream.binance.com:9443/stream?streams={'/'.join(books)}"
    async with (
        running(market, play_from=PlayFrom.RELEASED) as (exchange, endpoint),
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.ws_connect(url) as ws,
    ):
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await ws.receive_json()
        exchange.release()
        await exchange.wait_ended()
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
        while (message := await ws.receive_json()).get("id") != 9:
            updates[message["stream"]].append(message["data"])
    slow, fast = updates["btcusdt@depth"], updates["btcusdt@depth@100ms"]
    assert 3 <= len(slow) < len(fast) / 3
    assert all(b["U"] == a["u"] + 1 for a, b in pairwise(slow))
    assert all(b["E"] - a["E"] >= 1000 for a, b in pairwise(slow))
    for name, till in (("btcusdt@depth", slow[-1]["u"]), ("btcusdt@depth@100ms", slow[-1]["u"])):
        for update in (update for update in updates[name] if update["u"] <= till):
            books[name] |= {(side, p): float(q) for side in "ba" for p, q in update[side]}
    assert len(books["btcusdt@depth"]) > 20
    assert books["btcusdt@depth"] == books["btcusdt@depth@100ms"]


async def test_what_is_played_is_what_was_recorded() -> None:
    """At the market's end the exchange shows the recording's last book, and has its trades."""
    instruments, rows = synthetic_session(11, 6, trades_per_s=200)
    async with running(RecordedMarket.of(instruments, rows), speed=5.0) as (exchange, _):
        await exchange.wait_ended()
        lane = exchange.lane(SYMBOL)
        raw, aggregates = lane.trades.raw.rows, lane.trades.aggregates.rows
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for row in rows:
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            sides = {1: {}, -1: {}}
        elif row["kind"] == Kind.LEVEL:
            sides[int(row["side"])][int(row["price_ticks"])] = int(row["qty_lots"])
    shown = [{ticks: lots for ticks, lots in sides[side].items() if lots} for side in (1, -1)]
    assert [lane.bids, lane.asks] == shown
    trades = rows[rows["kind"] == Kind.TRADE]
    for ours, theirs in (("ticks", "price_ticks"), ("lots", "qty_lots"), ("side", "side")):
        assert raw[ours].tolist() == trades[theirs].tolist()
    assert aggregates["lots"].sum() == trades["qty_lots"].sum()
    for one in aggregates:  # an aggregate is of one moment, price and side
        held = raw[(raw["id"] >= one["first"]) & (raw["id"] <= one["last"])]
        for name in ("ms", "ticks", "side"):
            assert set(held[name]) == {one[name]}


async def test_no_aggregate_is_cut_where_a_batch_ends() -> None:
    """Trades of one order, at one moment and price, are one aggregate, though 40 rows are read at a time."""
    instruments, rows = synthetic_session(11, 3, trades_per_s=300)
    rows, pairs = rows.copy(), []
    trades = np.flatnonzero(rows["kind"] == Kind.TRADE).tolist()
    for first, second in pairwise(trades):
        if second == first + 1 and (not pairs or first > pairs[-1][1]):
            for name in ("exch_ns", "price_ticks", "side"):
                rows[name][second] = rows[name][first]
            pairs.append((first, second))
    market = RecordedMarket(instruments, lambda: iter([rows[k : k + 40] for k in range(0, len(rows), 40)]))
    async with running(market, speed=10.0) as (exchange, _):
        await exchange.wait_ended()
        aggregates = exchange.lane(SYMBOL).trades.aggregates.rows
        raw = exchange.lane(SYMBOL).trades.raw.rows
    assert len(raw) == len(trades)
    number = {row: int(raw["id"][k]) for k, row in enumerate(trades)}
    of = {i: k for k, a in enumerate(aggregates) for i in range(int(a["first"]), int(a["last"]) + 1)}
    assert any(first // 40 != second // 40 for first, second in pairs)
    assert all(of[number[first]] == of[number[second]] for first, second in pairs)


async def test_an_endless_market_goes_on() -> None:
    """Batch after batch as it is due: a made-up market of two symbols, for three seconds."""
    async with running(SyntheticMarket(1, (SYMBOL, "ETH/USDT"), past_s=60)) as (exchange, _):
        seen = []
        for _ in range(3):
            await asyncio.sleep(1.0)
            seen.append(exchange.status()["rows"])
        assert exchange.status()["trades"] > 0
        assert [int(lane.trades.raw.rows["side"][-1]) in (1, -1) for lane in exchange._lanes.values()]
    assert 0 < seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("5m", 5), ("15m", 15), ("1h", 60)])
async def test_candles_lie_on_the_clock(interval: str, minutes: int) -> None:
    """Of every length that a client may ask for: they begin at its multiples, and follow each other."""
    async with running(SyntheticMarket(1, (SYMBOL,), past_s=3 * 60 * minutes)) as (exchange, endpoint):
        async with client(endpoint) as binance:
            candles = await binance.fetch_ohlcv(SYMBOL, interval, limit=10)
        raw = exchange.lane(SYMBOL).trades.raw.rows
    step_ms = minutes * 60_000
    begins = [candle[0] for candle in candles]
    assert len(begins) >= 2
    assert all(begin % step_ms == 0 for begin in begins)
    assert set(np.diff(begins)) == {step_ms}
    inside = raw[(raw["ms"] >= begins[-2]) & (raw["ms"] < begins[-1])]
    assert candles[-2][5] == pytest.approx(inside["lots"].sum() * 1e-5)


async def test_a_best_offer_of_one_side_is_not_published() -> None:
    """A recording may begin with half a quote: the ticker waits for the other half."""
    instruments, _ = synthetic_session(11, 1)
    offered: list[bytes] = []
    hub: Any = SimpleNamespace(wants=lambda _: True, publish=lambda _, message: offered.append(message))
    lane = Lane(instruments[0], hub)
    lane.quote(1, 6_000_000, 5)
    lane.end_quote(1)
    assert offered == []
    lane.quote(-1, 6_000_001, 7)
    lane.end_quote(2)
    assert len(offered) == 1


async def test_a_client_that_leaves_is_forgotten() -> None:
    """However it goes: its subscriptions cost nothing any more."""
    market, _ = busy(4)
    async with (
        running(market, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint),
        loopback_session(endpoint.port, endpoint.ca_file) as session,
    ):
        for _ in range(3):
            async with session.ws_connect("wss://stream.binance.com/ws/btcusdt@trade") as ws:
                await ws.receive_json()
                assert exchange.status()["connections"] == 1
            for _ in range(500):
                if not exchange.status()["connections"]:
                    break
                await asyncio.sleep(0.01)
            assert exchange.status()["connections"] == 0
        assert not exchange._hub.wants("btcusdt@trade")


async def test_faster_than_life() -> None:
    """At speed 10 eight seconds of market take under one, and no trade is lost."""
    market, trades = busy(8, trades_per_s=100)
    loop = asyncio.get_running_loop()
    async with running(market, speed=10.0) as (exchange, _):
        start = loop.time()
        await exchange.wait_ended()
        assert 0.7 < loop.time() - start < 5
        raw = exchange.lane(SYMBOL).trades.raw.rows
        assert raw["id"].tolist() == trades["ext_id"].tolist()
        assert 600 <= raw["ms"][-1] - raw["ms"][0] <= 800


async def test_rest_faults_as_ccxt_sees_them() -> None:
    """429, 503 and refused connections raise ccxt's own errors, and the next request is well again."""
    async with running(SyntheticMarket(1, past_s=30)) as (exchange, endpoint), client(endpoint) as binance:
        await binance.load_markets()
        exchange.fail_rest(RestFault.too_many(path="/api/v3/depth"))
        assert await binance.fetch_time() > 0  # another path is untouched
        with pytest.raises(ccxt.DDoSProtection):
            await binance.fetch_order_book(SYMBOL)
        exchange.fail_rest(RestFault.unavailable())
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await binance.fetch_order_book(SYMBOL)
        await exchange.refuse()
        with pytest.raises(ccxt.NetworkError):
            await binance.fetch_order_book(SYMBOL)
        await exchange.accept()
        assert (await binance.fetch_order_book(SYMBOL))["bids"]
        with pytest.raises(ccxt.BadSymbol):
            await binance.publicGetDepth({"symbol": "NOPE"})


async def test_stream_faults() -> None:
    """Silence sends nothing though pings are answered; frames pass as they are; skips leave a hole."""
    market, trades = busy(4)
    async with (
        running(market, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint),
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.ws_connect("wss://stream.binance.com/ws/btcusdt@trade", heartbeat=0.3) as ws,
    ):
        ids = [(await ws.receive_json())["t"] for _ in range(10)]
        exchange.faults.skip_trades = 5
        ids += [(await ws.receive_json())["t"] for _ in range(200)]
        exchange.faults.silent = True
        ids += await until_quiet(ws)
        assert not ws.closed
        exchange.faults.silent = False
        assert (await ws.receive_json())["t"] > ids[-1]
        exchange.send_frame('{"e":"trade",')
        text = ""
        while not text.endswith(","):
            text = await ws.receive_str()
        exchange.forget_subscriptions()
        rest = await until_quiet(ws)
        assert len(rest) < 100  # what was on its way
    holes = np.diff(ids)
    assert sorted(set(holes.tolist())) == [1, 6]
    assert ids[0] == trades["ext_id"][0]
    assert exchange.status()["withheld"] > 5


async def test_trust_and_reach() -> None:
    """Without its authority no client trusts the exchange; it serves loopback only; taken ports are named."""
    async with running(SyntheticMarket(1, past_s=0)) as (_, endpoint):
        connector = aiohttp.TCPConnector(
            resolver=LoopbackResolver(endpoint.port), ssl=ssl.create_default_context()
        )
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get("https://api.binance.com/api/v3/time")
        assert sorted(p.name for p in endpoint.ca_file.parent.iterdir()) == ["ca.pem", "server.pem"]
        second = EmbeddedExchange(SyntheticMarket(1, past_s=0), SystemClock(), port=endpoint.port)
        with pytest.raises(ExchangeError, match=f"cannot listen on 127.0.0.1:{endpoint.port}"):
            await second.start()
    assert not endpoint.ca_file.exists()
    with pytest.raises(InputError, match="loopback only"):
        EmbeddedExchange(SyntheticMarket(1, past_s=0), SystemClock(), host="0.0.0.0")
    with pytest.raises(OrderError, match="does not list 'DOGE/USDT'"):
        second.lane("DOGE/USDT")


async def test_serving_tells_where_and_cleans_up() -> None:
    """The endpoint names host, port and ca_file, and nothing is left behind when serving is cancelled."""
    ready: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with embedded_exchange(Config(), SystemClock()) as (_, listening):
            ready.set_result(listening)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    endpoint = await asyncio.wait_for(ready, 10)
    assert set(endpoint.to_json()) == {"host", "port", "ca_file"}
    async with (
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.get("https://localhost/api/v3/ping") as answer,
    ):
        assert await answer.json() == {}
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert not endpoint.ca_file.exists()


@pytest.mark.slow
async def test_real_capture_at_twenty_times_its_speed() -> None:
    """All 19,904 BTCUSDT trades of the capture reach ccxt exactly once, and its book stays uncrossed."""
    instrument, rows, report = load(capture_files("btcusdt"), SYMBOL)
    trades = rows[rows["kind"] == Kind.TRADE]
    last = int(trades["ext_id"][-1])
    crossed = 0
    market = RecordedMarket.of([instrument], rows)
    async with running(market, speed=20.0, play_from=PlayFrom.SUBSCRIBED) as (exchange, endpoint):
        async with client(endpoint) as binance:

            async def watch_book() -> None:
                nonlocal crossed
                while True:
                    book = await binance.watch_order_book(SYMBOL, 1000)
                    crossed += book["bids"][0][0] >= book["asks"][0][0]

            watching = asyncio.create_task(watch_book())
            got = await collect(
                lambda: binance.watch_trades(SYMBOL),
                lambda t: bool(t) and int(t[-1]["info"]["l"]) == last,
                90,
            )
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await exchange.wait_ended()
        bids, asks = exchange.lane(SYMBOL).top(1)
    assert report.trades == len(trades) == 19_904
    assert covered(got) == trades["ext_id"].tolist()
    assert crossed == 0
    assert bids[0][0] < asks[0][0]


@pytest.mark.parametrize("speed", [1.0, 3.0])
async def test_a_market_goes_on_as_if_it_had_played(speed: float) -> None:
    """Another exchange, told since when: the same trades, ids and times, and those that came since."""
    made = [SyntheticMarket(seed=5, past_s=60.0) for _ in range(2)]
    async with running(made[0], speed=speed) as (exchange, _):
        await asyncio.sleep(1.5)
        began_ns = exchange.began_ns
        before = exchange.lane(SYMBOL).trades.aggregates.rows.copy()
    await asyncio.sleep(1.0)
    async with running(made[1], speed=speed, began_ns=began_ns) as (exchange, _):
        after = exchange.lane(SYMBOL).trades.aggregates.rows.copy()
    assert began_ns is not None
    assert len(after) > len(before)
    told = before["ms"] >= began_ns // 10**6
    assert told.any()
    assert (after[: len(before)][told] == before[told]).all()
    assert (after["id"][: len(before)] == before["id"]).all()
