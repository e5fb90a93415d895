"""Time is injected: what needs it takes a ``Clock``. The real one is in ``agent.system_clock``."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Nanoseconds UTC that never step back: the difference of two readings is a duration."""

    def now_ns(self) -> int: ...
