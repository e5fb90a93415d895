"""The engine's output on its way out: events in order, each naming the input that caused it."""

from __future__ import annotations

from agent.core.events import AuditEvent


class Outbox:
    """Where every part of the engine puts what happened. ``seq`` is the number of the input in hand."""

    def __init__(self) -> None:
        self.seq = 0
        self._events: list[AuditEvent] = []

    def emit(self, event: AuditEvent) -> None:
        self._events.append(event)

    def drain(self) -> list[AuditEvent]:
        """Take what happened since the last call, in order."""
        events, self._events = self._events, []
        return events
