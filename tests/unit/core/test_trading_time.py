"""Trading time: engine time and wall time of the same bars, both ways."""

from __future__ import annotations

import numpy as np

from agent.core.market.tape import BAR, BarArray
from agent.core.market.trading_time import BarFlag, TradingTime

H = 3600 * 10**9


def _bars(starts: list[int], closed: tuple[int, ...] = ()) -> BarArray:
    rows: BarArray = np.zeros(len(starts), BAR)
    rows["open_ns"] = np.array(starts) * H
    rows["delta_ns"], rows["recv_ns"] = H, rows["open_ns"] + H
    rows["flags"][list(closed)] = int(BarFlag.CLOSED)
    return rows


def test_a_market_that_never_closes_keeps_its_own_time() -> None:
    """The two clocks are one, and so are all times."""
    bars = _bars([10, 11, 12, 13])
    clock = TradingTime.of(bars)
    assert clock.is_wall
    assert (clock.laid(bars) == bars).all()
    for at_ns in (10 * H, 11 * H + 5, 14 * H):
        assert clock.began(at_ns) == clock.ended(at_ns) == clock.of_wall(at_ns) == at_ns


def test_nights_and_closed_bars_take_no_time() -> None:
    """Bars of two days, each day's first untraded: four slots end to end."""
    bars = _bars([9, 10, 11, 33, 34, 35], closed=(0, 3))
    clock = TradingTime.of(bars)
    assert not clock.is_wall
    laid = clock.laid(bars)
    assert list(laid["recv_ns"] // H) == [10, 11, 12, 12, 13, 14]
    assert list((laid["recv_ns"] - laid["open_ns"]) // H) == [0, 1, 1, 0, 1, 1]


def test_a_boundary_is_an_end_and_a_beginning() -> None:
    """Engine time 12 is the first day's end at 12 and the next day's beginning at 34."""
    clock = TradingTime.of(_bars([10, 11, 34, 35]))
    assert (clock.ended(12 * H), clock.began(12 * H)) == (12 * H, 34 * H)
    assert clock.began(12 * H + 7) == clock.ended(12 * H + 7) == 34 * H + 7
    assert (clock.ended(14 * H), clock.began(14 * H)) == (36 * H, 36 * H)
    assert clock.began(9 * H) == 9 * H


def test_wall_times_between_sessions_are_the_boundary() -> None:
    """What happens in the night happens between two bars; before the first bar the clocks are one."""
    clock = TradingTime.of(_bars([10, 11, 34, 35]))
    assert clock.of_wall(20 * H) == 12 * H
    assert clock.of_wall(34 * H + 9) == 12 * H + 9
    assert clock.of_wall(9 * H) == 9 * H
    assert clock.of_wall(99 * H) == 14 * H
