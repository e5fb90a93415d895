"""Rehearsed trouble: some orders are rejected, of some nothing is heard in time. Off by default.

What happens to an order depends on the seed and its own number only. An order that "times out" either
is lost on its way and never matched; or works as always while nothing that the venue says of it is
heard, until the venue is asked; or is heard of late. Whoever waits longer than ``timeout_ns`` without
an answer asks: the venue then says everything again that it has said about the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from agent.venue.messages import Report

PPM = 1_000_000
STREAM = 32  # of the draws; latencies use small numbers
LONGEST = 2.0  # timeouts: how late a late answer is at most
REJECTED = "rehearsed reject (venue.rehearsal.reject_ppm)"
LOST = "the venue does not know the order: it was lost on its way (venue.rehearsal.timeout_ppm)"


class Trouble(Enum):
    NONE = "none"
    REJECTED = "rejected"
    LOST = "lost"
    MUTE = "mute"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How often, in parts per million of the orders, and how long an answer is waited for."""

    reject_ppm: int = 0
    timeout_ppm: int = 0
    timeout_ns: int = 2_000_000_000

    @property
    def times_out(self) -> bool:
        return self.timeout_ppm > 0

    def fate(self, seed: int, number: int) -> tuple[Trouble, int]:
        """(what happens to order ``number``, by how many nanoseconds its reports are late)."""
        if not self.reject_ppm and not self.timeout_ppm:
            return Trouble.NONE, 0
        key = [seed & (2**64 - 1), (STREAM << 48) ^ number]
        draws = np.random.Generator(np.random.Philox(key=key)).random(4).tolist()
        if draws[0] * PPM < self.reject_ppm:
            return Trouble.REJECTED, 0
        if draws[1] * PPM >= self.timeout_ppm:
            return Trouble.NONE, 0
        trouble = (Trouble.LOST, Trouble.MUTE, Trouble.LATE)[int(draws[2] * 3)]
        late_ns = round(draws[3] * LONGEST * self.timeout_ns) if trouble is Trouble.LATE else 0
        return trouble, late_ns


class Wire:
    """What the venue has said of orders in trouble, and what of it gets through."""

    def __init__(self, rehearsal: Rehearsal, seed: int) -> None:
        self._rehearsal, self._seed = rehearsal, seed
        self._trouble: dict[int, tuple[Trouble, int]] = {}
        self._said: dict[int, list[Report]] = {}

    def order_sent(self, number: int) -> Trouble:
        """An order leaves: draw its fate."""
        trouble, late_ns = self._rehearsal.fate(self._seed, number)
        if trouble in (Trouble.LOST, Trouble.MUTE, Trouble.LATE):
            self._trouble[number] = (trouble, late_ns)
            self._said[number] = []
        return trouble

    def delay_ns(self, report: Report) -> int | None:
        """How much later than usual ``report`` is heard, None for never; it is kept for whoever asks."""
        if report.number not in self._trouble:
            return 0
        trouble, late_ns = self._trouble[report.number]
        self._said[report.number].append(report)
        return late_ns if trouble is Trouble.LATE else None

    def asked(self, number: int) -> tuple[Trouble, list[Report]]:
        """The order's trouble and all that was said of it. From now on all about it is heard as usual."""
        trouble, _ = self._trouble.pop(number, (Trouble.NONE, 0))
        return trouble, self._said.pop(number, [])
