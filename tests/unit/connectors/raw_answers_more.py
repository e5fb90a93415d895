"""More raw answers: other exchanges, and relatives of those in ``raw_answers``."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.connectors.raw_answers import CASES as FIRST
from tests.unit.connectors.raw_answers import Case, Expected, Raw, Trades, same

STAMP_MS, STAMP_S, STAMP = 1700000000123, 1700000000, "2023-11-14T22:13:20.123Z"


def _like(model: str, name: str) -> list[Case]:
    """The cases of an exchange whose class only has another name and address."""
    return [replace(case, exchange=name) for case in FIRST if case.exchange == model]


_BYBIT_SPOT = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "marginTrading": "none",
    "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.000011", "minOrderAmt": "5"},
    "priceFilter": {"tickSize": "0.1"},
}


def _bybit_answer(params: Raw) -> Raw:
    category = params["category"]
    listed = [_BYBIT_SPOT] if category == "spot" else []
    return {"retCode": 0, "result": {"category": category, "list": listed, "nextPageCursor": ""}}


_BYBIT = Case(
    "bybit",
    "BTC/USDT",
    {},
    Expected("0.1", "0.000001", "0.000011", "5", "61000"),
    61000.0,
    answers={"v5/market/instruments-info": _bybit_answer},
    trades=Trades(
        {
            "execId": "229",
            "symbol": "BTCUSDT",
            "price": "61000.1",
            "size": "0.25",
            "side": "Sell",
            "time": str(STAMP_MS),
        },
        {"i": "229", "T": STAMP_MS, "p": "61000.1", "v": "0.25", "S": "Sell", "s": "BTCUSDT", "BT": False},
        ("61000.1", "0.25", "sell"),
        "parse_ws_trade",
    ),
)
_HITBTC = Case(
    "hitbtc",
    "ETH/USDT",
    {},
    Expected("0.01", "0.0001", "0.0001", "0.000001", "3000"),
    3000.0,
    answers={
        "public/symbol": {
            "ETHUSDT": {
                "type": "spot",
                "base_currency": "ETH",
                "quote_currency": "USDT",
                "quantity_increment": "0.0001",
                "tick_size": "0.01",
                "take_rate": "0.0025",
                "make_rate": "0.001",
                "fee_currency": "USDT",
                "margin_trading": False,
            }
        }
    },
    trades=Trades(
        {"id": 71, "qty": "0.5", "price": "3000.05", "side": "buy", "timestamp": STAMP},
        {"i": 71, "q": "0.5", "p": "3000.05", "s": "buy", "t": STAMP_MS},
        ("3000.05", "0.5", "buy"),
        "parse_ws_trade",
    ),
)
_OKX_SPOT = {
    "instId": "ETH-EUR",
    "instType": "SPOT",
    "baseCcy": "ETH",
    "quoteCcy": "EUR",
    "tickSz": "0.01",
    "lotSz": "0.000001",
    "minSz": "0.0001",
    "state": "live",
    "ctVal": "",
    "settleCcy": "",
    "lever": "",
}

CASES = [
    *_like("okx", "okxus"),
    Case(
        "myokx",
        "ETH/EUR",
        _OKX_SPOT,
        Expected("0.01", "0.000001", "0.0001", "0", "3000"),
        3000.0,
        "parse_market",
    ),
    *_like("gate", "gateeu"),
    _BYBIT,
    replace(_BYBIT, exchange="bybiteu"),
    replace(_BYBIT, exchange="bybitid"),
    _HITBTC,
    replace(_HITBTC, exchange="bequant"),
    Case(
        "htx",
        "DOGE/USDT:USDT",
        {},
        Expected("0.000001", "1", "1", "0", "15"),
        0.15,
        options={"fetchMarkets": {"types": {"linear": True, "spot": False, "inverse": False}}},
        answers={
            "linear-swap-api/v1/swap_contract_info": {
                "status": "ok",
                "data": [
                    {
                        "symbol": "DOGE",
                        "contract_code": "DOGE-USDT",
                        "contract_size": 100.0,
                        "price_tick": 0.000001,
                        "delivery_date": "",
                        "delivery_time": "",
                        "create_date": "20201021",
                        "contract_status": 1,
                        "settlement_date": "1780300800000",
                        "support_margin_mode": "all",
                        "business_type": "swap",
                        "pair": "DOGE-USDT",
                        "contract_type": "swap",
                        "trade_partition": "USDT",
                    }
                ],
            }
        },
    ),
    Case(
        "htx",
        "BTC/USDT",
        {},
        Expected("0.01", "0.000001", "0.00001", "10", "61000"),
        61000.0,
        options={"fetchMarkets": {"types": {"spot": True, "linear": False, "inverse": False}}},
        answers={
            "v1/common/symbols": {
                "status": "ok",
                "data": [
                    {
                        "base-currency": "btc",
                        "quote-currency": "usdt",
                        "price-precision": 2,
                        "amount-precision": 6,
                        "symbol": "btcusdt",
                        "state": "online",
                        "value-precision": 8,
                        "min-order-amt": 0.00001,
                        "max-order-amt": 1000,
                        "min-order-value": 10,
                        "leverage-ratio": 5,
                        "api-trading": "enabled",
                    }
                ],
            }
        },
        trades=Trades(
            {
                "amount": 0.25,
                "trade-id": 102090736910,
                "ts": STAMP_MS,
                "id": 10500517034273194594947,
                "price": 61000.05,
                "direction": "sell",
            },
            {
                "amount": 0.25,
                "tradeId": 102090736910,
                "ts": STAMP_MS,
                "id": 105005170342731949944441,
                "price": 61000.05,
                "direction": "sell",
            },
            ("61000.05", "0.25", "sell"),
        ),
    ),
    Case(
        "bittrade",
        "BTC/JPY",
        {},
        Expected("1", "0.000001", "0.00001", "2", "9000000"),
        9000000.0,
        answers={
            "common/symbols": {
                "status": "ok",
                "data": [
                    {
                        "base-currency": "btc",
                        "quote-currency": "jpy",
                        "price-precision": 0,
                        "amount-precision": 6,
                        "symbol": "btcjpy",
                        "state": "online",
                        "value-precision": 8,
                        "min-order-amt": 0.00001,
                        "max-order-amt": 1000,
                        "min-order-value": 2,
                    }
                ],
            }
        },
        trades=Trades(
            {
                "amount": 0.25,
                "trade-id": 1020,
                "ts": STAMP_MS,
                "id": 10500517034273194594947,
                "price": 9000001,
                "direction": "buy",
            },
            {
                "amount": 0.25,
                "tradeId": 1020,
                "ts": STAMP_MS,
                "id": 1.05e22,
                "price": 9000001,
                "direction": "buy",
            },
            ("9000001", "0.25", "buy"),
        ),
    ),
    Case(
        "kraken",
        "BTC/USD",
        {},
        Expected("0.1", "1e-8", "0.0001", "0.5", "61000"),
        61000.0,
        answers={
            "AssetPairs": {
                "error": [],
                "result": {
                    "XXBTZUSD": {
                        "altname": "XBTUSD",
                        "wsname": "XBT/USD",
                        "base": "XXBT",
                        "quote": "ZUSD",
                        "pair_decimals": 1,
                        "lot_decimals": 8,
                        "cost_decimals": 5,
                        "ordermin": "0.0001",
                        "costmin": "0.5",
                        "tick_size": "0.1",
                        "status": "online",
                        "leverage_buy": [],
                        "leverage_sell": [],
                        "fees": [],
                        "fees_maker": [],
                    }
                },
            },
            "Assets": {"error": [], "result": {}},
            "SystemStatus": {"error": [], "result": {"status": "online"}},
        },
        trades=Trades(
            ["61000.1", "0.25", 1700000000.123, "s", "m", "", 83449369],
            {
                "symbol": "BTC/USD",
                "side": "sell",
                "price": 61000.1,
                "qty": 0.25,
                "ord_type": "limit",
                "trade_id": 83449369,
                "timestamp": STAMP,
            },
            ("61000.1", "0.25", "sell"),
        ),
    ),
    Case(
        "bitfinex",
        "BTC/USD",
        {},
        Expected("1", "1e-8", "0.00004", "0", "61000"),
        61000.0,
        answers={"conf/{config}": [[["BTCUSD", [None, None, None, "0.00004", "2000.0"]]], [], [], []]},
        trades=same({"result": [401, STAMP_MS, -0.25, 61001]}, ("61001", "0.25", "sell"), "parse_ws_trade"),
    ),
    Case(
        "bithumb",
        "BTC/KRW",
        {},
        Expected("1000", "1e-8", "1e-8", "5000", "158123000"),
        158123000.0,
        answers={"v1/market/all": [{"market": "KRW-BTC", "korean_name": "-", "english_name": "Bitcoin"}]},
        trades=Trades(
            {
                "market": "KRW-BTC",
                "timestamp": STAMP_MS,
                "trade_price": 158123000,
                "trade_volume": 0.25,
                "ask_bid": "BID",
                "sequential_id": 1700000000123000,
            },
            {
                "code": "KRW-BTC",
                "trade_timestamp": STAMP_MS,
                "trade_price": 158123000,
                "trade_volume": 0.25,
                "ask_bid": "BID",
                "sequential_id": 1700000000123000,
            },
            ("158123000", "0.25", "buy"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "bitget",
        "BTC/USDT",
        {},
        Expected("0.01", "0.000001", "0.000002", "1", "61000"),
        61000.0,
        answers={
            "v2/spot/public/symbols": {
                "data": [
                    {
                        "symbol": "BTCUSDT",
                        "baseCoin": "BTC",
                        "quoteCoin": "USDT",
                        "minTradeAmount": "0.000002",
                        "pricePrecision": "2",
                        "quantityPrecision": "6",
                        "quotePrecision": "8",
                        "status": "online",
                        "minTradeUSDT": "1",
                    }
                ]
            }
        },
        trades=Trades(
            {
                "tradeId": "107",
                "price": "61000.05",
                "size": "0.25",
                "side": "Buy",
                "ts": str(STAMP_MS),
                "symbol": "BTCUSDT",
            },
            {"tradeId": "107", "price": "61000.05", "size": "0.25", "side": "buy", "ts": str(STAMP_MS)},
            ("61000.05", "0.25", "buy"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "kucoinfutures",
        "BTC/USDT:USDT",
        {},
        Expected("0.1", "1", "1", "0", "61"),
        61000.0,
        answers={
            "contracts/active": {
                "data": [
                    {
                        "symbol": "XBTUSDTM",
                        "type": "FFWCSX",
                        "baseCurrency": "XBT",
                        "quoteCurrency": "USDT",
                        "settleCurrency": "USDT",
                        "lotSize": 1,
                        "tickSize": 0.1,
                        "multiplier": 0.001,
                        "isInverse": False,
                        "status": "Open",
                        "expireDate": None,
                        "nextFundingRateTime": 17004319,
                        "maxLeverage": 100,
                        "firstOpenDate": 1585555200000,
                        "makerFeeRate": 0.0002,
                        "takerFeeRate": 0.0006,
                    }
                ]
            }
        },
        trades=same(
            {
                "sequence": 32114961,
                "side": "buy",
                "size": 39,
                "price": "61000.1",
                "takerOrderId": "a",
                "makerOrderId": "b",
                "tradeId": "628",
                "ts": STAMP_MS * 10**6,
            },
            ("61000.1", "39", "buy"),
            symbol="XBTUSDTM",
        ),
    ),
    Case(
        "mexc",
        "BTC/USDT",
        {},
        Expected("0.01", "0.000001", "0.000001", "1", "61000"),
        61000.0,
        answers={
            "exchangeInfo": {
                "symbols": [
                    {
                        "symbol": "BTCUSDT",
                        "status": "1",
                        "baseAsset": "BTC",
                        "baseAssetPrecision": 6,
                        "quoteAsset": "USDT",
                        "quotePrecision": 2,
                        "quoteAssetPrecision": 2,
                        "baseSizePrecision": "0.000001",
                        "quoteAmountPrecision": "1",
                        "isSpotTradingAllowed": True,
                        "isMarginTradingAllowed": False,
                        "makerCommission": "0",
                        "takerCommission": "0.0005",
                        "maxQuoteAmount": "2000000",
                        "permissions": ["SPOT"],
                    }
                ]
            }
        },
        trades=Trades(
            {
                "id": None,
                "price": "61000.05",
                "qty": "0.25",
                "quoteQty": "15250.01",
                "time": STAMP_MS,
                "isBuyerMaker": True,
                "isBestMatch": True,
                "tradeType": "ASK",
            },
            {"price": "61000.05", "quantity": "0.25", "tradeType": 2, "time": STAMP_MS},
            ("61000.05", "0.25", "sell"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "coinbaseexchange",
        "BTC/USD",
        {},
        Expected("0.01", "1e-8", "1e-8", "1", "61000"),
        61000.0,
        answers={
            "products": [
                {
                    "id": "BTC-USD",
                    "base_currency": "BTC",
                    "quote_currency": "USD",
                    "quote_increment": "0.01",
                    "base_increment": "0.00000001",
                    "min_market_funds": "1",
                    "status": "online",
                    "trading_disabled": False,
                }
            ]
        },
        trades=same(
            {"time": STAMP, "trade_id": 9, "price": "61000.05", "size": "0.25", "side": "buy"},
            ("61000.05", "0.25", "sell"),
            "parse_ws_trade",
            type="match",
            maker_order_id="a",
            taker_order_id="b",
            product_id="BTC-USD",
            sequence=5,
        ),
    ),
    Case(
        "cryptocom",
        "BTC/USD:USD",
        {},
        Expected("0.5", "0.0001", "0.0001", "0", "61000"),
        61000.0,
        answers={
            "public/get-instruments": {
                "result": {
                    "data": [
                        {
                            "symbol": "BTCUSD-PERP",
                            "inst_type": "PERPETUAL_SWAP",
                            "base_ccy": "BTC",
                            "quote_ccy": "USD",
                            "price_tick_size": "0.5",
                            "qty_tick_size": "0.0001",
                            "contract_size": "1",
                            "tradable": True,
                            "expiry_timestamp_ms": 0,
                            "max_leverage": "50",
                            "margin_buy_enabled": False,
                            "margin_sell_enabled": False,
                        }
                    ]
                }
            }
        },
        trades=same(
            {"s": "SELL", "p": "61000.5", "q": "0.25", "t": STAMP_MS, "d": "461168", "i": "BTCUSD-PERP"},
            ("61000.5", "0.25", "sell"),
        ),
    ),
    Case(
        "bitstamp",
        "BTC/USD",
        {},
        Expected("1", "1e-8", "1e-8", "10", "61000"),
        61000.0,
        answers={
            "markets/": [
                {
                    "name": "BTC/USD",
                    "market_symbol": "btcusd",
                    "base_currency": "BTC",
                    "base_decimals": 8,
                    "counter_currency": "USD",
                    "counter_decimals": 0,
                    "minimum_order_value": "10",
                    "trading": "Enabled",
                    "market_type": "SPOT",
                }
            ]
        },
        trades=Trades(
            {"date": str(STAMP_S), "tid": "280", "amount": "0.25", "type": "1", "price": "61001"},
            {
                "id": 280,
                "timestamp": str(STAMP_S),
                "amount": 0.25,
                "amount_str": "0.25",
                "price": 61001,
                "type": 1,
                "microtimestamp": str(STAMP_S * 10**6),
                "buy_order_id": 1,
                "sell_order_id": 2,
            },
            ("61001", "0.25", "sell"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "bitvavo",
        "BTC/EUR",
        {},
        Expected("1", "1e-8", "0.0001", "5", "61000"),
        61000.0,
        answers={
            "markets": [
                {
                    "market": "BTC-EUR",
                    "status": "trading",
                    "base": "BTC",
                    "quote": "EUR",
                    "pricePrecision": "5",
                    "minOrderInBaseAsset": "0.0001",
                    "minOrderInQuoteAsset": "5",
                    "maxOrderInBaseAsset": "1000",
                    "maxOrderInQuoteAsset": "1000000",
                    "quantityDecimals": 8,
                    "notionalDecimals": 2,
                    "tickSize": "1.00",
                    "orderTypes": ["market", "limit"],
                }
            ]
        },
        trades=same(
            {"id": "94154c98", "timestamp": STAMP_MS, "amount": "0.25", "price": "61001", "side": "sell"},
            ("61001", "0.25", "sell"),
        ),
    ),
    Case(
        "poloniex",
        "BTC/USDT:USDT",
        {
            "symbol": "BTC_USDT_PERP",
            "bAsset": "USDT",
            "bCcy": "BTC",
            "qCcy": "USDT",
            "sCcy": "USDT",
            "tSz": "0.01",
            "lotSz": "1",
            "minSz": "1",
            "ctVal": "0.001",
            "status": "OPEN",
            "ctType": "LINEAR",
            "alias": "",
            "minPx": "0.01",
            "maxPx": "1000000",
            "maxLever": "75",
            "oDate": "1737000000000",
            "tFee": "0.0005",
            "mFee": "0.0001",
            "limitMaxQty": "100000",
        },
        Expected("0.01", "1", "1", "0", "61"),
        61000.0,
        "parse_swap_market",
        trades=Trades(
            {"id": 105, "side": "buy", "px": "61000.05", "qty": "39", "amt": "2379.0", "cT": STAMP_MS},
            {
                "id": 105,
                "ts": STAMP_MS,
                "s": "BTC_USDT_PERP",
                "side": "buy",
                "price": "61000.05",
                "quantity": "39",
                "amount": "2379.0",
                "takerSide": "buy",
                "createTime": STAMP_MS,
            },
            ("61000.05", "39", "buy"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "blofin",
        "ETH/USDT:USDT",
        {
            "instId": "ETH-USDT",
            "instType": "SWAP",
            "baseCurrency": "ETH",
            "quoteCurrency": "USDT",
            "settleCurrency": "USDT",
            "contractValue": "0.1",
            "lotSize": "0.1",
            "minSize": "0.1",
            "tickSize": "0.01",
            "contractType": "linear",
            "state": "live",
            "maxLeverage": "100",
            "maxLimitSize": "1000",
            "maxMarketSize": "1000",
            "listTime": "0",
            "expireTime": "0",
        },
        Expected("0.01", "0.1", "0.1", "0", "300"),
        3000.0,
        "parse_market",
        trades=same(
            {
                "tradeId": "3263",
                "instId": "ETH-USDT",
                "price": "3000.05",
                "size": "2.5",
                "side": "sell",
                "ts": str(STAMP_MS),
            },
            ("3000.05", "2.5", "sell"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "backpack",
        "ETH/USDC:USDC",
        {
            "symbol": "ETH_USDC_PERP",
            "baseSymbol": "ETH",
            "quoteSymbol": "USDC",
            "marketType": "PERP",
            "orderBookState": "Open",
            "createdAt": "2025-01-21T06:34:54.691858",
            "filters": {
                "price": {"tickSize": "0.01", "minPrice": "0.01", "maxPrice": None},
                "quantity": {"stepSize": "0.0001", "minQuantity": "0.0002", "maxQuantity": None},
            },
        },
        Expected("0.01", "0.0001", "0.0002", "0", "3000"),
        3000.0,
        "parse_market",
        trades=Trades(
            {
                "id": 107,
                "isBuyerMaker": False,
                "price": "3000.05",
                "quantity": "0.25",
                "quoteQuantity": "750.01",
                "timestamp": STAMP_MS,
            },
            {
                "E": str(STAMP_MS * 1000),
                "T": str(STAMP_MS * 1000),
                "a": "5",
                "b": "6",
                "e": "trade",
                "m": False,
                "p": "3000.05",
                "q": "0.25",
                "s": "ETH_USDC_PERP",
                "t": 107,
            },
            ("3000.05", "0.25", "buy"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "dydx",
        "ETH/USDC:USDC",
        {"ticker": "ETH-USD", "status": "ACTIVE", "tickSize": "0.1", "stepSize": "0.001", "clobPairId": "1"},
        Expected("0.1", "0.001", "0.001", "0", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {
                "id": "02ac5b1f",
                "side": "SELL",
                "size": "0.25",
                "price": "3000.1",
                "type": "LIMIT",
                "createdAt": STAMP,
            },
            ("3000.1", "0.25", "sell"),
            "parse_ws_trade",
        ),
    ),
    Case(
        "paradex",
        "ETH/USD:USDC",
        {
            "symbol": "ETH-USD-PERP",
            "base_currency": "ETH",
            "quote_currency": "USD",
            "settlement_currency": "USDC",
            "order_size_increment": "0.0001",
            "price_tick_size": "0.01",
            "min_notional": "10",
            "asset_kind": "PERP",
            "expiry_at": 0,
            "max_order_size": "2100",
            "open_at": 1682352000000,
        },
        Expected("0.01", "0.0001", "0.0001", "10", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {
                "id": "1718179",
                "market": "ETH-USD-PERP",
                "side": "BUY",
                "size": "0.25",
                "price": "3000.05",
                "created_at": STAMP_MS,
                "trade_type": "FILL",
            },
            ("3000.05", "0.25", "buy"),
        ),
    ),
    Case(
        "apex",
        "ETH/USDT:USDT",
        {
            "symbol": "ETH-USDT",
            "crossSymbolName": "ETHUSDT",
            "l2PairId": "50002",
            "baseTokenId": "ETH",
            "settleAssetId": "USDT",
            "enableTrade": True,
            "minOrderSize": "0.01",
            "stepSize": "0.01",
            "tickSize": "0.05",
            "displayMinLeverage": "1",
            "displayMaxLeverage": "100",
            "maxOrderSize": "400",
        },
        Expected("0.05", "0.01", "0.01", "0", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {"i": "20f4", "p": "3000.05", "S": "Sell", "v": "0.25", "s": "ETHUSDT", "T": STAMP_MS},
            ("3000.05", "0.25", "sell"),
            "parse_ws_trade",
            L="PlusTick",
        ),
    ),
    Case(
        "derive",
        "ETH/USD:USDC",
        {
            "instrument_type": "perp",
            "instrument_name": "ETH-PERP",
            "base_currency": "ETH",
            "quote_currency": "USD",
            "is_active": True,
            "tick_size": "0.01",
            "minimum_amount": "0.1",
            "maximum_amount": "1000",
            "amount_step": "0.01",
            "taker_fee_rate": "0.0006",
            "maker_fee_rate": "0.0003",
        },
        Expected("0.01", "0.01", "0.1", "0", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {
                "trade_id": "9dbc",
                "instrument_name": "ETH-PERP",
                "timestamp": STAMP_MS,
                "trade_price": "3000.05",
                "trade_amount": "0.25",
                "direction": "sell",
            },
            ("3000.05", "0.25", "sell"),
        ),
    ),
    Case(
        "extended",
        "ETH/USDC:USDC",
        {
            "name": "ETH-USD",
            "assetName": "ETH",
            "collateralAssetName": "USD",
            "status": "ACTIVE",
            "tradingConfig": {
                "minOrderSize": "0.01",
                "minOrderSizeChange": "0.001",
                "minPriceChange": "0.1",
                "maxLeverage": "50",
                "maxLimitOrderValue": "1000000",
            },
            "createdAt": STAMP_MS,
        },
        Expected("0.1", "0.001", "0.01", "0", "3000"),
        3000.0,
        "parse_market",
        trades=same(
            {
                "i": 25124,
                "m": "ETH-USD",
                "S": "BUY",
                "tT": "TRADE",
                "T": STAMP_MS,
                "p": "3000.1",
                "q": "0.25",
            },
            ("3000.1", "0.25", "buy"),
        ),
    ),
]
