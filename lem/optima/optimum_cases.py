"""Which programme answers which question: one case in, its exact optimum for every m out.

=============================================  ======================================================
TWAP                                           stopping (``programme_stopping``)
TWAP, participation > 0                        impact (``programme_impact``)
TWAP, risk aversion > 0                        impact and risk (``programme_risk``)
VWAP, volume sigma                             volume as a state (``programme_vwap``)
arrival, market                                known drift (``programme_arrival``)
a fixed notional at sigma > 0, TWAP or VWAP    simulated (``programme_stopping.notional_gain``)
=============================================  ======================================================

Everything else is refused: nobody has an exact optimum of it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.errors import InputError
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from lem.optima.impact_optimum import ImpactProgramme, solve_impact
from lem.optima.optimum_paths import Study, study
from lem.optima.programme import Terms
from lem.optima.risk_optimum import RiskProgramme, solve_risk
from lem.optima.stopping_optimum import StoppingProgramme, notional_gain, solve_stopping
from lem.optima.vwap_optimum import VwapProgramme, solve_vwap

BENCHMARKS = ("twap", "vwap")
TARGETS = ("quantity", "notional")
PATHS = 200_000  # where an answer is simulated
LONG = 24  # a table of every m of more intervals takes minutes
Programme = StoppingProgramme | ImpactProgramme | RiskProgramme | VwapProgramme


@dataclass(frozen=True, slots=True)
class Case:
    """A question. ``m`` None: every m. ``side``: matters to a notional at a finite ``sigma`` only."""

    n: int = 12
    m: int | None = None
    min_rate: float = DEFAULT_MIN_RATE
    max_rate: float = DEFAULT_MAX_RATE
    price: str = "walk"
    benchmark: str = "twap"
    volume_sigma: float | None = None
    participation: float = 0.0
    risk_aversion: float = 0.0
    target: str = "quantity"
    sigma: float | None = None
    side: int = 1
    simulate: int | None = None
    seed: int = 1

    def checked(self) -> Case:
        """Return itself. Raises InputError on a combination that has no programme."""
        problem = self._problem()
        if problem is not None:
            raise InputError(problem)
        return self

    def _problem(self) -> str | None:
        if self.benchmark not in BENCHMARKS or self.target not in TARGETS:
            return (
                f"benchmark {self.benchmark!r}, target {self.target!r}: the benchmark is"
                f" {' or '.join(BENCHMARKS)}, the target {' or '.join(TARGETS)}"
            )
        priced = self.participation != 0.0 or self.risk_aversion != 0.0
        if (self.benchmark == "vwap") != (self.volume_sigma is not None):
            return (
                f"benchmark {self.benchmark} with volume sigma {self.volume_sigma}: the vwap programme needs"
                " --volume-sigma (0.6 is usual), the twap one takes none"
            )
        if priced and (self.benchmark == "vwap" or self.sigma is not None):
            return (
                f"participation {self.participation:g} and risk aversion {self.risk_aversion:g}: impact and"
                " risk are solved against twap, as sigma -> 0: leave out --benchmark vwap and --sigma"
            )
        if self.sigma is not None and self.target != "notional":
            return (
                f"sigma {self.sigma:g} with a fixed quantity: its optimum is in units of sigma;"
                " give --sigma with --target notional only"
            )
        if self.m is None and (self.risk_aversion != 0.0 or (self.n > LONG and self._slow(priced))):
            return f"every m of n = {self.n} takes too long for this programme: give one, as in --m 0"
        return None

    def _slow(self, priced: bool) -> bool:
        return priced or self.benchmark == "vwap" or self.sigma is not None

    def terms(self, m: int) -> Terms:
        return Terms(self.n, m, self.min_rate, self.max_rate, self.price)

    def periods(self) -> list[int]:
        """The m that are asked for: every one that the min rate leaves possible, if none was named."""
        if self.m is not None:
            return [self.m]
        possible = [m for m in range(self.n + 1) if self.min_rate * (m - 1) < 1.0]
        return possible or [0]


@dataclass(frozen=True, slots=True)
class Answer:
    """``gain_sigma``: the optimum in units of sigma, net of impact; ``half_width``: 0 where exact.

    ``objective``: of the risk programme, whose gain is that of its simulated policy.
    """

    m: int
    gain_sigma: float
    half_width: float
    objective: float | None
    simulated: Study | None


def solve_case(case: Case, m: int) -> Programme:
    """Return the programme that answers ``case`` for one m. Raises InputError."""
    terms = case.checked().terms(m)
    if case.volume_sigma is not None:
        return solve_vwap(terms, case.volume_sigma)
    if case.risk_aversion != 0.0:
        return solve_risk(terms, case.participation, case.risk_aversion)
    if case.participation != 0.0:
        return solve_impact(terms, case.participation)
    return solve_stopping(terms)


def simulate_case(case: Case, programme: Programme, paths: int) -> Study:
    """Run a programme's policy on fresh paths. Raises InputError."""
    unit = programme.unit if isinstance(programme, ImpactProgramme | RiskProgramme) else 0.0
    return study(
        programme.run,
        programme.terms,
        paths,
        case.seed,
        side=case.side,
        unit=unit,
        risk_aversion=case.risk_aversion,
        volume_sigma=case.volume_sigma or 0.0,
        vwap=case.benchmark == "vwap",
    )


def answers(case: Case) -> Iterator[Answer]:
    """Yield the optimum for each m of ``case``. Raises InputError before the first."""
    for m in case.checked().periods():
        programme = solve_case(case, m)
        simulated = simulate_case(case, programme, case.simulate) if case.simulate is not None else None
        if isinstance(programme, RiskProgramme):
            ran = simulated or simulate_case(case, programme, PATHS)
            yield Answer(m, ran.net, ran.half_width, programme.objective, simulated)
        elif case.sigma is not None and isinstance(programme, StoppingProgramme | VwapProgramme):
            found = notional_gain(programme, case.side, case.sigma, case.simulate or PATHS, case.seed)
            yield Answer(m, found.gain_sigma, found.half_width, None, simulated)
        else:
            yield Answer(m, programme.gain_sigma, 0.0, None, simulated)
