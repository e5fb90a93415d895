"""Time is injected: what needs it takes a ``Clock``. The real one is in ``agent.system_clock``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from agent.core.types import NS_PER_S


class Clock(Protocol):
    """Nanoseconds UTC that never step back: the difference of two readings is a duration."""

    def now_ns(self) -> int: ...


class LaterClock:
    """A clock that is never before ``not_before_ns``: where it is behind, it is set forward once for all."""

    def __init__(self, clock: Clock, not_before_ns: int) -> None:
        self.behind_ns = max(0, not_before_ns - clock.now_ns())
        self._clock = clock

    def now_ns(self) -> int:
        return self._clock.now_ns() + self.behind_ns


class StandStill:
    """Notices that nobody looked at the clock for longer than ``most_ns``: the process stood still."""

    def __init__(self, clock: Clock, most_ns: int) -> None:
        self._clock, self._most_ns = clock, most_ns
        self._looked_ns: int | None = None
        self._spans: list[tuple[int, int]] = []

    def look(self) -> None:
        """Somebody is awake. The first look begins it."""
        now_ns = self._clock.now_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns > self._most_ns:
            self._spans.append((self._looked_ns, now_ns))
        self._looked_ns = now_ns

    def take(self) -> list[tuple[int, int]]:
        """The spans (from, to) in which it stood still since the last call."""
        taken, self._spans = self._spans, []
        return taken


def in_utc(at_ns: int) -> str:
    """A time in UTC to the millisecond."""
    seconds, rest = divmod(at_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"
