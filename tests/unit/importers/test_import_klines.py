"""Imports of bars: every bar in its place, units exact, and whatever is wrong named, mended or refused."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from agent.app.importing import import_files
from agent.cli import app
from agent.core.errors import InputError
from agent.core.market.trading_time import BarFlag
from agent.terminal.imported.bar_import_tables import render_bar_import
from connectors.importers.bars.bar_report import BarReport
from storage.recordings.session import SessionReader
from tests.bar_sessions import HOUR, MIDNIGHT, Bar, hourly, write_csv
from tests.captures import spot, write


def _import(folder: Path, *files: Sequence[Bar], symbol: str = "BTC/USDT", **units: Any) -> dict[str, Any]:
    paths = [write_csv(folder / f"bars{k}.csv", bars) for k, bars in enumerate(files)]
    return import_files(paths, "klines", symbol, folder / "session", **units).to_json()


def _bars(folder: Path) -> Any:
    return SessionReader(folder / "session").bars()


def test_bars_come_back_in_ticks_and_lots(tmp_path: Path) -> None:
    """Every column, exact; a bar is known at its end; tick and lot are stated as inferred."""
    given = [Bar(MIDNIGHT, 100.25, 101.5, 99.75, 100.0, 12.345, 1237.58625, 7, 2.5)]
    given.append(replace(given[0], start=MIDNIGHT + timedelta(hours=1)))
    report = _import(tmp_path, given)
    assert (report["tick"], report["lot"]) == ("0.01", "0.001")
    assert report["tick_inferred"]
    assert report["lot_inferred"]
    row = _bars(tmp_path)[0]
    assert [int(row[f"{n}_ticks"]) for n in ("open", "high", "low", "close")] == [10025, 10150, 9975, 10000]
    assert (int(row["base_lots"]), int(row["quote_tl"])) == (12_345, 123_758_625)
    assert (int(row["trades"]), int(row["taker_base_lots"])) == (7, 2_500)
    start_ns = int(MIDNIGHT.timestamp()) * 10**9
    assert (int(row["open_ns"]), int(row["recv_ns"])) == (start_ns, start_ns + HOUR)


def test_a_file_without_fault_has_none_in_its_report(tmp_path: Path) -> None:
    """Every count of what was mended or left out is 0; from when to when the bars are known."""
    report = _import(tmp_path, hourly([100, 101, 102]))
    numbers = {name: value for name, value in report.items() if type(value) is int}
    start_ns = int(MIDNIGHT.timestamp()) * 10**9
    told = {"lines": 3, "events": 3, "bars": 3, "interval_ns": HOUR}
    told |= {"first_recv_ns": start_ns + HOUR, "last_recv_ns": start_ns + 3 * HOUR}
    assert {name: value for name, value in numbers.items() if value} == told
    assert len(numbers) > 40


def test_missing_bars_are_named_and_stood_in_for(tmp_path: Path) -> None:
    """Two hours are missing: two empty bars at the last close, flagged, and the report says which."""
    bars = hourly([100, 101, 102, 103, 104])
    del bars[2:4]
    report = _import(tmp_path, bars)
    rows = _bars(tmp_path)
    absent = (rows["flags"] & BarFlag.ABSENT) > 0
    assert list(absent) == [False, False, True, True, False]
    assert list(rows["close_ticks"][absent]) == [101, 101]
    assert not rows["base_lots"][absent].any()
    assert (report["absent"], report["gaps"]) == (2, 1)
    assert "2 bars missing" in report["problems"][0]
    assert "2025-03-03T02:00:00Z, 2025-03-03T03:00:00Z" in report["problems"][0]


def test_files_are_joined_and_copies_dropped(tmp_path: Path) -> None:
    """Two files that share a bar, given in any order."""
    bars = hourly([100, 101, 102, 103, 104])
    report = _import(tmp_path, bars[2:], bars[:3])
    assert list(_bars(tmp_path)["close_ticks"]) == [100, 101, 102, 103, 104]
    assert (report["duplicates"], report["lines"], report["bars"], report["vwap_moved"]) == (1, 6, 5, 0)


def test_a_given_tick_rounds_and_says_where(tmp_path: Path) -> None:
    """Prices off the tick go to the nearest, counted, the first named."""
    bars = hourly([100.0, 100.4, 101.0])
    report = _import(tmp_path, bars, tick=Decimal(1), lot=Decimal(1))
    assert list(_bars(tmp_path)["close_ticks"]) == [100, 100, 101]
    assert report["off_tick"] == 1
    assert "1 bar off the tick 1, rounded: 2025-03-03T01:00:00Z" in report["problems"]
    assert not report["tick_inferred"]


def test_without_notional_the_vwap_is_the_typical_price(tmp_path: Path) -> None:
    """(high + low + close) / 3, in whole ticks x lots; trades and takers are not known, and said so."""
    bars = [replace(bar, money=None) for bar in hourly([100.0, 101.0])]
    report = _import(tmp_path, bars, tick=Decimal("0.01"))
    row = _bars(tmp_path)[0]
    assert int(row["quote_tl"]) == round((103 + 98 + 100) / 3 * 100 * 100)
    assert int(row["taker_base_lots"]) == -1
    assert report["typical_price"] == 2


def test_bars_of_a_calendar_are_those_of_its_sessions(tmp_path: Path) -> None:
    """The opening hour is closed, a bar of the night is dropped, a holiday is no gap."""
    day = datetime(2025, 6, 18, tzinfo=UTC)  # a Wednesday; Thursday was Juneteenth
    bars = []
    for date in (day, day + timedelta(days=2)):
        bars += hourly([100.0 + k for k in range(7)], start=date + timedelta(hours=13))
    bars.insert(7, Bar(day + timedelta(hours=22), 9, 9, 9, 9, 5.0, 45.0))
    report = _import(tmp_path, bars, symbol="IBM/USD", calendar="XNYS")
    rows = _bars(tmp_path)
    assert len(rows) == 14
    assert list(np.flatnonzero(rows["flags"] & BarFlag.CLOSED)) == [0, 7]
    assert (report["outside"], report["closed"], report["absent"]) == (1, 2, 0)
    assert report["first_outside"] == ["2025-06-18T22:00:00"]


def test_a_day_is_known_at_the_close_of_its_session(tmp_path: Path) -> None:
    """16:00 in New York is 20:00 or 21:00 UTC, and 18:00 on the day after Thanksgiving."""
    dates = [datetime(2025, 11, 26, tzinfo=UTC), datetime(2025, 11, 28, tzinfo=UTC)]
    dates += [datetime(2025, 12, d, tzinfo=UTC) for d in (1, 2)]
    bars = [Bar(d, 100, 103, 98, 100, 500.0, 50_500.0) for d in dates]
    _import(tmp_path, bars, symbol="IBM/USD", calendar="XNYS")
    rows = _bars(tmp_path)
    known = [datetime.fromtimestamp(int(ns) / 1e9, UTC) for ns in rows["recv_ns"]]
    assert [(k.day, k.hour) for k in known] == [(26, 21), (28, 18), (1, 21), (2, 21)]
    assert not rows["flags"].any()  # a day's bar is its session


def _other_steps(bars: list[Bar]) -> list[Bar]:
    last = bars[-1].start
    return [*bars, *(replace(bars[0], start=last + timedelta(hours=4 * k)) for k in range(1, 14))]


def test_bars_of_mixed_intervals_are_refused(tmp_path: Path) -> None:
    """In one file, with the time from which they differ; in two, with the interval of each."""
    many = hourly([100.0] * 40)
    with pytest.raises(InputError, match=r"mixed intervals: from 2025-03-04T15:00:00Z on they are 4h apart"):
        _import(tmp_path, _other_steps(many))
    slow = [replace(bar, start=MIDNIGHT + timedelta(days=k)) for k, bar in enumerate(many[:9])]
    with pytest.raises(InputError, match=r"mixed intervals \(1h in .*bars0.csv, 1d in .*bars1.csv\)"):
        _import(tmp_path, many, slow)


BAD = [
    ([100.0] * 3, {"symbol": "BTC/USD:BTC"}, "bars of inverse contracts (BTC/USD:BTC) are not taken"),
    ([100.0], {}, "bars0.csv holds 1 bar of BTC/USDT: two or more"),
    ([100.0] * 3, {"lot": Decimal("1e-18")}, "give a larger --lot-size"),
    ([100.0] * 3, {"calendar": "NOWHERE"}, "unknown calendar 'NOWHERE'"),
    ([-1.0, 100.0], {}, "row 1 (2025-03-03T00:00:00Z) has open -1: a price is above 0"),
]


@pytest.mark.parametrize(("prices", "given", "words"), BAD)
def test_what_cannot_be_imported_is_refused(
    tmp_path: Path, prices: list[float], given: dict[str, Any], words: str
) -> None:
    """One message, and no session is left behind."""
    with pytest.raises(InputError, match=re.escape(words)):
        _import(tmp_path, hourly(prices), **given)
    assert not (tmp_path / "session" / "session.json").exists()


def test_an_empty_file_and_a_strange_symbol_are_named(tmp_path: Path) -> None:
    """No bars at all, and bars of another symbol."""
    file = write_csv(tmp_path / "empty.csv", [])
    with pytest.raises(InputError, match=r"empty.csv holds no bars of BTC/USDT: give another file"):
        import_files([file], "klines", "BTC/USDT", tmp_path / "a")
    rows = [line.split(",") for line in write_csv(tmp_path / "x.csv", hourly([100, 101])).read_text().split()]
    named = [[*row, "symbol" if k == 0 else ("AAA", "BBB")[k % 2]] for k, row in enumerate(rows)]
    file.write_text("\n".join(",".join(row) for row in named) + "\n")
    with pytest.raises(InputError, match="holds no bars of BTC/USDT: it has AAA, BBB"):
        import_files([file], "klines", "BTC/USDT", tmp_path / "b")


def test_the_terminal_says_what_was_found_and_how_fills_are_made(tmp_path: Path) -> None:
    """Every count with its rule, the first times, what fills are, and a replay that works as printed."""
    bars = hourly([100.0 + k for k in range(20)])
    bars[3] = replace(bars[3], volume=0.0, money=0.0)
    del bars[5]
    report = _import(tmp_path, bars)
    console = Console(width=300, file=io.StringIO(), record=True)
    session = Path(report.pop("session"))
    render_bar_import(BarReport(**report), session, console)
    text = console.export_text()
    assert "BTC/USDT, 20 bars of 1h" in text
    assert "1 bar missing, an empty bar stands for each: 2025-03-03T05:00:00Z" in text
    assert "1 bar without volume: 2025-03-03T03:00:00Z" in text
    assert "bars-only session: fills are modelled at the interval's VWAP" in text
    command = text.split("python -m agent ")[1].split()
    done = CliRunner().invoke(app, [*command, "--algo", "twap", "--shadow", "vwap"])
    assert done.exit_code == 0, done.output
    assert "bars-only session" in done.stdout
    assert "the last close" in done.stdout


def test_a_market_that_closes_needs_its_calendar(tmp_path: Path) -> None:
    """Five days a week, seven hours a day: without a name for it every night would be a gap."""
    days = [MIDNIGHT + timedelta(days=k) for k in range(26) if k % 7 < 5]
    bars = [bar for day in days for bar in hourly([100.0] * 7, start=day + timedelta(hours=14))]
    with pytest.raises(InputError, match="the market closes; name its calendar, as in --calendar XNYS"):
        _import(tmp_path, bars)


def test_a_calendar_is_for_bars_only(tmp_path: Path) -> None:
    """With another format the option would be ignored: it is refused."""
    with pytest.raises(InputError, match="--calendar XNYS is for bars"):
        import_files(
            [write(tmp_path / "x.gz", spot())], "binance-raw", "BTC/USDT", tmp_path / "s", calendar="XNYS"
        )
