"""Ctrl-C between the steps of a training, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the function this yields is called: a step is whole or not begun.

    Off the main thread, where no handler can be set, interrupts are left as they are.
    """
    received: list[int] = []

    def stop_if_interrupted() -> None:
        if received:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_interrupted
        return
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield stop_if_interrupted
    finally:
        signal.signal(signal.SIGINT, before)
