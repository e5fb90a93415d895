"""How far the exchange's clock is from ours, from its answers to requests for its time.

Theory of operation
-------------------
A request sent at ``s`` (our clock), received at ``r``, was answered at some moment between. If the
exchange's clock said ``t`` then, the offset (theirs minus ours) is ``t - (s + r) / 2``, wrong by half the
round trip ``r - s`` at most: so the quickest answer of the last sixteen is the one to believe. The exchange
cuts its time to whole milliseconds: half a millisecond is added back. A new estimate is adopted only when it
is more than ``step_ns`` from the one in use, so that noise does not reorder the stamps of neighbouring
trades.

Worked example (``tests/unit/connectors/test_normalise.py`` holds it), in milliseconds, step 2:

    ======  ========  ========  ==========  ===============================  ============
    sent    received  they say  round trip  estimate                         in use after
    ======  ========  ========  ==========  ===============================  ============
    1,000   1,040     6,050     40          6,050.5 - 1,020 = 5,030.5 +- 20  5,030.5
    2,000   2,004     7,029     4           7,029.5 - 2,002 = 5,027.5 +- 2   5,027.5
    3,000   3,010     8,036     10          5,031.5: slower, not believed    5,027.5
    4,000   4,002     9,028     2           9,028.5 - 4,001 = 5,027.5 +- 1   5,027.5
    ======  ========  ========  ==========  ===============================  ============

An answer also says what the offset *cannot* be: it lies between ``t - r`` and ``t + 1 ms - s``. Two answers
whose ranges lie apart (by more than clocks drift in between) cannot both be right of one offset: one of the
clocks has *stepped*. The machine slept, or a clock was set. The old answers are then forgotten at once, and
the step is told. In the example an answer of 3,608,028 at 5,000 leaves 3,603,026 to 3,603,029: a step of an
hour, less the slack.

Some exchanges tell whole seconds only (Kraken), or tenths. While every answer is one, up to a second may
have been cut: the ranges are that wide, and no answer is believed alone. What all of them allow is; it
narrows with each that falls elsewhere in its second, to some tens of milliseconds after sixteen. The offset
in use stays while they allow it, else it is the middle of what they do.

Stamps bound the offset as well: none is later than its sending. Where the exchange answers no request for
its time, that is all there is to know (``bound``).

A stamp of the exchange's is brought onto our clock by taking the offset in use away.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.core.types import NS_PER_MS, NS_PER_S

DRIFT_PPM = 200
SLACK_NS = 10 * NS_PER_MS
"""Beyond what clocks drift: servers behind one name differ by some milliseconds."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """One of the clocks stepped at some moment between two of ours. ``by_ns``: the offset's change."""

    since_ns: int
    at_ns: int
    by_ns: int


@dataclass(frozen=True, slots=True)
class _Look:
    """One answer, when it was asked for and when it came."""

    sent_ns: int
    server_ns: int
    received_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.received_ns - self.sent_ns

    def offset_ns(self, cut_ns: int) -> int:
        """The best guess: half of what may have been cut is added back."""
        return self.server_ns + cut_ns // 2 - (self.sent_ns + self.received_ns) // 2

    def least_ns(self) -> int:
        return self.server_ns - self.received_ns

    def most_ns(self, cut_ns: int) -> int:
        return self.server_ns + cut_ns - self.sent_ns


_CUTS_NS = (NS_PER_S, 100 * NS_PER_MS, NS_PER_MS)


class ClockOffset:
    """The exchange's clock minus ours, by the shortest of the last round trips."""

    def __init__(self, window: int = 16, step_ns: int = 2 * NS_PER_MS) -> None:
        self._looks: deque[_Look] = deque(maxlen=window)
        self._step_ns, self._cut_ns = step_ns, _CUTS_NS[0]
        self.offset_ns = 0
        self.round_trip_ns: int | None = None  # None: never measured, the offset is 0
        self.steps: list[ClockStep] = []  # not yet told

    def add(self, sent_ns: int, server_ms: int, received_ns: int) -> None:
        """Take one answer, to a request of ``sent_ns``, that came at ``received_ns``."""
        look = _Look(sent_ns, server_ms * NS_PER_MS, received_ns)
        self._learn_cut(look)
        if self.contradicts(sent_ns, server_ms, received_ns):
            self._forget(self._looks[-1].received_ns, received_ns, look.offset_ns(self._cut_ns))
        self._looks.append(look)
        self._adopt()
        self.round_trip_ns = min(known.round_trip_ns for known in self._looks)

    def _learn_cut(self, look: _Look) -> None:
        """Of whole seconds only, or tenths, until an answer shows more."""
        self._cut_ns = next(cut for cut in _CUTS_NS if cut <= self._cut_ns and look.server_ns % cut == 0)

    def _adopt(self) -> None:
        cut_ns = self._cut_ns
        if cut_ns == NS_PER_MS:
            best = min(self._looks, key=lambda known: (known.round_trip_ns, known.offset_ns(cut_ns)))
            offset_ns, kept_ns = best.offset_ns(cut_ns), self._step_ns
        else:
            least = max(known.least_ns() for known in self._looks)
            most = min(known.most_ns(cut_ns) for known in self._looks)
            offset_ns, kept_ns = (least + most) // 2, max(0, most - least) // 2
        if self.round_trip_ns is None or abs(offset_ns - self.offset_ns) > kept_ns:
            self.offset_ns = offset_ns

    def contradicts(self, sent_ns: int, server_ms: int, received_ns: int) -> bool:
        """Whether this answer and one before it cannot both be right of one offset."""
        look = _Look(sent_ns, server_ms * NS_PER_MS, received_ns)
        return any(_apart(known, look, self._cut_ns) for known in self._looks)

    def bound(self, least_ns: int, since_ns: int, at_ns: int, *, step: bool) -> None:
        """Stamps have proven that the offset is ``least_ns`` at least (or, never measured, about that).

        ``step``: stamps agreed with the offset before ``since_ns``.
        """
        if step or self._looks:
            self._forget(since_ns, at_ns, least_ns)
        self.offset_ns = least_ns

    def _forget(self, since_ns: int, at_ns: int, offset_ns: int) -> None:
        self.steps.append(ClockStep(since_ns, at_ns, offset_ns - self.offset_ns))
        self._looks.clear()
        self.round_trip_ns = None

    def take_steps(self) -> list[ClockStep]:
        """The steps proven since the last call."""
        taken, self.steps = self.steps, []
        return taken


def _apart(a: _Look, b: _Look, cut_ns: int) -> bool:
    slack_ns = SLACK_NS + abs(b.received_ns - a.received_ns) * DRIFT_PPM // 1_000_000
    return a.least_ns() > b.most_ns(cut_ns) + slack_ns or b.least_ns() > a.most_ns(cut_ns) + slack_ns
