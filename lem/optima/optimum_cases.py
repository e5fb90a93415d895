"""One case in, its exact optimum for every min duration out: which of the optima is meant.

=============================================  ======================================================
TWAP                                           ``stopping_optimum``
TWAP, participation > 0                        ``impact_optimum``
TWAP, risk aversion > 0                        ``risk_optimum``, with impact
VWAP, volume sigma                             ``vwap_optimum``: volume is a state
arrival, market                                ``arrival_optimum`` (``lem bound`` calls it itself)
a fixed notional at sigma > 0, TWAP or VWAP    ``notional_gain``: simulated
=============================================  ======================================================

Every other combination is refused: its exact optimum is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.errors import InputError
from agent.core.orders.order_defaults import NO_MAX_RATE, NO_MIN_RATE
from lem.optima.impact_optimum import ImpactOptimum, solve_impact
from lem.optima.notional_gain import notional_gain
from lem.optima.optimum_paths import Study, study
from lem.optima.optimum_terms import Terms
from lem.optima.risk_optimum import RiskOptimum, solve_risk
from lem.optima.stopping_optimum import StoppingOptimum, solve_stopping
from lem.optima.vwap_optimum import VwapOptimum, solve_vwap

BENCHMARKS = ("twap", "vwap")
TARGETS = ("quantity", "notional")
PATHS = 200_000  # where a gain is simulated
LONG = 24  # a table of every m of more intervals takes minutes
Optimum = StoppingOptimum | ImpactOptimum | RiskOptimum | VwapOptimum


@dataclass(frozen=True, slots=True)
class Case:
    """What to solve for. ``m`` None: every m. ``side``: matters to a notional at a finite ``sigma`` only.

    ``n``, ``m``: intervals; rates: shares of the order an interval; ``participation``: the order as a share
    of the market's volume in n intervals; ``sigma``: volatility of an interval, a fraction of the price;
    ``simulate``: paths on which the policy is run too.
    """

    n: int = 12
    m: int | None = None
    min_rate: float = NO_MIN_RATE
    max_rate: float = NO_MAX_RATE
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
        """Return itself. Raises InputError on a combination whose optimum is not known."""
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
                f"benchmark {self.benchmark} with volume sigma {self.volume_sigma}: the vwap optimum needs"
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
            return f"every m of n = {self.n} takes too long for this optimum: give one, as in --m 0"
        return None

    def _slow(self, priced: bool) -> bool:
        return priced or self.benchmark == "vwap" or self.sigma is not None

    def terms(self, m: int) -> Terms:
        return Terms(self.n, m, self.min_rate, self.max_rate, self.price)

    def periods(self) -> list[int]:
        """The m to solve for: the case's own, or every one that the min rate leaves possible."""
        if self.m is not None:
            return [self.m]
        possible = [m for m in range(self.n + 1) if self.min_rate * (m - 1) < 1.0]
        return possible or [0]


@dataclass(frozen=True, slots=True)
class CaseOptimum:
    """``gain_sigma``: the optimum in units of sigma, net of impact; ``half_width``: 0 where exact.

    ``objective``: of the risk optimum, whose gain is that of its simulated policy.
    """

    m: int
    gain_sigma: float
    half_width: float
    objective: float | None
    simulated: Study | None


def solve_case(case: Case, m: int) -> Optimum:
    """Return the optimum of ``case`` for one m. Raises InputError."""
    terms = case.checked().terms(m)
    if case.volume_sigma is not None:
        return solve_vwap(terms, case.volume_sigma)
    if case.risk_aversion != 0.0:
        return solve_risk(terms, case.participation, case.risk_aversion)
    if case.participation != 0.0:
        return solve_impact(terms, case.participation)
    return solve_stopping(terms)


def simulate_case(case: Case, optimum: Optimum, paths: int) -> Study:
    """Run an optimum's policy on fresh paths. Raises InputError."""
    unit = optimum.unit if isinstance(optimum, ImpactOptimum | RiskOptimum) else 0.0
    return study(
        optimum.run,
        optimum.terms,
        paths,
        case.seed,
        side=case.side,
        unit=unit,
        risk_aversion=case.risk_aversion,
        volume_sigma=case.volume_sigma or 0.0,
        vwap=case.benchmark == "vwap",
    )


def case_optima(case: Case) -> Iterator[CaseOptimum]:
    """Yield the optimum for each m of ``case``. Raises InputError before the first."""
    for m in case.checked().periods():
        optimum = solve_case(case, m)
        simulated = simulate_case(case, optimum, case.simulate) if case.simulate is not None else None
        if isinstance(optimum, RiskOptimum):
            ran = simulated or simulate_case(case, optimum, PATHS)
            yield CaseOptimum(m, ran.net, ran.half_width, optimum.objective, simulated)
        elif case.sigma is not None and isinstance(optimum, StoppingOptimum | VwapOptimum):
            found = notional_gain(optimum, case.side, case.sigma, case.simulate or PATHS, case.seed)
            yield CaseOptimum(m, found.gain_sigma, found.half_width, None, simulated)
        else:
            yield CaseOptimum(m, optimum.gain_sigma, 0.0, None, simulated)
