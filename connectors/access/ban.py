"""While an exchange has banned this address, its REST is not asked: every request makes the ban longer.

The streams go on; what they lost waits for the end of the ban. An exchange that names no end is asked again
after ``UNNAMED_S``, and after twice as long each time that it still refuses, up to ``MOST_S``.
"""

from __future__ import annotations

import asyncio

from agent.core.clock import Clock
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.access.refusals import Refusal, banned_until_ms, refusal_of

UNNAMED_S = 10.0
MOST_S = 600.0


class Ban:
    """Of one exchange's REST, as its answers tell. Times are on our clock."""

    def __init__(self, clock: Clock) -> None:
        self.error: BaseException | None = None  # what the exchange said; None: no ban
        self._clock, self._until_ns = clock, 0
        self._noted_ns = 0
        self._unnamed = 0  # bans in a row that named no end

    def note(self, error: BaseException, through: str, offset_ns: int) -> None:
        """A request failed so. ``offset_ns``: the exchange's clock before ours."""
        if refusal_of(error, through) is not Refusal.BANNED:
            return
        until_ms = banned_until_ms(error)
        if until_ms is None:
            wait_s = min(MOST_S, UNNAMED_S * 2.0 ** min(self._unnamed, 20))
            self._unnamed += 1
            self._until_ns = self._clock.now_ns() + int(wait_s * NS_PER_S)
        else:
            self._until_ns = until_ms * NS_PER_MS - offset_ns
        self.error, self._noted_ns = error, self._clock.now_ns()

    def answered(self, asked_ns: int) -> None:
        """A request of that moment was served; one from before the ban ends none."""
        if asked_ns >= self._noted_ns:
            self.error, self._unnamed = None, 0

    @property
    def left_s(self) -> float:
        """Seconds until it ends; 0 without one."""
        return 0.0 if self.error is None else max(0, self._until_ns - self._clock.now_ns()) / NS_PER_S

    async def over(self) -> float:
        """Wait for the end. Returns how many seconds that took."""
        left_s = self.left_s
        if left_s:
            await asyncio.sleep(left_s)
        return left_s
