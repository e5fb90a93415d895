"""When a process that stood still is reading what came meanwhile: how old that may be.

A message with a stamp says how old it is. One without is taken to be as old as its arrival; but where the
process stood still (suspended, starved, a swapped-out machine) all that came is read at once afterwards, and
looks as if it came then. So somebody looks at the clock several times a second. What is read just after looks
were missing may have been sent as long ago as the last of them.

Example: looks at 10.0 and 10.1 s, then none until 40.2 s. A book without a stamp read at 40.2 s, or at 41 s,
may be of 10.1 s; one read at 41.3 s is of then.
"""

from __future__ import annotations

from agent.core.clock import Clock
from agent.core.types import NS_PER_MS, NS_PER_S

LOOK_S = 0.1
STOOD_NS = NS_PER_S
"""A machine that is merely busy looks sooner than this."""
READ_NS = 1000 * NS_PER_MS
"""What waited in sockets is read within this."""


class Stalls:
    """Of the process. ``look`` is called every ``LOOK_S``; times are on our clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_ns: int | None = None
        self._stood: tuple[int, int] | None = None  # the last time it stood still: from, to

    def look(self) -> None:
        now_ns = self._clock.now_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns > STOOD_NS:
            self._stood = self._looked_ns, now_ns
        self._looked_ns = now_ns

    def sent_ns(self) -> int:
        """When, at the earliest, what is read now and has no stamp was sent."""
        now_ns = self._clock.now_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns > STOOD_NS:
            return self._looked_ns  # not even a look has been due since
        if self._stood is not None and now_ns - self._stood[1] <= READ_NS:
            return self._stood[0]
        return now_ns
