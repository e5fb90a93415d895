"""Rehearsed trouble: some orders are rejected, and reports about others are lost or late. Off by default.

What happens to an order depends on the seed and its own number only. An order that "times out" is lost on
its way and never matched; or it works as always and none of its reports arrive until the venue is queried;
or its reports arrive late. Whoever gets no answer within ``timeout_ns`` queries the venue, which then sends
every report about the order again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from agent.core.money import PPM
from agent.core.orders.venue_messages import Report

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
    """The reports about orders in trouble, and which of them get through."""

    def __init__(self, rehearsal: Rehearsal, seed: int) -> None:
        self._rehearsal, self._seed = rehearsal, seed
        self._trouble: dict[int, tuple[Trouble, int]] = {}
        self._reports: dict[int, list[Report]] = {}

    def order_sent(self, number: int) -> Trouble:
        """An order leaves: draw its fate."""
        trouble, late_ns = self._rehearsal.fate(self._seed, number)
        if trouble in (Trouble.LOST, Trouble.MUTE, Trouble.LATE):
            self._trouble[number] = (trouble, late_ns)
            self._reports[number] = []
        return trouble

    def delay_ns(self, report: Report) -> int | None:
        """How much later than usual ``report`` arrives, None for never; it is kept for whoever asks."""
        if report.number not in self._trouble:
            return 0
        trouble, late_ns = self._trouble[report.number]
        self._reports[report.number].append(report)
        return late_ns if trouble is Trouble.LATE else None

    def keeps(self, number: int) -> bool:
        """Whether what is said of the order is kept, because it may be asked about."""
        return number in self._trouble

    def kept(self) -> list[int]:
        """The orders of which something is kept."""
        return list(self._trouble)

    def query(self, number: int) -> tuple[Trouble, list[Report]]:
        """The order's trouble, and every report about it. From now on its reports arrive as usual."""
        trouble, _ = self._trouble.pop(number, (Trouble.NONE, 0))
        return trouble, self._reports.pop(number, [])
