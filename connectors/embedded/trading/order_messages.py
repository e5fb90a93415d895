"""Orders, trades and accounts in the exchange's own JSON, of REST and of the user stream."""

from __future__ import annotations

from decimal import Decimal

from agent.core.types import Side
from connectors.embedded.trading.balances import Balances
from connectors.embedded.trading.exchange_orders import ExchangeOrder, OrderType, OwnTrade
from connectors.embedded.trading.order_desk import OrderEvent
from connectors.embedded.trading.order_params import STP

Json = dict[str, object]
_UID = 1


def money(amount: Decimal) -> str:
    return f"{amount:.8f}"


def order_json(order: ExchangeOrder) -> Json:
    """An order as ``GET /api/v3/order`` and the lists of orders tell it."""
    return {
        **_core(order),
        "clientOrderId": order.sent.client_id,
        "stopPrice": money(Decimal(0)),
        "icebergQty": money(Decimal(0)),
        "time": order.placed_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.placed_ms,
    }


def placed_json(order: ExchangeOrder) -> Json:
    """What placing an order answers, as long as was asked for."""
    sent = order.sent
    short: Json = {
        "symbol": sent.lane.name,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": sent.client_id,
        "transactTime": order.updated_ms,
    }
    if sent.answer == "ACK":
        return short
    result = {**short, **_core(order), "workingTime": order.placed_ms}
    return result if sent.answer == "RESULT" else {**result, "fills": [_fill(t) for t in order.trades]}


def cancelled_json(order: ExchangeOrder, cancel_id: str) -> Json:
    """What a cancel answers: the order's own client id is the original one."""
    return {
        **_core(order),
        "origClientOrderId": order.sent.client_id,
        "clientOrderId": cancel_id,
        "transactTime": order.updated_ms,
    }


def trade_json(trade: OwnTrade) -> Json:
    """A fill as ``GET /api/v3/myTrades`` tells it."""
    lane, bought = trade.order.sent.lane, trade.order.sent.side is Side.BUY
    return {
        "symbol": lane.name,
        "id": trade.trade_id,
        "orderId": trade.order.order_id,
        "orderListId": -1,
        "price": lane.price(trade.ticks),
        "qty": lane.quantity(trade.lots),
        "quoteQty": money(trade.value),
        "commission": money(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at_ms,
        "isBuyer": bought,
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def account_json(balances: Balances, fee_ppm: tuple[int, int], now_ms: int, *, omit_zero: bool) -> Json:
    """The account as ``GET /api/v3/account`` tells it."""
    maker, taker = (Decimal(ppm) / 1_000_000 for ppm in fee_ppm)
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": money(maker),
            "taker": money(taker),
            "buyer": money(Decimal(0)),
            "seller": money(Decimal(0)),
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": now_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": money(balances.free(asset)), "locked": money(balances.locked(asset))}
            for asset in balances.assets()
            if not omit_zero or balances.free(asset) or balances.locked(asset)
        ],
        "permissions": ["SPOT"],
        "uid": _UID,
    }


def execution_report(event: OrderEvent, now_ms: int) -> Json:
    """An event of the user stream: what happened to an order, and how it stands."""
    order, trade, sent = event.order, event.trade, event.order.sent
    lane = sent.lane
    zero = money(Decimal(0))
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": lane.name,
        "c": event.cancel_id or sent.client_id,
        "S": sent.side.name,
        "o": sent.type,
        "f": sent.tif,
        "q": lane.quantity(_lots(order)),
        "p": lane.price(sent.price_ticks),
        "P": zero,
        "F": zero,
        "g": -1,
        "C": sent.client_id if event.cancel_id else "",
        "x": event.kind,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": lane.quantity(trade.lots) if trade else zero,
        "z": lane.quantity(order.filled_lots),
        "L": lane.price(trade.ticks) if trade else zero,
        "n": money(trade.fee) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": event.at_ms,
        "t": trade.trade_id if trade else -1,
        "v": 0,
        "I": order.order_id * 2,
        "w": order.is_open and sent.type is not OrderType.MARKET,
        "m": trade.maker if trade else False,
        "M": False,
        "O": order.placed_ms,
        "Z": money(order.value),
        "Y": money(trade.value) if trade else zero,
        "Q": money(sent.quote),
        "W": order.placed_ms,
        "V": STP,
    }


def account_position(balances: Balances, assets: list[str], now_ms: int) -> Json:
    """An event of the user stream: what the assets that moved are now."""
    return {
        "e": "outboundAccountPosition",
        "E": now_ms,
        "u": now_ms,
        "B": [
            {"a": asset, "f": money(balances.free(asset)), "l": money(balances.locked(asset))}
            for asset in assets
        ],
    }


def balance_update(asset: str, change: Decimal, now_ms: int) -> Json:
    """An event of the user stream: a deposit or a withdrawal."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": money(change), "T": now_ms}


def _core(order: ExchangeOrder) -> Json:
    sent, lane = order.sent, order.sent.lane
    return {
        "symbol": lane.name,
        "orderId": order.order_id,
        "orderListId": -1,
        "price": lane.price(sent.price_ticks),
        "origQty": lane.quantity(_lots(order)),
        "executedQty": lane.quantity(order.filled_lots),
        "origQuoteOrderQty": money(sent.quote),
        "cummulativeQuoteQty": money(order.value),
        "status": order.status,
        "timeInForce": sent.tif,
        "type": sent.type,
        "side": sent.side.name,
        "selfTradePreventionMode": STP,
    }


def _lots(order: ExchangeOrder) -> int:
    """An order's size; of one bound by money what it bought or sold."""
    return order.sent.lots or order.filled_lots


def _fill(trade: OwnTrade) -> Json:
    lane = trade.order.sent.lane
    return {
        "price": lane.price(trade.ticks),
        "qty": lane.quantity(trade.lots),
        "commission": money(trade.fee),
        "commissionAsset": trade.fee_asset,
        "tradeId": trade.trade_id,
    }
