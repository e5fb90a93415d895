"""Caps and limits count what is on its way, twice: tactics ask for no more, the gate lets no more out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest

from agent import app
from agent.config import Config, LatencyMs, Order, Risk, Tactics, Venue
from agent.core.events import AuditEvent, ChildChanged, ChildFilled, RiskRefused
from agent.core.market.tape import Kind
from agent.core.types import ChildState
from agent.engine.execution import Execution
from tests.fakes import S, start, synthetic_tape

TAPE = synthetic_tape(seconds=20.0)
CAP = 0.2
FAR = Venue(entry=LatencyMs(median_ms=700.0), acknowledgement=LatencyMs(median_ms=800.0))
"""Several children are on their way at once."""
ENDED = (ChildState.FILLED, ChildState.CANCELLED, ChildState.REJECTED, ChildState.EXPIRED)


def worked(
    tactic: str, *, quantity: int = 40, risk: Risk | None = None, cap: float | None = None
) -> list[AuditEvent]:
    """A large order, quick slices, far from the venue."""
    instrument, events = TAPE
    order = Order(
        quantity=Decimal(quantity),
        min_duration=2 * S,
        max_duration=12 * S,
        interval=2 * S,
        algo="twap",
        tactic=tactic,
        shadows=(),
        participation_cap=cap,
    )
    config = Config(
        order=order, venue=FAR, risk=risk or Risk(), tactics=Tactics(micro_slices=10, repeg=S // 10)
    )
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    begin = start(instrument, events, order)
    cut = int(np.searchsorted(events["recv_ns"], begin.recv_ns, side="right"))
    engine.advance(events[:cut])
    engine.command(begin)
    engine.advance(events[cut:])
    engine.close(int(events["recv_ns"][-1]))
    return engine.drain()


def committed(found: list[AuditEvent]) -> Iterator[tuple[int, int, int]]:
    """(time, lots, ticks x lots) filled or open, after each child that was sent."""
    filled: dict[str, tuple[int, int]] = {}
    still: dict[str, tuple[int, int]] = {}
    for event in found:
        if isinstance(event, ChildFilled):
            lots, value = filled.get(event.child_id, (0, 0))
            filled[event.child_id] = (lots + event.qty_lots, value + event.qty_lots * event.price_ticks)
        if not isinstance(event, ChildChanged):
            continue
        left = 0 if event.state in ENDED else event.qty_lots - event.filled_lots
        still[event.child_id] = (left, left * event.price_ticks)
        if event.state is ChildState.PENDING_NEW:
            held = [*filled.values(), *still.values()]
            yield event.at_ns, sum(lots for lots, _ in held), sum(value for _, value in held)


def traded_lots(from_ns: int, to_ns: int) -> int:
    _, events = TAPE
    trades = events[(events["kind"] == Kind.TRADE) & (events["recv_ns"] <= to_ns)]
    return int(np.abs(trades["qty_lots"][trades["exch_ns"] >= from_ns]).sum())


def kept_the_cap(found: list[AuditEvent]) -> bool:
    instrument, events = TAPE
    begin_ns = start(instrument, events, Order(quantity=Decimal(1))).recv_ns
    moments = list(committed(found))
    assert len(moments) > 5
    return all(lots <= CAP * traded_lots(begin_ns, at_ns) for at_ns, lots, _ in moments)


@pytest.mark.parametrize("tactic", ["twap_micro", "peg", "sweep"])
@pytest.mark.parametrize("everyones", [False, True])
def test_a_tactic_asks_for_no_more_than_a_cap_leaves(tactic: str, everyones: bool) -> None:
    """An order's own cap and everyone's: kept at each moment, and nothing is sent to be refused."""
    risk = Risk(max_participation=CAP) if everyones else None
    found = worked(tactic, risk=risk, cap=None if everyones else CAP)
    assert kept_the_cap(found)
    assert not [event for event in found if isinstance(event, RiskRefused)]


def test_the_gate_keeps_a_cap_that_a_tactic_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tactic that takes no notice of the cap is refused, and the cap is kept."""
    monkeypatch.setattr(Execution, "allowed", lambda self, price_ticks: self.order.remaining)
    found = worked("twap_micro", quantity=2, cap=CAP)
    assert {event.rule for event in found if isinstance(event, RiskRefused)} == {"participation"}
    assert kept_the_cap(found)


def test_the_gate_counts_money_on_its_way() -> None:
    """``risk.max_notional``: what is filled and what is open never come to more."""
    instrument, _ = TAPE
    most = Decimal(1_000_000)
    found = worked("twap_micro", risk=Risk(max_notional=most))
    assert {event.rule for event in found if isinstance(event, RiskRefused)} == {"max_notional"}
    moments = list(committed(found))
    assert len(moments) > 5
    assert all(instrument.notional(value) <= most for _, _, value in moments)
