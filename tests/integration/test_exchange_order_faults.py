"""Faults of the order side as ccxt.pro sees them; what truly happened is in the exchange's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from agent.core.market.tape import Kind
from connectors.embedded.server import EmbeddedExchange
from connectors.embedded.trading.order_faults import ORDER_FAULTS, OrderFault, OrderFaults, StreamFaults
from tests.integration.test_exchange_stream import WS_API, watching
from tests.trading_exchange import BID, LEVEL_LOTS, SYMBOL, Row, judge, trader, trading

pytestmark = pytest.mark.slow

BUY = (SYMBOL, "limit", "buy", 0.01, 59_000)


@asynccontextmanager
async def both(later: list[Row] | None = None) -> AsyncIterator[tuple[EmbeddedExchange, Any]]:
    """The exchange and a client of it that waits a second for an answer; at the end the ledger is judged."""
    async with trading(later or ()) as (exchange, endpoint):
        async with trader(endpoint, exchange.trading.keys.hmac) as binance:
            yield exchange, binance
        judge(exchange)


def placed(exchange: EmbeddedExchange) -> int:
    return len(exchange.trading.desk.store.orders)


HEARD: list[tuple[str, int, str]] = [
    ("lost_before", 0, "ExchangeNotAvailable"),
    ("lost_after", 1, "ExchangeNotAvailable"),
    ("mute_untaken", 0, "RequestTimeout"),
    ("mute_taken", 1, "RequestTimeout"),
    ("late", 1, "RequestTimeout"),
    ("unknown_untaken", 0, "RequestTimeout"),
    ("unknown_taken", 1, "RequestTimeout"),
    ("unavailable_untaken", 0, "ExchangeNotAvailable"),
    ("unavailable_taken", 1, "ExchangeNotAvailable"),
    ("too_many", 0, "DDoSProtection"),
    ("banned", 0, "DDoSProtection"),
]


@pytest.mark.parametrize(("name", "orders", "heard"), HEARD)
async def test_an_order_whose_answer_goes_wrong(name: str, orders: int, heard: str) -> None:
    """ccxt raises the same whether it was taken or not; the next request is well, and asking by id tells."""
    async with both() as (exchange, binance):
        fault = exchange.trading.faults.add(ORDER_FAULTS[name]())
        if name == "late":
            fault.before_s = fault.after_s = 0.4
        if heard == "RequestTimeout":
            binance.timeout = 500
        with pytest.raises(ccxt.NetworkError) as raised:
            await binance.create_order(*BUY, {"clientOrderId": "mine"})
        assert type(raised.value).__name__ == heard
        assert exchange.trading.faults.requests == []
        if name == "late":
            assert placed(exchange) == 1  # taken after 0.4 s, answered after 0.8 s
        assert placed(exchange) == orders
        binance.timeout = 10_000
        if orders:
            assert (await binance.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["status"] == "open"
        else:
            with pytest.raises(ccxt.OrderNotFound):
                await binance.fetch_order(None, SYMBOL, {"clientOrderId": "mine"})
            await binance.create_order(*BUY, {"clientOrderId": "mine"})
        assert len(await binance.fetch_open_orders(SYMBOL)) == 1


async def test_an_order_that_arrives_after_its_client_gave_up() -> None:
    """Asked about by its client id it is not there; later it is."""
    async with both() as (exchange, binance):
        exchange.trading.faults.add(OrderFault.late(before_s=1.0))
        binance.timeout = 300
        with pytest.raises(ccxt.RequestTimeout):
            await binance.create_order(*BUY, {"clientOrderId": "mine"})
        binance.timeout = 10_000
        with pytest.raises(ccxt.OrderNotFound):
            await binance.fetch_order(None, SYMBOL, {"clientOrderId": "mine"})
        await asyncio.sleep(1.0)
        assert (await binance.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["status"] == "open"


@pytest.mark.parametrize("taken", [False, True])
async def test_a_web_page_instead_of_an_answer(taken: bool) -> None:
    """Nothing is raised: ccxt makes an order without an id of it, taken or not."""
    async with both() as (exchange, binance):
        exchange.trading.faults.add(OrderFault.html(taken=taken))
        order = await binance.create_order(*BUY)
        assert (order["id"], placed(exchange)) == (None, int(taken))
        exchange.trading.faults.add(OrderFault.html(taken=True).of("GET", "openOrders"))
        with pytest.raises(AttributeError):  # ccxt's own stumble: it takes the page for a dictionary
            await binance.fetch_open_orders(SYMBOL)
        assert len(await binance.fetch_open_orders(SYMBOL)) == int(taken)


async def test_a_request_that_arrives_twice() -> None:
    """While the first is open the client hears a refusal of what was taken; else there are two fills."""
    async with both() as (exchange, binance):
        exchange.trading.faults.add(OrderFault.repeated())
        with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
            await binance.create_order(*BUY, {"clientOrderId": "a"})
        assert placed(exchange) == 1
        exchange.trading.faults.add(OrderFault.repeated())
        order = await binance.create_order(SYMBOL, "market", "buy", 0.001, None, {"clientOrderId": "b"})
        assert order["filled"] == 0.001
        assert [t.order.sent.client_id for t in exchange.trading.desk.store.trades] == ["b", "b"]
        exchange.trading.faults.add(OrderFault.repeated().of("DELETE", "order"))
        with pytest.raises(ccxt.OrderNotFound):
            await binance.cancel_order(None, SYMBOL, {"clientOrderId": "a"})
        assert await binance.fetch_open_orders(SYMBOL) == []


async def test_a_cancel_whose_answer_is_lost() -> None:
    """Before it was taken the order is open still; after it, gone. Other requests have no part in a fault.

    aiohttp sends a DELETE or a GET again, once, by itself, where a connection is cut: two must be lost.
    """
    async with both() as (exchange, binance):
        order = await binance.create_order(*BUY)
        for make, status in ((OrderFault.lost_before, "open"), (OrderFault.lost_after, "canceled")):
            fault = exchange.trading.faults.add(make().of("DELETE", "order", count=2))
            assert (await binance.fetch_order(order["id"], SYMBOL))["status"] == "open"
            assert exchange.trading.faults.requests == [fault]
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await binance.cancel_order(order["id"], SYMBOL)
            assert (await binance.fetch_order(order["id"], SYMBOL))["status"] == status
        again = await binance.create_order(*BUY)
        exchange.trading.faults.add(OrderFault.lost_after().of("DELETE", "order"))
        with pytest.raises(ccxt.OrderNotFound):  # the first took it, the second found nothing
            await binance.cancel_order(again["id"], SYMBOL)
        assert (await binance.fetch_order(again["id"], SYMBOL))["status"] == "canceled"


async def test_so_many_requests_of_a_fault() -> None:
    """A count of three is three requests."""
    async with both() as (exchange, binance):
        exchange.trading.faults.add(OrderFault.too_many().of("POST", "order", count=3))
        for _ in range(3):
            with pytest.raises(ccxt.DDoSProtection):
                await binance.create_order(*BUY)
        await binance.create_order(*BUY)
        assert placed(exchange) == 1


@pytest.mark.parametrize(("part", "told"), [(1.0, "closed"), (0.5, "canceled")])
async def test_filled_while_being_cancelled(part: float, told: str) -> None:
    """Whole: the cancel finds no order, -2011. In part: it is cancelled, with a fill that nobody had seen."""
    async with both() as (exchange, binance):
        order = await binance.create_order(*BUY)
        exchange.trading.faults.fills_before_cancels.append(part)
        if told == "closed":
            with pytest.raises(ccxt.OrderNotFound, match="-2011"):
                await binance.cancel_order(order["id"], SYMBOL)
        else:
            assert (await binance.cancel_order(order["id"], SYMBOL))["filled"] == 0.005
        last = await binance.fetch_order(order["id"], SYMBOL)
        assert (last["status"], last["filled"]) == (told, 0.01 * part)
        (trade,) = await binance.fetch_my_trades(SYMBOL)
        assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (59_000, 0.01 * part, "maker")


async def test_answers_that_lag() -> None:
    """An order just taken is in no list yet, and is not there when asked about; its fills neither."""
    async with both() as (exchange, binance):
        exchange.trading.faults.lag_ms = 400
        order = await binance.create_order(SYMBOL, "limit", "buy", 0.02, 60_000.1)
        assert order["filled"] == 0.01
        assert await binance.fetch_open_orders(SYMBOL) == []
        assert await binance.fetch_orders(SYMBOL) == []
        assert await binance.fetch_my_trades(SYMBOL) == []
        with pytest.raises(ccxt.OrderNotFound):
            await binance.fetch_order(order["id"], SYMBOL)
        await asyncio.sleep(0.5)
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [order["id"]]
        assert [o["id"] for o in await binance.fetch_orders(SYMBOL)] == [order["id"]]
        assert len(await binance.fetch_my_trades(SYMBOL)) == 1
        assert (await binance.fetch_order(order["id"], SYMBOL))["filled"] == 0.01


async def test_maintenance() -> None:
    """Told on the socket, which is closed; requests are refused with 503; what rested is there after it."""
    async with both() as (exchange, binance):
        order = await binance.create_order(*BUY)
        waiting = await watching(binance, exchange)
        async with binance.session.ws_connect(WS_API) as ws:
            await exchange.trading.begin_maintenance()
            assert (await ws.receive_json(timeout=5))["event"]["e"] == "serverShutdown"
            assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        for task in waiting:
            with pytest.raises(ccxt.NetworkError):
                await asyncio.wait_for(task, 5)
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await binance.create_order(*BUY)
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await binance.fetch_open_orders(SYMBOL)
        with pytest.raises(ccxt.NetworkError):
            await asyncio.wait_for(binance.watch_orders(), 5)
        assert (await binance.fetch_order_book(SYMBOL))["bids"]  # the market goes on
        exchange.trading.end_maintenance()
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [order["id"]]
        assert placed(exchange) == 1


async def test_a_demo_that_is_reset() -> None:
    """Orders and trades are gone, the money is as at first; ids go on, and nothing was told."""
    later = [(100, Kind.TRADE, -1, BID, LEVEL_LOTS + 1000)]
    async with both(later) as (exchange, binance):
        await binance.create_order(SYMBOL, "market", "buy", 0.001)
        order = await binance.create_order(SYMBOL, "limit", "buy", 0.01, BID / 100)
        events = exchange.trading.stream.sent
        exchange.trading.reset()
        assert exchange.trading.stream.sent == events
        with pytest.raises(ccxt.OrderNotFound):
            await binance.fetch_order(order["id"], SYMBOL)
        assert await binance.fetch_my_trades(SYMBOL) == []
        assert (await binance.fetch_balance())["total"] == {"USDT": 100_000, "BTC": 2}
        exchange.release()
        await exchange.wait_ended()
        assert exchange.trading.desk.store.trades == []  # what rested is in no queue any more
        again = await binance.create_order(SYMBOL, "market", "buy", 0.001)
        assert int(again["id"]) == int(order["id"]) + 1
        assert [t["id"] for t in again["trades"]] == ["2"]


async def told_of_a_market_order(later: list[Row], set_up: Any) -> tuple[list[Any], list[Any]]:
    """(trades that the stream told, trades of the ledger) of orders that had three fills and one."""
    async with both(later) as (exchange, binance):
        for task in await watching(binance, exchange):
            task.cancel()
        told: list[Any] = []

        async def keep() -> None:
            while True:
                told.extend(await binance.watch_my_trades(SYMBOL))

        watch = asyncio.create_task(keep())
        await asyncio.sleep(0.05)
        set_up(exchange.trading.faults.stream)
        await binance.create_order(SYMBOL, "market", "buy", 0.025)
        await binance.create_order(SYMBOL, "market", "buy", 0.002)
        await asyncio.sleep(0.1)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        store = exchange.trading.desk.store
        assert [t["id"] for t in await binance.fetch_my_trades(SYMBOL)] == [
            str(t.trade_id) for t in store.trades
        ]
        return [int(t["id"]) for t in told], [t.trade_id for t in store.trades]


def lose(faults: StreamFaults) -> None:
    faults.lose = 4  # NEW, the money, a TRADE, the money


def no_partial_fills(faults: StreamFaults) -> None:
    faults.partial_fills = False


def silent(faults: StreamFaults) -> None:
    faults.silent = True


@pytest.mark.parametrize(
    ("set_up", "heard"),
    [(lose, [2, 3, 4]), (no_partial_fills, [3, 4]), (silent, []), (lambda _: None, [1, 2, 3, 4])],
)
async def test_trades_that_the_stream_does_not_tell(set_up: Any, heard: list[int]) -> None:
    """Lost, left out while their order goes on, or all of them: by REST each is there."""
    assert await told_of_a_market_order([], set_up) == (heard, [1, 2, 3, 4])


async def test_events_twice_and_out_of_order() -> None:
    """Of a raw stream: the same event again, an event after the one that follows it; none is made up."""
    events: list[Any] = [{"e": "executionReport", "t": n} for n in range(6)]
    faults = StreamFaults(twice=1)
    assert [e["t"] for event in events[:2] for e in faults.passed(event)] == [0, 0, 1]
    faults = StreamFaults(swap=2)
    assert [e["t"] for event in events for e in faults.passed(event)] == [2, 0, 1, 3, 4, 5]

    def twice(faults: StreamFaults) -> None:
        faults.twice = 20

    def swap(faults: StreamFaults) -> None:
        faults.swap = 3  # NEW, the money and the first TRADE come after the second event of money

    told, _ = await told_of_a_market_order([], twice)
    assert sorted(set(told)) == [1, 2, 3, 4]
    told, ledger = await told_of_a_market_order([], swap)
    assert sorted(set(told)) == ledger


async def test_a_fill_that_comes_while_the_answer_is_on_its_way() -> None:
    """A resting order's fill is told by the stream before the answer that it was taken."""
    later = [(100, Kind.TRADE, -1, BID, LEVEL_LOTS + 1000)]
    async with both(later) as (exchange, binance):
        for task in await watching(binance, exchange):
            task.cancel()
        exchange.trading.faults.add(OrderFault.late(0.0, after_s=0.6))
        sending = asyncio.create_task(binance.create_order(SYMBOL, "limit", "buy", 0.01, BID / 100))
        fill = asyncio.create_task(binance.watch_my_trades(SYMBOL))
        await asyncio.sleep(0.2)
        exchange.release()
        (trade,) = await asyncio.wait_for(fill, 5)
        assert not sending.done()
        order = await sending
        assert (order["id"], order["status"], order["filled"]) == (trade["order"], "open", 0)
        assert (await binance.fetch_order(order["id"], SYMBOL))["status"] == "closed"


def test_each_named_fault_is_a_new_one() -> None:
    """A seed draws names; what is drawn twice is counted down twice."""
    faults = OrderFaults()
    for make in ORDER_FAULTS.values():
        assert faults.add(make()) is not faults.add(make())
    assert len(ORDER_FAULTS) == 14
    taken = {name: make().taken for name, make in ORDER_FAULTS.items()}
    assert {name for name, times in taken.items() if times == 0} == {
        *("lost_before", "too_many", "banned"),
        *("mute_untaken", "unknown_untaken", "unavailable_untaken", "html_untaken"),
    }
    assert taken["repeated"] == 2
