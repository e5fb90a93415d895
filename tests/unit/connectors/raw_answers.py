"""Raw answers in the exchanges' own formats, with numbers of our own, and what is right of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Raw = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """A market in our units. ``worth``: of one unit at ``price``, in the quote currency."""

    tick: str
    lot: str
    least: str
    least_value: str
    worth: str
    inverse: bool = False


@dataclass(frozen=True)
class Trades:
    """One trade, as a request answers it and as the stream sends it: (price, amount, taker's side)."""

    asked: Any
    streamed: Any
    right: tuple[str, str, str]
    stream_parser: str = "parse_trade"


def same(trade: Any, right: tuple[str, str, str], parser: str = "parse_trade", **more: Any) -> Trades:
    """The stream sends what a request answers, with the fields ``more`` beside it."""
    return Trades(trade, {**trade, **more} if more else trade, right, parser)


@dataclass(frozen=True)
class Case:
    """One market of an exchange: its raw definition, read by ``parser`` or as an answer to a path."""

    exchange: str
    symbol: str
    raw: Any
    expected: Expected
    price: float
    parser: str = ""
    answers: Raw = field(default_factory=dict)
    options: Raw = field(default_factory=dict)
    trades: Trades | None = None


def _binance(symbol: str, base: str, quote: str, **more: Any) -> Raw:
    return {
        "symbol": symbol,
        "baseAsset": base,
        "quoteAsset": quote,
        "status": "TRADING",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "90000", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "900", "stepSize": "0.001"},
            {"filterType": "NOTIONAL", "minNotional": "5"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        **more,
    }


_AGGREGATE = {"a": 77, "p": "61000.1", "q": "3", "f": 5, "l": 6, "T": 1700000000123, "m": True, "M": True}
_AGGREGATES = same(
    _AGGREGATE,
    ("61000.1", "3", "sell"),
    "parse_ws_trade",
    e="aggTrade",
    E=1700000000130,
    s="BTCUSDT",
)

SPOT = Expected("0.1", "0.001", "0.002", "5", "61000")

CASES = [
    *(
        Case(
            name, f"BTC/{q}", _binance(f"BTC{q}", "BTC", q), SPOT, 61000.0, "parse_market", trades=_AGGREGATES
        )
        for name, q in (("binance", "USDT"), ("binanceus", "USDT"))
    ),
    Case(
        "binanceusdm",
        "BTC/USDT:USDT",
        _binance("BTCUSDT", "BTC", "USDT", marginAsset="USDT", contractType="PERPETUAL"),
        SPOT,
        61000.0,
        "parse_market",
        trades=_AGGREGATES,
    ),
    Case(
        "binancecoinm",
        "BTC/USD:BTC",
        _binance(
            "BTCUSD_PERP",
            "BTC",
            "USD",
            marginAsset="BTC",
            contractType="PERPETUAL",
            contractSize=100,
            contractStatus="TRADING",
            filters=[
                {"filterType": "PRICE_FILTER", "tickSize": "0.1"},
                {"filterType": "LOT_SIZE", "minQty": "1", "stepSize": "1"},
            ],
        ),
        Expected("0.1", "1", "1", "0", "100", inverse=True),
        61000.0,
        "parse_market",
        trades=_AGGREGATES,
    ),
    Case(
        "okx",
        "BTC/USDT:USDT",
        {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "settleCcy": "USDT",
            "uly": "BTC-USDT",
            "ctVal": "0.01",
            "ctValCcy": "BTC",
            "tickSz": "0.1",
            "lotSz": "0.1",
            "minSz": "0.1",
            "state": "live",
            "baseCcy": "",
            "quoteCcy": "",
            "lever": "50",
        },
        Expected("0.1", "0.1", "0.1", "0", "610"),
        61000.0,
        "parse_market",
        trades=same(
            {
                "instId": "BTC-USDT-SWAP",
                "side": "buy",
                "sz": "2.5",
                "px": "61000.1",
                "tradeId": "91",
                "ts": "1700000000123",
            },
            ("61000.1", "2.5", "buy"),
            count="2",
        ),
    ),
    Case(
        "deribit",
        "BTC/USD:BTC",
        {},
        Expected("0.5", "10", "10", "0", "1", inverse=True),
        61000.0,
        answers={
            "public/get_currencies": {"result": [{"currency": "BTC"}]},
            "get_currencies": {"result": [{"currency": "BTC"}]},
            "get_instruments": {
                "result": [
                    {
                        "instrument_name": "BTC-PERPETUAL",
                        "kind": "future",
                        "base_currency": "BTC",
                        "quote_currency": "USD",
                        "counter_currency": "USD",
                        "settlement_currency": "BTC",
                        "settlement_period": "perpetual",
                        "tick_size": 0.5,
                        "min_trade_amount": 10,
                        "contract_size": 10,
                        "is_active": True,
                        "expiration_timestamp": 32503708800000,
                        "creation_timestamp": 1534167754000,
                        "maker_commission": 0,
                        "taker_commission": 0.0005,
                    }
                ]
            },
        },
        trades=same(
            {
                "trade_id": "411",
                "instrument_name": "BTC-PERPETUAL",
                "direction": "sell",
                "amount": 580.0,
                "contracts": 58.0,
                "price": 61000.5,
                "timestamp": 1700000000123,
            },
            ("61000.5", "580", "sell"),
        ),
    ),
    Case(
        "deribit",
        "ETH/USDC:USDC",
        {},
        Expected("0.05", "0.01", "0.01", "0", "3000"),
        3000.0,
        answers={
            "get_currencies": {"result": [{"currency": "USDC"}]},
            "get_instruments": {
                "result": [
                    {
                        "instrument_name": "ETH_USDC-PERPETUAL",
                        "kind": "future",
                        "base_currency": "ETH",
                        "quote_currency": "USDC",
                        "counter_currency": "USDC",
                        "settlement_currency": "USDC",
                        "settlement_period": "perpetual",
                        "tick_size": 0.05,
                        "min_trade_amount": 0.01,
                        "contract_size": 0.01,
                        "is_active": True,
                        "expiration_timestamp": 32503708800000,
                        "creation_timestamp": 1534167754000,
                        "maker_commission": 0,
                        "taker_commission": 0.0005,
                    }
                ]
            },
        },
    ),
    Case(
        "phemex",
        "ETH/USD:ETH",
        {
            "symbol": "ETHUSD",
            "type": "Perpetual",
            "contractUnderlyingAssets": "USD",
            "settleCurrency": "ETH",
            "quoteCurrency": "USD",
            "baseCurrency": "ETH",
            "contractSize": "1 USD",
            "lotSize": "1",
            "tickSize": "0.05",
            "priceScale": "4",
            "ratioScale": "8",
            "valueScale": "8",
            "minPriceEp": "500",
            "maxPriceEp": "900000000",
            "maxOrderQty": "500000",
            "status": "Listed",
            "makerFeeRateEr": "0",
            "takerFeeRateEr": "60000",
            "maxLeverage": "50",
            "settlementCurrency": "ETH",
        },
        Expected("0.05", "1", "1", "0", "1", inverse=True),
        3000.0,
        "parse_swap_market",
        trades=Trades(
            [1700000000123456789, 991, "Sell", 30000500, 812],
            [1700000000123456789, "Sell", 30000500, 812],
            ("3000.05", "812", "sell"),
        ),
    ),
    Case(
        "phemex",
        "ETH/USDT:USDT",
        {
            "symbol": "ETHUSDT",
            "type": "PerpetualV2",
            "contractUnderlyingAssets": "ETH",
            "settleCurrency": "USDT",
            "quoteCurrency": "USDT",
            "baseCurrency": "ETH",
            "tickSize": "0.01",
            "qtyStepSize": "0.02",
            "priceScale": "0",
            "ratioScale": "0",
            "status": "Listed",
            "minOrderValueRv": "2.5",
            "maxLeverage": "50",
        },
        Expected("0.01", "0.02", "0.02", "2.5", "3000"),
        3000.0,
        "parse_swap_market",
        trades=same([1700000000123456789, "Buy", "3000.05", "0.26"], ("3000.05", "0.26", "buy")),
    ),
    Case(
        "gate",
        "ETH/USDT:USDT",
        {
            "name": "ETH_USDT",
            "type": "direct",
            "quanto_multiplier": "0.01",
            "order_price_round": "0.05",
            "order_size_min": "0",
            "order_size_max": "10000",
            "enable_decimal": True,
            "mark_price": "3000",
            "order_price_deviate": "0.5",
            "leverage_min": "1",
            "leverage_max": "100",
            "create_time": 1574208000,
            "status": "trading",
            "in_delisting": False,
            "mark_type": "index",
        },
        Expected("0.05", "0.0001", "0.0001", "0", "30"),
        3000.0,
        "parse_contract_market",
        trades=Trades(
            {
                "id": "31",
                "contract": "ETH_USDT",
                "create_time_ms": "1700000000.123",
                "size": "-0.3",
                "price": "3000.05",
            },
            {
                "id": "31",
                "contract": "ETH_USDT",
                "create_time_ms": "1700000000123",
                "size": "-0.3",
                "price": "3000.05",
            },
            ("3000.05", "0.3", "sell"),
        ),
    ),
    Case(
        "hyperliquid",
        "ETH/USDC:USDC",
        {
            "name": "ETH",
            "szDecimals": 4,
            "maxLeverage": 50,
            "markPx": "3000.1",
            "baseId": 4,
            "collateralTokenName": "USDC",
        },
        Expected("0.1", "0.0001", "0.0001", "10", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {"coin": "ETH", "side": "A", "px": "3000.1", "sz": "0.5", "time": 1700000000123, "tid": 8},
            ("3000.1", "0.5", "sell"),
            "parse_ws_trade",
            hash="0x",
        ),
    ),
    Case(
        "upbit",
        "XRP/KRW",
        {"market": "KRW-XRP", "korean_name": "-", "english_name": "XRP"},
        Expected("1", "1e-7", "1e-7", "5000", "3100"),  # its own 1e-8 holds 67 million dollars
        3100.0,
        "parse_market",
        trades=Trades(
            {
                "market": "KRW-XRP",
                "timestamp": 1700000000123,
                "trade_price": 3101.0,
                "trade_volume": 12.5,
                "ask_bid": "ASK",
                "sequential_id": 17000000001230000,
            },
            {
                "code": "KRW-XRP",
                "timestamp": 1700000000200,
                "trade_timestamp": 1700000000123,
                "trade_price": 3101.0,
                "trade_volume": 12.5,
                "ask_bid": "ASK",
                "sequential_id": 17000000001230000,
            },
            ("3101", "12.5", "sell"),
        ),
    ),
    Case(
        "coinbase",
        "BTC/USDC",
        {
            "product_id": "BTC-USDC",
            "base_currency_id": "BTC",
            "quote_currency_id": "USDC",
            "base_increment": "0.00000001",
            "quote_increment": "0.01",
            "price_increment": "0.01",
            "base_min_size": "0.00000001",
            "quote_min_size": "1",
            "status": "online",
            "trading_disabled": False,
            "product_type": "SPOT",
        },
        Expected("0.01", "1e-8", "1e-8", "1", "61000"),
        61000.0,
        trades=same(
            {
                "trade_id": "9",
                "product_id": "BTC-USDC",
                "price": "61000.12",
                "size": "0.003",
                "time": "2023-11-14T22:13:20.123Z",
                "side": "BUY",
            },
            ("61000.12", "0.003", "sell"),
        ),
        parser="parse_spot_market",
    ),
    Case(
        "kucoin",
        "ETH/USDT",
        {},
        Expected("0.01", "1e-7", "0.0001", "0.1", "3000"),
        3000.0,
        answers={
            "symbols": {
                "data": [
                    {
                        "symbol": "ETH-USDT",
                        "name": "ETH-USDT",
                        "baseCurrency": "ETH",
                        "quoteCurrency": "USDT",
                        "baseMinSize": "0.0001",
                        "quoteMinSize": "0.01",
                        "baseIncrement": "0.0000001",
                        "quoteIncrement": "0.000001",
                        "priceIncrement": "0.01",
                        "minFunds": "0.1",
                        "enableTrading": True,
                    }
                ]
            },
            "market/allTickers": {"data": {"ticker": []}},
        },
        trades=Trades(
            {
                "sequence": "1548764654235",
                "side": "sell",
                "size": "0.25",
                "price": "3000.05",
                "time": 1700000000123456789,
            },
            {
                "sequence": "1548764654235",
                "symbol": "ETH-USDT",
                "side": "sell",
                "size": "0.25",
                "price": "3000.05",
                "takerOrderId": "x",
                "makerOrderId": "y",
                "time": "1700000000123456789",
                "type": "match",
                "tradeId": "5e35",
            },
            ("3000.05", "0.25", "sell"),
        ),
    ),
    Case(
        "krakenfutures",
        "BTC/USD:BTC",
        {},
        Expected("0.5", "1", "1", "0", "1", inverse=True),
        61000.0,
        answers={
            "instruments": {
                "result": "success",
                "instruments": [
                    {
                        "symbol": "PI_XBTUSD",
                        "type": "futures_inverse",
                        "tickSize": 0.5,
                        "contractSize": 1,
                        "tradeable": True,
                        "contractValueTradePrecision": 0,
                        "base": "BTC",
                        "quote": "USD",
                        "pair": "BTC:USD",
                    }
                ],
            }
        },
        trades=Trades(
            {
                "time": "2023-11-14T22:13:20.123Z",
                "trade_id": 100,
                "price": 61000.5,
                "size": 120,
                "side": "buy",
                "type": "fill",
                "uid": "11c3",
            },
            {
                "feed": "trade",
                "product_id": "PI_XBTUSD",
                "uid": "11c3",
                "side": "buy",
                "type": "fill",
                "seq": 4,
                "time": 1700000000123,
                "qty": 120.0,
                "price": 61000.5,
            },
            ("61000.5", "120", "buy"),
            "parse_ws_trade",
        ),
    ),
]
