"""How the pages name and draw strategies and scenarios: the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.pages.elements import LegendEntry
from agent.pages.plot import legend_entry
from agent.pages.source import Source

TARGETS = {"quantity": "fixed quantity", "notional": "fixed notional"}
FIXED = ("twap", "vwap_curve", "almgren_chriss")
NAMES = ("lem", "optimal_impact", "optimal_risk", "optimal_stopping", "dump", *FIXED)


@dataclass(frozen=True, slots=True)
class Look:
    """``label`` in words; ``colour`` a variable of the page; matplotlib's line ``style`` and ``marker``."""

    label: str
    colour: str
    style: str
    marker: str


LOOKS = {
    "lem": Look("the model", "s-lem", "-", "o"),
    "bound": Look("the bound", "s-bound", "--", ""),
    "programme": Look("the exact optimum", "s-bound", "--", "D"),
    "optimal_impact": Look("optimum of the mean, with impact", "s-impact", "-", "P"),
    "optimal_risk": Look("optimum at this risk aversion", "s-bound", "--", "D"),
    "optimal_stopping": Look("even until the optimal stop", "s-stop", "-", "s"),
    "dump": Look("all at the optimal stop", "s-dump", "-", "v"),
    "twap": Look("TWAP", "s-twap", ":", "D"),
    "vwap_curve": Look("VWAP curve", "s-curve", "-.", "^"),
    "almgren_chriss": Look("Almgren-Chriss", "s-ac", "--", "X"),
}


def look(name: str) -> Look:
    return LOOKS.get(name, Look(name.replace("_", " "), "soft", "-", "o"))


def legend(names: Iterable[str]) -> tuple[LegendEntry, ...]:
    """An entry for each strategy."""
    looks = map(look, names)
    return tuple(legend_entry(one.label, one.colour, one.style, one.marker) for one in looks)


def strategies(rows: Iterable[Source]) -> list[str]:
    """The baselines that any row has, in the pages' order; unknown ones last."""
    present = {name for row in rows for name in row.keys("baselines")}
    return [n for n in NAMES if n in present] + sorted(present - set(NAMES))


def target_and_benchmark(row: Source) -> str:
    """As in "fixed quantity, against VWAP"."""
    kind = row.text("target_kind")
    return f"{TARGETS.get(kind, kind)}, against {row.text('benchmark').upper()}"
