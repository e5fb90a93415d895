"""The top of an evaluation's page: which model on what data with which orders, and the plainest answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.pages.elements import Tile
from agent.pages.numbers import PERCENT, Number, decimals_for
from agent.pages.source import Source
from lem.page.evaluation_charts import min_period

MARKETS = {
    "gaussian": "a simulated driftless Gaussian walk",
    "gaussian-bars": "a simulated driftless Gaussian walk, seen as bars (an interval's price is its average)",
    "gaussian-volume": "a simulated driftless Gaussian walk with lognormal volume",
    "gaussian-bars-volume": "a simulated driftless Gaussian walk seen as bars, with lognormal volume",
}
NAMED = 3  # series in a title


@dataclass(frozen=True, slots=True)
class Data:
    """The data of one document. ``overlap``: how many orders of a series run at a time, if more than one."""

    where: str
    sigma_bps: Number | None
    days: tuple[str, str] | None
    overlap: str
    series: str


@dataclass(frozen=True, slots=True)
class Orders:
    """``percent``: of the market's volume in n intervals; 0 where the orders do not move the market, whose
    impact is priced at ``priced_percent`` all the same."""

    risk_aversion: str
    percent: str
    priced_percent: str
    arrival_weight: str
    seed: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is needed to know, and to make, the same numbers again; "" and None where a document has none."""

    model: str
    digest: str
    data_digest: str
    command: str
    data: Data | None
    orders: Orders | None
    bound_is: str
    volume_curve: str
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline numbers, most of them at min period ``m``."""

    tiles: tuple[Tile, ...]
    m: int


def where(sources: Sequence[Source]) -> str:
    """The data of one document, or of several that differ in their interval, in a few words."""
    each = [text for source in sources if (text := source.duration("interval_ns"))]
    intervals = " and ".join(p for p in (", ".join(each[:-1]), *each[-1:]) if p)
    market = sources[0].text("market")
    if market:
        what = MARKETS.get(market, f"the simulated market {market!r}")
        return f"{what}, intervals of {intervals}" if intervals else what
    names = sources[0].texts("bars")
    some = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return f"{intervals} bars of {some}".lstrip()


def facts(source: Source, command: bool = True) -> Facts:
    """The facts of a document, or what several together share; ``command``: with the one that made it."""
    one = source.find("rows") is not None
    reasons = source.entries("left_out")
    return Facts(
        model=Path(source.text("model")).name,
        digest=source.text("digest"),
        data_digest=source.text("data_digest"),
        command=source.text("reproduce") if command else "",
        data=_data(source) if one else None,
        orders=_orders(source) if one else None,
        bound_is=source.text("bound_is"),
        volume_curve=source.text("volume_curve"),
        left_out={reason.name.replace("_", " "): reason.text() for reason in reasons},
    )


def _data(source: Source) -> Data:
    first, last = source.real("data/from_ns"), source.real("data/to_ns")
    overlap, names = source.real("overlap") or 1.0, source.texts("bars")
    decimals = decimals_for(1e4 * (source.real("sigma") or 1e-4))
    return Data(
        where=where([source]),
        sigma_bps=source.number("sigma", decimals, 1e4),
        days=None if first is None or last is None else (_day(first), _day(last)),
        overlap=f"{overlap:.3g}" if overlap > 1.0 else "",
        series=", ".join(names) if len(names) > NAMED else "",
    )


def _day(ns: float) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d")


def _orders(source: Source) -> Orders:
    return Orders(
        risk_aversion=f"{source.real('risk_aversion') or 0.0:g}",
        percent=_percent(source.real("participation")),
        priced_percent=_percent(source.real("impact_participation") or 0.05),
        arrival_weight=f"{source.real('arrival_weight'):g}" if source.real("arrival_weight") else "",
        seed=source.text("seed"),
    )


def _percent(share: float | None) -> str:
    return f"{100 * share:g}" if share else ""


def tiles(source: Source, decimals: int) -> Tiles | None:
    """The plainest scenario's numbers: fixed quantity against TWAP, the smallest m, each side."""
    rows = source.entries("rows")
    plain = [r for r in rows if (r.text("target_kind"), r.text("benchmark")) == ("quantity", "twap")]
    if not plain:
        return None
    least = min(map(min_period, plain))
    rows = [r for r in plain if min_period(r) == least]
    sides = " / ".join(r.text("side") for r in rows)
    kept = all(r.real("regret/fraction_of_bound") is not None for r in rows)
    bound = "of the bound" + (" of orders that move no price" if source.real("participation") else "")
    made = [
        _tile(rows, "gain_bps/mean", f"mean gain, {sides}", decimals),
        _tile(rows, "regret/fraction_of_bound", f"{bound}, by regret")
        if kept
        else _tile(rows, "fraction_of_bound", bound),
        _tile(rows, "gain_bps/std", "standard deviation from order to order", decimals),
        _tile(rows, "gain_after_impact_bps_mean", "mean gain after impact", decimals),
        _tile(rows, "impact/above_better_rule_bps", "after impact, above the better rule", decimals),
        _tile(rows, "impact/fraction_of_programme", "of what the optimum adds to TWAP, after impact"),
        *(_overall(row, bound) for row in source.entries("summary")),
    ]
    return Tiles(tuple(tile for tile in made if tile is not None), least)


def _tile(rows: list[Source], path: str, what: str, bps_decimals: int | None = None) -> Tile | None:
    """A number of each row side by side, None where one is missing: in bps, or else a fraction in percent."""
    found = [
        r.number(path, 1, PERCENT) if bps_decimals is None else r.number(path, bps_decimals) for r in rows
    ]
    numbers = tuple(number for number in found if number is not None)
    unit = "%" if bps_decimals is None else "bps"
    return Tile(numbers, unit, what) if len(numbers) == len(rows) else None


def _overall(row: Source, bound: str) -> Tile | None:
    """The summary over all scenarios, beside the stopping rule's."""
    share = row.number("fraction_of_bound", 1, PERCENT)
    if row.text("target_kind") != "all" or share is None:
        return None
    rule = row.number("rule_fraction_of_bound", 1, PERCENT)
    what = f"{bound} over all scenarios with room to stop"
    return Tile((share,), "%", f"{what}; the stopping rule" if rule else what, rule)
