"""The same session with impact off and on, side by side: what our own flow costs, by the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.app.replay_session import Replayed, recorded_config, replay_session
from agent.calibration.session_calibration import calibrate_session, law_of
from agent.config import Config, ImpactParameters, parse_config
from agent.core.errors import InputError
from agent.summary import ParentRecord, number
from storage.recordings.session import SessionReader

MEASURES = ("gain_bps", "full_gain_bps", "arrival_slippage_bps")


@dataclass(frozen=True, slots=True)
class ImpactComparison:
    """Two replays of one session. ``sources`` says where each symbol's law comes from."""

    off: Replayed
    on: Replayed
    laws: Mapping[str, ImpactParameters]
    sources: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        laws = {s: {**law.model_dump(), "source": self.sources[s]} for s, law in self.laws.items()}
        return {
            "session": self.off.session,
            "laws": laws,
            "compared": self.rows(),
            "off": self.off.to_json(),
            "on": self.on.to_json(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One a parent or shadow: each measure as {off, on}, and what impact took."""
        off, on = self.off.summary.records, self.on.summary.records
        instruments = self.on.summary.instruments
        return [
            {
                "id": parent_id,
                "shadow_of": record.changed.spec.shadow_of,
                "algo": record.changed.spec.algo,
                "state": {"off": off[parent_id].changed.state.value, "on": record.changed.state.value},
                "filled": {"off": _filled(off[parent_id]), "on": _filled(record)},
                **{m: {"off": _own(off[parent_id], m), "on": _own(record, m)} for m in MEASURES},
                "impact": record.impact.to_json(instruments[record.changed.spec.instrument]),
            }
            for parent_id, record in on.items()
            if parent_id in off
        ]


def _own(record: ParentRecord, measure: str) -> Any:
    return number(getattr(record.own, measure)) if record.own is not None else None


def _filled(record: ParentRecord) -> float:
    """Share of the target."""
    changed = record.changed
    done = changed.filled_lots if changed.spec.target_kind == "quantity" else changed.filled_tl
    return done / changed.spec.target


def compare_impact(path: Path, config: Config | None, *, override: bool) -> ImpactComparison:
    """Replay ``path`` without and with impact. Raises as ``replay_session`` and ``calibrate_session`` do.

    Symbols without a law in the configuration get the one that the session itself is calibrated to.
    """
    reader = SessionReader(path)
    config = config or recorded_config(reader)
    laws, sources = _laws(reader, config)
    named = {symbol: law.model_dump() for symbol, law in laws.items()}

    def run(**venue: Any) -> Replayed:
        whole = config.model_dump()
        whole["venue"].update(venue)
        chosen = parse_config(whole, "configuration")
        return replay_session(path, chosen, override=override, verify=False, speed=None)

    return ImpactComparison(run(impact="off"), run(impact="sqrt", impact_laws=named), laws, sources)


def _laws(reader: SessionReader, config: Config) -> tuple[dict[str, ImpactParameters], dict[str, str]]:
    laws = dict(config.venue.impact_laws)
    sources = dict.fromkeys(laws, "the configuration")
    missing = [i for i in reader.instruments if i.symbol not in laws]
    if not missing:
        return laws, sources
    found = calibrate_session(reader)
    for instrument in missing:
        symbol = instrument.symbol
        if symbol not in found.estimates:
            raise InputError(
                f"{symbol} has no law in venue.impact_laws, and this session gives none: "
                + found.refused[symbol]
            )
        law, basis = law_of(found.estimates[symbol], instrument)
        laws[symbol] = ImpactParameters.model_validate(law)
        sources[symbol] = f"this session ({basis})"
    return laws, sources
