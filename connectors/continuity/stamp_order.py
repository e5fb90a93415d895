"""Trades whose stamps cannot be, beside those of the stream's other trades: they wait until it is clear.

A stamp later than its arrival is wild, or a clock has stepped; so is one more than ``BACK_MS`` before the
trade with the id before it. Such trades wait. They are refused, and counted, when the next message is as it
should be or a look at the clock finds nothing; where ids are gapless REST then brings them with their true
stamps. They go on when a step has been proven, or when ``RUN`` messages in a row say the same. Where ids tell
no order, an old stamp is that of a late trade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from connectors.backfill import Trades
from connectors.ccxt_types import CcxtTrade
from connectors.continuity.sane_numbers import is_stamp, is_time

BACK_MS = 60_000
RUN = 5

TooLate = Callable[[int], bool]
"""Whether a stamp, in ms, is later than a message of now can have."""


class StampOrder:
    """Of one stream. ``by_id``: its ids are in the order of its trades."""

    def __init__(self, *, by_id: bool) -> None:
        self.refused, self._by_id = 0, by_id
        self._newest_ms = 0
        self._held: list[CcxtTrade] = []
        self._held_messages = 0

    def another_telling(self) -> None:
        """The stream was interrupted: it may begin with old trades."""
        self._newest_ms = 0

    def take(self, trades: Trades, too_late: TooLate) -> list[CcxtTrade]:
        """Of the trades that have come, and of those that wait, what may go on."""
        if not self._held and self._all_plain(trades, too_late):
            return list(trades)
        odd = [not self._is_plain(t, too_late) for t in trades]
        plain = [t for t, is_odd in zip(trades, odd, strict=True) if not is_odd]
        if not any(odd):
            waited = self.judge(too_late, refuse=True)
        else:
            self._held += [t for t, is_odd in zip(trades, odd, strict=True) if is_odd]
            self._held_messages = 1 if plain else self._held_messages + 1
            if self._held_messages >= RUN:
                self._newest_ms = 0
            waited = self.judge(too_late, refuse=False)
        return self._gone([*waited, *plain])

    def looked(self, too_late: TooLate, *, stepped: bool) -> list[CcxtTrade]:
        """The clock has been looked at, and had ``stepped`` or not. What may go on of those that wait."""
        if stepped:
            self._newest_ms = 0
        return self._gone(self.judge(too_late, refuse=True))

    def _gone(self, trades: list[CcxtTrade]) -> list[CcxtTrade]:
        self._newest_ms = max([self._newest_ms, *(_stamp_ms(t) for t in trades)])
        return trades

    def judge(self, too_late: TooLate, *, refuse: bool) -> list[CcxtTrade]:
        """Of those that wait, what may go on now; ``refuse`` the others."""
        if not self._held:
            return []
        right = [t for t in self._held if self._is_plain(t, too_late)]
        self._held = [t for t in self._held if not self._is_plain(t, too_late)]
        if refuse:
            self.refused += len(self._held)
            self._held = []
        self._held_messages = self._held_messages if self._held else 0
        return right

    def _all_plain(self, trades: Trades, too_late: TooLate) -> bool:
        """The usual case, in as few passes as can be."""
        stamps = [t["timestamp"] for t in trades]
        if not stamps or set(map(type, stamps)) != {int}:
            return False
        first, last = cast("int", min(stamps)), cast("int", max(stamps))  # type: ignore[type-var]
        back = self._by_id and first < self._newest_ms - BACK_MS
        if back or not is_time(first) or not is_time(last) or too_late(last):
            return False
        self._newest_ms = max(self._newest_ms, last)
        return True

    def _is_plain(self, trade: CcxtTrade, too_late: TooLate) -> bool:
        """Also where there is no stamp at all: that trade is refused where it is read."""
        if not is_stamp(trade["timestamp"]):
            return True
        stamp_ms = _stamp_ms(trade)
        back = self._by_id and stamp_ms < self._newest_ms - BACK_MS
        return is_time(stamp_ms) and not back and not too_late(stamp_ms)


def _stamp_ms(trade: CcxtTrade) -> int:
    return cast("int", trade["timestamp"]) if is_stamp(trade["timestamp"]) else 0
