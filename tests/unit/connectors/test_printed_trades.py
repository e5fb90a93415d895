"""Aggregates of raw trades: which belong together, and what one says of them."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.embedded.printed_trades import RAW, aggregate


def raw(*trades: tuple[int, int, int, int, int]) -> np.ndarray:
    """(id, ms, ticks, lots, side) each."""
    rows = np.zeros(len(trades), RAW)
    for row, (number, ms, ticks, lots, side) in zip(rows, trades, strict=True):
        row["id"], row["ms"], row["ticks"], row["lots"], row["side"] = number, ms, ticks, lots, side
    return rows


def test_one_taker_s_trades_at_one_price_are_one_aggregate() -> None:
    """It names the first and the last, and their lots."""
    (one,) = aggregate(raw((7, 10, 100, 2, 1), (8, 10, 100, 3, 1)), 50)
    assert [int(one[name]) for name in ("id", "first", "last", "lots", "ticks", "side")] == [
        50,
        7,
        8,
        5,
        100,
        1,
    ]


@pytest.mark.parametrize(
    "other", [(9, 10, 100, 3, 1), (8, 11, 100, 3, 1), (8, 10, 101, 3, 1), (8, 10, 100, 3, -1)]
)
def test_another_moment_price_or_side_is_another_aggregate(other: tuple[int, int, int, int, int]) -> None:
    """And so is a trade after one that is missing."""
    found = aggregate(raw((7, 10, 100, 2, 1), other), 50)
    assert found["id"].tolist() == [50, 51]
    assert (found["lots"].tolist(), found["first"].tolist()) == ([2, 3], [7, other[0]])
