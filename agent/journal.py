"""The journal: every input that is not market data, as the session holds it and as the engine takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Mapping as AbcMapping
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from agent.core.errors import SessionError
from agent.core.events import (
    AbandonParents,
    Command,
    CommandKind,
    ControlParent,
    SkipTime,
    StartParent,
    VenueReported,
)
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject, int_in
from agent.core.orders.venue_messages import Report, ReportKind
from agent.core.types import ParentSpec, Slice
from agent.shadow import shadow_specs

ROUND_TRIP = "round_trip"
REPORT = "venue_report"
ABANDONED = "abandoned"
RESUMED = "resumed"
CLOSING = "closing"
"""All has ended and is about to be measured to the last: what follows comes of that."""
SHELL_KINDS = frozenset({"overrun", "end", "rotated", ROUND_TRIP, CLOSING})
"""Entries that are no command: the shell's own marks."""


ENDING = frozenset({ABANDONED, CLOSING})
"""Entries after which a session is only to be closed."""


def is_ending(journal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody had begun to close the session."""
    return any(entry.get("kind") in ENDING for entry in journal)


def _start_entry(command: StartParent) -> dict[str, Any]:
    """A start as the journal holds it."""
    shadows = [spec.algo for spec in command.shadows]
    return {
        "kind": "start",
        "recv_ns": command.recv_ns,
        "seq": command.seq,
        "spec": asdict(command.spec),
        "shadows": shadows,
    }


def _control_entry(command: ControlParent) -> dict[str, Any]:
    return {**asdict(command), "kind": "control", "command": command.kind.value}


def _report_entry(command: VenueReported) -> dict[str, Any]:
    """A report of a venue outside as the journal holds it; money as text, exact."""
    report = {**asdict(command.report), "kind": command.report.kind.value}
    amount = command.report.fee_amount
    report["fee_amount"] = None if amount is None else str(amount)
    if (
        abs(command.report.fee_tlp) >= 2**63
    ):  # parts per million of a large fill: more than JSON's numbers hold
        report["fee_tlp"] = str(command.report.fee_tlp)
    del report["recv_ns"]  # the input's own
    return {"kind": REPORT, "recv_ns": command.recv_ns, "seq": command.seq, "report": report}


def command_entry(command: Command) -> dict[str, Any]:
    """Any command as the journal holds it."""
    if isinstance(command, StartParent):
        return _start_entry(command)
    if isinstance(command, AbandonParents):
        return {"kind": ABANDONED, **asdict(command)}
    if isinstance(command, SkipTime):
        return {"kind": RESUMED, **asdict(command)}
    return _control_entry(command) if isinstance(command, ControlParent) else _report_entry(command)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """What a recording holds comes from outside: a part that is none of this program's is a SessionError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError) as error:
        raise SessionError(
            f"the session's {what} cannot be read ({type(error).__name__}: {error}): record it again, or make"
            " a session of its market data with `agent sessions slice`"
        ) from error


def overruns(journal: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Ids of the decisions that were late. Raises SessionError."""
    with _reading("late decisions"):
        return frozenset(str(e["decision_id"]) for e in journal if e.get("kind") == "overrun")


def round_trip_entry(recv_ns: int, seq: int, sent_ns: int, ns: int) -> dict[str, Any]:
    """A measured round trip of a request to the exchange: ``ns``, sent at ``sent_ns``."""
    return {"kind": ROUND_TRIP, "recv_ns": recv_ns, "seq": seq, "sent_ns": sent_ns, "ns": ns}


def round_trips(journal: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """(sent_ns, ns) of every round trip that the run measured, in order. Raises SessionError."""
    with _reading("round trips"):
        return [(int(e["sent_ns"]), int(e["ns"])) for e in journal if e.get("kind") == ROUND_TRIP]


def commands(
    journal: Sequence[Mapping[str, Any]], instruments: Sequence[Instrument] | None = None
) -> list[Command]:
    """The journal's inputs as commands, in order. Raises SessionError on what is none.

    ``instruments``: the session's, where orders must be of one of them.
    """
    found: list[Command] = []
    for entry in journal:
        kind = entry.get("kind")
        if kind in SHELL_KINDS:
            continue
        make = _COMMANDS.get(str(kind))
        if make is None:
            raise SessionError(f"journal entry of kind {kind!r} is not known to this version: update it")
        with _reading(f"journal entry {entry['seq']} of kind {kind!r}"):
            command = make(entry)
            if isinstance(command, StartParent) and instruments is not None:
                _check_traded(command.spec, instruments)
            found.append(command)
    return sorted(found, key=lambda c: (c.recv_ns, c.seq))


def _check_traded(spec: ParentSpec, instruments: Sequence[Instrument]) -> None:
    if (spec.instrument, spec.symbol) not in [(i.number, i.symbol) for i in instruments]:
        raise ValueError(f"an order of {spec.symbol}, number {spec.instrument}, which the session lacks")


def _start(entry: Mapping[str, Any]) -> StartParent:
    spec, algos = _spec(entry["spec"]), entry["shadows"]
    if not isinstance(algos, list) or not all(isinstance(algo, str) for algo in algos):
        raise TypeError(f"shadows are {algos!r}, and not names")
    shadows = tuple(shadow_specs(spec, algos))
    return StartParent(int(entry["recv_ns"]), int(entry["seq"]), spec, shadows)


def _control(entry: Mapping[str, Any]) -> ControlParent:
    return ControlParent(
        int(entry["recv_ns"]),
        int(entry["seq"]),
        CommandKind(entry["command"]),
        entry["parent_id"],
        entry["command_id"],
        entry["amend"],
    )


def _reported(entry: Mapping[str, Any]) -> VenueReported:
    return VenueReported(int(entry["recv_ns"]), int(entry["seq"]), _report(entry["report"]))


def _abandoned(entry: Mapping[str, Any]) -> AbandonParents:
    return AbandonParents(int(entry["recv_ns"]), int(entry["seq"]), str(entry["reason"]))


def _resumed(entry: Mapping[str, Any]) -> SkipTime:
    from_ns, to_ns, at_ns = int(entry["from_ns"]), int(entry["to_ns"]), int(entry["recv_ns"])
    if not 0 <= from_ns <= at_ns <= to_ns < 2**62:
        raise ValueError(f"time lost from {from_ns} to {to_ns}, said at {at_ns}")
    unworkable = {str(symbol): str(why) for symbol, why in entry["unworkable"].items()}
    return SkipTime(at_ns, int(entry["seq"]), from_ns, to_ns, str(entry["cause"]), unworkable)


_COMMANDS: Mapping[str, Callable[[Mapping[str, Any]], Command]] = {
    "start": _start,
    "control": _control,
    REPORT: _reported,
    ABANDONED: _abandoned,
    RESUMED: _resumed,
}


def _report(raw: Mapping[str, Any]) -> Report:
    amount = raw["fee_amount"]
    typed = {
        "kind": ReportKind(raw["kind"]),
        "fee_amount": None if amount is None else Decimal(amount),
        "fee_tlp": int(raw.get("fee_tlp", 0)),
    }
    return Report(**{**raw, **typed})


_HINTS = get_type_hints(ParentSpec)
_ENUMS: Mapping[str, Callable[[Any], Any]] = {
    name: kind for name, kind in _HINTS.items() if isinstance(kind, type) and issubclass(kind, Enum)
}
"""Members of an order that JSON holds as a plain name or number."""


def _spec(raw: Mapping[str, Any]) -> ParentSpec:
    """Raises TypeError or ValueError where a member is none that an order has."""
    for name, value in raw.items():
        if name not in _ENUMS and not _fits(value, _HINTS.get(name)):
            raise TypeError(f"{name} of an order is {value!r}")
    spec = ParentSpec(**{k: _ENUMS[k](v) if k in _ENUMS else v for k, v in raw.items()})
    if not 0 < spec.interval_ns <= spec.max_duration_ns or spec.min_duration_ns < 0 or spec.target <= 0:
        raise ValueError(
            f"an order of {spec.target} within {spec.max_duration_ns} ns by {spec.interval_ns} ns"
        )
    return spec


def _fits(value: object, kind: Any) -> bool:
    """Whether JSON's value may stand where an order has a ``kind``: a number finite and of 64 bits."""
    kinds = get_args(kind) or (kind,)
    if get_origin(kind) is AbcMapping:
        return isinstance(value, dict) and all(_fits(inner, float) for inner in value.values())
    if value is None:
        return NoneType in kinds
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str in kinds and isinstance(value, str)
    return (
        math.isfinite(value)
        and abs(value) < 2**63
        and (float in kinds or (int in kinds and type(value) is int))
    )


def recorded_decisions(outcome: Sequence[str]) -> dict[str, Slice]:
    """The answers of a recorded run by decision id, from its canonical rows. Raises SessionError."""
    decisions: dict[str, Slice] = {}
    for number, row in enumerate(outcome, start=1):
        if row.startswith("DecisionTaken|"):
            with _reading(f"result row {number}"):
                members = _members(row)
                decisions[members["decision_id"]] = _decision(members)
    return decisions


def _decision(members: Mapping[str, str]) -> Slice:
    return Slice(
        share=float.fromhex(members["share"]),
        finish=members["finish"] == "yes",
        finish_probability=_real(members["finish_probability"]),
        reason=members["reason"],
        model=None if members["model"] == "-" else members["model"],
        history_bars=None if members["history_bars"] == "-" else int(members["history_bars"]),
        importances=_weights(members["importances"]),
        attention={int(k): v for k, v in _weights(members.get("attention", "")).items()},
        turns_at_bps=_real(members.get("turns_at_bps", "-")),
    )


def _members(row: str) -> dict[str, str]:
    """The members of a decision's row; its view of the order, in brackets, is passed over."""
    head, _, tail = row.partition("|view=(")
    flat = f"{head}|market_close={tail.split(')|market_close=', 1)[1]}"
    return dict(part.split("=", 1) for part in flat.split("|")[1:] if "=" in part)


def _real(text: str) -> float | None:
    return None if text == "-" else float.fromhex(text)


def _weights(text: str) -> dict[str, float]:
    inside = text.strip("{}")
    pairs = (item.rsplit(":", 1) for item in inside.split(",") if item)
    return {name: float.fromhex(value) for name, value in pairs}


def closing_ns(journal: Iterable[JsonObject]) -> int | None:
    """When a run began to close its session; None where it had not, and where somebody else closes it."""
    return next((int_in(entry, "recv_ns") for entry in journal if entry.get("kind") == CLOSING), None)
