"""What the embedded exchange refuses: its codes, words and statuses, and ccxt's classes of them."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import ssl
from decimal import Decimal
from typing import Any

import ccxt.pro
import orjson
import pytest

from agent.core.errors import ExchangeError, InputError
from agent.core.types import NS_PER_MS
from agent.system_clock import SystemClock
from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.server import EmbeddedExchange
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from connectors.embedded.trading.api_keys import ApiKey, KeyRing
from connectors.embedded.trading.order_params import REPLACE
from tests.trading_exchange import SYMBOL, asked, judge, refused, trader, trading

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59000",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}


def now_ms(ahead_ms: int = 0) -> str:
    return str(SystemClock().now_ns() // NS_PER_MS + ahead_ms)


async def test_who_signs() -> None:
    """Keys missing, malformed, unknown, revoked or of reading only; signatures wrong or missing."""
    async with trading() as (exchange, endpoint):
        keys = exchange.trading.keys
        stranger = ApiKey("0" * 64, keys.hmac.secret)
        reader, gone = keys.issue_hmac(), keys.issue_hmac()
        keys.restrict(reader)
        keys.revoke(gone)
        cases: list[tuple[ApiKey | None, dict[str, Any], tuple[int, int]]] = [
            (None, {}, (401, -2014)),
            (ApiKey("short", "s"), {}, (401, -2014)),
            (ApiKey("-" * 64, "s"), {}, (401, -2014)),
            (stranger, {}, (401, -2015)),
            (gone, {}, (401, -2015)),
            (dataclasses.replace(keys.hmac, secret="wrong"), {}, (400, -1022)),
            (ApiKey(keys.ed25519.api_key, keys.hmac.secret), {}, (400, -1022)),
            (keys.hmac, {"signature": ""}, (400, -1102)),
            (keys.hmac, {"signature": "é"}, (400, -1022)),
            (keys.hmac, {"timestamp": None}, (400, -1102)),
            (keys.hmac, {"timestamp": "soon"}, (400, -1100)),
            (keys.hmac, {"timestamp": now_ms(-6000)}, (400, -1021)),
            (keys.hmac, {"timestamp": now_ms(2000)}, (400, -1021)),
            (keys.hmac, {"timestamp": now_ms(-6000), "recvWindow": 4000}, (400, -1021)),
            (keys.hmac, {"recvWindow": 60_001}, (400, -1131)),
        ]
        for key, sent, code in cases:
            assert (await asked(endpoint, "GET", "account", key, **sent)).code == code, sent
        passed = await asked(endpoint, "GET", "account", keys.hmac, timestamp=now_ms(-6000), recvWindow=9000)
        assert passed.status == 200
        assert (await asked(endpoint, "GET", "openOrders", reader)).status == 200
        for method, path in (("POST", "order"), ("DELETE", "order"), ("DELETE", "openOrders")):
            assert (await asked(endpoint, method, path, reader, **LIMIT)).code == (401, -2015)
        twice = await asked(endpoint, "GET", "account?symbol=A&symbol=B&x=", keys.hmac)
        assert twice.code == (400, -1101)
    assert not exchange.trading.desk.store.orders


async def test_what_was_signed_cannot_be_changed() -> None:
    """One character of a signed request changed, and it is nobody's."""
    async with trading() as (exchange, endpoint):
        for key in (exchange.trading.keys.hmac, exchange.trading.keys.ed25519):
            async with trader(endpoint, key) as binance:
                sign = binance.sign

                def larger(*args: Any, sign: Any = sign, **kwargs: Any) -> Any:
                    made = sign(*args, **kwargs)
                    if made["body"]:
                        made["body"] = made["body"].replace("quantity=0.01", "quantity=0.02")
                    return made

                binance.sign = larger
                call = binance.create_order(SYMBOL, "limit", "buy", 0.01, 59_000)
                assert await refused(binance, call) == (-1022, "AuthenticationError")
                binance.sign = sign
                assert (await binance.create_order(SYMBOL, "limit", "buy", 0.01, 59_000))["amount"] == 0.01
    assert len(exchange.trading.desk.store.orders) == 2


async def test_a_clock_that_is_off() -> None:
    """ccxt's class for it; and with the exchange's time asked for, the same client is taken."""
    async with trading() as (exchange, endpoint), trader(endpoint, exchange.trading.keys.hmac) as binance:
        true = binance.milliseconds
        for off_ms in (20_000, -20_000):
            binance.milliseconds = lambda off_ms=off_ms: true() + off_ms
            binance.options["timeDifference"] = 0
            assert await refused(binance, binance.fetch_balance()) == (-1021, "InvalidNonce")
            await binance.load_time_difference()
            assert (await binance.fetch_balance())["BTC"]["free"] == 2


ORDERS: list[tuple[dict[str, Any], int, str]] = [
    (LIMIT | {"symbol": "NOPE"}, -1121, "Invalid symbol"),
    (LIMIT | {"symbol": None}, -1102, "'symbol'"),
    (LIMIT | {"side": "HOLD"}, -1117, "Invalid side"),
    (LIMIT | {"side": None}, -1102, "'side'"),
    (LIMIT | {"type": "STOP_LOSS"}, -1116, "Invalid orderType"),
    (LIMIT | {"timeInForce": "DAY"}, -1115, "Invalid timeInForce"),
    (LIMIT | {"timeInForce": None}, -1102, "'timeInForce'"),
    (LIMIT | {"price": None}, -1102, "'price'"),
    (LIMIT | {"quantity": None}, -1102, "'quantity'"),
    (LIMIT | {"quoteOrderQty": "10"}, -1106, "'quoteOrderQty' sent when not required"),
    (LIMIT | {"stopPrice": "10"}, -1104, "Not all sent parameters were read"),
    (LIMIT | {"price": "1e3"}, -1100, "'price'"),
    (LIMIT | {"quantity": "-1"}, -1100, "'quantity'"),
    (LIMIT | {"quantity": "0"}, -1013, "Invalid quantity"),
    (LIMIT | {"price": "0.00"}, -1013, "Invalid price"),
    (LIMIT | {"price": "59000.123456789"}, -1111, "'price' has too much precision"),
    (LIMIT | {"price": "59000.001"}, -1013, "Filter failure: PRICE_FILTER"),
    (LIMIT | {"price": "10000000.01"}, -1013, "Filter failure: PRICE_FILTER"),
    (LIMIT | {"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
    (LIMIT | {"quantity": "0.010001"}, -1013, "Filter failure: LOT_SIZE"),
    (LIMIT | {"quantity": "9000.00001"}, -1013, "Filter failure: LOT_SIZE"),
    (LIMIT | {"quantity": "0.00008"}, -1013, "Filter failure: NOTIONAL"),  # 4.72 of 5
    (LIMIT | {"quantity": "9000", "price": "1000.01"}, -1013, "Filter failure: NOTIONAL"),
    (LIMIT | {"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
    (LIMIT | {"newClientOrderId": "a" * 37}, -1100, "'newClientOrderId'"),
    (LIMIT | {"newOrderRespType": "LONG"}, -1136, "Invalid newOrderRespType"),
    (LIMIT | {"selfTradePreventionMode": "NONE"}, -1130, "'selfTradePreventionMode'"),
    (LIMIT | {"type": "LIMIT_MAKER"}, -1106, "'timeInForce'"),
    (LIMIT | {"type": "LIMIT_MAKER", "timeInForce": None, "price": "60000.10"}, -2010, "immediately match"),
    (LIMIT | {"quantity": "2"}, -2010, "insufficient balance"),
    (LIMIT | {"side": "SELL", "price": "61000", "quantity": "2.00001"}, -2010, "insufficient balance"),
    (MARKET, -1102, "'quantity' or 'quoteOrderQty'"),
    (MARKET | {"quantity": "0.01", "quoteOrderQty": "10"}, -1128, "Combination of optional parameters"),
    (MARKET | {"quantity": "0.01", "price": "1"}, -1106, "'price'"),
    (MARKET | {"quoteOrderQty": "4.99"}, -1013, "Filter failure: NOTIONAL"),
    (MARKET | {"quoteOrderQty": "100000.01"}, -2010, "insufficient balance"),
    (MARKET | {"side": "SELL", "quantity": "2.5"}, -2010, "insufficient balance"),
]


async def test_orders_that_are_refused() -> None:
    """Each with the exchange's code and words, status 400; nothing is taken and nothing locked."""
    async with trading() as (exchange, endpoint):
        key = exchange.trading.keys.hmac
        for sent, code, words in ORDERS:
            told = await asked(endpoint, "POST", "order", key, **sent)
            assert told.code == (400, code), sent
            assert words in told.body["msg"]
        exchange.lane(SYMBOL).status = "BREAK"
        told = await asked(endpoint, "POST", "order", key, **LIMIT)
        assert (told.code, told.body["msg"]) == ((400, -1013), "Market is closed.")
        exchange.lane(SYMBOL).status = "TRADING"
        assert (await asked(endpoint, "POST", "order", key, **LIMIT)).status == 200
    assert len(exchange.trading.desk.store.orders) == 1
    judge(exchange)


async def test_a_market_order_is_valued_by_what_traded() -> None:
    """NOTIONAL holds for it at the average price, once something traded; without a book it finds nothing."""
    async with trading() as (exchange, endpoint):
        key, lane = exchange.trading.keys.hmac, exchange.lane(SYMBOL)
        exchange.release()
        await exchange.wait_ended()
        small = await asked(endpoint, "POST", "order", key, **MARKET, quantity="0.00008")
        assert (small.code, small.body["msg"]) == ((400, -1013), "Filter failure: NOTIONAL")
        assert (await asked(endpoint, "POST", "order", key, **MARKET, quantity="0.0001")).status == 200
        lane.asks.clear()
        exchange.trading.desk.matcher._following.clear()
        none = await asked(endpoint, "POST", "order", key, **MARKET, quoteOrderQty="100")
        assert none.code == (400, -2010)
        assert "liquidity is less than" in none.body["msg"]
        empty = await asked(endpoint, "POST", "order", key, **MARKET, quantity="0.01")
        assert (empty.body["status"], empty.body["executedQty"]) == ("EXPIRED", "0.00000000")
    judge(exchange)


async def test_orders_that_are_not_there() -> None:
    """Unknown, ended, of another symbol, asked for by nothing: each its own code."""
    async with trading() as (exchange, endpoint):
        key = exchange.trading.keys.hmac
        placed = (await asked(endpoint, "POST", "order", key, **LIMIT, newClientOrderId="a")).body
        one = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
        cases: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
            ("GET", {"symbol": "BTCUSDT", "orderId": 7}, (400, -2013)),
            ("GET", {"symbol": "BTCUSDT", "origClientOrderId": "b"}, (400, -2013)),
            ("GET", one | {"origClientOrderId": "b"}, (400, -2013)),
            ("GET", {"symbol": "BTCUSDT"}, (400, -1102)),
            ("GET", {"symbol": "BTCUSDT", "orderId": "x"}, (400, -1100)),
            ("DELETE", {"symbol": "BTCUSDT", "orderId": 7}, (400, -2011)),
            ("DELETE", one | {"cancelRestrictions": "ONLY_PARTIALLY_FILLED"}, (400, -2011)),
            ("DELETE", one | {"cancelRestrictions": "SOME"}, (400, -1145)),
            ("DELETE", {"symbol": "BTCUSDT"}, (400, -1102)),
        ]
        for method, sent, code in cases:
            assert (await asked(endpoint, method, "order", key, **sent)).code == code, sent
        restricted = one | {"cancelRestrictions": "ONLY_NEW", "newClientOrderId": "c"}
        gone = await asked(endpoint, "DELETE", "order", key, **restricted)
        assert (gone.status, gone.body["clientOrderId"], gone.body["origClientOrderId"]) == (200, "c", "a")
        assert (await asked(endpoint, "DELETE", "order", key, **one)).code == (400, -2011)
        assert (await asked(endpoint, "DELETE", "openOrders", key, symbol="BTCUSDT")).code == (400, -2011)
        wide = {"symbol": "BTCUSDT", "startTime": 0, "endTime": 86_400_001}
        for path in ("myTrades", "allOrders"):
            assert (await asked(endpoint, "GET", path, key, **wide)).code == (400, -1127)
        mixed = {"symbol": "BTCUSDT", "fromId": 1, "startTime": 0}
        assert (await asked(endpoint, "GET", "myTrades", key, **mixed)).code == (400, -1128)


async def test_ccxt_classes_of_refusals() -> None:
    """The classes that a router must tell apart, as the pinned client makes them of the demo's answers."""
    async with trading() as (exchange, endpoint):
        keys = exchange.trading.keys
        stranger = dataclasses.replace(keys.hmac, api_key="0" * 64)
        async with trader(endpoint, keys.hmac) as binance, trader(endpoint, stranger) as nobody:

            def order(amount: float, price: float) -> Any:
                return binance.create_order(SYMBOL, "limit", "buy", amount, price, {"clientOrderId": "a"})

            assert await refused(nobody, nobody.fetch_balance()) == (-2015, "AuthenticationError")
            assert await refused(binance, order(0.00008, 59_000)) == (-1013, "BadRequest")
            assert await refused(binance, order(2, 59_000)) == (-2010, "InsufficientFunds")
            await order(0.01, 59_000)
            assert await refused(binance, order(0.01, 59_000)) == (-2010, "InvalidOrder")
            assert await refused(binance, binance.cancel_order("77", SYMBOL)) == (-2011, "OrderNotFound")
            assert await refused(binance, binance.fetch_order("77", SYMBOL)) == (-2013, "OrderNotFound")
            exchange.lane(SYMBOL).status = "BREAK"
            assert await refused(binance, order(0.02, 59_000)) == (-1013, "MarketClosed")


async def test_too_many_requests_and_orders() -> None:
    """429 with -1003 or -1015 and Retry-After; 418 for who goes on; what was used is in every answer."""
    async with trading() as (exchange, endpoint):
        key, weights = exchange.trading.keys.hmac, exchange.trading.weights
        used = []
        for _ in range(2):
            answer = await asked(endpoint, "GET", "account", key)
            used.append(int(answer.headers["X-MBX-USED-WEIGHT-1M"]))
        assert used[1] - used[0] == 20 or used[1] == 20  # or a minute ended
        weights.orders_10s.most = weights.orders_10s.used + 2
        told = [await asked(endpoint, "POST", "order", key, **LIMIT) for _ in range(4)]
        refusals = [answer for answer in told if answer.status == 429]
        assert refusals
        assert refusals[0].body["code"] == -1015
        assert "10 SECOND" in refusals[0].body["msg"]
        assert 1 <= int(refusals[0].headers["Retry-After"]) <= 11
        assert int(told[0].headers["X-MBX-ORDER-COUNT-10S"]) >= 1
        placed = len(exchange.trading.desk.store.orders)
        assert placed == 4 - len(refusals)
        weights.weight.most = 0
        over = [await asked(endpoint, "POST", "order", key, **LIMIT) for _ in range(102)]
        assert {answer.code for answer in over[:100]} == {(429, -1003)}
        assert "Retry-After" in over[0].headers
        assert over[101].code == (418, -1003)
        assert 100 < int(over[101].headers["Retry-After"]) <= 121
        async with trader(endpoint, key, markets=False) as binance:
            with pytest.raises(ccxt.DDoSProtection, match="418"):
                await binance.fetch_balance()
    assert len(exchange.trading.desk.store.orders) == placed


async def test_keys_are_nowhere_to_be_seen() -> None:
    """Not in ``repr``, not in its certificates' folder, not in its status; each start has others."""
    async with trading() as (exchange, endpoint), trading() as (other, _):
        mine, theirs = exchange.trading.keys, other.trading.keys
        keys = [mine.hmac, mine.ed25519, theirs.hmac, theirs.ed25519]
        assert len({key.secret for key in keys} | {key.api_key for key in keys}) == 8
        shown = f"{keys!r} {exchange.status()} {endpoint!r} {exchange.trading.keys!r}"
        files = b"".join(path.read_bytes() for path in endpoint.ca_file.parent.iterdir())
        for key in keys:
            assert key.secret not in shown
            assert key.api_key not in shown
            assert key.secret.encode() not in files
    drawn = [KeyRing(lambda n: bytes(range(n))) for _ in range(2)]
    assert drawn[0].ed25519 == drawn[1].ed25519  # a simulation's own


async def test_without_trading_there_is_no_order_side() -> None:
    """As before: the public endpoints only, no limits told, and asking for its order side says what to do."""
    exchange = EmbeddedExchange(SyntheticMarket(1, (SYMBOL,), past_s=1), SystemClock())
    endpoint = await exchange.start()
    try:
        with pytest.raises(ExchangeError, match="takes no orders: make it with trading="):
            _ = exchange.trading
        told = await asked(endpoint, "GET", "exchangeInfo", None, timestamp=None)
        assert (told.body["rateLimits"], told.body["symbols"][0]["cancelReplaceAllowed"]) == ([], False)
        assert "X-MBX-USED-WEIGHT-1M" not in told.headers
    finally:
        await exchange.stop()
    async with trading() as (_, endpoint):
        told = await asked(endpoint, "GET", "exchangeInfo", None, timestamp=None)
        assert told.body["symbols"][0]["cancelReplaceAllowed"]
        assert [limit["limit"] for limit in told.body["rateLimits"]] == [6000, 100, 200_000]


async def test_money_put_in_and_taken_out() -> None:
    """A change from outside is in the next account; no more leaves than is free."""
    async with (
        trading(balances={"USDT": Decimal(100)}) as (exchange, endpoint),
        trader(endpoint, exchange.trading.keys.hmac) as binance,
    ):
        assert (await binance.fetch_balance())["total"] == {"USDT": 100}
        exchange.trading.balances.change("BTC", Decimal("0.5"))
        exchange.trading.balances.change("USDT", Decimal(-40))
        assert (await binance.fetch_balance())["total"] == {"USDT": 60, "BTC": 0.5}
        with pytest.raises(InputError, match="60 free: take out less"):
            exchange.trading.balances.change("USDT", Decimal("-60.01"))


ODD = (
    *(
        "",
        "0",
        "-1",
        "1",
        "7",
        "0.01",
        "59000",
        "60000.1",
        "1e9",
        "nan",
        "inf",
        "9" * 20,
        "9" * 40,
        "0." + "9" * 20,
    ),
    *(
        "é",
        "\x00",
        "' OR 1=1",
        "BTCUSDT",
        "btcusdt",
        "BUY",
        "SELL",
        "LIMIT",
        "MARKET",
        "LIMIT_MAKER",
        "GTC",
        "FOK",
    ),
    *("a", "b", "c", "STOP_ON_FAILURE", "ALLOW_FAILURE", "ONLY_NEW", "true", "FULL", "ACK", "1700000000000"),
)


@pytest.mark.slow
async def test_odd_parameters_are_refused_or_taken() -> None:
    """20,000 requests of any parameters: an answer or a refusal each, and a ledger that adds up."""
    async with trading() as (exchange, _):
        floor, rng = exchange.trading, random.Random(5)
        endpoints = list(floor.api.endpoints().values())
        names = sorted({*REPLACE, "orderId", "origClientOrderId", "cancelRestrictions", "fromId", "limit"})
        names += ["startTime", "endTime", "omitZeroBalances", "other"]
        good: dict[str, str] = {**LIMIT, "newClientOrderId": "a", "cancelOrigClientOrderId": "a"}
        good |= {"cancelReplaceMode": "ALLOW_FAILURE", "origClientOrderId": "a", "orderId": "1001"}
        taken, codes, sides, prices = 0, set(), ("BUY", "SELL"), ("59000", "60000.1", "60000.05")
        for n in range(20_000):
            params = {name: good[name] for name in good if rng.random() < 0.8}
            if rng.random() < 0.5:  # an order that may be taken
                params = LIMIT | {"price": rng.choice(prices), "side": rng.choice(sides)}
            params |= {rng.choice(names): rng.choice(ODD) for _ in range(rng.randint(0, 3))}
            try:
                orjson.dumps(rng.choice(endpoints).answer(params, n * 200))
                taken += 1
            except BadRequestError as error:
                orjson.dumps(error.to_json())
                codes.add(error.code)
        judge(exchange)
    assert taken > 1000
    assert len(exchange.trading.desk.store.trades) > 10
    assert codes >= {-1013, -1100, -1102, -1104, -1106, -1111, -1115, -1116, -1117, -1121, -2011, -2013}


async def test_bytes_that_are_no_text() -> None:
    """In a body: refused as what nobody has signed."""
    async with trading() as (exchange, endpoint):
        key = exchange.trading.keys.hmac
        at = b"timestamp=" + now_ms().encode()
        for query, body in ((at + b"&signature=%ff", b""), (at + b"&signature=00", b"symbol=\xff\xfe")):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                endpoint.port,
                ssl=ssl.create_default_context(cafile=str(endpoint.ca_file)),
                server_hostname="demo-api.binance.com",
            )
            head = b"POST /api/v3/order?" + query + b" HTTP/1.1\r\nHost: demo-api.binance.com\r\n"
            head += f"X-MBX-APIKEY: {key.api_key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head + body)
            told = await asyncio.wait_for(reader.read(4096), 5)
            writer.close()
            assert b"400 Bad Request" in told
            assert b"-1022" in told
