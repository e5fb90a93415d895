"""The page of ``lem explain``: what one decision looked at, and what would have changed it.

What the page says stands in ``templates/explanation.html.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.market.feature_names import feature_label, forecast_label
from agent.pages.elements import Column, Table, table
from agent.pages.numbers import PERCENT
from agent.pages.shell import render
from agent.pages.source import Source
from lem.page import explanation_charts as charts


def explanation_page(document: Mapping[str, object]) -> str:
    """The document of ``lem explain --json`` as one HTML file; the same document gives the same bytes."""
    source = Source(document)
    nearest = sorted(source.entries("flips"), key=_distance)
    may_finish = bool(source.find("may_finish"))
    return render(
        "lem.page/explanation.html.j2",
        title=f"Why decision {source.text('decision')} was what it was",
        document=document,
        may_finish=may_finish,
        finishes=may_finish and (source.real("finish_probability") or 0.0) > 0.5,
        finish_probability=source.number("finish_probability", 3),
        share=source.number("share", 2, PERCENT),
        interval=source.count("interval"),
        history=source.text("history"),
        digest=source.text("digest"),
        command=source.text("reproduce"),
        flips=charts.flips(nearest),
        flip_table=_flip_table(nearest),
        bars=charts.bars(source),
        weights=charts.weights(source.entries("features")),
        weight_table=_weight_table(source.entries("features")),
        forecasts=_forecasts(source.entries("forecasts")),
    )


def distance(flip: Mapping[str, object]) -> float:
    """Nearest flips first, by the part of the input's range; then by how much the share moves."""
    return _distance(Source(flip))


def _distance(flip: Source) -> float:
    low, high = flip.real("low") or 0.0, flip.real("high") or 0.0
    turns_at = flip.real("flips_at")
    if turns_at is None:
        least, most = flip.ends("shares") or (0.0, 0.0)
        return 2.0 - (most - least)
    return abs(turns_at - (flip.real("value") or 0.0)) / (high - low + 1e-12)


def _flip_table(flips: list[Source]) -> Table | None:
    columns = [
        Column("input", [feature_label(f.text("name")) for f in flips], "word"),
        Column("value", [f.number("value", 3) for f in flips]),
        Column("turns at", [f.number("flips_at", 3) or "never" for f in flips]),
        Column("least", [f.number("low", 2) for f in flips]),
        Column("greatest", [f.number("high", 2) for f in flips]),
        Column("share it could ask for, %", [f.interval("shares", 2, PERCENT) for f in flips], "ci"),
    ]
    return table(columns, "Every input, over its range with the others as they were")


def _weight_table(features: list[Source]) -> Table | None:
    columns = [
        Column("feature", [feature_label(f.text("name")) for f in features], "word"),
        Column("value", [f.number("value", 3) or "absent" for f in features]),
        Column("weight at the newest bar", [f.number("weight", 4) for f in features]),
        Column("mean weight", [f.number("mean_weight", 4) for f in features]),
    ]
    return table(columns, "Selection weights")


def _forecasts(forecasts: list[Source]) -> Table | None:
    columns = [
        Column("forecast", [forecast_label(one.name) for one in forecasts], "word"),
        Column("value", [one.number("", 3) for one in forecasts]),
    ]
    return table(columns, "In the features' own units")
