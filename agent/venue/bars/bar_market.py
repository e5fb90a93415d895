"""The market where only bars are known: each is shown whole, at its end, with a modelled book around it.

The book is one level a side, half a spread from the last close. It gives orders a mid to be measured
against and a far touch to aim at; no order is matched with it (``agent.venue.bars.bar_venue``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from agent.core.errors import InternalError
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR, BarArray, EventArray, Flag, Kind, empty_events
from agent.core.market.trading_time import BarFlag
from agent.core.market.whole_bars import WholeBarSeries
from agent.core.measures.data_faults import FOREVER_NS, Fault, Hole
from agent.core.measures.traded_volume import Prints
from agent.core.money import as_array, value_at_mean_price
from agent.core.ports import Stop
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.rules import BarRules

BPS = 10_000


class BarMarket(TapeMarket):
    """Bars of each instrument, advanced by whole bars. Times are engine time."""

    def __init__(self, instruments: Sequence[Instrument], rules: BarRules) -> None:
        only = Fault.BARS_ONLY if rules.of == "bars" else Fault.TRADES_ONLY
        self.standing = (only, Fault.MODELLED_SPREAD)
        super().__init__(instruments)
        self.rules = rules
        self.last: list[BarArray | None] = [None] * len(self.instruments)  # for the venue: not yet matched
        self.close_before = [0] * len(self.instruments)  # in ticks; 0: the last bar is the first
        self._bars = [np.zeros(64, BAR) for _ in self.instruments]
        self._count = [0] * len(self.instruments)

    def run(self, events: BarArray, start: int, due_ns: int) -> tuple[int, int]:
        """Take in the next whole bar, which is an event of its end; the venue then has it to fill from."""
        if events.dtype != BAR:
            raise InternalError(f"a market of bars was given rows of {events.dtype}, which are no bars")
        bar = events[start]
        if bar["recv_ns"] > due_ns:
            return start, Stop.DUE
        self._complete(bar)
        return start + 1, Stop.FILLED

    def series(self, number: int, delta_ns: int, phase_ns: int, history: int) -> WholeBarSeries:
        """A new series of interval bars, made of the bars that have ended."""
        instrument = self.instruments[number]
        return WholeBarSeries(instrument, delta_ns, phase_ns, history, lambda: self.completed(number))

    def _complete(self, bar: BarArray) -> None:
        """Show one bar (a row of BAR) at its end."""
        number = int(bar["instrument"])
        book = self._book(number, bar)
        self.close_before[number] = self.mid_half_ticks(number) // 2
        super().run(book, 0, int(bar["recv_ns"]))
        if bar["flags"] & BarFlag.CLOSED:
            return
        if self._count[number] == len(self._bars[number]):
            self._bars[number] = np.concatenate([self._bars[number], np.zeros_like(self._bars[number])])
        self._bars[number][self._count[number]] = bar
        self._count[number] += 1
        self.last[number] = bar
        if bar["flags"] & (BarFlag.ABSENT | BarFlag.HOLED):
            hole = Hole(Fault.GAP, int(bar["open_ns"]), int(bar["recv_ns"]), of_book=False)
            self.faults(number).missed([hole])

    def sure_ns(self, number: int) -> int:
        """Bars are whole when they come."""
        return FOREVER_NS

    def prints(self, number: int, first_trade: int, start_ns: int) -> Prints:
        """The bars that begin at or after ``start_ns``: no trade is known."""
        bars = self.completed(number)
        bars = bars[(bars["open_ns"] >= start_ns) & (bars["base_lots"] > 0)]
        lots, value = bars["base_lots"].copy(), bars["quote_tl"].copy()
        if self.instruments[number].inverse:
            pairs = zip(value.tolist(), lots.tolist(), strict=True)
            value = as_array([value_at_mean_price(money, q) for money, q in pairs])
        return Prints(bars["recv_ns"].copy(), lots, value)

    def completed(self, number: int) -> BarArray:
        """The bars of an instrument that have ended, oldest first."""
        return self._bars[number][: self._count[number]]

    def _book(self, number: int, bar: BarArray) -> EventArray:
        """The tape rows of the book at the bar's end."""
        close, size = int(bar["close_ticks"]), max(1, int(bar["base_lots"]))
        half = half_spread_ticks(close, self.rules.half_spread_bps)
        rows = empty_events(4)
        rows["recv_ns"] = rows["exch_ns"] = bar["recv_ns"]
        rows["seq"], rows["instrument"] = bar["seq"], number
        rows["kind"] = [Kind.SNAPSHOT_BEGIN, Kind.LEVEL, Kind.LEVEL, Kind.SNAPSHOT_END]
        rows["side"], rows["price_ticks"] = [0, 1, -1, 0], [0, close - half, close + half, 0]
        rows["qty_lots"] = [0, size, size, 0]
        rows["flags"][-1] = int(Flag.LAST)
        return rows


def half_spread_ticks(price_ticks: int, half_spread_bps: Fraction) -> int:
    """Half the spread around a price in whole ticks: rounded up, at least one."""
    return max(1, -int(-(price_ticks * half_spread_bps / BPS) // 1))
