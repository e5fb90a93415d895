"""Ctrl-C and TERM end a run cleanly, on Windows too, where an event loop takes no signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signal(stopping: asyncio.Event) -> Iterator[None]:
    """Set ``stopping`` when a signal comes; once the block is left signals do what they did before."""
    loop = asyncio.get_running_loop()
    undo = [_on_signal(loop, number, stopping) for number in SIGNALS]
    try:
        yield
    finally:
        for each in undo:
            each()


def _on_signal(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, stopping: asyncio.Event
) -> Callable[[], object]:
    """Listen to one signal; returns what ends that."""
    try:
        loop.add_signal_handler(number, stopping.set)
    except NotImplementedError:  # Windows: Python calls the handler between two steps of the loop

        def received(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stopping.set)

        before = signal.signal(number, received)
        return lambda: signal.signal(number, before)
    return lambda: loop.remove_signal_handler(number)
