"""The same session replayed with impact off and on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.app.replay_session import Replayed, recorded_config, replay_session
from agent.calibration.impact_effect import ComparedOrder, compare_orders, laws_for
from agent.config import Config, ImpactParameters, parse_config
from storage.recordings.session import SessionReader


@dataclass(frozen=True, slots=True)
class ImpactComparison:
    """Two replays of one session. ``sources`` says where each symbol's law comes from."""

    off: Replayed
    on: Replayed
    laws: Mapping[str, ImpactParameters]
    sources: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        laws = {s: {**law.model_dump(), "source": self.sources[s]} for s, law in self.laws.items()}
        return {
            "session": self.off.session,
            "laws": laws,
            "compared": self.orders(),
            "off": self.off.to_json(),
            "on": self.on.to_json(),
        }

    def orders(self) -> list[ComparedOrder]:
        return compare_orders(self.off.summary, self.on.summary)


def compare_impact(path: Path, config: Config | None, *, override: bool) -> ImpactComparison:
    """Replay ``path`` without and with impact. Raises as ``replay_session`` and ``laws_for`` do.

    Symbols without a law in the configuration get the one that the session itself is calibrated to.
    """
    reader = SessionReader(path)
    config = config or recorded_config(reader)
    laws, sources = laws_for(reader, config.venue.impact_laws)
    named = {symbol: law.model_dump() for symbol, law in laws.items()}

    def run(**venue: object) -> Replayed:
        whole = config.model_dump()
        whole["venue"].update(venue)
        chosen = parse_config(whole, "configuration")
        return replay_session(path, chosen, override=override, verify=False, speed=None)

    return ImpactComparison(run(impact="off"), run(impact="sqrt", impact_laws=named), laws, sources)
