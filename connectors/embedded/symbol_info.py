"""What ``exchangeInfo`` says of a symbol and of limits; the checks of orders read the same constants."""

from __future__ import annotations

from decimal import Decimal

from connectors.embedded.traded_symbol import Lane

MAX_PRICE, MAX_QUANTITY, MAX_NOTIONAL = Decimal(10_000_000), Decimal(9000), Decimal(9_000_000)
AVERAGE_MINUTES = 5  # of the price that a market order's minimum is worked out at
WEIGHT_1M, ORDERS_10S, ORDERS_1D = 6000, 100, 200_000

RATE_LIMITS: list[dict[str, object]] = [
    {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}
    for kind, interval, count, limit in (
        ("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_1M),
        ("ORDERS", "SECOND", 10, ORDERS_10S),
        ("ORDERS", "DAY", 1, ORDERS_1D),
    )
]


def symbol_info(lane: Lane, trading: bool) -> dict[str, object]:
    """One symbol of ``exchangeInfo``. ``trading``: orders can be sent."""
    instrument = lane.instrument
    lot, least = lane.quantity(1), lane.quantity(instrument.min_lots)
    return {
        "symbol": lane.name,
        "status": lane.status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": trading,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": lane.price(1),
                "maxPrice": f"{MAX_PRICE:.8f}",
                "tickSize": lane.price(1),
            },
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": f"{MAX_QUANTITY:.8f}", "stepSize": lot},
            {
                "filterType": "NOTIONAL",
                "minNotional": f"{instrument.min_notional:.8f}",
                "applyMinToMarket": True,
                "maxNotional": f"{MAX_NOTIONAL:.8f}",
                "applyMaxToMarket": False,
                "avgPriceMins": AVERAGE_MINUTES,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }
