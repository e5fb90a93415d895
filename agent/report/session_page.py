"""The page of ``agent sessions inspect --html``: where data is missing, how busy it was, spread and mid.

One file without script or network, made of the inspection's document, which travels inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.pages.markup import Markup, join, section, tag
from agent.pages.plot import COLOUR, WIDE, figure
from agent.pages.shell import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = dict[str, Any]


def session_page(document: Document) -> str:
    """The whole file as text. ``document`` comes from ``storage.recordings.inspection``."""
    title = f"Session {document['session']}"
    body = join(
        tag("h1", title),
        _facts(document),
        section("gaps", "Where data is missing", _gaps(document)),
        *(_instrument(document, i) for i in document["instruments"]),
        section("results", "Orders", _orders(document)),
    )
    return page(title, body, document)


def _facts(d: Document) -> Markup:
    facts = {
        "state": "; ".join([d["state"], *d["problems"]]),
        "source": d["source"],
        "from": _utc(d["start_ns"]),
        "to": _utc(d["end_ns"]),
        "events": f"{d['events']:,}",
        "bars": f"{d['bars']:,}",
        "size": f"{d['bytes'] / 1e6:,.1f} MB" + (", Parquet" if d["compacted"] else ""),
        "results": ", ".join(f"{n:,} {kind}" for kind, n in d["results"].items()) or "nothing was traded",
    }
    rows = [part for name, value in facts.items() for part in (tag("dt", name), tag("dd", value))]
    return tag("dl", *rows, class_="facts")


def _gaps(d: Document) -> Markup:
    if not d["gaps"]:
        return tag("p", "The tape names no gap.")
    head = ("symbol", "stream", "from (UTC)", "for", "events lost")
    rows = [
        (
            g["symbol"],
            g["stream"],
            _utc(g["from_ns"]),
            "never closed" if g["to_ns"] is None else f"{g['seconds']:.3f} s",
            "" if g["lost"] is None else f"{g['lost']:,}",
        )
        for g in d["gaps"]
    ]
    return _table(head, rows)


def _orders(d: Document) -> Markup:
    if not d["orders"]:
        return Markup()
    head = ("order", "side", "symbol", "algo", "state")
    return _table(head, [tuple(o[k] for k in ("id", "side", "symbol", "algo", "state")) for o in d["orders"]])


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Markup:
    cells = [tag("tr", *(tag("td", value, class_="word") for value in row)) for row in rows]
    titles = tag("tr", *(tag("th", name, class_="word") for name in head))
    return tag("div", tag("table", tag("thead", titles), tag("tbody", *cells)), class_="scroll")


def _instrument(d: Document, i: Document) -> Markup:
    counts = ", ".join(f"{n:,} {kind}" for kind, n in i["counts"].items())
    if not counts:
        return section(
            f"instrument-{i['number']}", i["symbol"], tag("p", "No events: there is no tape of it.")
        )
    plots: tuple[tuple[str, str, Callable[[Axes], None]], ...] = (
        ("mid", f"mid of {i['symbol']} over time", partial(_line, d=d, i=i, of="mid", unit="price")),
        (
            "spread",
            f"spread of {i['symbol']} over time",
            partial(_line, d=d, i=i, of="spread_bps", unit="bps"),
        ),
        ("rates", f"trades and book updates of {i['symbol']} a second", partial(_rates, d=d, i=i)),
    )
    drawn = [figure(f"{name}-{i['number']}", what, draw, WIDE) for name, what, draw in plots]
    note = f"{counts}. Shaded: data is missing."
    return section(f"instrument-{i['number']}", i["symbol"], tag("div", *drawn, class_="figures wide"), note)


def _line(ax: Axes, d: Document, i: Document, of: str, unit: str) -> None:
    course = i["over_time"]
    at = _since_start(d, course["sample_ns"])
    ax.plot(at, [np.nan if v is None else v for v in course[of]], color=COLOUR["s-lem"], linewidth=1.0)
    _shade(ax, d, i)
    ax.set_title("mid" if of == "mid" else "spread")
    ax.set_ylabel(unit)
    ax.ticklabel_format(axis="y", useOffset=False)


def _rates(ax: Axes, d: Document, i: Document) -> None:
    course, seconds = i["over_time"], d["rates"]["bin_ns"] / 1e9
    at = _since_start(d, [d["start_ns"] + k * d["rates"]["bin_ns"] for k in range(len(course["trades"]))])
    for name, colour in (("book_updates", "s-twap"), ("trades", "s-dump")):
        ax.plot(
            at,
            np.array(course[name]) / seconds,
            color=COLOUR[colour],
            label=name.replace("_", " "),
            linewidth=1.0,
            drawstyle="steps-post",
        )
    _shade(ax, d, i)
    ax.legend(loc="upper right", frameon=False)
    ax.set_title("trades and book updates a second")
    ax.set_ylabel("1/s")


def _shade(ax: Axes, d: Document, i: Document) -> None:
    """Mark the symbol's gaps, and what every plot has: its time axis."""
    for gap in (g for g in d["gaps"] if g["symbol"] == i["symbol"]):
        ends = [gap["from_ns"], d["end_ns"] if gap["to_ns"] is None else gap["to_ns"]]
        ax.axvspan(*_since_start(d, ends), color=COLOUR["s-ac"], alpha=0.3, linewidth=0.8)
    ax.set_xlabel(f"{_unit(d)[0]} from the start")


def _since_start(d: Document, times: list[int]) -> list[float]:
    unit_ns = _unit(d)[1]
    return [(at - d["start_ns"]) / unit_ns for at in times]


def _unit(d: Document) -> tuple[str, float]:
    """What time is told in: at least two of it in the session."""
    units = (("hours", 3600e9), ("minutes", 60e9), ("seconds", 1e9))
    return next((u for u in units if d["end_ns"] - d["start_ns"] >= 2 * u[1]), units[-1])


def _utc(ns: int) -> str:
    return str(np.datetime64(ns // 10**6, "ms")).replace("T", " ") + " UTC"
