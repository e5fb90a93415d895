"""What a database holds, as JSON can hold it."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from storage.log.plain_values import plain_value, unique_names

MOMENT = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        ("word", "word"),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, str(2**63)),
        (0.5, 0.5),
        (math.inf, "inf"),
        (b"\x00\xff", "\\x00ff"),
        (memoryview(b"ab"), "\\x6162"),
        ({"a": [Decimal("0E-7"), {1: (2, 3)}]}, {"a": ["0.0000000", {"1": [2, 3]}]}),
        ([1, [2]], [1, [2]]),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        (frozenset({7}), [7]),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "NaN"),
        (MOMENT, "2026-11-29T12:30:00+00:00"),
        (date(2026, 11, 29), "2026-11-29"),
        (timedelta(days=1, seconds=2, milliseconds=500), "P1DT2.5S"),
        (timedelta(seconds=-3), "-P0DT3S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_every_kind_of_value(value: Any, plain: Any) -> None:
    """Exact, nested, and of one spelling."""
    assert plain_value(value) == plain
    assert type(plain_value(value)) is type(plain)
    json.dumps(plain_value(value), allow_nan=False)


def test_two_columns_of_one_name_are_told_apart() -> None:
    """And none takes a name that another has."""
    assert unique_names(["a", "b", "a", "a_2", "a"]) == ["a", "b", "a_3", "a_2", "a_4"]
