"""Time is injected: what needs it takes a ``Clock``. The real one is in ``agent.system_clock``."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Nanoseconds UTC that never step back: the difference of two readings is a duration."""

    def now_ns(self) -> int: ...


class ManualClock:
    """A clock that stands still until it is moved: for tests and replays."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance_to(self, now_ns: int) -> None:
        """Jump forward. Raises ValueError on a step back."""
        if now_ns < self._now_ns:
            raise ValueError(f"clock at {self._now_ns} cannot step back to {now_ns}")
        self._now_ns = now_ns
