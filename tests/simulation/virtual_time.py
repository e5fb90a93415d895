"""The computer's clocks, while a simulation runs: what reads them reads virtual time.

The product takes its clocks from ``World``. Those that it uses (ccxt, APScheduler, SQLite's dates) read the
computer's, so they are told virtual time here. ``install`` comes before anything of theirs is imported.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
import warnings

from tests.simulation.virtual_loop import VirtualLoop

EPOCH_S = 1_767_607_200  # 2026-01-05 10:00 UTC
REAL_S = time.perf_counter
"""Not simulated: what a run of the simulation takes."""

_loops: list[VirtualLoop] = []


def now_ns() -> int:
    """Nanoseconds UTC of the innermost loop."""
    return EPOCH_S * 10**9 + round(_loops[-1]._now * 1e9) if _loops else EPOCH_S * 10**9


class VirtualClock:
    """A ``Clock`` of virtual time; ``ahead_ns`` is what it is wrong by."""

    def __init__(self, ahead_ns: int = 0) -> None:
        self.ahead_ns = ahead_ns

    def now_ns(self) -> int:
        return now_ns() + self.ahead_ns


class _VirtualDatetime(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return dt.datetime.fromtimestamp(now_ns() / 1e9, tz)


class _Policy(asyncio.DefaultEventLoopPolicy):
    """``asyncio.run`` within a simulation goes on in its time, with a loop of its own."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _Nested()


class _Nested(VirtualLoop):
    def __init__(self) -> None:
        super().__init__(0, _loops[-1]._now if _loops else 0.0)
        _loops.append(self)

    def close(self) -> None:
        if not self.is_closed():
            _loops.remove(self)
            if _loops:
                _loops[-1]._now = max(_loops[-1]._now, self._now)
        super().close()


def begin(loop: VirtualLoop, seed: int) -> None:
    """Time is ``loop``'s from now on, and what is drawn without a seed of its own is drawn from this one."""
    _loops[:] = [loop]
    random.seed(seed)


def install() -> None:
    """In this process, for good."""
    time.time = lambda: now_ns() / 1e9
    time.monotonic = time.perf_counter = lambda: (now_ns() - EPOCH_S * 10**9) / 1e9
    time.time_ns = now_ns
    time.monotonic_ns = time.perf_counter_ns = lambda: now_ns() - EPOCH_S * 10**9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.set_event_loop_policy(_Policy())


def install_in_apscheduler() -> None:
    """It reads the time by ``datetime``, which cannot be changed for all."""
    import apscheduler.schedulers.base as base

    base.datetime = _VirtualDatetime
