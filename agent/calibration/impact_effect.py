"""Two replays of one session, with impact off and on, compared order by order: what our own flow costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict

from agent.calibration.session_calibration import calibrate_session
from agent.config import ImpactParameters
from agent.core.errors import InputError
from agent.core.events import SlippageMeasured
from agent.core.ports import SessionReader
from agent.parent_record import ImpactDocument, ParentRecord
from agent.summary import DIFFERENCES, FlagsDocument, Summary, finite, flags_of

MEASURES = frozenset(DIFFERENCES.values())


class OffAndOn(TypedDict):
    """A number without impact and with it; None where it is not known."""

    off: float | None
    on: float | None


class StateOffAndOn(TypedDict):
    off: str
    on: str


class FlagsOffAndOn(TypedDict):
    off: FlagsDocument
    on: FlagsDocument


class ComparedOrder(TypedDict):
    """A parent or shadow in both replays."""

    id: str
    shadow_of: str | None
    algo: str
    state: StateOffAndOn
    filled: OffAndOn  # share of the target
    gain_bps: OffAndOn  # positive is good, as is the next
    full_gain_bps: OffAndOn
    arrival_slippage_bps: OffAndOn  # positive is cost
    flags: FlagsOffAndOn  # of these measures
    impact: ImpactDocument | None


def compare_orders(off: Summary, on: Summary) -> list[ComparedOrder]:
    """One a parent or shadow that is in both."""
    return [
        _compared(parent_id, off.records[parent_id], record, on)
        for parent_id, record in on.records.items()
        if parent_id in off.records
    ]


def _compared(parent_id: str, off: ParentRecord, on: ParentRecord, summary: Summary) -> ComparedOrder:
    spec = on.changed.spec
    return {
        "id": parent_id,
        "shadow_of": spec.shadow_of,
        "algo": spec.algo,
        "state": {"off": off.changed.state.value, "on": on.changed.state.value},
        "filled": {"off": off.filled_share, "on": on.filled_share},
        "gain_bps": _both(off, on, lambda own: own.gain_bps),
        "full_gain_bps": _both(off, on, lambda own: own.full_gain_bps),
        "arrival_slippage_bps": _both(off, on, lambda own: own.arrival_slippage_bps),
        "flags": {"off": _flags(off), "on": _flags(on)},
        "impact": on.impact.to_json(summary.instruments[spec.instrument]),
    }


def _flags(record: ParentRecord) -> FlagsDocument:
    """What the compared measures stand on."""
    return {m: f for m, f in flags_of(record.own).items() if m in MEASURES} if record.own else {}


def _both(
    off: ParentRecord, on: ParentRecord, measure: Callable[[SlippageMeasured], float | None]
) -> OffAndOn:
    before, after = (finite(measure(record.own)) if record.own else None for record in (off, on))
    return {"off": before, "on": after}


def laws_for(
    reader: SessionReader, configured: Mapping[str, ImpactParameters]
) -> tuple[dict[str, ImpactParameters], dict[str, str]]:
    """Each symbol's law, and where it comes from: the configuration, else the session's own calibration.

    Raises InputError for a symbol that neither gives one.
    """
    laws = dict(configured)
    sources = dict.fromkeys(laws, "the configuration")
    missing = [i for i in reader.instruments if i.symbol not in laws]
    if not missing:
        return laws, sources
    found = calibrate_session(reader)
    for instrument in missing:
        symbol = instrument.symbol
        if symbol not in found.laws:
            raise InputError(
                f"{symbol} has no law in venue.impact_laws, and this session gives none: "
                + found.refused[symbol]
            )
        calibrated = found.laws[symbol]
        laws[symbol] = ImpactParameters.model_validate(calibrated.law)
        sources[symbol] = f"this session ({calibrated.basis})"
    return laws, sources
