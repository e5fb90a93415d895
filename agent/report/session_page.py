"""The page of ``agent sessions inspect --html``: where data is missing, how busy it was, spread and mid.

One file without script or network, made of the inspection's document, which travels inside it. What the page
says stands in ``templates/session.html.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

import numpy as np

from agent.pages.elements import Column, Drawings, Table, Tile, table
from agent.pages.numbers import Number
from agent.pages.shell import render
from agent.pages.source import Source
from agent.report.session_charts import Clock, session_charts

EVENTS = {
    "trade": "trades",
    "level": "book levels",
    "bbo": "best bids and offers",
    "snapshot_begin": "snapshots begun",
    "snapshot_end": "snapshots ended",
    "gap_begin": "gaps begun",
    "gap_end": "gaps ended",
    "stale": "silences begun",
    "alive": "silences ended",
    "history": "rows of history",
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument's section; ``drawings`` is None where there is no tape of it."""

    number: int
    symbol: str
    tiles: tuple[Tile, ...]
    events: tuple[tuple[str, Number], ...]
    drawings: Drawings | None


def session_page(document: Mapping[str, object]) -> str:
    """The whole file as text. ``document`` comes from ``storage.recordings.inspection``."""
    source = Source(document)
    clock = Clock(source.whole("start_ns"), source.whole("end_ns"))
    return render(
        "agent.report/session.html.j2",
        title=f"Session {source.text('session')}",
        document=document,
        state="; ".join([source.text("state"), *source.texts("problems")]),
        source=source.text("source"),
        start=_utc(clock.start_ns),
        end=_utc(clock.end_ns),
        events=source.count("events"),
        bars=source.count("bars"),
        megabytes=source.number("bytes", 1, 1e-6),
        compacted=bool(source.find("compacted")),
        results=_counts(source, "results", {}),
        gaps=_gaps(source.entries("gaps")),
        instruments=[_instrument(source, one, clock) for one in source.entries("instruments")],
        orders=_orders(source.entries("orders")),
    )


def _utc(ns: int) -> str:
    return str(np.datetime64(ns // 10**6, "ms")).replace("T", " ") + " UTC"


def _counts(source: Source, below: str, names: Mapping[str, str]) -> tuple[tuple[str, Number], ...]:
    """What was counted, in the order of ``names``, others last."""
    keys = source.keys(below)
    order = [*(k for k in names if k in keys), *(k for k in keys if k not in names)]
    return tuple((names.get(k, k), n) for k in order if (n := source.entry(below, k).count("")) is not None)


def _gaps(gaps: Sequence[Source]) -> Table | None:
    columns = [
        Column("symbol", [g.text("symbol") for g in gaps], "word"),
        Column("stream", [g.text("stream") for g in gaps], "word"),
        Column("from", [_utc(g.whole("from_ns")) for g in gaps], "word"),
        Column("seconds", [g.number("seconds", 3) or "never closed" for g in gaps]),
        Column("events lost", [g.count("lost") for g in gaps]),
    ]
    return table(columns, "")


def _orders(orders: Sequence[Source]) -> Table | None:
    names = {
        "order": "id",
        "side": "side",
        "symbol": "symbol",
        "algo": "algo",
        "state": "state",
        "note": "note",
    }
    return table([Column(n, [o.text(key) for o in orders], "word") for n, key in names.items()], "")


def _instrument(source: Source, one: Source, clock: Clock) -> Instrument:
    events = _counts(one, "counts", EVENTS)
    drawn = session_charts(source, one, clock) if events else None
    return Instrument(one.whole("number"), one.text("symbol"), tuple(_tiles(one)), events, drawn)


def _tiles(one: Source) -> list[Tile]:
    """Headline numbers of an instrument, those that there are."""
    decimals = _price_decimals(one.real("mid/high") or 1.0)
    made = [
        ([one.count("counts/trade")], "", "trades"),
        ([one.number("peak_trades_per_s", 1)], "/s", "trades at the busiest time"),
        ([one.number("spread_bps/median", 4)], "bps", "median spread"),
        ([one.number(f"mid/{end}", decimals) for end in ("low", "high")], "", "lowest / highest mid"),
    ]
    known = [(tuple(n for n in numbers if n is not None), unit, what) for numbers, unit, what in made]
    return [Tile(*given) for given in known if given[0]]


def _price_decimals(price: float) -> int:
    """Six digits of a price."""
    return min(12, max(0, 5 - floor(log10(price)))) if price > 0 else 2
