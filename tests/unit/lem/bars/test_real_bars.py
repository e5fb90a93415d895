"""Draws of real bars: inside the split, inside a stretch, exact sums, and fast."""

from __future__ import annotations

import numpy as np
import pytest

from agent.barfiles.read_bars import Series, on_calendar, resample
from agent.core.errors import InputError
from agent.core.market.bars import empty_fbars
from agent.core.types import NS_PER_S
from lem.bars.data_digest import bars_digest
from lem.bars.real_bars import BarSource, bars_between, training_bars
from tests.unit.lem.bar_days import DAY_NS, HOUR_NS, hours, series_at

MINUTE_NS = 60 * NS_PER_S


def walk(count: int, hole: int) -> Series:
    """One-minute bars with 7 minutes missing before row ``hole``; the volume is the row number."""
    bars = empty_fbars(count)
    row = np.arange(count)
    bars["start_ns"] = MINUTE_NS * (row + 7 * (row >= hole))
    close = 100.0 + np.sin(row)
    for name in ("open", "high", "low", "close", "vwap"):
        bars[name] = close
    bars["volume"], bars["quote_volume"] = row, row * close
    bars["trades"], bars["taker_volume"] = 1.0, 0.5 * row
    return Series("x", bars)


@pytest.mark.parametrize("minutes", [1, 5])
def test_draws_stay_in_the_split_and_in_a_stretch(minutes: int) -> None:
    """No bar before the embargo's end, none ending after ``to``, none across the hole; sums are exact."""
    start, end = 100 * MINUTE_NS, 900 * MINUTE_NS
    source = BarSource([bars_between(walk(2_000, 500), start, end, 50 * MINUTE_NS)], [minutes * MINUTE_NS])
    rng = np.random.default_rng(1)
    seen = np.concatenate([source.draw(rng, 64, 40)[0] for _ in range(30)])
    assert seen["start_ns"].min() >= start + 50 * MINUTE_NS
    assert (seen["start_ns"] + minutes * MINUTE_NS).max() <= end
    assert (np.diff(seen["start_ns"], axis=1) == minutes * MINUTE_NS).all()
    assert len(np.unique(seen["start_ns"] // MINUTE_NS % minutes)) == minutes  # every phase
    minute = seen["start_ns"] // MINUTE_NS
    first = minute - 7 * (minute >= 507)
    np.testing.assert_array_equal(seen["volume"], minutes * first + minutes * (minutes - 1) / 2)


def test_a_bar_that_ends_after_the_split_is_left_out() -> None:
    """``to`` in the middle of a bar: the bar before it is the last."""
    part = bars_between(walk(100, 200), 0, 50 * MINUTE_NS + 1)
    assert part.bars["start_ns"][-1] == 49 * MINUTE_NS


def test_a_seed_gives_the_same_draws() -> None:
    """Equal generators draw equal windows, another seed others."""
    source = BarSource([walk(2_000, 500), walk(900, 300)], [MINUTE_NS, 3 * MINUTE_NS])
    one, two, other = (source.draw(np.random.default_rng(s), 32, 20) for s in (1, 1, 2))
    assert one[1] == two[1]
    assert one[0].tobytes() == two[0].tobytes()
    assert other[1] != one[1] or (other[0]["start_ns"] != one[0]["start_ns"]).any()


def test_what_cannot_be_drawn_is_refused() -> None:
    """An interval that divides nowhere, windows longer than any stretch, a split with nothing in it."""
    with pytest.raises(InputError, match="90 s is not a multiple"):
        BarSource([walk(100, 50)], [90 * NS_PER_S])
    with pytest.raises(InputError, match="no stretch of 60 bars"):
        BarSource([walk(100, 50)], [MINUTE_NS]).draw(np.random.default_rng(1), 1, 60)
    with pytest.raises(InputError, match="leaves nothing"):
        bars_between(walk(100, 50), 0, MINUTE_NS, MINUTE_NS)


@pytest.mark.parametrize("share", [0.04, 0.09])
def test_a_validation_part_too_short_is_named(share: float) -> None:
    """Enough to train on, nothing or too little to watch: the message says which part and what to change."""
    with pytest.raises(InputError, match=rf"no stretch of 40 bars .*last {share} .*--validation-share"):
        training_bars([walk(4_000, 500)], [5 * MINUTE_NS], 40, share)


def test_validation_bars_come_after_an_embargo() -> None:
    """No bar is in both parts, and a window of the longest bars lies between them; the record says where."""
    series = [walk(4_000, 500), walk(4_000, 700)]
    parts = training_bars(series, [MINUTE_NS, 5 * MINUTE_NS], 40, 0.25)
    assert parts.validation is not None
    rng = np.random.default_rng(1)
    early, late = (
        np.concatenate([source.draw(rng, 64, 40)[0]["start_ns"].ravel() for _ in range(40)])
        for source in (parts.train, parts.validation)
    )
    assert late.min() >= parts.record["train_to_ns"] + 40 * 5 * MINUTE_NS
    assert early.max() < parts.record["train_to_ns"]
    again = training_bars([walk(4_000, 500), walk(4_000, 701)], [MINUTE_NS], 40, 0.25)
    assert again.record["digest"] != parts.record["digest"]
    told = bars_digest([(one.name, one.bars) for one in series], MINUTE_NS)
    assert parts.record["digest"] == told  # what an evaluation calls the same bars


@pytest.mark.parametrize(("window", "share"), [(40, 1.0), (3_500, 0.25), (400, 0.25)])
def test_bars_too_few_to_train_and_watch_are_refused(window: int, share: float) -> None:
    """Nothing left to train on, no window in a stretch, or none after the embargo."""
    with pytest.raises(InputError, match=r"validation share|no stretch|leaves nothing"):
        training_bars([walk(4_000, 500)], [5 * MINUTE_NS], window, share)


@pytest.mark.parametrize("interval_ns", [HOUR_NS, DAY_NS])
def test_bars_of_a_calendar_are_neighbours_on_it(interval_ns: int) -> None:
    """Hours drawn through nights, and whole sessions made of them; a missing day is crossed by no window."""
    start_ns = hours()
    series = on_calendar(series_at(start_ns[start_ns // DAY_NS != start_ns[60] // DAY_NS]), "XNYS")
    assert series.quality.missing_sessions == 1
    assert series.grid is not None
    drawn, delta_ns = BarSource([series], [interval_ns]).draw(np.random.default_rng(1), 64, 4)
    assert delta_ns == interval_ns
    grid = resample(series, interval_ns).grid
    assert grid is not None
    place = grid.place(drawn["start_ns"].ravel()).reshape(drawn.shape)
    assert (np.diff(place, axis=1) == 1).all()
    assert (np.diff(drawn["start_ns"], axis=1) > interval_ns).any()  # over a night
