"""A user's commands carried out on the parents they address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agent.core.errors import OrderError
from agent.core.events import DONE, KILLED, NOTHING, CommandHandled, CommandKind, ControlParent
from agent.core.instrument import Instrument
from agent.core.money import MOST_TL
from agent.core.orders.amendments import (
    LIMIT_PRICE,
    LIMIT_PRICE_TICKS,
    Amendment,
    amendment_fault,
)
from agent.core.orders.parent_order import ParentEvent, allowed
from agent.core.types import ParentState, TargetKind
from agent.engine.outbox import Outbox
from agent.engine.worker import Worker


def carry_out(
    command: ControlParent, workers: Iterable[Worker], kill: Callable[[], None], now_ns: int, outbox: Outbox
) -> None:
    """Carry a command out on the workers it addresses, and say in the output what came of it."""
    targets = [w for w in workers if _addressed(w, command)]
    if command.kind is CommandKind.KILL and command.parent_id is None:
        kill()
    refusals = {w.order.spec.parent_id: r for w in targets if (r := _apply(w, command, now_ns))}
    orders = [w.order.spec.parent_id for w in targets if w.order.spec.shadow_of is None]
    parents = tuple(parent_id for parent_id in orders if parent_id not in refusals)
    outbox.emit(
        CommandHandled(
            now_ns,
            outbox.seq,
            command.command_id,
            command.kind,
            command.parent_id,
            _outcome(command, parents, list(refusals.values()), bool(targets)),
            parents,
        )
    )


def _outcome(command: ControlParent, parents: Sequence[str], refusals: Sequence[str], found: bool) -> str:
    """In words; what was carried out is told from what was not by ``agent.core.events.carried_out``."""
    if command.kind is CommandKind.KILL and command.parent_id is None:
        return f"{len(parents)} parents cancelled; {KILLED}"
    if refusals:
        return "; ".join([*(f"done for {parent_id}" for parent_id in parents), *refusals])
    return DONE if found else f"{NOTHING} {command.parent_id or ''}".rstrip()


def _addressed(worker: Worker, command: ControlParent) -> bool:
    """Shadows follow their parent's end, and nothing else: they are what would have been."""
    spec = worker.order.spec
    if worker.order.done:
        return False
    if spec.shadow_of is not None:
        ends = command.kind in (CommandKind.CANCEL, CommandKind.KILL)
        return ends and command.parent_id in (None, spec.shadow_of)
    return command.parent_id in (None, spec.parent_id)


def _apply(worker: Worker, command: ControlParent, now_ns: int) -> str:
    """Carry a command out on one parent; "" or why it cannot be."""
    state, kind = worker.order.state, command.kind
    if kind in (CommandKind.CANCEL, CommandKind.KILL):
        worker.end(ParentEvent.CANCELLED, now_ns, f"{kind.value} by command")
        return ""
    if kind is CommandKind.AMEND:
        return _amend(worker, command, now_ns)
    event = ParentEvent.PAUSED if kind is CommandKind.PAUSE else ParentEvent.RESUMED
    if not allowed(state, event):
        return f"{worker.order.spec.parent_id} is {state.value} and cannot {kind.value}"
    if event is ParentEvent.PAUSED:
        worker.pause(now_ns)
    else:
        worker.resume(now_ns)
    return ""


def _amend(worker: Worker, command: ControlParent, now_ns: int) -> str:
    spec = worker.order.spec
    if worker.order.state not in (ParentState.PENDING, ParentState.WORKING, ParentState.PAUSED):
        return f"{spec.parent_id} is {worker.order.state.value} and cannot be amended"
    if fault := amendment_fault(command.amend):
        return fault
    try:
        changes = _in_ticks(worker.instrument, command.amend)
    except OrderError as error:
        return str(error)
    if fault := _limit_fault(worker, changes.get(LIMIT_PRICE_TICKS)):
        return fault
    worker.order.spec = replace(spec, **changes)
    terms = ", ".join(f"{name} {value}" for name, value in sorted(command.amend.items()))
    worker.emit_changed(now_ns, f"amended: {terms}")
    return ""


def _in_ticks(instrument: Instrument, amend: Amendment) -> dict[str, Any]:
    """The members of the order that change; a price in money as ticks. Raises OrderError: off the tick."""
    changes: dict[str, Any] = dict(amend)
    if LIMIT_PRICE in changes:
        price = changes.pop(LIMIT_PRICE)
        changes[LIMIT_PRICE_TICKS] = None if price is None else instrument.to_ticks(Decimal(price))
    return changes


def _limit_fault(worker: Worker, limit_price_ticks: int | None) -> str:
    """Why the order's money at this limit would leave 64 bits, or ""."""
    spec = worker.order.spec
    lots = spec.target if spec.target_kind is TargetKind.QUANTITY else 1
    if limit_price_ticks is None or limit_price_ticks * lots <= MOST_TL:
        return ""
    most = MOST_TL // lots
    return f"limit price {limit_price_ticks} is not allowed for {spec.parent_id}: at most {most} ticks"
