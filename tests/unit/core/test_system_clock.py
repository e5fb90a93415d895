"""The clock of a run: it passes while the machine sleeps, and whatever sets the wall clock does not show."""

from __future__ import annotations

import time

import pytest

from agent.core.clock import StandStill
from agent.system_clock import SystemClock

S = 10**9


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system tells no time since its boot")
def test_a_machine_that_slept_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs for an hour, monotonic time does not pass, and the clock shows the hour."""
    clock = SystemClock()
    still = StandStill(clock, 2 * S)
    still.look()
    before_ns, told = clock.now_ns(), time.clock_gettime_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: told(which) + 3600 * S)
    assert 3600 * S <= clock.now_ns() - before_ns < 3601 * S
    still.look()
    ((from_ns, to_ns),) = still.take()
    assert 3600 * S <= to_ns - from_ns < 3601 * S


def test_a_wall_clock_that_is_set_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day back, in the middle of a run."""
    clock = SystemClock()
    before_ns, told = clock.now_ns(), time.time_ns
    assert abs(before_ns - told()) < S
    monkeypatch.setattr(time, "time_ns", lambda: told() - 86_400 * S)
    assert 0 <= clock.now_ns() - before_ns < S
