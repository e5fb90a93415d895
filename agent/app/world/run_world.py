"""What a run stands on besides its configuration, in one place, so that a simulation can give its own.

By default it is this computer: its clocks, its signals, a thread for what decides slowly, and the feed that
the configuration names. ``tests/simulation`` gives virtual time, an exchange of its own and no thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.app.live_feed import Market, open_feed
from agent.app.world.stop_signals import stop_on_signal
from agent.config import Config
from agent.core.clock import Clock
from agent.core.ports import Feed
from agent.core.types import NS_PER_S
from agent.system_clock import SystemClock

OpenFeed = Callable[[Config, Clock, int | None], AbstractAsyncContextManager[tuple[Feed, Market]]]
"""Of a configuration, by a clock; the embedded market goes on as if it had begun at a time on that."""


def _one_thread() -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix="policy")


@dataclass(frozen=True, slots=True)
class World:
    """Where a run gets its time, its market and its threads from."""

    clock: Callable[[], Clock] = SystemClock  # one for each session: never steps
    wall_ns: Callable[[], int] = time.time_ns  # what others compare with their own clocks
    open_feed: OpenFeed = open_feed
    executor: Callable[[], Executor] = _one_thread  # of algos that decide on a thread
    stop_on_signal: Callable[[asyncio.Event], AbstractContextManager[None]] = stop_on_signal

    def now(self) -> datetime:
        """The wall clock's time, UTC."""
        return datetime.fromtimestamp(self.wall_ns() / NS_PER_S, UTC)
