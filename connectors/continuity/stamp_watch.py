"""Stamps later than they can be: the clock has stepped, or one frame is wild.

A message cannot be sent after it came. Stamped more than ``AHEAD_NS`` after its arrival, by the offset in
use, it proves that the offset is wrong, or that the stamp is. Such trades wait, and a look at the exchange's
clock is due at once. ``RUN`` messages in a row that say the same (within ``AGREED_NS``) prove the step, also
where the exchange answers no look; one stamped as it should be says that the others were wild. One stamped
``BEHIND_NS`` before its arrival may be late, or the clock set back: a look tells.

Where the offset was never measured, the stamps are all there is. The quickest of ``LEARNED`` messages is then
taken to have come at once: else an exchange without a clock to ask, beside a machine whose own clock is 20 s
fast, would only ever show a book of 20 s ago. They are of ``LEARN_NS`` at least, for a subscription may begin
with old trades told one after another, of which none came at once.
"""

from __future__ import annotations

from agent.core.clock import Clock
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.clock_offset import ClockOffset

AHEAD_NS = 2 * NS_PER_S
BEHIND_NS = 5 * NS_PER_S
AGREED_NS = 2 * NS_PER_S
RUN = 5
LEARNED = 20
LEARN_NS = 2 * NS_PER_S
WRONG_NS = NS_PER_S
"""An offset never measured is corrected where it is wrong by more than this."""


class StampWatch:
    """Of one exchange: all its streams have one clock."""

    def __init__(self, offset: ClockOffset, clock: Clock) -> None:
        self.doubted = False  # a look at the exchange's clock is due
        self._offset, self._clock = offset, clock
        self._run: list[int] = []  # what stamps in a row, all too late, say of the offset at least
        self._quickest_ns: int | None = None  # what the quickest message says, while nothing is measured
        self._learnt = 0  # messages that it is the quickest of; -1: enough
        self._began_ns = 0
        self._right_ns = clock.now_ns()  # when a stamp was last as it should be
        self._rights = 0  # messages so far whose stamps were

    def too_late(self, stamp_ms: int) -> bool:
        """Whether a stamp is later than a message of now can have."""
        return self._least_ns(stamp_ms) - self._offset.offset_ns > AHEAD_NS

    def message(self, newest_ms: int) -> None:
        """A message came whose newest stamp is this one."""
        least_ns = self._least_ns(newest_ms)
        self._learn(least_ns)
        if not self.too_late(newest_ms):
            self._rights += 1
            self._run, self._right_ns = [], self._clock.now_ns()
            self.doubted = least_ns - self._offset.offset_ns < -BEHIND_NS
            return
        agreed = not self._run or abs(least_ns - self._run[0]) <= AGREED_NS
        self._run = [*self._run, least_ns] if agreed else [least_ns]
        self.doubted = True
        if len(self._run) >= RUN:
            step = self._rights >= RUN
            self._offset.bound(max(self._run), self._right_ns, self._clock.now_ns(), step=step)
            self._run = []

    def looked(self) -> None:
        """The exchange's clock has been looked at: what is still too late is wild."""
        self.doubted = False
        self._run = []

    def _least_ns(self, stamp_ms: int) -> int:
        return stamp_ms * NS_PER_MS - self._clock.now_ns()

    def _learn(self, least_ns: int) -> None:
        now_ns = self._clock.now_ns()
        if self._offset.round_trip_ns is not None or self._learnt < 0:
            return
        if self._quickest_ns is None:
            self._quickest_ns, self._began_ns = least_ns, now_ns
        self._quickest_ns = max(self._quickest_ns, least_ns)
        self._learnt += 1
        if self._learnt < LEARNED or now_ns - self._began_ns < LEARN_NS:
            return
        self._learnt = -1  # enough
        if self._quickest_ns < self._offset.offset_ns - WRONG_NS:
            self._offset.bound(self._quickest_ns, self._right_ns, now_ns, step=False)
