"""The evaluation as tables for people: what is printed is in the document, and each column has its sentence.

Tables fit 160 columns. Numbers of one kind share their decimals, which follow from the volatility.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agent.durations import format_duration
from agent.pages.numbers import decimals_for
from lem.cli.evaluate_words import legend, made_of

WIDTH = 160
MANY = 10  # names
MOST_DECIMALS = 5  # that the columns have room for
Row = dict[str, Any]
Columns = dict[str, Callable[[Row], str]]
"""Header -> how a row tells it; a column that no row fills is left out."""


def print_document(document: Row, regimes: bool = False) -> None:
    """Print one evaluation, or several under "documents" and what they come to."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    parts = document.get("documents") or [document]
    for part in parts:
        _print_part(console, part, regimes)
    if any(part["summary"] for part in parts):
        console.print(_summary(parts))
    for line in _notes(parts[0]):
        console.print(line, soft_wrap=False)
    for name, digest in (("model", document["digest"]), ("data", document["data_digest"])):
        console.print(f"{name} {digest}", end="  ")
    console.print()
    if "reproduce" in document:
        console.print(f"again: {document['reproduce']}", soft_wrap=True)


def _print_part(console: Console, document: Row, regimes: bool) -> None:
    digits = min(MOST_DECIMALS, decimals_for(1e4 * document["sigma"]))
    title = _title(document)
    rows = document["rows"]
    console.print(f"[bold]{title}[/bold]", soft_wrap=True)
    console.print(_table("Gain in bps", _gain_columns(document, digits), rows))
    console.print(
        _table("Gain of the model less that of each rule, on the same orders", _versus_columns(digits), rows)
    )
    after = "After impact, and on arrival, in bps" if _arrival_asked(document) else "After impact, in bps"
    console.print(_table(after, _net_columns(document, digits), rows))
    fixed = [row for row in rows if row.get("slippage_against_curve")]
    if fixed:
        console.print(_table("Fixed horizon, m = n: |slippage| in bps", _fixed_columns(digits), fixed))
    if regimes:
        told = document["regimes"]["summary"]
        console.print(_table("Regimes, min periods up to n / 2", _regime_columns(digits), told, by=("kind",)))
    for line in [*_quality(document.get("quality", {})), *made_of(document)]:
        console.print(line)
    console.print()


def _quality(found: Row) -> list[str]:
    """A line for each series with something odd, and one for all others."""
    told, clean = [], []
    for name, one in found.items():
        odd = ", ".join(f"{k.replace('_', ' ')} {_listed(v)}" for k, v in one.items() if v and k != "rows")
        told += [f"{name}: {odd}"] if odd else []
        clean += [] if odd else [name]
    return told + ([f"nothing odd in the bars of {_some(clean)}"] if clean else [])


def _title(document: Row) -> str:
    names = [document["market"]] if "market" in document else document["bars"]
    where = _some(names)
    if "interval_ns" in document:
        where += f", {format_duration(document['interval_ns'])} bars"
    if "data" in document:
        where += " " + " to ".join(_day(document["data"][key]) for key in ("from_ns", "to_ns"))
    orders = str(document["rows"][0]["orders"])
    if document.get("windows", 0) > int(orders):
        orders += f" of {document['windows']}"
    orders += " orders"
    if document.get("overlap", 1.0) > 1.0:
        orders += f" that overlap, {document['overlap']:.3g} of a series at a time"
    return f"{where}; sigma {1e4 * document['sigma']:.3g} bps, n = {document['n']}, {orders}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d")


def _gain_columns(document: Row, d: int) -> Columns:
    return {
        **_names(),
        "mean": lambda r: f"{r['gain_bps']['mean']:.{d}f}",
        "± 95 %": lambda r: _half(r["gain_bps"]["mean"], r["gain_bps"]["ci95"], d),
        "std": lambda r: f"{r['gain_bps']['std']:.{d}f}",
        "p5": lambda r: f"{r['gain_bps']['p5']:.{d}f}",
        "p25": lambda r: f"{r['gain_bps']['p25']:.{d}f}",
        "median": lambda r: f"{r['gain_bps']['median']:.{d}f}",
        "p75": lambda r: f"{r['gain_bps']['p75']:.{d}f}",
        "p95": lambda r: f"{r['gain_bps']['p95']:.{d}f}",
        "|slip|": lambda r: f"{r['abs_slippage_bps_mean']:.{d}f}",
        "bound": lambda r: f"{r['bound_gain_bps']:.{d}f}",
        fraction_name(document): lambda r: _maybe(r["fraction_of_bound"]),
        "regret": lambda r: f"{r['regret']['fraction_of_bound']:.4f}" if "regret" in r else "",
    }


def _versus_columns(d: int) -> Columns:
    def less(name: str) -> Callable[[Row], str]:
        return lambda r: _with_half(r["versus"][name], "gain_bps", d)

    def rule(row: Row) -> Any:
        return row["baselines"]["optimal_stopping"]

    return {
        **_names(),
        "model": lambda r: f"{r['gain_bps']['mean']:.{d}f}",
        "rule": lambda r: f"{rule(r)['gain_bps_mean']:.{d}f}",
        "its std": lambda r: f"{rule(r)['gain_bps_std']:.{d}f}",
        "less rule": less("optimal_stopping"),
        "less dump": less("dump"),
        "less twap": less("twap"),
        "less curve": less("vwap_curve"),
        "less A-C": less("almgren_chriss"),
    }


def fraction_name(document: Row) -> str:
    """How the fraction of the bound is headed: only a martingale's is the market's own optimum."""
    if "market" not in document:
        return "of bars bound"
    own = document["bound_is"].startswith("the market's own")
    return "of bound" if own else "of martingale bound"


def _arrival_asked(document: Row) -> bool:
    """On a simulated market only where orders aim at it: elsewhere nobody looks for it."""
    return bool(document["arrival_weight"]) or "market" not in document


def _net_columns(document: Row, d: int) -> Columns:
    def net(name: str) -> Callable[[Row], str]:
        return lambda r: f"{r['baselines'][name]['gain_after_impact_bps_mean']:.{d}f}"

    asked = _arrival_asked(document)
    return {
        **_names(),
        "net": lambda r: f"{r['gain_after_impact_bps_mean']:.{d}f}",
        "rule": net("optimal_stopping"),
        "dump": net("dump"),
        "twap": net("twap"),
        "curve": net("vwap_curve") if "market" not in document else lambda _: "",  # simulated: as twap
        "A-C": net("almgren_chriss"),
        "net less rule": lambda r: _with_half(r["versus"]["optimal_stopping"], "gain_after_impact_bps", d),
        "of prog.": lambda r: _maybe(r["impact"]["fraction_of_programme"]) if "impact" in r else "",
        "of neutral": lambda r: _maybe(r["impact"]["fraction_of_neutral"]) if "impact" in r else "",
        "arrival": lambda r: f"{r['arrival_gain_bps_mean']:.{d}f}" if asked else "",
        "± 95 %": lambda r: _half(r["arrival_gain_bps_mean"], r["arrival_gain_bps_ci95"], d) if asked else "",
        "of best": lambda r: _maybe(r["arrival_fraction"]),
        "arrival less twap": lambda r: (
            _with_half(r["versus"]["twap"], "arrival_gain_bps", d) if asked else ""
        ),
    }


def _fixed_columns(d: int) -> Columns:
    return {
        "side": lambda r: r["side"],
        "target": lambda r: r["target_kind"],
        "bench": lambda r: r["benchmark"],
        "model": lambda r: f"{r['abs_slippage_bps_mean']:.{d}f}",
        "curve": lambda r: f"{r['baselines']['vwap_curve']['abs_slippage_bps_mean']:.{d}f}",
        "twap": lambda r: f"{r['baselines']['twap']['abs_slippage_bps_mean']:.{d}f}",
        "model against curve, %": lambda r: f"{r['slippage_against_curve']['percent']:+.1f}",
        "95 %": lambda r: _range(r["slippage_against_curve"]["ci95"], 1),
    }


def _regime_columns(d: int) -> Columns:
    return {
        "regime": lambda r: f"{r['kind']}: {r['regime']}",
        "side": lambda r: r["side"],
        "orders": lambda r: str(r["orders"]),
        "sigma before": lambda r: f"{1e4 * r['sigma']:.{d}f}",
        "sigma inside": lambda r: f"{1e4 * r['sigma_inside']:.{d}f}",
        "gain": lambda r: f"{r['gain_bps_mean']:.{d}f}",
        "of its bound": lambda r: f"{r['fraction_of_bound_mean']:.3f}",
        "95 %": lambda r: _range(r["fraction_of_bound_ci95"], 3),
        "less rule": lambda r: f"{r['versus_rule_fraction_mean']:+.3f}",
        "95 % ": lambda r: _range(r["versus_rule_fraction_ci95"], 3),
    }


def _summary(parts: list[Row]) -> Table:
    rows = [part | {"of": record} for part in parts for record in part["summary"]]
    columns: Columns = {
        "on": lambda r: format_duration(r["interval_ns"]) if "interval_ns" in r else r["market"],
        "target": lambda r: r["of"]["target_kind"],
        "bench": lambda r: r["of"]["benchmark"],
        "m": lambda r: _periods(r["of"]["min_periods"]),
        "gain, bps": lambda r: f"{r['of']['gain_bps_mean']:.2f}",
        "fraction": lambda r: f"{r['of']['fraction_of_bound']:.3f}",
        "95 %": lambda r: _range(r["of"]["ci95"], 3),
        "lowest": lambda r: (
            f"{r['of']['lowest']['fraction_of_bound']:.3f} (m {r['of']['lowest']['min_period']})"
        ),
        "rule": lambda r: f"{r['of']['rule_fraction_of_bound']:.3f}",
        "less rule": lambda r: f"{r['of']['versus_rule']['fraction_of_bound']:+.3f}",
        "95 % ": lambda r: _range(r["of"]["versus_rule"]["ci95"], 3),
        "arrival, bps": lambda r: _arrival(r["of"]) if _arrival_asked(r) else "",
    }
    title = f"Summary: buy and sell together, min periods up to n / 2, mean gain {fraction_name(parts[0])}"
    return _table(title, columns, rows, by=("interval_ns",))


def _arrival(record: Row) -> str:
    mean = record["arrival_gain_bps_mean"]
    return f"{mean:+.2f} ± {_half(mean, record['arrival_gain_bps_ci95'], 2)}"


def _names() -> Columns:
    return {
        "side": lambda r: r["side"],
        "target": lambda r: r["target_kind"],
        "bench": lambda r: r["benchmark"],
        "m": lambda r: str(r["min_period"]),
    }


def _table(
    title: str,
    columns: Columns,
    rows: list[Row],
    by: Iterable[str] = ("side", "target_kind", "benchmark"),
) -> Table:
    """A line between rows that differ in ``by``."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    cells = {name: [tell(row) for row in rows] for name, tell in columns.items()}
    shown = {name: column for name, column in cells.items() if any(column)}
    words = ("side", "target", "bench", "regime", "on")
    for name in shown:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    groups = [tuple(row.get(key) for key in by) for row in rows]
    several = len(set(groups)) < len(rows)
    for k, texts in enumerate(zip(*shown.values(), strict=True)):
        last_of_group = k + 1 < len(rows) and groups[k] != groups[k + 1]
        table.add_row(*texts, end_section=several and last_of_group)
    return table


def _notes(document: Row) -> list[str]:
    said = legend(document, fraction_name(document))
    said += [f"{name} is left out: {why}" for name, why in document["left_out"].items()]
    return said


def _maybe(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.3f}"


def _half(mean: float, interval: list[float], d: int) -> str:
    return f"{interval[1] - mean:.{d}f}"


def _with_half(values: Row, name: str, d: int) -> str:
    mean = values[f"{name}_mean"]
    return f"{mean:+.{d}f} ± {_half(mean, values[f'{name}_ci95'], d)}"


def _range(interval: list[float] | None, d: int) -> str:
    return "" if interval is None else f"{interval[0]:.{d}f} to {interval[1]:.{d}f}"


def _periods(periods: list[int]) -> str:
    """0-6 where they are consecutive, else a list."""
    if len(periods) > 2 and periods == list(range(periods[0], periods[-1] + 1)):
        return f"{periods[0]}-{periods[-1]}"
    return ", ".join(map(str, periods))


def _listed(value: Any) -> str:
    return " ".join(value) if isinstance(value, list | tuple) else str(value)
