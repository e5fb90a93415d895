"""Interval bars made of shorter bars, for a market that has no trades on its tape.

An interval is the sum of the bars that have ended in it, so counts of trades and takers' volumes are the
source's own; a bar in which nothing traded adds nothing. The book at its end is not known: the levels that
stand in for one (``agent.venue.bars.bar_market``) are no observation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.core.instrument import Instrument
from agent.core.market.tape import BarArray
from agent.core.market.trade_bars import BarSeries, BookSample, TradeColumns


class WholeBarSeries(BarSeries):
    """Made of what ``completed`` gives: all bars that have ended so far, oldest first."""

    def __init__(
        self,
        instrument: Instrument,
        delta_ns: int,
        phase_ns: int,
        reach: int,
        completed: Callable[[], BarArray],
    ) -> None:
        super().__init__(instrument, delta_ns, phase_ns, reach)
        self._completed = completed
        self._next_bar = 0

    def update(self, trades: TradeColumns) -> None:
        """Take in the bars that have ended since the last update; ``trades`` is empty on such a market."""
        bars = self._completed()
        if len(bars) == self._next_bar:
            return
        first_ns = int(bars["open_ns"][self._next_bar])
        if self._first_ns is None:
            self._first_ns = first_ns
        # An interval is made anew from all of its bars: those just before the new ones are among them.
        per = self.delta_ns // max(1, int(bars["delta_ns"][0]))
        rows = bars[max(0, self._next_bar - per) :]
        bucket = (rows["open_ns"] - self._origin_ns) // self.delta_ns
        self._extend_to(int(bucket[-1]))
        for k in np.unique(bucket[bucket >= (first_ns - self._origin_ns) // self.delta_ns]):
            if 0 <= k < len(self._table):
                self._from_kline_rows(int(k), rows[bucket == k])
        self._next_bar = len(bars)

    def _from_kline_rows(self, k: int, rows: BarArray) -> None:
        traded = rows[rows["base_lots"] > 0]
        if len(traded):
            super()._from_kline_rows(k, traded)

    def note_book(self, k: int, sample: BookSample) -> None:
        """Nothing is kept: a modelled book is no observation of the market."""
