"""Calendars: nights and holidays are no gaps, what a session lacks is missing, clocks are read right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.barfiles.calendars import fit
from agent.barfiles.read_bars import Series, neighbours, on_calendar, read_bars, resample
from agent.core.errors import InputError
from agent.core.types import NS_PER_S
from lem.cli import main
from lem.evaluation.windows import order_windows
from tests.realdata import real_data
from tests.unit.lem.bar_days import DAY_NS, HOUR_NS, NEW_YORK, bars_at, hours, series_at, session_dates


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_nothing_is_missing_in_six_weeks_of_new_york() -> None:
    """Nights, weekends, a holiday, a storm, an early close and a change of clocks: no gap, no bar outside."""
    series = on_calendar(series_at(hours()), "XNYS")
    found = series.quality
    assert (found.gaps, found.missing, found.outside, found.missing_sessions) == (0, 0, 0, 0)
    assert neighbours(series, HOUR_NS).all()
    assert found.clock == "UTC"


def test_a_wall_clock_is_read_as_one() -> None:
    """The same bars stamped by New York's clock get the same UTC starts, and the reading is said."""
    local = on_calendar(series_at(hours(None)), "XNYS")
    np.testing.assert_array_equal(local.bars["start_ns"], hours())
    assert local.quality.clock == "America/New_York"


def test_what_a_session_lacks_is_named() -> None:
    """An hour and a whole session taken out: two gaps, eight bars, one session, dated by New York's clock."""
    start_ns = hours(None)
    day = start_ns // DAY_NS == at("2012-11-08") // DAY_NS
    hour = start_ns == at("2012-10-24T11:00")
    found = on_calendar(series_at(start_ns[~day & ~hour]), "XNYS").quality
    assert (found.gaps, found.missing, found.missing_sessions) == (2, 8, 1)
    assert found.first_missing == ("2012-10-24T11:00", "2012-11-08T09:00", "2012-11-08T10:00")


def test_bars_outside_the_sessions_are_dropped_and_named() -> None:
    """A bar after an early close, one at night and one on a holiday go; the others stay neighbours."""
    odd = [at("2012-11-23T13:00"), at("2012-11-13T20:00"), at("2012-11-22T10:00")]
    series = on_calendar(series_at(np.sort(np.append(hours(None), odd))), "XNYS")
    assert series.quality.outside == 3
    assert series.quality.first_outside == (
        "2012-11-13T20:00:00",
        "2012-11-22T10:00:00",
        "2012-11-23T13:00:00",
    )
    assert neighbours(series, HOUR_NS).all()


def test_daily_bars_belong_to_their_date() -> None:
    """Stamped at midnight UTC or at Hong Kong's midnight: the same sessions, at midnight UTC."""
    dates = ["2024-02-07", "2024-02-08", "2024-02-09", "2024-02-14", "2024-02-15"]  # the new year between
    utc = np.array([at(day) for day in dates])
    for start_ns, clock in ((utc, "UTC"), (utc - 8 * HOUR_NS, "Asia/Hong_Kong")):
        series = on_calendar(Series("x", bars_at(start_ns)), "XHKG")
        np.testing.assert_array_equal(series.bars["start_ns"], utc)
        assert (series.quality.gaps, series.quality.clock) == (0, clock)


def test_a_lunch_break_is_no_gap() -> None:
    """Tokyo, half hours from 9:00 to 15:00 without 11:30 to 12:30; from the open, not from the hour."""
    minutes = [*range(540, 690, 30), *range(750, 900, 30)]
    start_ns = np.array(
        [at(day) + m * 60 * NS_PER_S for day in ("2024-01-10", "2024-01-11") for m in minutes]
    )
    series = on_calendar(series_at(start_ns), "XTKS")
    assert (series.quality.gaps, series.quality.outside, series.quality.clock) == (0, 0, "Asia/Tokyo")


def test_bars_may_begin_before_the_open() -> None:
    """London opens at 8:00: bars of two hours from 7:00 to 17:00, whose phase is an odd hour."""
    days = ("2024-01-10", "2024-01-11", "2024-01-12")
    start_ns = np.array([at(day) + hour * HOUR_NS for day in days for hour in (7, 9, 11, 13, 15)])
    found = on_calendar(series_at(start_ns), "XLON").quality
    assert (found.gaps, found.outside) == (0, 0)


def test_sessions_that_touch_share_a_bar() -> None:
    """Futures trade from 18:00 to 18:00; the bar from 16:00 to 20:00 is in two, and on the grid once."""
    start_ns = at("2024-01-08T01:00") + 4 * HOUR_NS * np.arange(28)  # 20:00 in New York on a Sunday
    series = on_calendar(series_at(start_ns), "us_futures")
    assert (len(series.bars), series.quality.gaps, series.quality.outside) == (28, 0, 0)


@settings(max_examples=60, deadline=None)
@given(keep=st.lists(st.booleans(), min_size=186, max_size=186), local=st.booleans())
def test_counts_add_up(keep: list[bool], local: bool) -> None:
    """Any bars taken away: what is left and what is missing between them is what the sessions hold."""
    kept = np.array(keep)
    kept[[0, 1, 7, 8, -1]] = True  # both ends, and an hour as the most frequent step
    kept[20:60] = True
    series = on_calendar(series_at(hours(None if local else NEW_YORK)[kept]), "XNYS")
    assert len(series.bars) == kept.sum()
    assert series.quality.missing == (~kept).sum()
    np.testing.assert_array_equal(series.bars["start_ns"], hours()[kept])
    np.testing.assert_array_equal(neighbours(series, HOUR_NS), np.diff(np.flatnonzero(kept)) == 1)


@settings(max_examples=60, deadline=None)
@given(
    calendar=st.sampled_from(["XNYS", "XTKS", "CMES", "24/7"]),
    minutes=st.sampled_from([1, 30, 45, 60, 420, 1_440, 10_080]),
    first=st.sampled_from([0, 10**18, 18_000 * DAY_NS, 2**62, 2**63 - 10**16]),
    steps=st.lists(st.integers(1, 40), min_size=2, max_size=30),
    late=st.none() | st.integers(0, 2**63 - 1),
)
def test_any_times_are_laid_out_or_refused(
    calendar: str, minutes: int, first: int, steps: list[int], late: int | None
) -> None:
    """Bars at any times from 1970 to 2262: on the grid in order, every row accounted for, or refused."""
    starts = [first + minutes * 60 * NS_PER_S * int(step) for step in np.cumsum(steps)]
    starts = sorted({start for start in [*starts, late or starts[0]] if start < 2**63})
    if len(starts) < 2:
        return
    try:
        series = on_calendar(series_at(np.array(starts, np.int64)), calendar)
    except InputError:
        return
    assert series.grid is not None
    for one in (series, resample(series, DAY_NS)):
        assert one.grid is not None
        place = one.grid.place(one.bars["start_ns"])
        assert (np.diff(place) > 0).all()
        assert (place >= 0).all()
    assert len(series.bars) + series.quality.outside == len(starts)


@pytest.mark.parametrize(
    ("calendar", "what"),
    [
        ("XNYZ", r"unknown calendar 'XNYZ': the nearest are .*XNYS"),
        ("qqqqqqq", r"unknown calendar 'qqqqqqq': for example XNYS"),
        ("XTKS", r"18 % of the bars lie in sessions of XTKS, read as UTC or as Asia/Tokyo"),
    ],
)
def test_a_calendar_that_does_not_fit_is_refused(calendar: str, what: str) -> None:
    """An unknown name with the nearest, another market's sessions with the share inside."""
    with pytest.raises(InputError, match=what):
        on_calendar(series_at(hours()), calendar)


def test_dates_and_intervals_a_calendar_does_not_know_are_refused() -> None:
    """Hong Kong in 1950, bars of a week, two bars of one date."""
    days = at("1950-03-01") + DAY_NS * np.arange(10)
    with pytest.raises(InputError, match=r"XHKG has no sessions from 1950-02-26 .*1960"):
        fit("XHKG", days, DAY_NS)
    with pytest.raises(InputError, match="bars of 7 days on calendar XNYS"):
        fit("XNYS", days, 7 * DAY_NS)
    start_ns = np.array([at(f"2012-10-{day}") for day in (22, 23, 24, 25)] + [at("2012-10-25T12:00")])
    with pytest.raises(InputError, match="2012-10-25T00:00:00Z and 2012-10-25T12:00:00Z fall on one session"):
        on_calendar(series_at(start_ns), "XNYS")


def test_sessions_add_up_their_hours() -> None:
    """Days of an hourly file: exact sums, the date's midnight as start; four bars of seven are no session."""
    start_ns = hours()
    series = on_calendar(series_at(np.delete(start_ns, [8, 9, 10])), "XNYS")
    days = resample(series, DAY_NS)
    dates = [at(str(day)) for day in session_dates()]
    np.testing.assert_array_equal(days.bars["start_ns"], dates[:1] + dates[2:])
    assert days.bars["volume"].tolist() == [
        4e3 if day == at("2012-11-23") else 7e3 for day in dates[:1] + dates[2:]
    ]
    np.testing.assert_array_equal(days.bars["close"][0], series.bars["close"][6])
    assert neighbours(days, DAY_NS).sum() == 24  # of 25


def test_coarser_bars_start_with_each_session() -> None:
    """Two-hour bars begin at 9, 11, 13 and 15 (what is left of the day); 90 minutes are refused."""
    two = resample(on_calendar(series_at(hours()), "XNYS"), 2 * HOUR_NS)
    assert two.grid is not None
    wall = two.grid.wall_ns[two.grid.place(two.bars["start_ns"])] % DAY_NS // HOUR_NS
    assert wall[:5].tolist() == [9, 11, 13, 15, 9]
    assert len(two.bars) == 26 * 4 + 2
    assert neighbours(two, 2 * HOUR_NS).all()
    for interval_ns in (HOUR_NS * 3 // 2, 2 * DAY_NS):
        with pytest.raises(InputError, match="give a multiple of the bars' 3600 s, up to 1d"):
            resample(on_calendar(series_at(hours()), "XNYS"), interval_ns)


def test_orders_go_through_the_night() -> None:
    """Twelve hourly bars span two sessions; history reaches back over them, a missing hour cuts it."""
    whole = order_windows(on_calendar(series_at(hours()), "XNYS"), HOUR_NS, past=20, n=12)
    assert len(whole.paths().bars) == 185 // 12
    assert whole.paths().known_from[-1] == 0
    cut = order_windows(on_calendar(series_at(np.delete(hours(), 100)), "XNYS"), HOUR_NS, past=20, n=12)
    assert len(cut.paths().bars) == 184 // 12 - 1
    assert np.isfinite(cut.paths().bars["close"][:, 20:]).all()


def test_a_volume_curve_follows_the_wall_clock() -> None:
    """Volume by New York's hour: the curve is right in the weeks after the clocks went back."""
    bars = bars_at(hours())
    bars["volume"] = 1e3 + hours(None) % DAY_NS // HOUR_NS
    orders = order_windows(on_calendar(Series("x", bars), "XNYS"), HOUR_NS, past=5, n=5)
    known = ~orders.curves.flat
    np.testing.assert_allclose(orders.curves.expected[known], orders.paths().bars["volume"][:, 5:][known])
    assert (orders.starts_ns[known] > at("2012-11-05")).sum() > 20


def test_a_market_that_closes_needs_its_calendar() -> None:
    """Hourly bars of New York without one are refused; one with holes but without a closed day is not."""
    with pytest.raises(InputError, match=r"2 days of the week have none: .* --calendar XNYS"):
        order_windows(series_at(hours()), HOUR_NS, past=20, n=5)
    always = np.delete(HOUR_NS * np.arange(1_000), np.arange(9, 1_000, 10))
    assert len(order_windows(series_at(always), HOUR_NS, past=20, n=5).paths().bars) > 20


def test_hours_of_four_shares_since_1998() -> None:
    """Real bars: missing are a systems failure, a late open and a halt; outside, bars after early closes."""
    series = [
        on_calendar(one, "XNYS").quality for one in read_bars(real_data("equities", "us-hourly-raw.parquet"))
    ]
    assert [one.missing for one in series] == [3, 6, 5, 2]
    assert [one.outside for one in series] == [47, 30, 36, 28]
    assert {at[:10] for one in series for at in one.first_missing} == {
        "2001-06-08",
        "2002-09-11",
        "2013-08-22",
    }
    assert {at[11:13] for one in series for at in one.first_outside} == {"13"}
    assert {one.clock for one in series} == {"America/New_York"}


def test_days_of_the_dow_since_1995() -> None:
    """Real bars: no bar outside a session, at most five sessions missing in nineteen years."""
    series = [
        on_calendar(one, "XNYS").quality
        for one in read_bars(real_data("equities", "us-daily-adjusted.parquet"))
    ]
    assert sum(one.outside for one in series) == 0
    assert max(one.missing_sessions for one in series) == 5
    assert sum(one.missing for one in series) == 84


def test_the_command_asks_for_a_calendar_and_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``lem evaluate`` on hourly bars: refused with the option's name, then judged with it."""
    bars = bars_at(hours(None))
    names = ("open", "high", "low", "close", "volume")
    table = pa.table({"time": pa.array(bars["start_ns"], pa.timestamp("ns"))} | {k: bars[k] for k in names})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    command = ["evaluate", "--bars", str(tmp_path / "x.parquet"), "--min-period", "0"]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "--calendar XNYS" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--calendar", "XNYS", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["calendar"] == "XNYS"
    assert document["quality"]["x"]["typical_price"] == 186
    assert document["rows"][0]["orders"] == 15


def test_orders_over_days_of_shares_gain(capsys: pytest.CaptureFixture[str]) -> None:
    """Raw hourly bars added up to sessions, twelve a window: both sides beat both benchmarks, on average."""
    path = str(real_data("equities", "us-hourly-raw.parquet"))
    with pytest.raises(SystemExit, match="0"):
        main(
            f"evaluate --bars {path} --calendar XNYS --interval 1d --min-period 0 --orders 400 --json".split()
        )
    document = json.loads(capsys.readouterr().out)
    assert all(row["gain_bps"]["ci95"][0] > 0 for row in document["rows"])
    assert [found["windows_across_splits"] for found in document["quality"].values()] == [3, 4, 1, 1]
