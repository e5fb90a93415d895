"""The death of a process, as what it calls sees it.

A real SIGKILL lets nothing of a process run any more. Here the call in which it dies raises, and so does
every later call of the same life: what Python does on the way out (``finally``) reaches neither disk nor
database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Killed(BaseException):
    """Raised in the process that died. Nothing of the product catches it."""


@dataclass
class Power:
    """Whether a life goes on, and at which of its calls it ends."""

    on_death: Callable[[], None]
    at_call: int | None = None  # dies in this call to disk or database, counted from 1
    calls: int = 0
    dead: bool = False

    def dies_now(self) -> bool:
        """Count a call; whether it is the last."""
        if self.dead:
            raise Killed
        self.calls += 1
        return self.calls == self.at_call

    def check(self, _what: str) -> None:
        """A call that happens whole or not at all."""
        if self.dies_now():
            self.die()

    def die(self) -> None:
        """Raises Killed."""
        self.dead = True
        self.on_death()
        raise Killed
