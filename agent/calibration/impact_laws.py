"""From estimates to the square-root law that a configuration holds (``venue.impact_laws``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypedDict

from agent.calibration.estimate import SURE, Estimates
from agent.core.instrument import Instrument
from agent.core.types import NS_PER_S
from agent.durations import format_duration

USUAL_HALF_LIFE_NS = 300 * NS_PER_S
USUAL_Y = 1.0


class LawDocument(TypedDict):
    """One entry of ``venue.impact_laws``."""

    y: float
    sigma_bps_per_day: float
    volume_per_day: float  # in the symbol's own quantity
    decay: str  # half-life, as in 5m


@dataclass(frozen=True, slots=True)
class CalibratedLaw:
    """A symbol's law, where its coefficient and half-life come from, and the estimates behind it."""

    law: LawDocument
    basis: str
    estimates: Estimates

    def to_json(self) -> dict[str, object]:
        return {"impact": self.law, "basis": self.basis, "estimates": asdict(self.estimates)}


def calibrated_law(found: Estimates, instrument: Instrument) -> CalibratedLaw:
    """Coefficient and half-life fitted together where the tape identifies both.

    Else the coefficient of the window that has it best, with the usual half-life; else both usual.
    """
    fading = found.fading
    y, half_life_ns = USUAL_Y, USUAL_HALF_LIFE_NS
    basis = "assumed: the tape shows no impact that is not noise"
    sure = [w.y for w in found.windows if w.y.value > SURE * w.y.error]
    if fading.identified:
        y, half_life_ns, basis = fading.y.value, round(fading.half_life_s * NS_PER_S), "fitted together"
    elif sure:
        y = min(sure, key=lambda e: e.error / e.value).value
        basis = "y from windows; the tape is too short to tell a half-life, the usual one is assumed"
    law: LawDocument = {
        "y": _four_digits(y),
        "sigma_bps_per_day": _four_digits(found.sigma_bps.value),
        "volume_per_day": _four_digits(found.volume_lots.value * float(instrument.lot)),
        "decay": format_duration(max(half_life_ns // 10**6, 1) * 10**6),
    }
    return CalibratedLaw(law, basis, found)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")
