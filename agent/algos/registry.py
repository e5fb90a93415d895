"""Names of the pure schedules, and what their parameters may be.

The model's own algo, ``lem``, is built by the composition root, because it carries a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from math import inf, isfinite

from agent.algos.almgren_chriss import AlmgrenChriss
from agent.algos.immediate import Immediate
from agent.algos.pov import Pov
from agent.algos.twap import Twap
from agent.algos.vwap import Vwap, VwapDynamic
from agent.core.errors import InputError, OrderError
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
    "pov": {"rate": Range(0.0, 1.0, above=True), "complete": Range(0.0, 1.0)},
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


def check_params(algos: Sequence[str], params: Mapping[str, float]) -> None:
    """Refuse parameters that none of an order's ``algos`` has, or that are out of range. Raises OrderError.

    ``algos``: the order's own and those of its shadows, which get the same parameters. The model has none.
    """
    for key, value in params.items():
        ranges = {name: PARAMS[name][key] for name in algos if key in PARAMS.get(name, {})}
        if not ranges:
            raise OrderError(_unknown_param(key, algos))
        for name, allowed in ranges.items():
            if value not in allowed:
                raise OrderError(f"parameter {key} of algo {name} is {value:g}: it must be {allowed}")
    if "almgren_chriss" in algos and params.get("gamma", 0.0) > 0:
        eta = params.get("eta")
        if eta is None or params["gamma"] >= 2 * eta:
            raise OrderError(
                f"parameter gamma of algo almgren_chriss is {params['gamma']:g}, eta is {eta}:"
                " give an eta above gamma / 2"
            )


def _unknown_param(key: str, algos: Sequence[str]) -> str:
    known = sorted({name for algo in algos for name in PARAMS.get(algo, {})})
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    alone = len(set(algos)) == 1
    whose = f"algo {algos[0]} has" if alone else f"algos {', '.join(dict.fromkeys(algos))} have"
    takes = f"{'it takes' if alone else 'they take'} {', '.join(known) or 'none'}"
    return f"{whose} no parameter {key!r}: {hint}{takes}"
