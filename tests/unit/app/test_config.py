"""Configuration: what is wrong is named with what is allowed; config.yaml shows every key there is."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from agent.app.venue_setup import venue_setup
from agent.config import Config, Schedule, load_config, parse_config
from agent.core.errors import ConfigError
from agent.venue.rules import Halt

SHIPPED = Path(__file__).resolve().parents[3] / "config.yaml"
S = 10**9
TIER = {"volume": 5, "maker_ppm": 1, "taker_ppm": 2}
AT_10 = "2026-01-05T10:00:00Z"
HALT = {"start": AT_10, "end": "2026-01-05T10:05:00Z"}


def complaint(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "key", "near"),
    [
        ({"exchnge": "kraken"}, "exchnge", "exchange"),
        ({"order": {"quantty": 1}}, "order.quantty", "quantity"),
        ({"venue": {"maker_fee_bps": 1}}, "venue.maker_fee_bps", "maker_fee_ppm"),
        ({"venue": {"entry": {"median_ms": 1, "sigmma": 0}}}, "venue.entry.sigmma", "sigma"),
        ({"schedules": [{"name": "a", "evry": "2h"}]}, "schedules.0.evry", "every"),
        ({"schedules": [{"name": "a", "order": {"algos": "twap"}}]}, "schedules.0.order.algos", "algo"),
        ({"venue": {"fee_tiers": [{**TIER, "volum": 1}]}}, "venue.fee_tiers.0.volum", "volume"),
        ({"venue": {"halts": [{**HALT, "symbl": 1}]}}, "venue.halts.0.symbl", "symbol"),
    ],
)
def test_an_unknown_key_names_the_nearest(raw: dict[str, Any], key: str, near: str) -> None:
    """At the top, in a section, in a section of a section and in a list: where it is, what was meant."""
    assert complaint(raw) == f"c.yaml: unknown key {key}: did you mean {near}?"


def test_an_unknown_key_near_nothing_lists_what_is_known() -> None:
    """Where no name is close, all names of that place are given."""
    assert complaint({"jobs": {"xyzzy": 1}}) == (
        "c.yaml: unknown key jobs.xyzzy: known here: heartbeat, rotate_session"
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            {"venue": {"entry": {"measured": [[5, 7], [6, -8]]}}},
            "a row of -8 ns, at 6: leave neg",
        ),
        ({"venue": {"reach": "all"}}, "'shown' or 'whole'"),
        ({"venue": {"noted_share": 0}}, "greater than 0"),
        ({"seed": "many"}, ["seed = 'many'", "integer"]),
        ({"order": {"side": "hold"}}, ["order.side = 'hold'", "'buy' or 'sell'"]),
        ({"order": {"interval": "5 parsecs"}}, ["order.interval = '5 parsecs'", "90s"]),
        ({"order": {"interval": True}}, ["order.interval = True", "90s"]),
        ({"order": {"interval": 0.5}}, ["order.interval = 0.5", "90s"]),
        ({"order": {"quantity": float("nan")}}, ["order.quantity = nan", "finite"]),
        ({"order": {"quantity": "much"}}, ["order.quantity = 'much'", "decimal"]),
        ({"order": {"risk_aversion": 0}}, ["order.risk_aversion = 0", "greater than 0"]),
        ({"order": {"algo_params": {"rate": "x"}}}, ["order.algo_params.rate = 'x'", "number"]),
        ({"risk": 5}, ["risk = 5", "dictionary"]),
        ({"risk": {"max_participation": 1.5}}, ["risk.max_participation = 1.5", "less than or equal to 1"]),
        ({"venue": {"entry": {"median_ms": -1}}}, ["venue.entry.median_ms = -1", "greater than or equal"]),
        ({"schedules": [{"cron": "* * * * *"}]}, ["schedules.0.name", "required"]),
        ({"venue": {"fee_currency": "BNB"}}, ["venue.fee_rate = None", "what one BNB is worth"]),
        ({"venue": {"fee_tiers": [TIER, TIER]}}, ["venue.fee_tiers", "by rising volume, not 5, 5"]),
        (
            {"venue": {"halts": [{"start": AT_10, "end": AT_10}]}},
            ["venue.halts.0.end", "ends after it starts"],
        ),
        ({"venue": {"halts": [{"start": "2026-01-05T10:00:00"}]}}, ["venue.halts.0.start", "timezone"]),
        ({"venue": {"rehearsal": {"reject_ppm": 2e6}}}, ["venue.rehearsal.reject_ppm", "1000000"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(raw: dict[str, Any], words: list[str]) -> None:
    """The place, the value and the rule are in one message."""
    message = complaint(raw)
    assert all(word in message for word in words), message


def test_everything_wrong_is_named_at_once() -> None:
    """Two mistakes take one attempt to find."""
    message = complaint({"sed": 1, "order": {"side": "hold"}})
    assert "unknown key sed" in message
    assert "order.side = 'hold'" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that is not there: the path and what to do."""
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist: give another --config"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1, 2]", "must be a mapping of sections, not a list"),
        (b"just words", "must be a mapping of sections, not a str"),
        (b"a: [", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_what_is_no_mapping_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    """Lists, plain text, broken YAML and bytes that are no text."""
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


def test_an_empty_file_and_none_are_the_defaults(tmp_path: Path) -> None:
    """Nothing said is nothing changed."""
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert load_config(path) == load_config(None) == Config()


def test_values_are_read_in_their_units(tmp_path: Path) -> None:
    """Durations become ns, amounts exact decimals, lists tuples."""
    path = tmp_path / "c.yaml"
    path.write_text("order: {quantity: '0.1', interval: 1.5s, max_duration: 2m, shadows: [twap]}\n")
    order = load_config(path).order
    assert (order.quantity, order.interval, order.max_duration) == (Decimal("0.1"), 1_500_000_000, 120 * S)
    assert order.shadows == ("twap",)


def test_the_venue_s_lists_are_read_in_their_units() -> None:
    """Tiers as exact numbers, halts as nanoseconds of UTC, a third fee currency with its rate."""
    raw = {"fee_tiers": [TIER], "fee_currency": "BNB", "fee_rate": "612.5", "fee_discount_ppm": 250000}
    halt = {"start": "2026-01-05T12:00:00+02:00", "end": "2026-01-05T10:00:00.000001Z", "symbol": "ETH/USDT"}
    venue = parse_config({"venue": {**raw, "halts": [halt], "on_stale": "reject"}}).venue
    rules = venue_setup(Config(venue=venue)).rules
    at_ns = 1_767_607_200 * S
    assert rules.halts == (Halt(at_ns, at_ns + 1000, "ETH/USDT"),)
    assert (rules.fees.third, rules.fees.rate, rules.fees.ppm(True, Decimal(5))) == (
        "BNB",
        Decimal("612.5"),
        1,
    )
    assert rules.max_book_age_ns == 5 * S
    assert venue_setup(Config()).rules.max_book_age_ns is None


def test_a_loaded_configuration_is_frozen() -> None:
    """Nobody changes a setting while a run depends on it."""
    with pytest.raises(ValidationError, match="frozen"):
        Config().seed = 2


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """The schema as nested names; None where a value stands."""
    nested: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        nested[name] = keys(kind) if is_section else None
    return nested


def named(raw: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The keys of ``raw``, as deep as ``schema`` has sections."""
    return {k: named(v, schema[k]) if schema.get(k) else None for k, v in raw.items()}


def test_the_shipped_file_names_every_key_of_the_schema() -> None:
    """config.yaml is the reference of every tunable: no key missing, none too many."""
    schema = keys(Config)
    assert named(yaml.safe_load(SHIPPED.read_text()), schema) == schema


def test_the_shipped_file_says_what_the_defaults_are() -> None:
    """But for the order's size, which has no sensible default, config.yaml changes nothing."""
    shipped = load_config(SHIPPED)
    assert shipped.order.quantity == 2
    order = replace(shipped.order, quantity=None)
    assert shipped.model_copy(update={"order": order}) == Config()


def test_the_examples_of_the_shipped_file_load() -> None:
    """The schedules and orders shown in comments are valid once the marks are taken away."""
    lines = [line[2:] for line in SHIPPED.read_text().splitlines() if line.startswith("# - {")]
    assert len(lines) == 4
    orders = parse_config({"orders": yaml.safe_load("\n".join(lines[2:]))}).orders
    assert [(o.id, o.symbol, o.order.has_size) for o in orders] == [
        ("first", "BTC/USDT", True),
        (None, "ETH/USDT", True),
    ]
    schedules = parse_config({"schedules": yaml.safe_load("\n".join(lines[:2]))}).schedules
    assert [s.name for s in schedules] == ["lunch", "steady"]
    assert all(isinstance(s, Schedule) and (s.cron is None) != (s.every is None) for s in schedules)


def test_a_configuration_survives_its_own_record() -> None:
    """What session.json keeps loads to the same configuration: a replay runs under the run's settings."""
    shipped = load_config(SHIPPED)
    assert parse_config(shipped.model_dump(mode="json")) == shipped
    third = {"fee_currency": "BNB", "fee_rate": "612.5", "fee_tiers": [TIER], "max_quantity": "0.1"}
    venue = {**third, "halts": [HALT], "rehearsal": {"timeout": "1500ms"}, "price_protection_bps": 2.5}
    given = parse_config({"venue": venue})
    assert parse_config(json.loads(json.dumps(given.model_dump(mode="json")))) == given


@pytest.mark.parametrize("value", [0, 5, -5])
def test_a_duration_without_unit_is_refused(value: int) -> None:
    """A bare number would be nanoseconds: the unit is asked for."""
    assert "with its unit, as in 5s" in complaint({"order": {"interval": value}})
