"""How long a stream may say nothing before it is worth a look: judged by its own rate.

A look asks REST whether something came that the stream did not bring. It is due after ``EXPECTED`` messages
at the stream's own rate, no sooner than ``FLOOR_S`` (a request costs something) and no later than ``most_s``.
Each look that finds nothing doubles the wait, up to ``most_s``, until the stream says something, or a sign
that it should have (the book moves) makes the next look due again. Example: a stream of 10 messages a second
is looked at after 1 s, then after 2, 4, 8 and ``most_s``; one of a message every 0.5 s after 2.5 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from agent.core.types import NS_PER_S

EXPECTED = 5
FLOOR_S = 1.0
REMEMBERED = 64
UNKNOWN = 6
"""So often the longest wait, where too little has come to know a rate."""
CERTAIN = 20
"""Messages that did not come, by which a stream is called dead where nobody can be asked."""


class OwnRate:
    """Of one stream. Times are on our clock."""

    def __init__(self, most_s: float) -> None:
        self.most_s = most_s
        self.last_ns = 0
        self._spans_s: deque[float] = deque(maxlen=REMEMBERED)
        self._looks, self._lost = 0, False

    def came(self, now_ns: int) -> None:
        """A message has come."""
        if self.last_ns and not self._lost:
            self._spans_s.append((now_ns - self.last_ns) / NS_PER_S)
        self.last_ns, self._looks, self._lost = now_ns, 0, False

    def lost(self) -> None:
        """The stream was dead: how long it said nothing tells nothing of its rate."""
        self._lost = True

    def seed(self, stamps_ns: Sequence[int]) -> None:
        """Learn from what came before: stamps in order, equal ones one message."""
        known = sorted(set(stamps_ns[-4 * REMEMBERED :]))
        self._spans_s.extend((b - a) / NS_PER_S for a, b in pairwise(known))

    def looked(self) -> None:
        """Somebody looked, and the stream has said nothing since."""
        self._looks += 1

    def expected_s(self) -> float | None:
        """The mean time from message to message; None while too few are known."""
        return sum(self._spans_s) / len(self._spans_s) if len(self._spans_s) >= EXPECTED else None

    def wait_s(self, *, doubtful: bool) -> float:
        """How long to wait for the next message. ``doubtful``: something says that one should have come."""
        expected_s = self.expected_s()
        if expected_s is None:
            return self.most_s
        looks = min(self._looks, 1) if doubtful else self._looks
        return min(self.most_s, max(FLOOR_S, EXPECTED * expected_s) * 2.0 ** min(looks, 20))

    def silent_s(self, now_ns: int) -> float:
        return (now_ns - self.last_ns) / NS_PER_S if self.last_ns else 0.0

    def surely_dead(self, now_ns: int) -> bool:
        """What silence alone says."""
        expected_s = self.expected_s()
        if expected_s is None:
            return self.silent_s(now_ns) >= UNKNOWN * self.most_s
        return self.silent_s(now_ns) >= max(0.9 * self.most_s, CERTAIN * expected_s)
