"""A user's commands carried out on the parents they address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.core.events import CommandHandled, CommandKind, ControlParent
from agent.core.orders.parent_order import ParentEvent, allowed
from agent.core.types import ParentState
from agent.engine.outbox import Outbox
from agent.engine.worker import Worker

AMENDABLE = frozenset({"limit_price_ticks", "participation_cap", "risk_aversion"})


def carry_out(
    command: ControlParent, workers: Iterable[Worker], kill: Callable[[], None], now_ns: int, outbox: Outbox
) -> None:
    """Carry a command out on the workers it addresses, and say in the output what came of it."""
    targets = [w for w in workers if _addressed(w, command)]
    outcome = "done" if targets else f"no working parent {command.parent_id or ''}".rstrip()
    if command.kind is CommandKind.KILL:
        kill()
        outcome = f"{len(targets)} parents cancelled; no order goes out any more"
    refusals = [r for w in targets if (r := _apply(w, command, now_ns))]
    outbox.emit(
        CommandHandled(
            now_ns,
            outbox.seq,
            command.command_id,
            command.kind,
            command.parent_id,
            "; ".join(refusals) or outcome,
        )
    )


def _addressed(worker: Worker, command: ControlParent) -> bool:
    """Shadows follow their parent's end, and nothing else: they are what would have been."""
    spec = worker.order.spec
    if worker.order.done:
        return False
    if command.kind is CommandKind.KILL:
        return True
    if spec.shadow_of is not None:
        return command.kind is CommandKind.CANCEL and command.parent_id in (None, spec.shadow_of)
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
    unknown = sorted(set(command.amend) - AMENDABLE)
    if unknown or not command.amend:
        return f"cannot amend {', '.join(unknown) or 'nothing'}: {', '.join(sorted(AMENDABLE))} can be"
    worker.order.spec = replace(spec, **dict(command.amend))  # type: ignore[arg-type]  # checked at the edge
    terms = ", ".join(f"{name} {value}" for name, value in sorted(command.amend.items()))
    worker.emit_changed(now_ns, f"amended: {terms}")
    return ""
