"""The engine's half of a venue outside: what leaves is collected, what comes back is an input.

Such a venue (a real exchange, an exchange's sandbox) cannot be computed from the tape. So nothing happens in
here: messages wait until whoever runs the session has put their causes on the disk and takes them away
(``take``), and reports come in as commands of the engine (``agent.core.events.VenueReported``), journalled
before. In a replay the same messages are made and thrown away, and the reports come from the journal.

``ByLane`` gives the real orders (lane 0) to such a venue and the shadows to a computed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from agent.core.orders.venue_messages import Deliver, VenueOrder, VenueTraits
from agent.core.ports import OrderVenue


class MessageKind(StrEnum):
    SUBMIT = "submit"
    AMEND = "amend"
    CANCEL = "cancel"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent about ``order``. Price and lots are an amendment's new ones, else the order's."""

    kind: MessageKind
    order: VenueOrder
    price_ticks: int
    lots: int
    sent_ns: int


class OutsideVenue:
    """Collects what leaves for a venue outside. See ``OrderVenue``."""

    def __init__(self, traits: VenueTraits | None = None, *, replaying: bool = False) -> None:
        self._traits = replace(traits or VenueTraits(repeats=True), survives=True)
        self._replaying = replaying
        self._waiting: list[Message] = []

    @classmethod
    def recorded(cls, route: Mapping[str, object]) -> OutsideVenue:
        """The venue of a recorded session, whose header says how it worked: nothing leaves any more."""
        traits = route.get("traits")
        return cls(VenueTraits(**traits) if isinstance(traits, dict) else None, replaying=True)

    def route(self) -> dict[str, object]:
        """What a session's header says of this venue."""
        return {"traits": asdict(self._traits)}

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def take(self) -> list[Message]:
        """What is to be sent, in order, and no longer waits here. Record its causes first, and sync them."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def connect(self, deliver: Deliver) -> None:
        """Nothing is delivered from here: reports are inputs of the engine."""

    def traits(self, lane: int) -> VenueTraits:
        return self._traits

    def lacking(self, order: VenueOrder) -> str:
        """The account is elsewhere: what it lacks is not known here."""
        return ""

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        self._add(_message(MessageKind.SUBMIT, order, now_ns))

    def amend(self, order: VenueOrder, price_ticks: int, lots: int, now_ns: int) -> None:
        self._add(Message(MessageKind.AMEND, order, price_ticks, lots, now_ns))

    def cancel(self, order: VenueOrder, now_ns: int) -> None:
        self._add(_message(MessageKind.CANCEL, order, now_ns))

    def query(self, order: VenueOrder, now_ns: int) -> None:
        self._add(_message(MessageKind.QUERY, order, now_ns))

    def collect(self) -> None:
        """The market's own matching is none of this venue's."""

    def forget_lane(self, lane: int) -> None:
        """Its accounts are elsewhere."""

    def lose_time(self, from_ns: int) -> None:
        """What is there stays there."""

    def _add(self, message: Message) -> None:
        if not self._replaying:
            self._waiting.append(message)


def _message(kind: MessageKind, order: VenueOrder, now_ns: int) -> Message:
    return Message(kind, order, order.price_ticks, order.lots, now_ns)


class ByLane:
    """Real orders to one venue, shadows to another. See ``OrderVenue``."""

    def __init__(self, real: OrderVenue, shadows: OrderVenue) -> None:
        self._real, self._shadows = real, shadows

    def connect(self, deliver: Deliver) -> None:
        self._real.connect(deliver)
        self._shadows.connect(deliver)

    def traits(self, lane: int) -> VenueTraits:
        return self._of(lane).traits(lane)

    def lacking(self, order: VenueOrder) -> str:
        return self._of(order.lane).lacking(order)

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        self._of(order.lane).submit(order, now_ns)

    def amend(self, order: VenueOrder, price_ticks: int, lots: int, now_ns: int) -> None:
        self._of(order.lane).amend(order, price_ticks, lots, now_ns)

    def cancel(self, order: VenueOrder, now_ns: int) -> None:
        self._of(order.lane).cancel(order, now_ns)

    def query(self, order: VenueOrder, now_ns: int) -> None:
        self._of(order.lane).query(order, now_ns)

    def collect(self) -> None:
        self._real.collect()
        self._shadows.collect()

    def forget_lane(self, lane: int) -> None:
        self._of(lane).forget_lane(lane)

    def lose_time(self, from_ns: int) -> None:
        self._real.lose_time(from_ns)
        self._shadows.lose_time(from_ns)

    def _of(self, lane: int) -> OrderVenue:
        return self._shadows if lane else self._real
