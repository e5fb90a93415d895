"""Latencies of the paper venue, each a small rule from (seed, order) to nanoseconds.

A draw depends on the session's seed and the order's own number only, never on how many draws came
before: shadows, batches and replays cannot disturb it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Latency:
    """``median_ns``, and the standard deviation of its logarithm: 0 makes it constant."""

    median_ns: int
    sigma: float = 0.0

    def draw(self, seed: int, stream: int, order: int) -> int:
        """Nanoseconds for ``order`` (its number) on ``stream`` (which of the latencies)."""
        if self.sigma == 0.0:
            return self.median_ns
        rng = np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), (stream << 48) ^ order]))
        return round(self.median_ns * math.exp(self.sigma * rng.standard_normal()))


@dataclass(frozen=True, slots=True)
class Latencies:
    """Order entry, cancel, acknowledgement (venue to us) and market data (venue to us)."""

    entry: Latency
    cancel: Latency
    acknowledgement: Latency
    market_data: Latency

    def arrival_ns(self, seed: int, order: int, sent_ns: int, *, cancel: bool = False) -> int:
        """When, on our clock, the tape shows the book that the order (or cancel) meets.

        The exchange sees it at ``sent + entry``; what the book is then, we see a market-data latency
        later. So matching happens against the tape up to ``sent + entry + market data``.
        """
        way = self.cancel if cancel else self.entry
        stream = 1 if cancel else 0
        return sent_ns + way.draw(seed, stream, order) + self.market_data.draw(seed, 2, order)

    def report_ns(self, seed: int, order: int, matched_ns: int) -> int:
        """When we hear of what was matched at tape time ``matched_ns``."""
        lag = self.acknowledgement.draw(seed, 3, order) - self.market_data.draw(seed, 2, order)
        return matched_ns + max(0, lag)
