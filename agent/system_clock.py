"""The one place that reads the computer's clocks. All else takes a ``Clock``; the linter sees to it."""

from __future__ import annotations

import time

_SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux: monotonic time that goes on while the machine sleeps, so that what was slept through shows."""


def _passing_ns() -> int:
    return time.monotonic_ns() if _SINCE_BOOT is None else time.clock_gettime_ns(_SINCE_BOOT)


class SystemClock:
    """The wall clock at its making, plus the time that has passed since: it never steps, back or forth.

    Whatever adjusts the wall clock later does not show, so the difference of two readings is a duration.
    """

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - _passing_ns()

    def now_ns(self) -> int:
        return self._base_ns + _passing_ns()
