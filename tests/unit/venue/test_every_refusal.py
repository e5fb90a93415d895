"""Every rule of the venue refuses with the value, the limit and where that stands; none is forgotten here."""

from __future__ import annotations

import ast
import inspect
import re
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from agent.core.market.tape import Kind
from agent.core.orders.venue_messages import ReportKind
from agent.core.types import Side, TimeInForce
from agent.venue import checks, order_rules
from agent.venue.rules import Halt
from tests.unit.venue.test_venue_rejects import S, gap
from tests.venue import MS, Stand

HALT = {"halts": (Halt(0, 10 * S),)}
POST = {"tif": TimeInForce.POST_ONLY, "price_ticks": 9_999}
REFUSALS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[str]]] = {
    # key: rules, orders of which the last is refused, words
    "venue.halts": (HALT, [{}], ["BTC/USDT", "1970-01-01T00:00:10.000Z"]),
    "exchange.good_till_date": ({}, [{"tif": TimeInForce.GTD, "expire_ns": 10 * MS}], ["00.030Z", "00.010Z"]),
    "exchange.min_quantity": ({}, [{"lots": 1}], ["0.001", "0.002"]),
    "exchange.min_notional": ({}, [{"lots": 4}], ["0.40008 USDT", "100.02", "0.5"]),
    "venue.max_quantity": ({"max_quantity": Decimal("0.05")}, [{"lots": 51}], ["0.051", "0.05"]),
    "venue.price_band_bps": ({}, [{"price_ticks": 11_000}], ["110.00", "1000.00 bps", "100.00", "500 bps"]),
    "venue.max_open_orders": ({"max_open_orders": 1}, [POST, POST], ["1 orders", "at most 1"]),
    "exchange.post_only": ({}, [{**POST, "price_ticks": 10_001}], ["100.01"]),
    "venue.self_trade": (
        {},
        [{**POST, "price_ticks": 10_000}, {**POST, "price_ticks": 10_000, "side": Side.SELL}],
        ["100.00"],
    ),
    "venue.max_book_age": ({"max_book_age_ns": 5 * MS}, [{}], ["0.030 s", "0.005 s"]),
    "venue.balances": ({}, [{"lots": 200_000}], ["10000 USDT", "20024.004"]),
}


def refusal(stand: Stand, orders: list[dict[str, Any]]) -> str:
    for order in orders:
        stand.send(0, **order)
    stand.until(200)
    (reason,) = {r.reason for _, r in stand.reports if r.kind is ReportKind.REJECTED}
    return reason


@pytest.mark.parametrize("key", REFUSALS)
def test_a_refusal_names_value_limit_and_key(key: str) -> None:
    """One order that only this rule refuses."""
    rules, orders, words = REFUSALS[key]
    reason = refusal(Stand(rules=rules), orders)
    assert re.search(rf"\({re.escape(key)}[):]|, {re.escape(key)}\)", reason), reason
    assert [word for word in words if word not in reason] == [], reason


def test_a_market_without_a_book_and_one_with_a_gap() -> None:
    """The two rules that hang on the tape and not on the order."""
    empty = Stand()
    empty.tape(1, (Kind.LEVEL, 10_001, 0, -1), (Kind.LEVEL, 10_002, 0, -1))
    assert refusal(empty, [{}]).endswith("(exchange.book)")
    torn = Stand(rules={"max_book_age_ns": 3600 * S}, near_gap_ns=1 * S)
    gap(torn, Kind.GAP_BEGIN, 1)
    assert refusal(torn, [{}]).endswith("(venue.on_stale: reject, venue.near_gap)")


def _yields(module: ModuleType) -> int:
    return sum(isinstance(node, ast.Yield) for node in ast.walk(ast.parse(inspect.getsource(module))))


def test_no_rule_is_forgotten_here() -> None:
    """As many refusals stand in the venue's rules as above: the balance's is the ledger's."""
    assert _yields(checks) + _yields(order_rules) == len(REFUSALS) - 1 + 2
