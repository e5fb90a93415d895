"""Names of the pure schedules, and what their parameters may be.

The model's own algo, ``lem``, is built by the composition root, because it carries a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from math import inf, isfinite

from agent.algos.almgren_chriss import AlmgrenChriss
from agent.algos.immediate import Immediate
from agent.algos.pov import Pov
from agent.algos.twap import Twap
from agent.algos.vwap import Vwap, VwapDynamic
from agent.core.errors import InputError, InternalError, OrderError
from agent.core.ports import Algo


def _optimal_stopping() -> Algo:
    # Its dynamic programme compiles with numba, so it is imported only where it is used.
    module = import_module("agent.algos.optimal_stopping")
    algo: Algo = module.OptimalStopping()
    return algo


ALGOS: Mapping[str, Callable[[], Algo]] = {
    "immediate": Immediate,
    "twap": Twap,
    "vwap": Vwap,
    "vwap_dynamic": VwapDynamic,
    "pov": Pov,
    "almgren_chriss": AlmgrenChriss,
    "optimal_stopping": _optimal_stopping,
}


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a parameter; ``above`` excludes the lower one."""

    low: float
    high: float = inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (
            isfinite(value) and (value > self.low if self.above else value >= self.low) and value <= self.high
        )

    def __str__(self) -> str:
        return f"{'above' if self.above else 'at least'} {self.low:g}" + (
            f" and at most {self.high:g}" if isfinite(self.high) else ""
        )


PARAMS: Mapping[str, Mapping[str, Range]] = {
    "vwap_dynamic": {"persistence": Range(0.0, 0.999)},
    "pov": {"rate": Range(0.0, 1.0, above=True)},
    "almgren_chriss": {"eta": Range(0.0, above=True), "gamma": Range(0.0), "lambda": Range(0.0)},
}


def create(name: str, also: Iterable[str] = ()) -> Algo:
    """Build the schedule called ``name``. Raises InputError naming the nearest (of ``also``, too)."""
    factory = ALGOS.get(name)
    if factory is None:
        raise InputError(unknown_algo(name, also))
    return factory()


def unknown_algo(name: str, also: Iterable[str] = ()) -> str:
    """Return the message for a name that is none, with the nearest that are."""
    names = sorted({*ALGOS, *also})
    near = get_close_matches(name, names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown algo {name!r}: {hint}use one of {', '.join(names)}"


def check_params(name: str, params: Mapping[str, float]) -> None:
    """Refuse parameters an algo does not have, or out of range. Raises OrderError."""
    if name not in ALGOS:
        raise InternalError(f"parameters of {name!r} cannot be checked here: it is not a pure schedule")
    known = PARAMS.get(name, {})
    for key, value in params.items():
        if key not in known:
            takes = ", ".join(known) or "none"
            raise OrderError(f"algo {name} has no parameter {key!r}: it takes {takes}")
        if value not in known[key]:
            raise OrderError(f"parameter {key} of algo {name} is {value:g}: it must be {known[key]}")
    if name == "almgren_chriss" and params.get("gamma", 0.0) > 0:
        eta = params.get("eta")
        if eta is None or params["gamma"] >= 2 * eta:
            raise OrderError(
                f"parameter gamma of algo almgren_chriss is {params['gamma']:g}, eta is {eta}:"
                " give an eta above gamma / 2"
            )
