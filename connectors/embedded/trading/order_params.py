"""A new order's parameters, checked one by one as the exchange does, and put into ticks and lots."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

from agent.core.types import Side
from connectors.embedded.api_errors import BadRequestError, mandatory
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.balances import ZERO
from connectors.embedded.trading.exchange_orders import NewOrder, OrderType
from connectors.embedded.trading.signed_requests import Params
from connectors.embedded.trading.symbol_filters import check_notional, to_lots, to_ticks

TIFS, ANSWERS = ("GTC", "IOC", "FOK"), ("ACK", "RESULT", "FULL")
STP = "EXPIRE_MAKER"
_AMOUNT = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"
_DECIMALS = 8
SIGNED = ("timestamp", "recvWindow", "signature", "apiKey")
_NEEDS = {
    OrderType.LIMIT: ("timeInForce", "quantity", "price"),
    OrderType.LIMIT_MAKER: ("quantity", "price"),
    OrderType.MARKET: (),
}
_REFUSES = {
    OrderType.LIMIT: ("quoteOrderQty",),
    OrderType.LIMIT_MAKER: ("timeInForce", "quoteOrderQty"),
    OrderType.MARKET: ("timeInForce", "price"),
}
ORDER = (
    *SIGNED,
    *("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price"),
    *("newClientOrderId", "newOrderRespType", "selfTradePreventionMode"),
)
REPLACE = (
    *ORDER,
    *("cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId"),
)


def new_order(params: Params, lane: Lane, made_id: str, known: Collection[str] = ORDER) -> NewOrder:
    """An order as it was sent. ``made_id``: the client id of one that has none.

    Raises BadRequestError: -1013, -1100, -1102, -1104, -1106, -1111, -1115, -1116, -1117, -1130, -1136.
    """
    kind = _kind(params)
    side = one_of(params, "side", ("BUY", "SELL"), -1117, "Invalid side.")
    _check_names(params, kind, known)
    tif = "GTC"
    if kind is OrderType.LIMIT:
        tif = one_of(params, "timeInForce", TIFS, -1115, "Invalid timeInForce.")
    price, quantity, quote = (amount(params, name) for name in ("price", "quantity", "quoteOrderQty"))
    ticks = 0 if price is None else to_ticks(lane, price)
    lots = 0 if quantity is None else to_lots(lane, quantity)
    if price is not None and quantity is not None:
        check_notional(lane, price * quantity, market=False)
    default = "ACK" if kind is OrderType.LIMIT_MAKER else "FULL"
    answer = one_of(params, "newOrderRespType", ANSWERS, -1136, "Invalid newOrderRespType.", default)
    one_of(params, "selfTradePreventionMode", (STP,), -1130, not_valid("selfTradePreventionMode"), STP)
    name = client_id(params, "newClientOrderId") or made_id
    return NewOrder(lane, Side[side], kind, tif, ticks, lots, quote or ZERO, name, answer)


def amount(params: Params, name: str) -> Decimal | None:
    """A positive decimal parameter; None where it was not sent."""
    text = params.get(name)
    if text is None:
        return None
    if not re.fullmatch(_AMOUNT, text):
        raise _illegal(name, _AMOUNT)
    if len(text.partition(".")[2].rstrip("0")) > _DECIMALS:
        raise BadRequestError(-1111, f"Parameter '{name}' has too much precision.")
    value = Decimal(text)
    if not value:
        raise BadRequestError(-1013, f"Invalid {name}.")
    return value


def client_id(params: Params, name: str) -> str | None:
    """An id of the client's making; None where it was not sent."""
    text = params.get(name)
    if text is not None and not re.fullmatch(_CLIENT_ID, text):
        raise _illegal(name, _CLIENT_ID)
    return text


def whole(params: Params, name: str) -> int | None:
    """A whole number of a parameter; None where it was not sent."""
    text = params.get(name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise _illegal(name, "^[0-9]{1,20}$")
    return int(text)


def one_of(
    params: Params, name: str, allowed: Collection[str], code: int, msg: str, default: str | None = None
) -> str:
    """A word that must be one of ``allowed``. Raises BadRequestError ``code`` for another, -1102 for none."""
    word = params.get(name, default)
    if not word:
        raise mandatory(name)
    if word not in allowed:
        raise BadRequestError(code, msg)
    return word


def lane_of(params: Params, lanes: Mapping[str, Lane]) -> Lane:
    """The symbol's lane. Raises BadRequestError -1102 or -1121."""
    if not params.get("symbol"):
        raise mandatory("symbol")
    lane = lanes.get(params["symbol"])
    if lane is None:
        raise BadRequestError(-1121, "Invalid symbol.")
    return lane


def _kind(params: Params) -> OrderType:
    return OrderType(one_of(params, "type", list(OrderType), -1116, "Invalid orderType."))


def _check_names(params: Params, kind: OrderType, known: Collection[str]) -> None:
    read = [name for name in params if name in known]
    if len(read) < len(params):
        counts = f"read '{len(read)}' parameter(s) but was sent '{len(params)}'"
        raise BadRequestError(-1104, f"Not all sent parameters were read; {counts}.")
    for name in _NEEDS[kind]:
        if not params.get(name):
            raise mandatory(name)
    for name in _REFUSES[kind]:
        if name in params:
            raise BadRequestError(-1106, f"Parameter '{name}' sent when not required.")
    if kind is OrderType.MARKET and ("quantity" in params) == ("quoteOrderQty" in params):
        if "quantity" in params:
            raise BadRequestError(-1128, "Combination of optional parameters invalid.")
        raise BadRequestError(
            -1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
        )


def _illegal(name: str, legal: str) -> BadRequestError:
    return BadRequestError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def not_valid(name: str) -> str:
    """What is said of a word that is none of the allowed ones."""
    return f"Data sent for parameter '{name}' is not valid."
