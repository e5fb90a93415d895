"""Promises where only bars are known: the rate of ``pov`` is kept by the forecast of each bar."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agent.config import Order
from agent.core.events import ChildFilled, ParentChanged
from agent.core.types import ParentState
from tests.bar_sessions import HOUR, MIDNIGHT, config, hourly, of, run, session


@pytest.mark.parametrize(("rate", "ends"), [(0.05, ParentState.EXPIRED), (0.15, ParentState.COMPLETED)])
def test_pov_on_bars_of_even_volume(tmp_path: Path, rate: float, ends: ParentState) -> None:
    """Of 100 an hour the rate gives 5 or 15: 16 hours of it are not enough for 100, or more than enough."""
    path = session(tmp_path, hourly([1_000.0] * 60), lot=Decimal("0.001"), tick=Decimal("0.01"))
    order = Order(
        quantity=Decimal(100),
        algo="pov",
        algo_params={"rate": rate},
        interval=HOUR,
        min_duration=HOUR,
        max_duration=16 * HOUR,
        shadows=(),
    )
    _, events = run(path, config(order), start=MIDNIGHT + timedelta(hours=30))
    by_hour: dict[int, int] = {}
    for fill in of(events, ChildFilled):
        by_hour[fill.fill_ns] = by_hour.get(fill.fill_ns, 0) + fill.qty_lots
    filled = list(by_hour.values())
    each = round(rate * 100_000)
    assert all(abs(lots - each) <= 1 for lots in filled[:-1])
    assert filled[-1] <= each + 1
    last = of(events, ParentChanged)[-1]
    assert last.state is ends
    assert last.filled_lots == (100_000 if ends is ParentState.COMPLETED else 16 * each)
