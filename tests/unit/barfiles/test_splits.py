"""Splits of raw prices: found by ratio, calm and volatility; crashes, bad prints and spin-offs told apart."""

from __future__ import annotations

import numpy as np
import pytest

from agent.barfiles.read_bars import Series, on_calendar, read_bars, resample
from agent.barfiles.splits import find_splits
from lem.evaluation.windows import order_windows
from tests.realdata import real_data
from tests.unit.lem.bar_days import DAY_NS, HOUR_NS, bars_at, hours, session_dates

PRICES = ("open", "high", "low", "close", "vwap")
FIRST = 7 * 15  # of the 16th session


def stepped(ratio: float, rush: float = 1.0, to: int | None = None, first: int = FIRST) -> Series:
    """Hourly bars whose prices are ``ratio`` times as high in rows ``first`` to ``to``, on the calendar.

    ``rush``: how many times the usual money is traded in that row's session.
    """
    bars = bars_at(hours())
    rows = slice(first, to)
    for name in PRICES:
        bars[name][rows] *= ratio
    bars["volume"][rows] /= ratio
    bars["open"][first] = ratio * bars["close"][first - 1]
    for name in ("volume", "quote_volume"):
        bars[name][first : first + 7] *= rush
    return on_calendar(Series("x", bars), "XNYS")


@pytest.mark.parametrize(
    ("ratio", "terms"),
    [(0.5, "2 for 1"), (2 / 3, "3 for 2"), (0.8, "5 for 4"), (2.0, "1 for 2"), (1 / 7, "about 7 for 1")],
)
def test_a_split_is_found_with_its_terms(ratio: float, terms: str) -> None:
    """Found on the session it opens, in hours and in days alike, with the date and the ratio."""
    for interval_ns in (HOUR_NS, DAY_NS):
        (split,) = find_splits(resample(stepped(ratio), interval_ns))
        assert (split.date, split.terms) == (str(session_dates()[15]), terms)
        assert split.ratio == pytest.approx(ratio)


@pytest.mark.parametrize(
    "series",
    [
        stepped(0.5, rush=6.0),
        stepped(0.5, to=FIRST + 1),
        stepped(0.56),
        stepped(0.5, first=FIRST + 3),
        stepped(0.5, first=7 * 3),
    ],
    ids=["crash", "bad print", "no ratio", "inside a session", "too little before it"],
)
def test_what_is_no_split(series: Series) -> None:
    """Halved prices in a rush of trading, for one bar, at no ratio, within a day, or without history."""
    assert find_splits(series) == []


def test_an_extreme_step_needs_no_calm() -> None:
    """One for twenty with a rush of trading in the first week: nothing traded moves like that overnight."""
    (split,) = find_splits(stepped(20.0, rush=9.0, first=7 * 3))
    assert split.terms == "about 1 for 20"


def test_no_window_holds_a_split_and_no_history_crosses_it() -> None:
    """The order across it is dropped and counted; all others see the same prices but for the scale."""
    orders = order_windows(stepped(0.5), HOUR_NS, past=20, n=12)
    plain = order_windows(stepped(1.0), HOUR_NS, past=20, n=12)
    assert orders.quality.windows_across_splits == 1
    assert orders.quality.splits == (f"{session_dates()[15]} x0.5000 (2 for 1)",)
    assert len(orders.paths().bars) == len(plain.paths().bars) - 1
    moves = np.abs(np.diff(np.log(orders.paths().bars["close"]), axis=1))
    assert np.nanmax(moves) < 0.02
    after = np.flatnonzero(orders.starts_ns > hours()[FIRST])[0]
    assert np.isnan(orders.paths().bars["close"][after, : orders.paths().known_from[after]]).all()
    assert orders.paths().bars["start_ns"][after, orders.paths().known_from[after]] == hours()[FIRST]


def test_no_order_starts_with_the_split_itself() -> None:
    """Every order knows at least one price before it; one that would start on the split itself is dropped."""
    orders = order_windows(stepped(0.5), HOUR_NS, past=20, n=8)
    assert hours()[FIRST] not in orders.starts_ns
    assert hours()[FIRST + 8] in orders.starts_ns
    assert orders.paths().known_from.max() < 20


def test_splits_of_four_shares_since_1998() -> None:
    """Raw hourly bars: the nine true ones, not Apple's fall of September 2000 nor AIG's of September 2008."""
    found = {
        one.name: [split.date for split in find_splits(on_calendar(one, "XNYS"))]
        for one in read_bars(real_data("equities", "us-hourly-raw.parquet"))
    }
    assert found == {
        "AAPL": ["2000-06-21", "2005-02-28", "2014-06-09"],
        "AIG": ["1998-08-03", "1999-08-02", "2000-07-31", "2009-07-01"],
        "BAC": ["2004-08-30"],
        "IBM": ["1999-05-27"],
    }


def test_adjusted_days_have_no_split_but_one_spin_off() -> None:
    """Adjusted daily bars of 48 names with crashes of every size: only HP's Agilent of June 2000 is left."""
    series = read_bars(real_data("equities", "us-daily-adjusted.parquet"))
    found = {one.name: find_splits(on_calendar(one, "XNYS")) for one in series}
    assert {name: [str(s) for s in some] for name, some in found.items() if some} == {
        "HPQ": ["2000-06-05 x0.8057 (5 for 4)"]
    }
