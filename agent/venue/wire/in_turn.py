"""What is sent about one order travels on one connection: nothing overtakes what left before it."""

from __future__ import annotations


class InTurn:
    """When what is on its way about each order arrives at the venue."""

    def __init__(self) -> None:
        self._last_ns: dict[int, int] = {}

    def arrival_ns(self, number: int, alone_ns: int) -> int:
        """When what now leaves arrives, which by its own latency it would at ``alone_ns``."""
        at_ns = max(alone_ns, self._last_ns.get(number, alone_ns))
        self._last_ns[number] = at_ns
        return at_ns

    def arrived(self, number: int, at_ns: int) -> None:
        """Something about the order is there."""
        if self._last_ns.get(number) == at_ns:
            del self._last_ns[number]

    def waits_for(self, number: int) -> bool:
        """Whether anything about the order is on its way."""
        return number in self._last_ns
