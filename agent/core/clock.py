"""Time is injected: only a clock reads it, and below the shell nobody asks one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Nanoseconds UTC that never step back."""

    def now_ns(self) -> int: ...


class MonotonicClock:
    """Session start on the wall, then the monotonic clock: adjustments of the wall never show."""

    def __init__(self) -> None:
        self._wall_ns = time.time_ns()
        self._mono_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return self._wall_ns + time.monotonic_ns() - self._mono_ns


class ManualClock:
    """A clock that stands still until told: for tests and replays."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance_to(self, now_ns: int) -> None:
        """Jump forward. Raises ValueError on a step back."""
        if now_ns < self._now_ns:
            raise ValueError(f"clock at {self._now_ns} cannot step back to {now_ns}")
        self._now_ns = now_ns
