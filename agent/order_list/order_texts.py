"""The options of an order as text, from the command line or a row of a file, as configuration values."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from agent.amounts import parse_amount, parse_number
from agent.core.errors import InputError
from agent.order_options import OptionOfField, order_fields

OrderValues = dict[str, object]
"""Order options that were given, as values of the configuration's section ``order``."""


def order_values(given: Mapping[str, object]) -> OrderValues:
    """The options that were given, as configuration values. Raises InputError."""
    texts = {name: text for name, text in given.items() if text is not None}
    values = {each.name: _value(each, texts[each.name]) for each in order_fields() if each.name in texts}
    if "quantity" in values and "notional" in values:
        raise InputError("--quantity and --notional exclude each other: give one")
    if "quantity" in values:
        values["notional"] = None
    elif "notional" in values:
        values["quantity"] = None
    return values


def _value(each: OptionOfField, given: object) -> object:
    """The option's value; what stays text is checked with the rest of the configuration."""
    if isinstance(given, list):
        return dict(_named_number(each.flag, str(item)) for item in given)
    text, label = str(given), each.name.replace("_", " ")
    if each.is_list:
        return tuple(name.strip() for name in text.split(",") if name.strip())
    if each.holds(Decimal):
        return parse_amount(text, label)
    return parse_number(text, label) if each.holds(float) else text


def _named_number(flag: str, text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    if not name or not equals:
        raise InputError(f"{flag} {text!r} is not understood: write NAME=VALUE, as in rate=0.1")
    return name.strip(), parse_number(number, f"{flag} {name.strip()}")
