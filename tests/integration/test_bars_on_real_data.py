"""Orders on real bars: 15-minute klines, hourly and daily shares, imported and replayed as a user would."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.app.importing import import_files
from agent.config import Order
from agent.core.events import ChildFilled, DecisionTaken, SlippageMeasured
from tests.bar_sessions import HOUR, config, of, run
from tests.realdata import real_data

DAY = 24 * HOUR
QUARTER = HOUR // 4


def _order(**given: Any) -> Order:
    values = {"side": "buy", "benchmark": "twap", "algo": "twap", "shadows": ("optimal_stopping", "lem")}
    return Order(**{**values, **given})


@pytest.fixture(scope="module")
def klines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BTC/USDT from 2023 to mid 2025."""
    out = tmp_path_factory.mktemp("klines") / "session"
    report = import_files([real_data("klines-15m", "BTCUSDT.parquet")], "klines", "BTC/USDT", out).to_json()
    assert (report["bars"], report["absent"], report["zero_volume"]) == (87_456, 5, 5)
    assert (report["tick"], report["lot"]) == ("0.01", "0.000001")
    return out


def test_four_hours_of_klines(klines: Path) -> None:
    """Sixteen bars at VWAP and 1 bp: a TWAP misses the TWAP by 1 bp, to what a tick of a lot leaves."""
    order = _order(quantity=Decimal(20), interval=QUARTER, min_duration=HOUR, max_duration=4 * HOUR)
    given = config(order).model_copy(
        update={"bars": config(order).bars.model_copy(update={"half_spread_bps": 1})}
    )
    done, events = run(klines, given, start=datetime(2025, 3, 3, 8, tzinfo=UTC))
    own = [e for e in of(events, SlippageMeasured) if e.own_benchmark and e.shadow_of is None][-1]
    assert own.gain_bps == pytest.approx(-1.0, abs=1e-5)
    assert done.summary.parents()[0]["state"] == "completed"
    model = [d for d in of(events, DecisionTaken) if d.algo == "lem"]
    assert model[0].history_bars is not None
    assert model[0].history_bars >= 120
    assert not any(d.overrun for d in of(events, DecisionTaken))


def test_five_sessions_of_hourly_shares(tmp_path: Path) -> None:
    """Thirty hours of IBM around Thanksgiving 2012: no Thursday, and three hours on the short Friday."""
    report = import_files(
        [real_data("equities", "us-hourly-raw.parquet")], "klines", "IBM/USD", tmp_path / "s", calendar="XNYS"
    ).to_json()
    assert report["clock"] == "America/New_York"
    assert report["absent"] < 10
    order = _order(quantity=Decimal(3_000), interval=HOUR, min_duration=6 * HOUR, max_duration=30 * HOUR)
    _, events = run(tmp_path / "s", config(order), start=datetime(2012, 11, 19, tzinfo=UTC))
    own = [f for f in of(events, ChildFilled) if "~" not in f.parent_id]
    hours = [datetime.fromtimestamp(ns / 1e9, UTC) for ns in sorted({f.fill_ns for f in own})]
    per_day = {day: [h.hour for h in hours if h.day == day] for day in sorted({h.day for h in hours})}
    whole = [16, 17, 18, 19, 20, 21]
    assert per_day == {19: whole, 20: whole, 21: whole, 23: [16, 17, 18], 26: whole, 27: [16, 17, 18]}
    gain = [e for e in of(events, SlippageMeasured) if e.own_benchmark and e.shadow_of is None][-1].gain_bps
    assert gain == pytest.approx(-10.0, abs=0.01)


def test_twelve_days_of_a_share(tmp_path: Path) -> None:
    """Daily bars: twelve sessions, a holiday and three week-ends among them."""
    import_files(
        [real_data("equities", "us-daily-adjusted.parquet")],
        "klines",
        "IBM/USD",
        tmp_path / "s",
        calendar="XNYS",
    )
    order = _order(quantity=Decimal(12_000), interval=DAY, min_duration=4 * DAY, max_duration=12 * DAY)
    _, events = run(tmp_path / "s", config(order), start=datetime(2013, 8, 22, tzinfo=UTC))
    own = sorted({f.fill_ns for f in of(events, ChildFilled) if "~" not in f.parent_id})
    days = [datetime.fromtimestamp(ns / 1e9, UTC) for ns in own]
    assert [(d.month, d.day) for d in days] == [
        *((8, d) for d in (22, 23, 26, 27, 28, 29, 30)),
        *((9, d) for d in (3, 4, 5, 6, 9)),
    ]
    assert {d.hour for d in days} == {20}  # 16:00 in New York
    gain = [e for e in of(events, SlippageMeasured) if e.own_benchmark and e.shadow_of is None][-1].gain_bps
    assert gain == pytest.approx(-10.0, abs=0.001)
