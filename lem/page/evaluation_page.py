"""The page of ``lem evaluate``: made from its JSON document alone, showing what is there."""

from __future__ import annotations

from typing import Any

from agent.pages.markup import Markup, join, section, tag
from agent.pages.shell import page
from lem.page import charts, headline
from lem.page import frontier_page as frontier
from lem.page import page_tables as tables
from lem.page import regimes_page as regimes
from lem.page.glossary import glossary
from lem.page.source import Source, decimals_for

FRONTIER_NOTE = (
    "Simulated walks, m = 0, fixed quantity against TWAP, mean of buy and sell. Each line runs over the"
    " order's risk aversion, whose ends are written beside it; up and to the left is better. This part does"
    " not depend on the data above."
)


def evaluation_page(document: dict[str, Any]) -> str:
    """The document of one evaluation, or of several under "documents", as one HTML file.

    The same document gives the same bytes. Numbers in tables carry their path in the document, which
    travels inside the page.
    """
    whole = Source(document)
    parts = whole.parts("documents") or [whole]
    title = f"Large Execution Model on {headline.where_all(parts)}"
    body = [tag("h1", title), headline.lead(parts)]
    alone = len(parts) == 1
    if not alone:
        d = min(_decimals(part) for part in parts)
        body += [headline.facts(whole), tables.summary(whole, d)]
    body += [_one(part, alone) for part in parts]
    body.append(
        section("frontier", "Gain against risk: the frontier", frontier.frontier(whole), FRONTIER_NOTE)
    )
    words = section("words", "What the words mean", glossary())
    return page(title, join(*body, words), document)


def _decimals(source: Source) -> int:
    return decimals_for(1e4 * (source.real("sigma") or 1e-4))


def _one(source: Source, alone: bool) -> Markup:
    d = _decimals(source)
    mark = "" if alone else f"part-{source.name}-"
    top = [] if alone else [tag("h2", _capital(headline.where(source)), class_="part")]
    return join(
        *top,
        headline.tiles(source, d),
        headline.facts(source, command=alone),
        tables.summary(source, d) if alone else "",
        _gains(source, mark, d),
        _risks(source, mark),
        section(
            f"{mark}horizon",
            "Fixed horizon: |slippage| at m = n",
            join(charts.fixed_horizon(source), tables.horizon(source, d)),
        ),
        section(f"{mark}regimes", "By regime", regimes.regimes(source, d)),
        section(f"{mark}rules", "Beside the rules, in numbers", tables.comparison(source, d)),
        section(f"{mark}quality", "The bars themselves", tables.quality(source)),
    )


def _gains(source: Source, mark: str, d: int) -> Markup:
    return join(
        section(
            f"{mark}gain",
            "Gain against the min period",
            charts.against_min_period(source, charts.GAIN, ("quantity", "notional")),
            "Bars on the model's line are 95 % intervals of its mean.",
        ),
        section(f"{mark}tables", "Gains in numbers", tables.gains(source, d)),
        section(
            f"{mark}fraction",
            "How much of the possible",
            charts.fractions(source),
            "Mean gain as a part of the bound, with 95 % intervals; by regret too on simulated walks.",
        ),
    )


def _risks(source: Source, mark: str) -> Markup:
    return join(
        section(
            f"{mark}deviation",
            "Deviation",
            charts.against_min_period(source, charts.DEVIATION, ("quantity",)),
            "A dozen thresholds reach the bound on the mean; a good model does it with little risk.",
        ),
        section(
            f"{mark}impact",
            "After impact",
            charts.against_min_period(source, charts.NET, ("quantity",)),
            "Fixed quantity; the rest is in the tables.",
        ),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
