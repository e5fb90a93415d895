"""Volume curves: right on a market with a known curve, and nothing from the order's own day or later."""

from __future__ import annotations

import numpy as np
import pytest

from agent.barfiles.read_bars import Series
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.types import DAY_NS
from lem.bars.volume_curves import volume_curves
from lem.evaluation.windows import order_windows

HOUR_NS = DAY_NS // 24
START = np.array([10, 30, 100, 24 * 25 + 20])


def market() -> FBarArray:
    """Thirty days of hourly bars whose volume is 1 + the hour."""
    bars = empty_fbars(24 * 30)
    bars["start_ns"] = 19_000 * DAY_NS + HOUR_NS * np.arange(len(bars))
    bars["volume"] = 1.0 + np.arange(len(bars)) % 24
    return bars


def test_the_known_curve_is_found() -> None:
    """After three whole days the expectation is the curve, over midnight too; before them flat, and said."""
    curves = volume_curves(market(), START, HOUR_NS, 8)
    assert curves.flat.tolist() == [True, True, False, False]
    np.testing.assert_allclose(curves.expected[:2], 1.0)
    np.testing.assert_allclose(curves.expected[2:], 1.0 + (START[2:, None] + np.arange(8)) % 24)


def test_nothing_after_the_start_matters() -> None:
    """Garbage from each order's first bar on leaves its curve bit-identical."""
    want = volume_curves(market(), START, HOUR_NS, 8).expected
    for k, first in enumerate(START):
        bars = market()
        bars["volume"][first:] = np.nan
        assert (volume_curves(bars, START[k : k + 1], HOUR_NS, 8).expected == want[k]).all()


def test_only_the_trailing_days_count() -> None:
    """Volume doubled more than five days ago is forgotten by a curve over five days."""
    bars = market()
    bars["volume"][: 24 * 20] *= 2
    np.testing.assert_allclose(
        volume_curves(bars, START[3:], HOUR_NS, 8, days=5).expected,
        volume_curves(market(), START[3:], HOUR_NS, 8).expected,
    )
    with pytest.raises(InputError, match="at least 3"):
        volume_curves(bars, START, HOUR_NS, 8, days=2)


def test_windows_carry_their_curves() -> None:
    """Each order's curve is that of its own start, on bars with a day missing."""
    bars = market()
    bars["close"] = bars["vwap"] = 100.0
    bars = np.delete(bars, np.arange(240, 264))
    orders = order_windows(Series("x", bars), HOUR_NS, past=20, n=8)
    hour = (orders.starts_ns[:, None] // HOUR_NS + np.arange(8)) % 24
    known = ~orders.curves.flat
    assert known.sum() > 60
    np.testing.assert_allclose(orders.curves.expected[known], 1.0 + hour[known])
    np.testing.assert_array_equal(orders.paths().bars["start_ns"][:, 20], orders.starts_ns)
