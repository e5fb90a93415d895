"""Times of bars as people write them, imported by the command line: in their place or refused by row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.unit.importers.test_bar_files_of_others import HOUR_S, START_S, bars_of, imported


def csv(header: str, row: Callable[[int], str]) -> bytes:
    return "\n".join([header, *(row(k) for k in range(3)), ""]).encode()


def ohlcv(k: int) -> str:
    return f"{100 + k},{103 + k},{98 + k},{101 + k},{10 + k}"


def at_s(k: int) -> int:
    return START_S + k * HOUR_S


@pytest.mark.parametrize("name", ["hour", "clock", "Hour", "time of day"])
def test_a_stamp_needs_no_hour(tmp_path: Path, name: str) -> None:
    """Bars of days by their stamps, with the hour beside them in which they closed: each at its stamp."""
    file = tmp_path / "x.csv"
    rows = csv(
        f"timestamp,{name},open,high,low,close,volume", lambda k: f"2024-06-{17 + k},{16 + k},{ohlcv(k)}"
    )
    file.write_bytes(rows)
    code, said, _ = imported(tmp_path, file, "--format", "klines", "--calendar", "24/7")
    assert code == 0, said
    day_s = 24 * HOUR_S
    first_s = START_S // day_s * day_s - 3 * day_s
    assert bars_of(tmp_path)["open_ns"].tolist() == [(first_s + k * day_s) * 10**9 for k in range(3)]


def test_an_hour_that_no_day_has_is_named(tmp_path: Path) -> None:
    """Hours from 1 to 24 do not tell whether they begin or end: row 3 has none of a day."""
    file = tmp_path / "x.csv"
    file.write_bytes(csv("Date,Hour,Open,High,Low,Close,Volume", lambda k: f"20240620,{22 + k},{ohlcv(k)}"))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code == 1
    assert "row 3 has the time of day '24:00'" in said


NO_DAYS = [
    ["20240228", "20240229", "20240230"],
    ["202402281000", "202402291000", "202402301000"],
    ["2024-02-28", "2024-02-29", "2024-02-30"],
    ["2024-02-28T10:00:00Z", "2024-02-29T10:00:00Z", "2024-02-30T10:00:00Z"],
    ["2024-02-28 10:00", "2024-02-29 10:00", "2024-02-30 10:00"],
    ["2024.02.28", "2024.02.29", "2024.02.30"],
    ["29.04.2024", "30.04.2024", "31.04.2024"],
    ["29/4/2024", "30/4/2024", "31/4/2024"],
    ["4/29/2024", "4/30/2024", "4/31/2024"],
    ["2024.06.20 10:00:58", "2024.06.20 10:00:59", "2024.06.20 10:00:60"],
    ["1718863200000", "1718863260000", "later"],
]


@pytest.mark.parametrize("times", NO_DAYS)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_time_that_no_calendar_has_is_named(tmp_path: Path, times: list[str], as_text: bool) -> None:
    """30 February, 31 April, second 60: not the day after, but refused with its row; numbers as texts too."""
    names = ("open", "high", "low", "close", "volume")
    values = [dict(zip(names, map(float, ohlcv(k).split(",")), strict=True)) for k in range(3)]
    rows = [{"time": times[k], **values[k]} for k in range(3)]
    file = tmp_path / "x.dat"
    plain = csv("time,open,high,low,close,volume", lambda k: f"{times[k]},{ohlcv(k)}")
    file.write_bytes(orjson.dumps(rows) if as_text else plain)
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code == 1, said
    assert times[2] in said
    assert "row 3" in said or "is no date" in said


FORMS = ["%Y.%m.%d %H:%M", "%d/%m/%Y %H:%M", "%Y-%m-%d %I-%p", "%Y%m%d  %H%M", "%-d.%-m.%Y %-H:%M"]


@pytest.mark.parametrize("form", FORMS)
def test_a_time_with_more_blanks_or_fewer_zeros_is_that_time(tmp_path: Path, form: str) -> None:
    """As people write them; 06-AM in small letters too."""
    file = tmp_path / "x.csv"
    texts = [datetime.fromtimestamp(at_s(k), UTC).strftime(form).lower() for k in range(3)]
    file.write_bytes(csv("time,open,high,low,close,volume", lambda k: f"{texts[k]},{ohlcv(k)}"))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code == 0, said
    assert bars_of(tmp_path)["open_ns"].tolist() == [at_s(k) * 10**9 for k in range(3)]


@pytest.mark.filterwarnings("error")
def test_numbers_in_quotes_are_exact(tmp_path: Path) -> None:
    """Nanoseconds of 19 digits as texts: to the nanosecond; what is no number is refused with its row."""
    at_ns = [at_s(k) * 10**9 + 123 for k in range(3)]
    rows = [[str(at_ns[k]), *ohlcv(k).split(",")] for k in range(3)]
    file = tmp_path / "x.json"
    file.write_bytes(orjson.dumps(rows))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code == 0, said
    assert bars_of(tmp_path)["open_ns"].tolist() == at_ns
    for odd in ("inf", "nan", "1e400", "-5"):
        file.write_bytes(orjson.dumps([*rows[:2], [odd, *rows[2][1:]]]))
        code, said, _ = imported(tmp_path / odd, file, "--format", "klines")
        assert code == 1
        assert f"row 3 has no time from 1970 on: {odd}" in said
