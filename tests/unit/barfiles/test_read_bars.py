"""Bars from files: what is refused, what is counted, and real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.barfiles.bar_quality import Quality
from agent.barfiles.read_bars import read_bars
from agent.core.errors import InputError
from tests.realdata import real_data

COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "quote_volume")
ODD = (0, -1, 1e308, float("nan"), float("inf"), float("-inf"), 1e-308, 100.0, 2**62, None)


def columns() -> dict[str, list[float | None]]:
    """Eight good one-minute bars."""
    out: dict[str, list[float | None]] = {name: [100.0] * 8 for name in COLUMNS}
    out |= {"high": [101.0] * 8, "low": [99.0] * 8, "volume": [2.0] * 8, "quote_volume": [200.0] * 8}
    out["open_time"] = [1_700_000_400_000 + 60_000 * k for k in range(8)]
    return out


def read(path: Path, table: dict[str, list[float | None]]) -> tuple[int, Quality]:
    pyarrow.parquet.write_table(pa.table(table), path / "x.parquet")
    (series,) = read_bars(path / "x.parquet")
    return len(series.bars), series.quality


@pytest.mark.parametrize(
    ("column", "value", "kept", "counts"),
    [
        ("close", float("nan"), 7, {"not_finite": 1, "gaps": 1, "missing": 1}),
        ("high", None, 7, {"not_finite": 1, "gaps": 1, "missing": 1}),
        ("volume", 0.0, 8, {"zero_volume": 1}),
        ("close", 102.0, 8, {"range_widened": 1}),
        ("quote_volume", 300.0, 8, {"vwap_moved": 1}),
        ("open_time", 1_700_000_340_000, 8, {"out_of_order": 1, "gaps": 1, "missing": 1}),
        ("open_time", 1_700_000_520_000, 7, {"duplicates": 1, "gaps": 1, "missing": 1}),
    ],
)
def test_what_is_counted(
    tmp_path: Path, column: str, value: float | None, kept: int, counts: dict[str, int]
) -> None:
    """One changed value in row 4: handled by its rule, counted under its name and under no other."""
    table = columns()
    table[column][3] = value
    rows, found = read(tmp_path, table)
    assert rows == kept
    assert found == Quality(rows=8, first_missing=found.first_missing, **counts)
    assert len(found.first_missing) == min(3, found.missing)


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("close", 0.0, "row 4 .*close 0"),
        ("open", -5.0, "row 4 .*open -5"),
        ("volume", -1.0, "row 4 .*volume -1"),
        ("low", 105.0, "row 4 .*low 105"),
        ("open_time", None, "row 4 has no time"),
        ("open_time", -7, "row 4 has no time"),
    ],
)
def test_what_is_refused(tmp_path: Path, column: str, value: float | None, what: str) -> None:
    """Each with the row, the value and what is allowed."""
    table = columns()
    table[column][3] = value
    with pytest.raises(InputError, match=what):
        read(tmp_path, table)


def test_two_bars_of_one_time_are_refused(tmp_path: Path) -> None:
    """Rows 3 and 4 with one time and different closes: nobody can know which is right."""
    table = columns()
    table["open_time"][3], table["close"][3] = table["open_time"][2], 100.5
    with pytest.raises(InputError, match=r"rows 3 and 4 both start at 2023-11-14T22:22:00Z and differ"):
        read(tmp_path, table)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(COLUMNS), st.integers(0, 7), st.sampled_from(ODD)), max_size=6
    ),
    text=st.sampled_from([None, *COLUMNS]),
)
def test_any_content_is_read_or_refused(
    tmp_path: Path, changes: list[tuple[str, int, float | None]], text: str | None
) -> None:
    """Mutated files raise InputError or give sound bars; no warning and no other error."""
    table = columns()
    for column, row, value in changes:
        if column == "open_time":
            table[column][row] = None if isinstance(value, float) else value
        else:
            table[column][row] = None if value is None else float(value)
    data = {
        k: pa.array(["x"] * 8 if k == text else v, None if k in ("open_time", text) else pa.float64())
        for k, v in table.items()
    }
    pyarrow.parquet.write_table(pa.table(data), tmp_path / "x.parquet")
    try:
        (series,) = read_bars(tmp_path / "x.parquet")
    except InputError:
        return
    bars = series.bars
    assert (np.diff(bars["start_ns"]) > 0).all()
    assert ((bars["low"] <= bars["vwap"]) & (bars["vwap"] <= bars["high"]) & (bars["low"] > 0)).all()
    assert (bars["volume"] >= 0).all()


TIMES = ("open_time", "time", "timestamp", "datetime", "date")
OPTIONAL = ("quote_volume", "n_trades", "taker_buy_base")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    optional=st.sets(st.sampled_from(OPTIONAL)),
    without=st.sets(st.sampled_from(("open", "volume")), max_size=1),
    time=st.sampled_from(TIMES),
    rows=st.lists(st.integers(0, 7), max_size=20),
    nan=st.lists(st.tuples(st.sampled_from((*COLUMNS[1:], *OPTIONAL)), st.integers(0, 19)), max_size=5),
    symbols=st.none() | st.lists(st.sampled_from(["a", "b", None]), min_size=20, max_size=20),
    suffix=st.sampled_from(["csv", "parquet"]),
)
def test_any_columns_in_any_order_are_counted(
    tmp_path: Path,
    optional: set[str],
    without: set[str],
    time: str,
    rows: list[int],
    nan: list[tuple[str, int]],
    symbols: list[str | None] | None,
    suffix: str,
) -> None:
    """Any optional columns, rows repeated and out of order, values absent: every row is accounted for."""
    good: dict[str, list[float | None]] = columns() | {name: [1.0] * 8 for name in OPTIONAL[1:]}
    table = {name: [good[name][k] for k in rows] for name in (*COLUMNS[1:6], *sorted(optional))}
    for name, row in nan:
        if name in table and row < len(rows):
            table[name][row] = None
    data: dict[str, pa.Array] = {
        name: pa.array(values, pa.float64()) for name, values in table.items() if name not in without
    }
    data[time] = pa.array([good["open_time"][k] for k in rows], pa.int64())
    if symbols is not None:
        data["symbol"] = pa.array(symbols[: len(rows)], pa.string())
    path = tmp_path / f"x.{suffix}"
    write = pyarrow.parquet.write_table if suffix == "parquet" else pyarrow.csv.write_csv
    write(pa.table(data), path)
    found, refused = [], ""
    try:
        found = read_bars(path)
    except InputError as error:
        refused = str(error)
    nameless = symbols is not None and None in symbols[: len(rows)]
    assert bool(refused) == bool(without or nameless or "and differ" in refused or (refused and not rows))
    if refused:
        return
    assert sum(one.quality.rows for one in found) == len(rows)
    for one in found:
        assert (np.diff(one.bars["start_ns"]) > 0).all()
        quality = one.quality
        assert len(one.bars) + quality.duplicates + quality.not_finite == quality.rows
        assert quality.typical_price == (0 if "quote_volume" in optional else len(one.bars))


def test_one_far_print_does_not_make_the_price(tmp_path: Path) -> None:
    """Without notional: a low of 10 in a market at 100 leaves the price at the closes, and is named."""
    table = columns()
    del table["quote_volume"]
    table["low"][3] = 10.0
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "x.parquet")
    (series,) = read_bars(tmp_path / "x.parquet")
    assert series.bars["vwap"][3] == pytest.approx((101 + 100 + 100) / 3)
    assert series.bars["low"][3] == 10.0
    assert series.quality == Quality(
        rows=8, typical_price=8, far_prints=1, first_far=("2023-11-14T22:23:00",)
    )


def test_a_fall_that_stays_is_no_far_print(tmp_path: Path) -> None:
    """Closing near the low: the price keeps the whole range."""
    table = columns()
    del table["quote_volume"]
    for name in ("open", "high", "low", "close"):
        table[name][4:] = [price / 10 for price in table[name][4:] if price is not None]
    table["high"][4] = 101.0
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "x.parquet")
    (series,) = read_bars(tmp_path / "x.parquet")
    assert series.bars["vwap"][4] == pytest.approx((101 + 9.9 + 10) / 3)
    assert series.quality.far_prints == 0


def test_a_wild_market_has_far_prints_further_out(tmp_path: Path) -> None:
    """Closes that swing by a tenth: a low at half the price is within eight standard deviations."""
    table = columns()
    del table["quote_volume"]
    table["close"] = [100.0 if k % 2 else 110.0 for k in range(8)]
    table["high"], table["low"][6] = [111.0] * 8, 50.0
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "x.parquet")
    (series,) = read_bars(tmp_path / "x.parquet")
    assert series.bars["vwap"][6] == pytest.approx((111 + 50 + 110) / 3)
    assert series.quality.far_prints == 0


def test_the_outage_of_march_2023_is_found() -> None:
    """15-minute klines: 5 bars are missing in one gap, and 5 have no volume."""
    (series,) = read_bars(real_data("klines-15m", "BTCUSDT.parquet"))
    found = series.quality
    assert (found.gaps, found.missing, found.zero_volume) == (1, 5, 5)


def test_hourly_gaps_since_2018_are_found() -> None:
    """Hourly klines of BTC: 26 gaps, 121 bars, as 43,824 hours less 43,703 rows say too."""
    (series,) = read_bars(real_data("klines-1h", "BTCUSDT.parquet"))
    assert (series.quality.gaps, series.quality.missing) == (26, 121)
