"""The signed endpoints of Binance spot's REST: orders, lists of them, own trades, the account.

Each takes the parameters of a request whose signature has been checked, and answers from the ledger. Time
is the exchange's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.exchange_orders import ExchangeOrder, OwnTrade
from connectors.embedded.trading.order_desk import OrderDesk
from connectors.embedded.trading.order_faults import OrderFaults
from connectors.embedded.trading.order_messages import (
    Json,
    account_json,
    cancelled_json,
    order_json,
    placed_json,
    trade_json,
)
from connectors.embedded.trading.order_params import (
    REPLACE,
    client_id,
    lane_of,
    new_order,
    not_valid,
    one_of,
    whole,
)
from connectors.embedded.trading.request_weights import RequestWeights
from connectors.embedded.trading.signed_requests import Params

T = TypeVar("T")
_DAY_MS = 86_400_000
_LIMIT, _MOST = 500, 1000
_MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
_RESTRICTIONS = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
_REPLACED = ("Order cancel-replace failed.", "Order cancel-replace partially failed.")

Answer = Callable[[Params, int], object]
"""From a signed request's parameters and the time (ms) to what JSON can hold."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``trades``: it needs a key that may trade. ``orders``: how many new orders it counts as."""

    answer: Answer
    trades: bool = False
    orders: int = 0


class PrivateApi:
    """Answers from the desk's ledger, and gives it orders and cancels."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        desk: OrderDesk,
        weights: RequestWeights,
        fee_ppm: tuple[int, int],
        faults: OrderFaults,
    ) -> None:
        self._lanes: Mapping[str, Lane] = {lane.name: lane for lane in lanes}
        self._desk, self._weights, self._fee_ppm = desk, weights, fee_ppm
        self._made = 0
        self._faults = faults

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """By method and path below ``/api/v3/``."""
        return {
            ("POST", "order"): Endpoint(self.place, trades=True, orders=1),
            ("GET", "order"): Endpoint(self.order),
            ("DELETE", "order"): Endpoint(self.cancel, trades=True),
            ("POST", "order/cancelReplace"): Endpoint(self.replace, trades=True, orders=1),
            ("GET", "openOrders"): Endpoint(self.open_orders),
            ("DELETE", "openOrders"): Endpoint(self.cancel_all, trades=True),
            ("GET", "allOrders"): Endpoint(self.all_orders),
            ("GET", "myTrades"): Endpoint(self.my_trades),
            ("GET", "account"): Endpoint(self.account),
        }

    # --- orders -----------------------------------------------------------------------------------

    def place(self, params: Params, now_ms: int) -> Json:
        sent = new_order(params, self._lane(params), self._made_id())
        self._weights.check_order(now_ms)
        return placed_json(self._desk.place(sent, now_ms))

    def cancel(self, params: Params, now_ms: int) -> Json:
        order = self._find(params, "orderId", "origClientOrderId")
        return self._cancel(order, params, "newClientOrderId", now_ms)

    def cancel_all(self, params: Params, now_ms: int) -> list[Json]:
        orders = self._desk.store.open(self._lane(params))
        if not orders:
            raise _unknown()
        return [self._cancel(order, {}, "", now_ms) for order in orders]

    def replace(self, params: Params, now_ms: int) -> Json:
        """Cancel an order and place another: what the first does decides whether the second is tried."""
        mode = one_of(params, "cancelReplaceMode", _MODES, -1130, not_valid("cancelReplaceMode"))
        sent = new_order(params, self._lane(params), self._made_id(), REPLACE)
        old = self._find(params, "cancelOrderId", "cancelOrigClientOrderId")
        self._weights.check_order(now_ms)
        cancel = functools.partial(self._cancel, old, params, "cancelNewClientOrderId", now_ms)
        cancelled, gone = _tried(cancel)
        stopped = not gone and mode == "STOP_ON_FAILURE"
        placed, done = (None, False)
        if not stopped:
            placed, done = _tried(lambda: placed_json(self._desk.place(sent, now_ms)))
        answer: Json = {
            "cancelResult": "SUCCESS" if gone else "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED" if stopped else "SUCCESS" if done else "FAILURE",
            "cancelResponse": cancelled,
            "newOrderResponse": placed,
        }
        if gone and done:
            return answer
        half = gone or done
        raise BadRequestError(-2021 if half else -2022, _REPLACED[half], 409 if half else 400, data=answer)

    def order(self, params: Params, now_ms: int) -> Json:
        order = self._find(params, "orderId", "origClientOrderId")
        if order is None or order.placed_ms > self._seen_ms(now_ms):
            raise BadRequestError(-2013, "Order does not exist.")
        return order_json(order)

    def open_orders(self, params: Params, now_ms: int) -> list[Json]:
        lane = self._lane(params) if "symbol" in params else None
        seen_ms = self._seen_ms(now_ms)
        return [order_json(o) for o in self._desk.store.open(lane) if o.placed_ms <= seen_ms]

    def all_orders(self, params: Params, now_ms: int) -> list[Json]:
        """A page of a symbol's orders: from an id or a time on, else the latest."""
        seen_ms, first = self._seen_ms(now_ms), whole(params, "orderId")
        orders = (o for o in self._desk.store.of(self._lane(params)) if o.placed_ms <= seen_ms)
        page = _page(orders, params, first, lambda o: o.order_id, lambda o: o.placed_ms)
        return [order_json(order) for order in page]

    # --- the account -------------------------------------------------------------------------------

    def my_trades(self, params: Params, now_ms: int) -> list[Json]:
        """A page of own trades of a symbol: from an id or a time on, else the latest."""
        lane, of_order = self._lane(params), whole(params, "orderId")
        seen_ms = self._seen_ms(now_ms)
        trades: Iterable[OwnTrade] = (
            t for t in self._desk.store.trades if t.order.sent.lane is lane and t.at_ms <= seen_ms
        )
        if of_order is not None:
            trades = (t for t in trades if t.order.order_id == of_order)
        first = whole(params, "fromId")
        if first is not None and {"startTime", "endTime"} & params.keys():
            raise BadRequestError(-1128, "Combination of optional parameters invalid.")
        page = _page(trades, params, first, lambda t: t.trade_id, lambda t: t.at_ms)
        return [trade_json(trade) for trade in page]

    def account(self, params: Params, now_ms: int) -> Json:
        omit = params.get("omitZeroBalances", "false").lower() == "true"
        return account_json(self._desk.balances, self._fee_ppm, now_ms, omit_zero=omit)

    # --- parts --------------------------------------------------------------------------------------

    def _lane(self, params: Params) -> Lane:
        return lane_of(params, self._lanes)

    def _seen_ms(self, now_ms: int) -> int:
        """Up to when what happened is in the answers to questions."""
        return now_ms - self._faults.lag_ms

    def _made_id(self) -> str:
        """A client id for what was sent without one."""
        self._made += 1
        return f"made-{self._made:017d}"

    def _find(self, params: Params, by_id: str, by_client_id: str) -> ExchangeOrder | None:
        lane, order_id, named = self._lane(params), whole(params, by_id), client_id(params, by_client_id)
        if order_id is None and named is None:
            raise BadRequestError(
                -1102, f"Param '{by_client_id}' or '{by_id}' must be sent, but both were empty/null!"
            )
        return self._desk.store.find(lane, order_id, named)

    def _cancel(self, order: ExchangeOrder | None, params: Params, name: str, now_ms: int) -> Json:
        only = params.get("cancelRestrictions")
        if only is not None and only not in _RESTRICTIONS:
            raise BadRequestError(
                -1145, "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED."
            )
        if order is not None and order.is_open and self._faults.fills_before_cancels:
            part = self._faults.fills_before_cancels.pop(0)
            self._desk.fill_as_maker(order, max(1, int(order.left * part)), now_ms)
        if order is None or not order.is_open:
            raise _unknown()
        if only is not None and order.status != _RESTRICTIONS[only]:
            raise BadRequestError(-2011, "Order was not canceled due to cancel restrictions.")
        cancel_id = client_id(params, name) or self._made_id()
        self._desk.cancel(order, cancel_id, now_ms)
        return cancelled_json(order, cancel_id)


def _tried(action: Callable[[], Json]) -> tuple[Json, bool]:
    """What an action answers, or its error; and whether it worked."""
    try:
        return action(), True
    except BadRequestError as error:
        return error.to_json(), False


def _page(
    rows: Iterable[T],
    params: Params,
    first: int | None,
    number: Callable[[T], int],
    at_ms: Callable[[T], int],
) -> list[T]:
    """Rows, oldest first, cut as the exchange does; at most a day of them where times are given."""
    start, end = whole(params, "startTime"), whole(params, "endTime")
    limit = min(whole(params, "limit") or _LIMIT, _MOST)
    if start is not None and end is not None and end - start > _DAY_MS:
        raise BadRequestError(-1127, "More than 24 hours between startTime and endTime.")
    if first is not None:
        return [row for row in rows if number(row) >= first][:limit]
    if start is not None:
        end = start + _DAY_MS if end is None else end
        return [row for row in rows if start <= at_ms(row) <= end][:limit]
    return [row for row in rows if end is None or at_ms(row) <= end][-limit:]


def _unknown() -> BadRequestError:
    return BadRequestError(-2011, "Unknown order sent.")
