"""From engine time back to the wall clock: what a bars-only run reports, in the times people know.

Fills and ends stand at the end of their bar, starts and decisions at the beginning of the next, which is
another day where the market closed in between. Measures that look seconds ahead of a fill, or at a book,
are left out: bars show neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    DecisionTaken,
    ParentChanged,
    SlippageMeasured,
)
from agent.core.market.trading_time import TradingTime

UNSEEN = ("markout_1s_bps", "markout_10s_bps", "markout_60s_bps", "reversion_bps")
OF_A_BOOK = ("effective_spread_bps", "price_improvement_bps")
NOT_SHOWN = {
    "bars": "bars show neither a book nor the seconds after a fill",
    "trades": "trades alone show no book, and no mid in the seconds after a fill",
}


class Translation:
    """Of one session that holds only bars or trades (``of``). ``note`` stands with every measurement."""

    def __init__(self, clock: TradingTime, note: str, of: Literal["bars", "trades"] = "bars") -> None:
        self._clock, self._note, self._why = clock, note, NOT_SHOWN[of]

    def all(self, events: Sequence[AuditEvent]) -> list[AuditEvent]:
        return [self.one(event) for event in events]

    def one(self, event: AuditEvent) -> AuditEvent:
        """The same event in wall time."""
        began, ended = self._clock.began, self._clock.ended
        if isinstance(event, ParentChanged):
            return self._parent(event)
        if isinstance(event, DecisionTaken):
            view = replace(event.view, start_ns=began(event.view.start_ns))
            return replace(event, at_ns=began(event.at_ns), asked_ns=began(event.asked_ns), view=view)
        if isinstance(event, ChildChanged):
            return replace(event, at_ns=ended(event.at_ns), sent_ns=began(event.sent_ns))
        if isinstance(event, ChildFilled):
            return replace(event, at_ns=ended(event.at_ns), fill_ns=ended(event.fill_ns))
        if isinstance(event, SlippageMeasured):
            return self._measured(event)
        return replace(event, at_ns=began(event.at_ns))

    def _parent(self, event: ParentChanged) -> ParentChanged:
        began, ended = self._clock.began, self._clock.ended
        starts = event.started_ns in (None, event.at_ns)
        return replace(
            event,
            at_ns=began(event.at_ns) if starts else ended(event.at_ns),
            submitted_ns=began(event.submitted_ns),
            started_ns=None if event.started_ns is None else began(event.started_ns),
            ended_ns=None if event.ended_ns is None else ended(event.ended_ns),
        )

    def _measured(self, event: SlippageMeasured) -> SlippageMeasured:
        notes = [self._note, event.measures.get("flags")]
        hidden = [name for name in (*UNSEEN, *OF_A_BOOK) if name in event.measures]
        measures = {
            **event.measures,
            **dict.fromkeys(hidden),
            "flags": ", ".join(str(note) for note in notes if note),
        }
        return replace(
            event,
            at_ns=self._clock.ended(event.at_ns),
            measures=measures,
            flags={name: shares for name, shares in event.flags.items() if name not in hidden},
            reasons={**event.reasons, **dict.fromkeys(hidden, self._why)},
        )
