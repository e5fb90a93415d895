"""The fills of a replay held against its own tape: no more than was shown and traded, in any window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agent.core.events import AuditEvent, ChildFilled, ParentChanged
from agent.core.measures.fill_bounds import BookFill, first_excess, words
from agent.core.ports import SessionReader
from agent.replay import ReplayResult

WHOLE = (
    "fills were not held against what the tape showed and traded: the session's venue.reach is whole, by"
    " which a trade through a resting order, or the far touch that reaches it, fills all of it"
)
ELSEWHERE = "fills of real orders were not held against the tape: a venue outside made them"


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether the fills keep the bound, None where nobody looked; what breaks it; what to tell a reader."""

    within_tape: bool | None = None
    excess: str = ""
    notes: tuple[str, ...] = ()


NOT_ASKED = Checked()


class FillCheck:
    """Watches a replay for its fills; ``check`` reads the tape once more."""

    def __init__(self, reader: SessionReader, *, whole: bool, outside: bool) -> None:
        self._reader, self._whole, self._outside = reader, whole, outside
        self._shadows: set[str] = set()
        self._fills: list[ChildFilled] = []

    def watch(self, events: Iterable[AuditEvent]) -> None:
        for event in events:
            if isinstance(event, ChildFilled):
                self._fills.append(event)
            elif isinstance(event, ParentChanged) and event.spec.shadow_of is not None:
                self._shadows.add(event.spec.parent_id)

    def check(self) -> Checked:
        if self._whole:
            return Checked(notes=(WHOLE,))
        notes = (ELSEWHERE,) if self._outside else ()
        fills = [self._of_book(f) for f in self._fills if not self._outside or f.parent_id in self._shadows]
        excess = first_excess(self._reader.batches(), fills)
        if excess is None:
            return Checked(True, notes=notes)
        symbols = {i.number: i.symbol for i in self._reader.instruments}
        return Checked(False, f"fills beyond the tape: {words(excess, symbols)}", notes)

    def _of_book(self, fill: ChildFilled) -> BookFill:
        """Real orders share a lane; each shadow has its own."""
        lane = fill.parent_id if fill.parent_id in self._shadows else "the real orders together"
        price = fill.price_ticks - fill.side * (fill.impact_ticks or 0)
        return BookFill(lane, fill.instrument, int(fill.side), price, fill.qty_lots, fill.fill_ns)


def with_check(result: ReplayResult, checked: Checked) -> ReplayResult:
    """No match where fills are beyond the tape, whatever was recorded."""
    if checked.within_tape is not False:
        return result
    difference = "; ".join(found for found in (checked.excess, result.difference) if found)
    return replace(result, match=False, difference=difference)
