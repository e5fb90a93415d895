"""A tape of trades as bars: sums by hand, bars without a trade, gaps, times of the exchange's."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.market.trading_time import BarFlag
from agent.venue.bars.bars_of_trades import MOST_BARS, bars_of_trades

S = 10**9


def tape(*rows: tuple[float, Kind, int, int, int, int]) -> EventArray:
    """(seconds, kind, ticks, lots, side, flags) of each row."""
    out = np.zeros(len(rows), EVENT)
    for row, (at_s, kind, ticks, lots, side, flags) in zip(out, rows, strict=True):
        row["exch_ns"] = row["recv_ns"] = round(at_s * S)
        row["kind"], row["price_ticks"], row["qty_lots"], row["side"] = kind, ticks, lots, side
        row["flags"] = flags | int(Flag.LAST)
    return out


def trade(at_s: float, ticks: int, lots: int, side: int = 1) -> tuple[float, Kind, int, int, int, int]:
    return at_s, Kind.TRADE, ticks, lots, side, 0


THREE = (trade(10.2, 100, 5), trade(10.7, 102, 3, -1), trade(12.4, 101, 7, 0))


def test_the_example() -> None:
    """5 at 100 and 3 at 102, nothing, 7 at 101; a second's takers are known where each trade's is."""
    bars = bars_of_trades(tape(*THREE), S)
    assert bars["open_ns"].tolist() == [10 * S, 11 * S, 12 * S]
    assert bars["recv_ns"].tolist() == [11 * S, 12 * S, 13 * S]
    assert bars["base_lots"].tolist() == [8, 0, 7]
    assert bars["quote_tl"].tolist() == [806, 0, 707]
    assert bars["trades"].tolist() == [2, 0, 1]
    assert bars["taker_base_lots"].tolist() == [5, 0, -1]
    assert bars["taker_quote_tl"].tolist() == [500, 0, -1]
    prices = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")
    assert [bars[name].tolist() for name in prices] == [
        [100, 102, 101],
        [102, 102, 101],
        [100, 102, 101],
        [102, 102, 101],
    ]
    assert not bars["flags"].any()


def test_a_late_trade_is_in_the_bar_of_its_own_time() -> None:
    """Told last, traded first: it opens the first bar."""
    rows = tape(*THREE, trade(10.1, 99, 1))
    rows["recv_ns"][-1] = 20 * S
    bars = bars_of_trades(rows, S)
    assert (bars["open_ticks"][0], bars["base_lots"].tolist()) == (99, [9, 0, 7])


@pytest.mark.parametrize(("of", "holed"), [(Flag.TRADES, True), (Flag.BOOK, False)])
def test_a_gap_marks_the_bars_it_touches(of: Flag, holed: bool) -> None:
    """From the last trade heard before it to the first after it; a gap of a book is none of trades."""
    edges = [(13.0, kind, 0, 0, 0, int(of)) for kind in (Kind.GAP_BEGIN, Kind.GAP_END)]
    bars = bars_of_trades(tape(*THREE, *edges, trade(14.5, 101, 1), trade(15.5, 101, 1)), S)
    marked = (bars["flags"] & BarFlag.HOLED) > 0
    assert marked.tolist() == [False, False, holed, holed, holed, False]


def test_no_trades_and_too_many_bars_are_told() -> None:
    """Nothing to make bars of; a year in milliseconds."""
    with pytest.raises(ValueError, match="no trades"):
        bars_of_trades(tape(), S)
    with pytest.raises(ValueError, match=f"at most {MOST_BARS:,}"):
        bars_of_trades(tape(trade(0, 1, 1), trade(365 * 86_400, 1, 1)), S // 1000)


def test_an_impossible_price_makes_no_bar() -> None:
    """Marked on the tape: no high, no volume, no bar of its own."""
    wild = (10.5, Kind.TRADE, 1000, 9, 1, int(Flag.IMPOSSIBLE))
    assert bars_of_trades(tape(*THREE, wild), S).tolist() == bars_of_trades(tape(*THREE), S).tolist()
    with pytest.raises(ValueError, match="no trades"):
        bars_of_trades(tape(wild), S)


def test_a_bar_past_64_bits_is_refused() -> None:
    """Each trade fits, and five of them in one bar do not; in bars of their own they do."""
    large = [trade(10.1 + k / 10, 2**31, 2**30) for k in range(5)]
    with pytest.raises(ValueError, match="worth more than 64 bits hold"):
        bars_of_trades(tape(*large), S)
    assert bars_of_trades(tape(*large), S // 10)["quote_tl"].tolist() == [2**61] * 5
