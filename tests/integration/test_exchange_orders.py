"""Orders on the embedded exchange, sent by the real, unmodified ccxt.pro client in demo mode, over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt.pro
import numpy as np
import pytest

from agent.core.market.tape import Kind
from agent.core.types import Side
from agent.system_clock import SystemClock
from agent.venue.kernel.tape_market import TapeMarket
from connectors.embedded.market_source import RecordedMarket
from connectors.embedded.server import EmbeddedExchange, PlayFrom
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from connectors.embedded.trading.exchange_orders import NewOrder, OrderType
from connectors.embedded.trading.matcher import Reach
from connectors.embedded.trading.trading_floor import TradingRules
from tests.trading_exchange import (
    ASK,
    BID,
    LEVEL_LOTS,
    OPENING,
    SYMBOL,
    Row,
    judge,
    trader,
    trading,
)

KEYS = ("hmac", "ed25519")


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 (the exchange has no event for it)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", KEYS)
async def test_an_order_and_all_that_is_told_of_it(kind: str) -> None:
    """With either signature: placed, found by either id, listed, cancelled; money locked and freed."""
    async with (
        trading() as (exchange, endpoint),
        trader(endpoint, getattr(exchange.trading.keys, kind)) as binance,
    ):
        sent = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 59000, {"clientOrderId": "one"})
        assert (sent["status"], sent["clientOrderId"], sent["filled"]) == ("open", "one", 0)
        by_id = await binance.fetch_order(sent["id"], SYMBOL)
        by_name = await binance.fetch_order(None, SYMBOL, {"clientOrderId": "one"})
        assert by_id["id"] == by_name["id"] == sent["id"]
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [sent["id"]]
        assert [o["id"] for o in await binance.fetch_orders(SYMBOL)] == [sent["id"]]
        balance = await binance.fetch_balance()
        assert balance["USDT"] == {"free": 99_410.0, "used": 590.0, "total": 100_000.0}
        judge(exchange)
        gone = await binance.cancel_order(None, SYMBOL, {"clientOrderId": "one"})
        assert (gone["status"], gone["id"]) == ("canceled", sent["id"])
        assert (await binance.fetch_open_orders(SYMBOL), await binance.fetch_my_trades(SYMBOL)) == (
            [],
            [],
        )
        assert (await binance.fetch_balance())["USDT"]["free"] == 100_000
    judge(exchange)


async def test_orders_that_take() -> None:
    """Market and limit orders walk the book level by level; fees are taken of what comes in."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        bought = await binance.create_order(SYMBOL, "market", "buy", 0.015)
        assert [t["amount"] for t in bought["trades"]] == [0.01, 0.005]
        assert bought["cost"] == pytest.approx(0.01 * 60_000.1 + 0.005 * 60_000.11)
        assert bought["fee"] == {"currency": "BTC", "cost": 0.000015}
        sold = await binance.create_order(SYMBOL, "limit", "sell", 0.02, 59_999.99)
        assert [t["price"] for t in sold["trades"]] == [60_000.0, 59_999.99]
        assert sold["status"] == "closed"
        assert sold["fee"]["currency"] == "USDT"
        mine = await binance.fetch_my_trades(SYMBOL)
        assert [t["order"] for t in mine] == [bought["id"]] * 2 + [sold["id"]] * 2
        assert {t["takerOrMaker"] for t in mine} == {"taker"}
        account = await binance.fetch_balance()
        store = exchange.trading.desk.store
        assert account["BTC"]["free"] == float(2 + Decimal("0.015") - Decimal("0.000015") - Decimal("0.02"))
        assert [t.fee for t in store.trades[2:]] == [Decimal("0.60000000"), Decimal("0.59999990")]
    judge(exchange)


async def test_a_better_price_frees_money() -> None:
    """A limit order that traded below its limit locks for its rest what the rest may cost, and no more."""
    async with (
        trading() as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        order = await binance.create_order(SYMBOL, "limit", "buy", 0.025, 60_000.11)
        assert (order["status"], order["filled"]) == ("open", 0.02)
        judge(exchange)
        assert (await binance.fetch_balance())["USDT"]["used"] == pytest.approx(0.005 * 60_000.11)
        await binance.cancel_order(order["id"], SYMBOL)
    judge(exchange)


async def test_market_orders_bound_by_money() -> None:
    """``quoteOrderQty`` buys and sells as many lots as the money pays; what is left is free again."""
    async with (
        trading() as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.ed25519) as binance,
    ):
        bought = await binance.create_market_buy_order_with_cost(SYMBOL, 1000)
        assert bought["status"] == "closed"
        assert 999 < bought["cost"] <= 1000
        sold = await binance.create_order(SYMBOL, "market", "sell", None, None, {"quoteOrderQty": 100})
        assert sold["info"]["origQuoteOrderQty"] == "100.00000000"
        assert 99 < sold["cost"] <= 100
        assert (await binance.fetch_balance())["USDT"]["used"] == 0
    judge(exchange)


async def test_how_long_orders_live() -> None:
    """IOC ends what it did not get, FOK is whole or nothing, LIMIT_MAKER rests; all end in the ledger."""
    most = 10 * LEVEL_LOTS * 1e-5
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:

        async def sent(amount: float, price: float, **params: Any) -> tuple[str, float]:
            order = await binance.create_order(SYMBOL, "limit", "buy", amount, price, params)
            return order["info"]["status"], order["filled"]

        assert await sent(0.2, 60_000.1, timeInForce="FOK") == ("EXPIRED", 0)
        assert await sent(0.015, 60_000.1, timeInForce="IOC") == ("EXPIRED", 0.01)
        assert await sent(0.02, 60_000.12, timeInForce="FOK") == ("FILLED", 0.02)
        order = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_000.05, {"postOnly": True})
        assert (await binance.fetch_order(order["id"], SYMBOL))["postOnly"]
        rest = await binance.create_order(SYMBOL, "market", "buy", 1)
        assert (rest["info"]["status"], rest["filled"]) == ("EXPIRED", pytest.approx(most - 0.03))
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [order["id"]]
    judge(exchange)


async def test_a_resting_order_is_filled_by_the_market() -> None:
    """It queues behind what stood there, has its part of each trade, and pays the maker's fee."""
    sells: list[Row] = [
        (100, Kind.TRADE, -1, BID, LEVEL_LOTS + 300),  # all that stood before ours, and 300 of ours
        (200, Kind.TRADE, -1, BID, 200),
    ]
    async with (
        trading(sells, maker_ppm=500) as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        order = await binance.create_order(SYMBOL, "limit", "buy", 0.01, BID / 100)
        exchange.release()
        await until(lambda: exchange.ended)
        told = await binance.fetch_order(order["id"], SYMBOL)
        assert (told["status"], told["filled"]) == ("open", 0.005)
        mine = await binance.fetch_my_trades(SYMBOL)
        assert [(t["amount"], t["price"], t["takerOrMaker"]) for t in mine] == [
            (0.003, 60_000.0, "maker"),
            (0.002, 60_000.0, "maker"),
        ]
        assert mine[1]["timestamp"] - mine[0]["timestamp"] == 100
        assert mine[0]["fee"]["cost"] == 0.0000015
        judge(exchange)
        assert (await binance.cancel_order(order["id"], SYMBOL))["filled"] == 0.005
    judge(exchange)


async def test_cancel_replace() -> None:
    """Both done; both refused; one of two, by mode: nothing is placed unless its rule says so."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        old = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 59_000)
        new = await binance.edit_order(old["id"], SYMBOL, "limit", "buy", 0.02, 59_001)
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [new["id"]]
        assert (await binance.fetch_order(old["id"], SYMBOL))["status"] == "canceled"

        async def replaced(mode: str, of: str, amount: str = "0.01") -> Any:
            sent = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
            more = {"price": "59002", "quantity": amount, "cancelOrderId": of, "cancelReplaceMode": mode}
            with pytest.raises(ccxt.BadResponse) as raised:
                await binance.private_post_order_cancelreplace(sent | more)
            return binance.parse_json(binance.last_http_response), str(raised.value)

        stopped, _ = await replaced("STOP_ON_FAILURE", old["id"])
        assert stopped["code"] == -2022
        assert stopped["data"]["newOrderResult"] == "NOT_ATTEMPTED"
        assert stopped["data"]["cancelResponse"]["code"] == -2011
        placed, _ = await replaced("ALLOW_FAILURE", old["id"])
        assert (placed["code"], placed["data"]["newOrderResult"]) == (-2021, "SUCCESS")
        dear, _ = await replaced("STOP_ON_FAILURE", new["id"], "5")
        assert (dear["code"], dear["data"]["cancelResult"]) == (-2021, "SUCCESS")
        assert dear["data"]["newOrderResponse"]["code"] == -2010
        left = await binance.fetch_open_orders(SYMBOL)
        assert [o["id"] for o in left] == [str(placed["data"]["newOrderResponse"]["orderId"])]
        assert len(await binance.cancel_all_orders(SYMBOL)) == 1
    judge(exchange)


async def test_pages_of_orders_and_trades() -> None:
    """From an id on, from a time on, the latest: each page as the exchange cuts it, none twice or missed."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        for _ in range(7):
            await binance.create_order(SYMBOL, "market", "buy", 0.001)
        everything = [t["id"] for t in await binance.fetch_my_trades(SYMBOL)]
        paged: list[str] = []
        while page := await binance.fetch_my_trades(
            SYMBOL, limit=3, params={"fromId": int(paged[-1]) + 1 if paged else 1}
        ):
            paged += [t["id"] for t in page]
        assert paged == everything == [str(n) for n in range(1, 8)]
        latest = await binance.fetch_my_trades(SYMBOL, limit=2)
        assert [t["id"] for t in latest] == everything[-2:]
        since = latest[0]["timestamp"]
        later = await binance.fetch_my_trades(SYMBOL, since=since)
        assert [t["id"] for t in later] == [
            str(t.trade_id) for t in exchange.trading.desk.store.trades if t.at_ms >= since
        ]
        orders = await binance.fetch_orders(SYMBOL)
        assert len(orders) == 7
        tail = await binance.fetch_orders(SYMBOL, params={"orderId": orders[4]["id"]})
        assert [o["id"] for o in tail] == [o["id"] for o in orders[4:]]
        of_one = await binance.fetch_order_trades(orders[2]["id"], SYMBOL)
        assert [t["order"] for t in of_one] == [orders[2]["id"]]
    judge(exchange)


async def test_client_ids_are_unique_among_open_orders_only() -> None:
    """While one is open its id is refused; once it has ended, the same id is another order, and is filled."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        params = {"clientOrderId": "mine"}
        first = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, params)
        with pytest.raises(ccxt.InvalidOrder, match=r"Duplicate order sent"):
            await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_001, params)
        await binance.cancel_order(first["id"], SYMBOL)
        again = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_001, params)
        twice = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_001, params)
        assert [again["filled"], twice["filled"]] == [0.01, 0.01]
        latest = await binance.fetch_order(None, SYMBOL, {"clientOrderId": "mine"})
        assert latest["id"] == twice["id"]
    assert len(exchange.trading.desk.store.trades) > 1
    judge(exchange)


async def test_own_orders_do_not_trade_with_each_other() -> None:
    """The resting one ends where a new one gets past it: EXPIRED_IN_MATCH, and its money is free."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        resting = await binance.create_order(SYMBOL, "limit", "sell", 0.01, 60_000.05)
        beyond = await binance.create_order(SYMBOL, "limit", "sell", 0.01, 60_000.15)
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_000.06, {"postOnly": True})
        taker = await binance.create_order(SYMBOL, "limit", "buy", 0.01, 60_000.2)
        assert taker["average"] == 60_000.1
        old = await binance.fetch_order(resting["id"], SYMBOL)
        assert (old["info"]["status"], old["filled"]) == ("EXPIRED_IN_MATCH", 0)
        assert [o["id"] for o in await binance.fetch_open_orders(SYMBOL)] == [beyond["id"]]
    judge(exchange)


@pytest.mark.slow
async def test_fills_are_those_of_the_kernel_on_the_whole_tape() -> None:
    """Orders at any moments of a busy market: each fill is the one that the paper venue's kernel gives.

    The exchange's kernel follows a market only while orders are there, and begins with the book it finds.
    """
    instruments, rows = synthetic_session(11, 12, trades_per_s=100)
    market = RecordedMarket.of(instruments, rows)
    rules = TradingRules({"USDT": Decimal(10**9), "BTC": Decimal(10**4)})
    exchange = EmbeddedExchange(market, SystemClock(), speed=5.0, play_from=PlayFrom.RELEASED, trading=rules)
    await exchange.start()
    sent: list[tuple[int, str, int, Reach]] = []  # rows played before, what, order, its reach
    stopped = 0
    try:
        desk, player, lane = exchange.trading.desk, exchange._player, exchange.lane(SYMBOL)
        rng = np.random.default_rng(3)
        exchange.release()
        while not exchange.ended:
            await asyncio.sleep(0.01)
            assert not (exchange._playing and exchange._playing.done() and not exchange.ended)
            stopped += player.follower is None
            if len(sent) > 700 or rng.random() < 0.2 or not (lane.bids and lane.asks):
                continue
            for order in desk.store.open()[: int(rng.integers(0, 3)) * (len(sent) % 20 > 3)]:
                sent.append((player.rows, "withdraw", order.order_id, Reach(0, 0, 0, 0)))
                desk.cancel(order, "c", 0)
            if len(sent) % 20 > 15:  # sometimes nothing is there
                for order in desk.store.open():
                    sent.append((player.rows, "withdraw", order.order_id, Reach(0, 0, 0, 0)))
                    desk.cancel(order, "c", 0)
                await asyncio.sleep(0.03)
            side = Side.BUY
            ticks = int(max(lane.bids) + rng.integers(-6, 6))
            new = NewOrder(
                lane,
                side,
                OrderType.LIMIT,
                "GTC",
                ticks,
                int(rng.integers(200, 20_000)),
                Decimal(0),
                "",
                "ACK",
            )
            new = NewOrder(lane, side, new.type, new.tif, ticks, new.lots, new.quote, f"o{len(sent)}", "ACK")
            at = player.rows
            order = desk.place(new, 0)
            sent.append((at, "place", order.order_id, Reach(0, side, ticks, new.lots)))
        fills = [(t.order.order_id, t.ticks, t.lots, t.maker) for t in desk.store.trades]
        assert desk.store.trades
        judge(exchange, rules.balances)
    finally:
        await exchange.stop()
    kernel, done, expected = TapeMarket(instruments), 0, []

    def drain() -> None:
        expected.extend((n, ticks, lots, bool(maker)) for n, ticks, lots, maker, *_ in kernel.drain_fills())

    for at, what, number, reach in [*sent, (len(rows), "", 0, Reach(0, 0, 0, 0))]:
        while done < at:
            done, _ = kernel.run(rows[:at], done, 2**62)
            drain()
        if what == "withdraw":
            kernel.withdraw(number)
        elif what == "place":
            filled = kernel.take(number, 0, reach, 0)
            drain()
            if filled < reach.lots:
                kernel.rest(number, 0, reach, reach.lots - filled)
    assert len([w for _, w, *_ in sent if w == "place"]) > 60
    assert {maker for *_, maker in fills} == {True, False}
    assert stopped > 5
    assert fills == expected


async def test_what_was_taken_is_gone_until_it_comes_again() -> None:
    """A level taken whole offers nothing more; new lots there are, though nothing rested meanwhile."""
    later = [(300, Kind.LEVEL, -1, ASK, 0), (400, Kind.LEVEL, -1, ASK, 800)]
    async with (
        trading(later) as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):

        async def bought() -> float:
            order = (SYMBOL, "limit", "buy", 0.02, ASK / 100, {"timeInForce": "IOC"})
            return (await binance.create_order(*order))["filled"]

        assert [await bought(), await bought()] == [0.01, 0]
        exchange.release()
        await exchange.wait_ended()
        assert [await bought(), await bought()] == [0.008, 0]
    judge(exchange)


async def test_nobody_with_an_order_costs_nothing() -> None:
    """The player hands its rows to nobody until there is an order, and to nobody again once all is over."""
    later = [(i, Kind.LEVEL, -1, ASK + i % 10, LEVEL_LOTS + i) for i in range(1, 3000)]
    async with trading(later) as (exchange, _):
        player, desk, lane = exchange._player, exchange.trading.desk, exchange.lane(SYMBOL)
        exchange.release()
        await asyncio.sleep(0.1)
        assert player.follower is None
        sent = NewOrder(lane, Side.BUY, OrderType.LIMIT, "GTC", BID, 1000, Decimal(0), "a", "ACK")
        order = desk.place(sent, 0)
        await asyncio.sleep(0.1)
        assert player.follower is not None
        desk.cancel(order, "b", 0)
        await asyncio.sleep(0.1)
        assert player.follower is None
    assert exchange.trading.balances.free("USDT") == OPENING["USDT"]
