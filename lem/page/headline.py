"""What was asked, of which model, on what data, and the answer: in words for somebody from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent.pages.markup import Markup, join, tag
from lem.page.source import PERCENT, Source, decimals_for

MARKETS = {
    "gaussian": "a simulated driftless Gaussian walk",
    "gaussian-bars": "a simulated driftless Gaussian walk, seen as bars (an interval's price is its average)",
    "gaussian-volume": "a simulated driftless Gaussian walk with lognormal volume",
    "gaussian-bars-volume": "a simulated driftless Gaussian walk seen as bars, with lognormal volume",
}


def day(ns: float) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d")


def where(source: Source) -> str:
    """The data in a few words."""
    return where_all([source])


def where_all(sources: list[Source]) -> str:
    """The data of several documents that differ in their interval."""
    each = [text for source in sources if (text := source.duration("interval_ns"))]
    intervals = " and ".join(p for p in (", ".join(each[:-1]), *each[-1:]) if p)
    market = sources[0].find("market")
    if market:
        told = MARKETS.get(market, f"the simulated market {market!r}")
        return f"{told}, intervals of {intervals}" if intervals else told
    names = [str(name) for name in sources[0].find("bars") or []]
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{intervals} bars of {some}".lstrip()


def lead(sources: list[Source]) -> Markup:
    """One paragraph: the task that the model was given."""
    n = sources[0].find("n")
    units = [text for source in sources if (text := source.duration("interval_ns"))]
    each = f" of {units[0]}" if len(set(units)) == 1 else ""
    return tag(
        "p",
        "A model decided, interval by interval and knowing only the past, how much of each order to trade"
        f" and when to finish. An order had to be complete within n = {n} intervals{each} and not before the"
        " min period m. Its gain is how much better its average price was than the market's own average over"
        " the time it took. The bound is the most that any such policy can gain on average where prices"
        " cannot be predicted. The rules beside the model traded the same paths.",
        class_="lead",
    )


def facts(source: Source, command: bool = True) -> Markup:
    """What is needed to know, and (``command``) to make, the same numbers again."""
    model = join(Path(str(source.find("model"))).name, ", digest ", tag("code", str(source.find("digest"))))
    rows: list[tuple[str, str]] = [("model", model)]
    one = source.find("rows") is not None  # else these are the facts of several documents together
    rows += [("data", _data(source))] if one else []
    for name, key in (("data digest", "data_digest"), ("made with", "reproduce")):
        if source.find(key) and (command or key != "reproduce"):
            text = str(source.find(key))
            rows.append((name, tag("pre", text) if key == "reproduce" else tag("code", text)))
    rows += [("asked", _asked(source))] if one else []
    for name, key in (("bound", "bound_is"), ("volume curve", "volume_curve")):
        if source.find(key):
            rows.append((name, str(source.find(key))))
    rows += [
        (f"no {what.replace('_', ' ')}", str(why)) for what, why in (source.find("left_out") or {}).items()
    ]
    return tag("dl", *(join(tag("dt", a), tag("dd", b)) for a, b in rows), class_="facts")


def _data(source: Source) -> Markup:
    sigma = source.number("sigma", decimals_for(1e4 * (source.real("sigma") or 1e-4)), 1e4)
    parts: list[str] = [where(source), "; sigma ", sigma, " bps an interval"]
    first, last = source.real("data/from_ns"), source.real("data/to_ns")
    if first is not None and last is not None:
        parts.append(f"; {day(first)} to {day(last)}")
    if (overlap := source.real("overlap") or 1.0) > 1.0:
        parts.append(f"; orders overlap, {overlap:.3g} of a series at a time")
    names = source.find("bars") or []
    if len(names) > 3:
        parts.append(f" ({', '.join(map(str, names))})")
    return join(*parts)


def _asked(source: Source) -> str:
    share = source.real("participation") or 0.0
    priced = source.real("impact_participation") or 0.05
    size = f"orders of {100 * share:g} % of the market's volume in n intervals"
    if not share:
        size = (
            f"orders told that they do not move the market, their impact priced at {100 * priced:g} % of it"
        )
    parts = [f"risk aversion {source.real('risk_aversion') or 0.0:g}", size]
    if source.real("arrival_weight"):
        parts.append(f"weight {source.real('arrival_weight'):g} of the arrival price in the aim")
    return "; ".join([*parts, f"seed {source.find('seed')}"])


def tiles(source: Source, decimals: int) -> Markup:
    """The plainest scenario's numbers: fixed quantity against TWAP, the smallest m, each side."""
    plain = [
        r
        for r in source.parts("rows")
        if (r.find("target_kind"), r.find("benchmark")) == ("quantity", "twap")
    ]
    if not plain:
        return Markup()
    least = min(r.find("min_period") for r in plain)
    rows = [r for r in plain if r.find("min_period") == least]
    sides = " / ".join(r.find("side") for r in rows)
    kept = all(r.real("regret/fraction_of_bound") is not None for r in rows)
    made = [
        _tile(rows, "gain_bps/mean", f"mean gain, {sides}", decimals),
        _tile(rows, "regret/fraction_of_bound", "of the bound, by regret", 1, PERCENT)
        if kept
        else _tile(rows, "fraction_of_bound", "of the bound", 1, PERCENT),
        _tile(rows, "gain_bps/std", "standard deviation from order to order", decimals),
        _tile(rows, "gain_after_impact_bps_mean", "mean gain after impact", decimals),
        _tile(rows, "impact/above_better_rule_bps", "after impact, above the better rule", decimals),
        _tile(
            rows, "impact/fraction_of_programme", "of what the optimum adds to TWAP, after impact", 1, PERCENT
        ),
        *_overall(source),
    ]
    note = tag("p", f"Fixed quantity against TWAP, m = {least}, where nothing else is said.", class_="soft")
    return join(tag("div", *made, class_="tiles"), note)


def _tile(rows: list[Source], path: str, what: str, decimals: int, scale: float = 1.0) -> Markup:
    """A number of each row side by side, or nothing where one is missing."""
    values = [r.number(path, decimals, scale) for r in rows]
    if not all(values):
        return Markup()
    numbers = join(values[0], *(join(" / ", v) for v in values[1:]))
    unit = tag("small", " %" if scale == PERCENT else " bps")
    return tag("div", tag("b", numbers, unit), tag("span", what), class_="tile")


def _overall(source: Source) -> list[Markup]:
    """The summary over all scenarios, beside the stopping rule's."""
    out = []
    for one in source.parts("summary"):
        share = one.number("fraction_of_bound", 1, PERCENT)
        if one.find("target_kind") == "all" and share:
            rule = one.number("rule_fraction_of_bound", 1, PERCENT)
            told = join("of the bound over all scenarios with room to stop; the stopping rule ", rule, " %")
            out.append(tag("div", tag("b", share, tag("small", " %")), tag("span", told), class_="tile"))
    return out
