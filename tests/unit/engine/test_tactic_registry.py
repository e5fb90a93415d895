"""Tactics by name: what options offer is what can be made."""

from __future__ import annotations

import pytest

from agent.config import parse_config
from agent.core.errors import ConfigError, InputError
from agent.core.types import ParentSpec
from agent.engine.tactics.tactic_registry import TACTIC_NAMES, create_tactic, tactic_classes
from tests.replay.golden import TACTICS


def test_every_name_has_a_class_and_every_class_is_in_the_net() -> None:
    assert list(tactic_classes()) == list(TACTIC_NAMES) == list(TACTICS)
    assert len(set(tactic_classes().values())) == len(TACTIC_NAMES)


@pytest.mark.parametrize("name", TACTIC_NAMES)
def test_every_name_is_taken_by_the_configuration(name: str) -> None:
    assert parse_config({"order": {"tactic": name}}).order.tactic == name


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"order\.tactic = 'snipe'.*twap_micro.*sweep"):
        parse_config({"order": {"tactic": "snipe"}})
    with pytest.raises(InputError, match="unknown tactic 'snipe': use one of twap_micro, peg, sweep"):
        create_tactic("snipe", None)  # type: ignore[arg-type]  # the order is not looked at


def test_the_default_of_a_spec_is_one_of_them() -> None:
    assert ParentSpec.__dataclass_fields__["tactic"].default in TACTIC_NAMES
