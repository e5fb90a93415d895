"""What ``agent sessions`` says on a terminal: tables of sessions, one session in words, sizes and times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from agent.cli import options as o

INPUTS = {"start": "orders", "control": "commands", "overrun": "late decisions", "round_trip": "round trips"}
RESULTS = {
    "ParentChanged": "order states",
    "DecisionTaken": "decisions",
    "ChildChanged": "child states",
    "ChildFilled": "fills",
    "SlippageMeasured": "cost measures",
    "GapSeen": "gap edges",
    "CommandHandled": "commands",
}


def show_list(found: Sequence[Any]) -> None:
    """A table of ``storage.recordings.catalogue.ListedSession``, then what is wrong with any."""
    if not found:
        typer.echo("no sessions here: `run`, `record` and `import` make them")
        return
    columns = ["session", "start (UTC)", "length", "symbols", "source", "holds", "size", "orders", "state"]
    o.show_table(columns, [_list_row(s) for s in found])
    for s in found:
        for problem in s.problems:
            typer.echo(f"{s.session}: {problem}")


def _list_row(s: Any) -> list[str]:
    known = s.start_ns is not None
    orders = ", ".join(f"{order.algo} {order.side} {order.state}" for order in s.orders)
    return [
        Path(s.path).name,
        utc(s.start_ns)[:19] if known else "",
        _length((s.end_ns or 0) - s.start_ns) if known else "",
        " ".join(s.symbols[:3]) + (f" +{len(s.symbols) - 3}" if len(s.symbols) > 3 else ""),
        f"{s.source}, {s.made}" if s.made else s.source,
        count_rows(s.events, s.bars),
        size(s.bytes) + (" parquet" if s.compacted else ""),
        orders or "-",
        s.state,
    ]


def show_document(d: dict[str, Any]) -> None:
    """An inspection's document (``storage.recordings.inspection``) in words and tables."""
    typer.echo(
        f"{d['session']} ({d['source']}, {d['state']}): {utc(d['start_ns'])} to {utc(d['end_ns'])}, ",
        nl=False,
    )
    typer.echo(
        f"{_length(d['end_ns'] - d['start_ns'])}, {count_rows(d['events'], d['bars'])}, {size(d['bytes'])}"
    )
    for problem in d["problems"]:
        typer.echo(f"LOST: {problem}")
    if d["origin"]:
        typer.echo(f"made of: {_origin(d['origin'])}")
    typer.echo("")
    seconds = max(1e-9, (d["end_ns"] - d["start_ns"]) / 1e9)
    columns = ["symbol", "trades", "levels", "others", "rows/s", "trades/s", "peak", "low", "high"]
    columns += ["spread bps p5", "median", "p95", "book there"]
    o.show_table(columns, [_instrument_row(i, seconds) for i in d["instruments"]])
    typer.echo("")
    _show_gaps(d["gaps"])
    inputs = _counted(d["journal"], INPUTS)
    typer.echo(f"inputs: {inputs or 'none but the market'}")
    results = _counted(d["results"], RESULTS)
    typer.echo(f"results, shadows included: {results}" if results else "results: none, nothing was traded")
    for order in d["orders"]:
        typer.echo(f"  {order['id']}: {order['side']} {order['symbol']} by {order['algo']}: {order['state']}")


def _counted(counts: dict[str, int], words: dict[str, str]) -> str:
    return ", ".join(f"{words.get(kind, kind)} {n:,}" for kind, n in counts.items() if kind != "end")


def _instrument_row(i: dict[str, Any], seconds: float) -> list[str]:
    counts, spread = i["counts"], i["spread_bps"] or {}
    rows = sum(n for kind, n in counts.items() if kind != "history")
    others = ", ".join(f"{n:,} {k}" for k, n in counts.items() if k not in ("trade", "level"))
    return [
        i["symbol"],
        f"{counts.get('trade', 0):,}",
        f"{counts.get('level', 0):,}",
        others,
        f"{rows / seconds:,.0f}",
        f"{counts.get('trade', 0) / seconds:,.1f}",
        f"{i['peak_trades_per_s']:,.1f}",
        i["low"] or "",
        i["high"] or "",
        *(f"{spread[q]:.3g}" if q in spread else "" for q in ("p5", "median", "p95")),
        f"{i['book_share']:.1%}",
    ]


def _show_gaps(gaps: Sequence[dict[str, Any]]) -> None:
    if not gaps:
        typer.echo("gaps: none on the tape")
        return
    typer.echo(f"gaps: {len(gaps)}")
    rows = [
        [
            g["symbol"],
            g["stream"],
            utc(g["from_ns"]),
            "never closed" if g["to_ns"] is None else f"{g['seconds']:.3f} s",
            "" if g["lost"] is None else f"{g['lost']:,} lost",
        ]
        for g in gaps
    ]
    o.show_table(["symbol", "stream", "from (UTC)", "for", "lost"], rows)


def _origin(origin: dict[str, Any]) -> str:
    if "merged" in origin:
        return " + ".join(str(part["session"]) for part in origin["merged"])
    return f"{origin['session']} from {utc(origin['from_ns'])} to {utc(origin['to_ns'])}"


def utc(ns: int) -> str:
    """ISO 8601 to the millisecond."""
    return datetime.fromtimestamp(ns // 10**6 / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _length(ns: int) -> str:
    seconds = round(ns / 1e9)
    if seconds < 60:
        return f"{ns / 1e9:.1f}s"
    hours, rest = divmod(seconds, 3600)
    if hours >= 48:
        return f"{hours // 24}d{hours % 24:02d}h"
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"


def count_rows(events: int, bars: int) -> str:
    """What a session holds, in words."""
    both = ((events, "events"), (bars, "bars"))
    return " + ".join(f"{count:,} {name}" for count, name in both if count) or "nothing"


def size(count: int) -> str:
    """Bytes, in the unit that fits."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} B"
