"""The user stream of the embedded exchange as ccxt.pro watches it: orders, own trades, balances."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest

from agent.core.market.tape import Kind
from connectors.embedded.loopback import loopback_session
from connectors.embedded.server import EmbeddedExchange, Endpoint
from tests.trading_exchange import BID, LEVEL_LOTS, SYMBOL, judge, trader, trading

WS_API = "wss://demo-ws-api.binance.com/ws-api/v3"


async def watching(binance: Any, exchange: EmbeddedExchange) -> list[asyncio.Task[Any]]:
    """Tasks that wait for the first orders, trades and balances; the subscription is there."""
    calls = (binance.watch_orders, binance.watch_my_trades, binance.watch_balance)
    tasks = [asyncio.create_task(call()) for call in calls]
    async with asyncio.timeout(10):
        while not exchange.trading.stream.subscribers:  # noqa: ASYNC110 (the exchange has no event for it)
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # the tasks have read the answer, and wait for events
    return tasks


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_orders_trades_and_balances_are_told(kind: str) -> None:
    """With either signature, one subscription: what ccxt makes of each event is what the ledger has."""
    async with (
        trading() as (exchange, endpoint),
        trader(endpoint, getattr(exchange.trading.keys, kind)) as binance,
    ):
        orders, trades, balances = await watching(binance, exchange)
        params = {"clientOrderId": "mine"}
        sent = await binance.create_order(SYMBOL, "limit", "buy", 0.015, 60_000.1, params)
        seen = list(await asyncio.wait_for(orders, 5))
        while (seen[-1]["filled"], seen[-1]["status"]) != (0.01, "open") or seen[-1]["trades"] == []:
            seen += await asyncio.wait_for(binance.watch_orders(), 5)
        (trade,) = await asyncio.wait_for(trades, 5)
        assert {o["id"] for o in seen} == {sent["id"]}
        assert seen[-1]["clientOrderId"] == "mine"
        ledger = exchange.trading.desk.store.trades[0]
        assert (trade["id"], trade["order"]) == (str(ledger.trade_id), sent["id"])
        assert (trade["price"], trade["amount"], trade["timestamp"]) == (60_000.1, 0.01, ledger.at_ms)
        assert trade["fee"] == {"currency": "BTC", "cost": float(ledger.fee)}
        await asyncio.wait_for(balances, 5)
        gone = asyncio.create_task(binance.watch_orders())
        money = asyncio.create_task(binance.watch_balance())
        await asyncio.sleep(0.05)
        await binance.cancel_order(sent["id"], SYMBOL)
        (last,) = await asyncio.wait_for(gone, 5)
        assert (last["status"], last["filled"], last["clientOrderId"]) == ("canceled", 0.01, "mine")
        balance = await asyncio.wait_for(money, 5)
        for asset in ("USDT", "BTC"):
            assert balance[asset]["free"] == float(exchange.trading.balances.free(asset))
            assert balance[asset]["used"] == 0
        assert exchange.trading.stream.subscribers == 1
    judge(exchange)


async def test_fills_of_a_resting_order_are_told_as_they_happen() -> None:
    """Partial, then whole: each its own trade, in order, and the same as by REST."""
    sells = [
        (300, Kind.TRADE, -1, BID, LEVEL_LOTS + 400),
        (400, Kind.TRADE, -1, BID, 100),
        (500, Kind.TRADE, -1, BID, 900),
    ]
    async with (
        trading(sells) as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        for task in await watching(binance, exchange):
            task.cancel()
        sent = await binance.create_order(SYMBOL, "limit", "buy", 0.01, BID / 100)
        exchange.release()
        told: list[Any] = []
        async with asyncio.timeout(10):
            while sum(t["amount"] for t in told) < 0.01 - 1e-9:
                told += await binance.watch_my_trades(SYMBOL)
        by_rest = await binance.fetch_my_trades(SYMBOL)
        assert [t["amount"] for t in told] == [0.004, 0.001, 0.005]
        names = ("id", "order", "price", "amount", "timestamp", "takerOrMaker", "fee")
        assert [[t[n] for n in names] for t in told] == [[t[n] for n in names] for t in by_rest]
        assert (await binance.fetch_order(sent["id"], SYMBOL))["status"] == "closed"
    judge(exchange)


async def test_a_drop_loses_what_happened_meanwhile() -> None:
    """ccxt raises, signs anew and goes on; what was missed is in the ledger, and by REST."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.ed25519) as binance:
        waiting = await watching(binance, exchange)
        assert exchange.trading.stream.cut() == 1
        for task in waiting:
            with pytest.raises(ccxt.NetworkError):
                await asyncio.wait_for(task, 5)
        missed = await binance.create_order(SYMBOL, "market", "buy", 0.001)
        for task in await watching(binance, exchange):
            task.cancel()
        again = asyncio.create_task(binance.watch_my_trades())
        await asyncio.sleep(0.05)
        seen = await binance.create_order(SYMBOL, "market", "buy", 0.002)
        assert {t["order"] for t in await asyncio.wait_for(again, 5)} == {seen["id"]}
        mine = await binance.fetch_my_trades(SYMBOL)
        assert {t["order"] for t in mine} == {missed["id"], seen["id"]}
        assert await exchange.drop_connections() == 1
    judge(exchange)


async def test_money_from_outside_is_told() -> None:
    """A deposit comes as a change and as what there is now."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        orders, trades, balances = await watching(binance, exchange)
        exchange.trading.change_balance("BTC", Decimal("0.5"))
        first = await asyncio.wait_for(balances, 5)
        assert first["BTC"]["free"] == 0.5  # ccxt knows no balance yet, so it takes the change for one
        await asyncio.sleep(0.1)
        assert binance.balance["spot"]["BTC"]["free"] == 2.5
        assert (await binance.fetch_balance())["BTC"]["free"] == 2.5
        orders.cancel()
        trades.cancel()


async def test_who_may_subscribe() -> None:
    """Unsigned, unknown, late and malformed requests have their codes; a revoked key's stream is ended."""
    async with (
        trading() as (exchange, endpoint),
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.ws_connect(WS_API) as ws,
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        method = "userDataStream.subscribe.signature"

        async def asked(params: Any, method: str = method) -> Any:
            await ws.send_json({"id": "7", "method": method, "params": params})
            return await ws.receive_json()

        async def code(params: Any, method: str = method) -> tuple[int, int]:
            told = await asked(params, method)
            assert told["id"] == "7"
            return told["status"], told["error"]["code"]

        good = binance.sign_params({})
        assert await code({}) == (401, -2014)
        assert await code(good | {"apiKey": "0" * 64}) == (401, -2015)
        assert await code(good | {"signature": "0" * 64}) == (400, -1022)
        assert await code(good | {"timestamp": good["timestamp"] - 10_500}) == (400, -1021)
        assert await code({k: v for k, v in good.items() if k != "signature"}) == (400, -1102)
        assert await code({}, "order.place") == (400, -1020)
        assert await code([1]) == (400, -1135)
        await ws.send_str("{")
        assert (await ws.receive_json())["error"]["code"] == -1135
        assert exchange.trading.stream.subscribers == 0
        assert (await asked({}, "ping"))["result"] == {}
        assert abs((await asked({}, "time"))["result"]["serverTime"] - binance.milliseconds()) < 2000
        assert (await asked(good))["result"] == {"subscriptionId": 0}
        turned = dict(reversed(binance.sign_params({}).items()))  # the order they are sent in is of no matter
        assert (await asked(turned))["result"] == {"subscriptionId": 1}
        await asked({"subscriptionId": 0}, "userDataStream.unsubscribe")
        assert exchange.trading.stream.subscribers == 1
        exchange.trading.revoke(exchange.trading.keys.hmac)
        ended = await ws.receive_json(timeout=5)
        assert ended["subscriptionId"] == 1
        assert ended["event"]["e"] == "eventStreamTerminated"
        assert exchange.trading.stream.subscribers == 0
        assert await code(binance.sign_params({})) == (401, -2015)


async def test_every_event_in_its_order() -> None:
    """What a raw socket is sent: NEW, then its TRADEs, each before the money it moved."""
    async with (
        trading() as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.ws_connect(WS_API) as ws,
    ):
        await ws.send_json(
            {"id": 1, "method": "userDataStream.subscribe.signature", "params": binance.sign_params({})}
        )
        assert (await ws.receive_json())["status"] == 200
        await binance.create_order(SYMBOL, "limit", "buy", 0.015, 60_000.11, {"timeInForce": "IOC"})
        await binance.create_order(SYMBOL, "limit", "sell", 0.03, 59_999.99, {"timeInForce": "IOC"})
        events = [(await ws.receive_json())["event"] for _ in range(exchange.trading.stream.sent)]
    told = [(e["x"], e["X"], e["l"], e["z"]) for e in events if e["e"] == "executionReport"]
    assert told == [
        ("NEW", "NEW", "0.00000000", "0.00000000"),
        ("TRADE", "PARTIALLY_FILLED", "0.01000000", "0.01000000"),
        ("TRADE", "FILLED", "0.00500000", "0.01500000"),
        ("NEW", "NEW", "0.00000000", "0.00000000"),
        ("TRADE", "PARTIALLY_FILLED", "0.01000000", "0.01000000"),
        ("TRADE", "PARTIALLY_FILLED", "0.01000000", "0.02000000"),
        ("EXPIRED", "EXPIRED", "0.00000000", "0.02000000"),
    ]
    assert [e["e"] for e in events] == ["executionReport", "outboundAccountPosition"] * 7
    assert [e["t"] for e in events if e.get("x") == "TRADE"] == [1, 2, 3, 4]
    moved = [{b["a"] for b in e["B"]} for e in events if "B" in e]
    two = {"USDT", "BTC"}
    assert moved == [{"USDT"}, two, two, {"BTC"}, two, two, {"BTC"}]
    last = {b["a"]: (b["f"], b["l"]) for e in events if "B" in e for b in e["B"]}
    balances = exchange.trading.balances
    assert last == {a: (f"{balances.free(a):.8f}", f"{balances.locked(a):.8f}") for a in ("USDT", "BTC")}
    judge(exchange)


async def test_a_socket_that_leaves_is_forgotten() -> None:
    """Closed by the client or by the exchange: nothing is sent to it any more."""

    async def subscribed(exchange: EmbeddedExchange, endpoint: Endpoint) -> None:
        async with trader(endpoint, exchange.trading.keys.hmac) as binance:
            for task in await watching(binance, exchange):
                task.cancel()

    async with trading() as (exchange, endpoint):
        await subscribed(exchange, endpoint)
        async with asyncio.timeout(5):
            while exchange.trading.stream.subscribers:  # noqa: ASYNC110 (the exchange has no event for it)
                await asyncio.sleep(0.01)
        async with trader(endpoint, exchange.trading.keys.hmac) as binance:
            waiting = await watching(binance, exchange)
            assert await exchange.close_connections() == 1
            with pytest.raises(ccxt.NetworkError):
                await asyncio.wait_for(waiting[0], 5)
            for task in waiting[1:]:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert exchange.trading.stream.subscribers == 0


async def test_the_demos_market_is_the_same() -> None:
    """By the demo's hosts the client watches the market that its orders are in; they are not seen in it."""
    later = [(500 + 100 * i, Kind.TRADE, -1, BID, 10) for i in range(3)]
    async with (
        trading(later) as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        watch = asyncio.create_task(binance.watch_trades(SYMBOL))
        async with asyncio.timeout(10):
            await exchange._hub.subscribed.wait()
        await binance.create_order(SYMBOL, "market", "buy", 0.015)
        resting = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_000.05)
        exchange.release()
        seen = await asyncio.wait_for(watch, 5)
        while len(seen) < 4:
            seen += await asyncio.wait_for(binance.watch_trades(SYMBOL), 5)
        assert [(t["price"], t["amount"]) for t in seen] == [(60_000.1, 0.00005)] + [(60_000.0, 0.0001)] * 3
        book = await binance.fetch_order_book(SYMBOL)
        assert (book["bids"][0], book["asks"][0]) == ([60_000.0, 0.01], [60_000.1, 0.01])
        order = await binance.fetch_order(resting["id"], SYMBOL)
        assert order["filled"] == pytest.approx(0.0003)  # what sold at a worse price met ours first
    judge(exchange)
