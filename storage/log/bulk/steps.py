"""Batches of an execution log written one after another, for a caller without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")
Step = Callable[[], Coroutine[Any, Any, _T]]


class Steps:
    """Coroutines, taken on a loop of their own.

    ``beside``: on a thread, so that a server takes one batch in while the caller makes the next. SQLite works
    in this process, and has nothing to gain by it.
    """

    def __init__(self, *, beside: bool) -> None:
        self._runner = asyncio.Runner()
        self._thread = ThreadPoolExecutor(1, "execution log") if beside else None
        self._begun: Future[Any] | None = None

    def begin(self, step: Step[Any]) -> None:
        """Take a step; where there is a thread, wait for the one before only. Raises what that one raised."""
        self._settle()
        if self._thread is None:
            self._take(step)
        else:
            self._begun = self._thread.submit(self._take, step)

    def run(self, step: Step[_T]) -> _T:
        """Take a step to its end. Raises what it, or the one before it, raised."""
        self._settle()
        return self._take(step) if self._thread is None else self._thread.submit(self._take, step).result()

    def close(self, last: Step[Any]) -> None:
        """Take the last step. How one ended that was still under way is of no interest any more."""
        with contextlib.suppress(Exception):
            self._settle()
        try:
            self.run(last)
        finally:
            if self._thread is None:
                self._runner.close()
            else:
                self._thread.submit(self._runner.close).result()
                self._thread.shutdown()

    def _settle(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.result()

    def _take(self, step: Step[_T]) -> _T:
        return self._runner.run(step())
