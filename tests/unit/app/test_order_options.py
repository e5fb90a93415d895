"""An order's options are declared once: commands, configuration, engine, journal and log hold the same."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from typer.main import get_command

from agent.amounts import parse_amount
from agent.cli import app
from agent.cli.options import order_values
from agent.config import Config, parse_config
from agent.core.errors import InputError
from agent.core.events import StartParent
from agent.core.types import ParentSpec
from agent.journal import command_entry, commands
from agent.order_options import Order, order_fields
from agent.orders import build_spec
from storage.log.tables import ParentOrderRow
from tests.unit.app.test_orders import BTC

GIVEN: dict[str, Any] = {  # every option, as typed, none at its default
    "side": "sell",
    "quantity": "1.5",
    "notional": None,
    "benchmark": "twap",
    "min_duration": "30s",
    "max_duration": "90s",
    "interval": "10s",
    "algo": "pov",
    "algo_params": ["rate=0.25"],
    "tactic": "peg",
    "shadows": "twap, lem",
    "limit_price": "60000.01",
    "participation_cap": "0.2",
    "min_rate": "0.05",
    "max_rate": "0.5",
    "risk_aversion": "2",
    "align": "grid",
}
IN_SPEC = {  # where an option has another name once it is in integers
    "quantity": "target",
    "notional": "target_kind",
    "interval": "interval_ns",
    "min_duration": "min_duration_ns",
    "max_duration": "max_duration_ns",
    "limit_price": "limit_price_ticks",
}
IN_LOG = {"quantity": "target", "notional": "target_kind", "limit_price": "limit_price"}


def typed(**changed: Any) -> Order:
    """The order of ``GIVEN`` as the commands read it."""
    return parse_config({"order": order_values({**GIVEN, **changed})}).order


def test_every_field_is_an_option_of_the_commands_that_take_an_order() -> None:
    """`run` and `replay` have a flag for each field, with its help; nothing is typed a second time."""
    for name in ("run", "replay"):
        known = {flag: p for p in get_command(app).commands[name].params for flag in p.opts}
        for each in order_fields():
            assert known[each.flag].help == each.option.help
    assert {f.name for f in fields(Order)} == GIVEN.keys()


def test_every_option_reaches_the_order() -> None:
    """What is typed for each option is what the configuration holds, in its type."""
    order, plain = typed(), Config().order
    assert (order.quantity, order.limit_price) == (Decimal("1.5"), Decimal("60000.01"))
    assert (order.algo_params, order.shadows) == ({"rate": 0.25}, ("twap", "lem"))
    assert (order.interval, order.participation_cap) == (10 * 10**9, 0.2)
    money = typed(quantity=None, notional="5000")
    assert (money.quantity, money.notional) == (None, Decimal(5000))
    assert {f.name for f in fields(Order) if getattr(order, f.name) == getattr(plain, f.name)} == {"notional"}


def test_every_option_reaches_engine_journal_and_log() -> None:
    """Each option is a member of the engine's order and a column of the log, and the journal keeps it."""
    spec = build_spec(typed(), BTC, "s-P1", None)
    plain = build_spec(parse_config({"order": {"quantity": 1}}).order, BTC, "s-P1", None)
    columns = {column.name for column in ParentOrderRow.__table__.columns}
    for name in GIVEN.keys() - {"shadows", "notional"}:  # shadows are orders of their own
        member = IN_SPEC.get(name, name)
        assert getattr(spec, member) != getattr(plain, member), name
        assert IN_LOG.get(name, member) in columns, name
    money = build_spec(typed(quantity=None, notional="5000"), BTC, "s-P1", None)
    assert money.target_kind != spec.target_kind
    (again,) = commands([json.loads(json.dumps(command_entry(StartParent(1, 2, spec))))])
    assert isinstance(again, StartParent)
    assert again.spec == spec
    for each in fields(ParentSpec):
        assert type(getattr(again.spec, each.name)) is type(getattr(spec, each.name)), each.name


def test_an_order_that_says_nothing_has_the_defaults_of_the_engine() -> None:
    """The configuration's defaults are those of ``ParentSpec``: one set of constants."""
    defaults = {f.name: f.default for f in fields(ParentSpec)}
    order = Config().order
    for name in ("tactic", "align", "min_rate", "max_rate", "risk_aversion", "participation_cap"):
        assert getattr(order, name) == defaults[name], name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate", "--algo-param 'rate' is not understood: write NAME=VALUE"),
        ("=0.1", "--algo-param '=0.1' is not understood: write NAME=VALUE"),
        ("rate=fast", "--algo-param rate 'fast' is not a number"),
    ],
)
def test_a_parameter_that_is_no_name_and_number_is_refused(text: str, message: str) -> None:
    """The option, the value and what to write."""
    with pytest.raises(InputError, match=message):
        order_values({"algo_params": [text]})


def test_an_amount_is_written_out_wherever_it_is_kept() -> None:
    """7E+3 is 7000 in the configuration of a session and in every message."""
    order = parse_config({"order": {"quantity": "7E+3", "limit_price": "1e5"}})
    kept = order.model_dump(mode="json")["order"]
    assert (kept["quantity"], kept["limit_price"]) == ("7000", "100000")
    assert str(parse_amount("25e1", "quantity")) == "250"
