"""Which of the things that happen somebody wants to be told of, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from agent.core.events import (
    AuditEvent,
    CommandHandled,
    CommandKind,
    GapSeen,
    ParentChanged,
    RiskRefused,
)
from agent.core.market.tape import SILENT
from agent.core.types import ParentState


class AlertKind(StrEnum):
    STALE_FEED = "stale_feed"
    GAP_GIVEN_UP = "gap_given_up"
    RISK_REFUSAL = "risk_refusal"
    EXPIRY = "expiry"
    KILL = "kill"
    RESUME = "resume"
    DISK = "disk"
    LOG_BEHIND = "log_behind"


class Alert(NamedTuple):
    """``about``: alerts of one kind about the same are told once in a while, not each time."""

    kind: AlertKind
    about: str
    text: str


def alerts_of(events: Iterable[AuditEvent], symbols: list[str]) -> Iterator[Alert]:
    """``symbols``: by number of the instrument. What shadows do is nobody's alarm."""
    for event in events:
        match event:
            case GapSeen(stream=stream, ended=False) if stream.endswith(SILENT):
                symbol, what = symbols[event.instrument], stream.removesuffix(SILENT)
                yield Alert(AlertKind.STALE_FEED, f"{symbol} {what}", f"{symbol}: {what} fell silent")
            case GapSeen(ended=True, lost=lost) if lost:
                symbol = symbols[event.instrument]
                yield Alert(
                    AlertKind.GAP_GIVEN_UP, symbol, f"{symbol}: {lost} {event.stream} are lost for good"
                )
            case RiskRefused():
                about = f"{event.parent_id} {event.rule}"
                yield Alert(AlertKind.RISK_REFUSAL, about, f"{event.parent_id}: risk refused: {event.reason}")
            case ParentChanged(state=ParentState.EXPIRED) if event.spec.shadow_of is None:
                name = event.spec.parent_id
                yield Alert(AlertKind.EXPIRY, name, f"{name} expired: {event.reason}")
            case CommandHandled(kind=CommandKind.KILL):
                yield Alert(AlertKind.KILL, event.parent_id or "all", f"kill by command: {event.outcome}")
