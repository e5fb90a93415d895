"""Latencies of the paper venue, each a small rule from (seed, order) to nanoseconds.

A draw depends on the session's seed, the order's own number and the time it is sent at only, never on
how many draws came before: shadows, batches and replays cannot disturb it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

NINE_IN_TEN = 1.2816
"""Standard deviations from the middle that nine in ten draws of a normal variable stay below."""


class LatencyModel(Protocol):
    """How long something is on its way."""

    def draw(self, seed: int, stream: int, order: int, now_ns: int = 0) -> int:
        """Nanoseconds for ``order`` (a number) on ``stream`` (which of the latencies), sent at ``now_ns``."""
        ...

    @property
    def usual_ns(self) -> int:
        """What nine in ten of the draws do not exceed."""
        ...


def _bits(seed: int, stream: int, order: int) -> np.random.Philox:
    return np.random.Philox(key=[seed & (2**64 - 1), (stream << 48) ^ order])


@dataclass(frozen=True, slots=True)
class Latency:
    """``median_ns``, and the standard deviation of its logarithm: 0 makes it constant."""

    median_ns: int
    sigma: float = 0.0

    @property
    def usual_ns(self) -> int:
        return round(self.median_ns * math.exp(NINE_IN_TEN * self.sigma))

    def draw(self, seed: int, stream: int, order: int, now_ns: int = 0) -> int:
        """Nanoseconds for ``order``, whenever it is sent."""
        if self.sigma == 0.0:
            return self.median_ns
        rng = np.random.Generator(_bits(seed, stream, order))
        return round(self.median_ns * math.exp(self.sigma * rng.standard_normal()))


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """Latencies as they were measured, ``ns[i]`` at ``at_ns[i]``, oldest first.

    A draw is one of them: any, by the seed and the order's number; or, with ``nearest``, the one that
    was measured nearest to the time of sending (the earlier of two), as a run that measured them met it.
    """

    at_ns: tuple[int, ...]
    ns: tuple[int, ...]
    nearest: bool = False

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int]], *, nearest: bool = False) -> MeasuredLatency:
        """From (at_ns, ns) in any order."""
        ordered = sorted(rows)
        return cls(tuple(at for at, _ in ordered), tuple(ns for _, ns in ordered), nearest)

    @property
    def usual_ns(self) -> int:
        return sorted(self.ns)[len(self.ns) * 9 // 10]

    def draw(self, seed: int, stream: int, order: int, now_ns: int = 0) -> int:
        if self.nearest:
            return self.ns[self._nearest(now_ns)]
        return self.ns[int(_bits(seed, stream, order).random_raw()) % len(self.ns)]

    def _nearest(self, now_ns: int) -> int:
        i = bisect_left(self.at_ns, now_ns)
        if i == 0 or i == len(self.at_ns):
            return max(0, i - 1)
        return i if self.at_ns[i] - now_ns < now_ns - self.at_ns[i - 1] else i - 1


@dataclass(frozen=True, slots=True)
class Latencies:
    """Order entry, cancel, acknowledgement (venue to us) and market data (venue to us)."""

    entry: LatencyModel
    cancel: LatencyModel
    acknowledgement: LatencyModel
    market_data: LatencyModel

    @property
    def travel_ns(self) -> int:
        """How long an order usually takes until the tape shows the book that it meets."""
        return self.entry.usual_ns + self.market_data.usual_ns

    @property
    def round_trip_ns(self) -> int:
        """How long a report of an order, or of a cancel, usually takes from the moment of sending."""
        way_ns = max(self.entry.usual_ns, self.cancel.usual_ns)
        return way_ns + max(self.acknowledgement.usual_ns, self.market_data.usual_ns)

    def arrival_ns(self, seed: int, order: int, sent_ns: int, *, cancel: bool = False) -> int:
        """When, on our clock, the tape shows the book that the order (or cancel) meets.

        The exchange sees it at ``sent + entry``; what the book is then, we see a market-data latency
        later. So matching happens against the tape up to ``sent + entry + market data``.
        """
        shown_ns = self.market_data.draw(seed, 2, order, sent_ns)
        return self.there_ns(seed, order, sent_ns, cancel=cancel) + shown_ns

    def there_ns(self, seed: int, order: int, sent_ns: int, *, cancel: bool = False) -> int:
        """When the order (or cancel) is at the exchange."""
        way, stream = (self.cancel, 1) if cancel else (self.entry, 0)
        return sent_ns + way.draw(seed, stream, order, sent_ns)

    def report_ns(self, seed: int, order: int, matched_ns: int) -> int:
        """When we hear of what was matched at tape time ``matched_ns``."""
        shown_ns = self.market_data.draw(seed, 2, order, matched_ns)
        return matched_ns + max(0, self.acknowledgement.draw(seed, 3, order, matched_ns) - shown_ns)
