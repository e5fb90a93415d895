"""The one place that reads the computer's clocks. All else takes a ``Clock``; the linter sees to it."""

from __future__ import annotations

import time


class SystemClock:
    """The wall clock at its making, plus monotonic time since: it never steps, back or forth.

    Whatever adjusts the wall clock later does not show, so the difference of two readings is a duration.
    """

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return self._base_ns + time.monotonic_ns()
