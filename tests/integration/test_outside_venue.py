"""A venue whose reports come from outside: inputs, journalled before the engine sees them.

A script stands for the exchange: partial fills, fills before their acknowledgement and after a cancel,
reports that come twice or in the wrong order, rejects that come late. It keeps a ledger of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agent.app.replay_session import replay_session
from agent.core.events import AuditEvent, ChildChanged, ChildFilled
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import ChildState
from agent.venue.outside import Message, MessageKind, OutsideVenue
from storage.log import queries
from storage.recordings.session import SessionReader
from tests.integration.test_live_run import Live, order

MS = 10**6
ACK, FILLED, EXPIRED = ReportKind.ACKNOWLEDGED, ReportKind.FILLED, ReportKind.EXPIRED
Step = tuple[float, Report]
"""(seconds after the message, report)."""


class Script:
    """Answers each message by its child's number; ``filled`` is the exchange's own ledger."""

    def __init__(self) -> None:
        self.venue = OutsideVenue()
        self.filled: dict[int, int] = {}
        self.sent: list[Message] = []
        self.unrecorded: list[int] = []  # orders that left before their intent was in the session
        self._sequence = Counter[int]()

    @property
    def waiting(self) -> bool:
        return self.venue.waiting

    def connect(self, deliver: Callable[[Report], None], session: Path) -> None:
        self._deliver, self._session = deliver, session

    def release(self) -> None:
        rows = (self._session / "outcome.jsonl").read_text().split("ChildChanged|")
        intents = sum("|child_id=live-P1/" in row and "|state=pending_new" in row for row in rows)
        for message in self.venue.take():
            self.sent.append(message)
            if intents < sum(m.kind is MessageKind.SUBMIT for m in self.sent):
                self.unrecorded.append(message.order.number)
            for seconds, report in self.answer(message):
                asyncio.get_running_loop().call_later(seconds, self._deliver, report)

    def answer(self, message: Message) -> Sequence[Step]:
        if message.kind is MessageKind.SUBMIT:
            return self.on_submit(message.order, message.sent_ns)
        return self.on_cancel(message.order, message.sent_ns)

    def on_submit(self, order: VenueOrder, at_ns: int) -> Sequence[Step]:
        """Of every five marketable orders: each arrives in another way."""
        half, whole = order.lots // 2, order.lots
        ack = self.report(order, ACK, at_ns)
        case = order.number % 5
        if case == 1:  # in two parts
            parts = [self.fill(order, half, at_ns), self.fill(order, whole - half, at_ns)]
            return [(0.01, ack), (0.02, parts[0]), (0.06, parts[1])]
        if case == 2:  # the end before its fill, the fill before its acknowledgement
            fill = self.fill(order, half, at_ns)
            end = replace(self.report(order, EXPIRED, at_ns), filled_lots=half)
            return [(0.01, end), (0.03, fill), (0.05, ack)]
        if case == 3:  # a reject that takes its time
            return [
                (0.12, replace(self.report(order, ReportKind.REJECTED, at_ns), reason="too many requests"))
            ]
        if case == 4:  # everything twice
            fill = self.fill(order, whole, at_ns)
            return [(0.01, ack), (0.02, fill), (0.03, replace(fill)), (0.04, replace(ack))]
        return [(0.01, ack), (0.02, self.report(order, EXPIRED, at_ns))]  # nothing was there

    def on_cancel(self, order: VenueOrder, at_ns: int) -> Sequence[Step]:
        """Something is filled before the cancel arrives; the answer to it says so, and comes first."""
        left = order.lots - self.filled.get(order.number, 0)
        fill = self.fill(order, max(1, left // 3), at_ns)
        total = self.filled[order.number]
        if total == order.lots:
            return [(0.02, fill), (0.03, self.report(order, ReportKind.CANCEL_REJECTED, at_ns))]
        end = replace(self.report(order, ReportKind.CANCELLED, at_ns), filled_lots=total)
        return [(0.01, end), (0.03, fill)]

    def fill(self, order: VenueOrder, lots: int, at_ns: int) -> Report:
        self.filled[order.number] = self.filled.get(order.number, 0) + lots
        filled = self.report(order, FILLED, at_ns)
        return replace(filled, lots=lots, price_ticks=order.price_ticks, fee_tlp=lots, fee_currency="USDT")

    def report(self, order: VenueOrder, kind: ReportKind, at_ns: int) -> Report:
        self._sequence[order.number] += 1
        number = self._sequence[order.number]
        return Report(order.number, kind, venue_ns=at_ns + MS, sequence=number, price_model="scripted")


class Resting(Script):
    """Resting orders are acknowledged and wait for their cancel."""

    def on_submit(self, order: VenueOrder, at_ns: int) -> Sequence[Step]:
        if not order.may_rest:
            return super().on_submit(replace(order, number=order.number), at_ns)
        return [(0.01, self.report(order, ACK, at_ns))]


async def _replayed(live: Live, script: Script) -> list[AuditEvent]:
    """Run, hold the books against the script's ledger, replay to the same bytes; what happened."""
    await live.run(link=script)
    assert script.sent
    assert not script.unrecorded
    happened: list[AuditEvent] = []
    done = replay_session(live.path, None, override=False, verify=True, speed=None, watch=happened.extend)
    assert done.result.match is True, done.result.difference
    rows = (await asyncio.to_thread(queries.query, live.config.database, "fills")).dicts()
    assert sum(int(r["qty_lots"]) for r in rows) == sum(script.filled.values())
    fills = [e for e in happened if isinstance(e, ChildFilled) and "~" not in e.child_id]
    assert sum(f.qty_lots for f in fills) == sum(script.filled.values())
    assert all(f.at_ns > f.fill_ns > 0 for f in fills)  # ours and the venue's own stamp
    return happened


def _ends(happened: Sequence[AuditEvent]) -> Counter[ChildState]:
    last = {e.child_id: e.state for e in happened if isinstance(e, ChildChanged) and "~" not in e.child_id}
    return Counter(last.values())


async def test_partial_late_repeated_and_disordered_reports_replay_to_the_same_bytes(tmp_path: Path) -> None:
    """Each report counts once, in whatever order; the journal alone gives all of it again."""
    script = Script()
    happened = await _replayed(Live(tmp_path, order()), script)
    ends = _ends(happened)
    assert set(ends) == {ChildState.FILLED, ChildState.EXPIRED, ChildState.REJECTED}
    journal = SessionReader(tmp_path / "session").journal()
    reports = [e for e in journal if e["kind"] == "venue_report"]
    assert len(reports) > len({m.order.number for m in script.sent})
    assert json.loads((tmp_path / "session" / "session.json").read_text())["format"] == 2
    shadows = [e for e in happened if isinstance(e, ChildFilled) and "~" in e.child_id]
    assert {f.price_model for f in shadows} == {"book_walk"}  # the paper venue still has the shadows


async def test_a_fill_after_a_cancel_was_sent_counts(tmp_path: Path) -> None:
    """The venue says "cancelled, a third filled" before the fill itself comes: the books wait for it."""
    script = Resting()
    happened = await _replayed(Live(tmp_path, order(tactic="peg", shadows=())), script)
    cancelled = {m.order.number for m in script.sent if m.kind is MessageKind.CANCEL}
    assert cancelled & set(script.filled)
    assert _ends(happened)[ChildState.CANCELLED] > 0
