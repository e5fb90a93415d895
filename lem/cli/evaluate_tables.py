"""The evaluation as tables for people: what is printed is in the document, and each column has its sentence.

Tables fit 160 columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.barfiles.bar_quality import QualityRecord
from agent.durations import format_duration
from agent.pages.numbers import decimals_for
from lem.cli.evaluate_columns import (
    Columns,
    Row,
    fixed_columns,
    fraction_name,
    gain_columns,
    net_columns,
    regime_columns,
    shows_arrival,
    summary_columns,
    versus_columns,
)
from lem.cli.evaluate_csv import evaluations_of
from lem.cli.evaluate_legend import legend, made_of
from lem.evaluation.evaluation_document import EvaluationDocument, EvaluationRow, JoinedDocument

WIDTH = 160
MANY = 10  # names
MOST_DECIMALS = 5  # that fit into the columns
LEFT = ("side", "target", "bench", "regime", "on")
"""Columns of text."""


def print_document(document: EvaluationDocument | JoinedDocument, regimes: bool = False) -> None:
    """Print one evaluation, or several and their common summary."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
    evaluations = evaluations_of(document)
    for one in evaluations:
        _print_evaluation(console, one, regimes)
    if any(one["summary"] for one in evaluations):
        console.print(_summary(evaluations))
    for line in _notes(evaluations[0]):
        console.print(line, soft_wrap=False)
    for name, digest in (("model", document["digest"]), ("data", document["data_digest"])):
        console.print(f"{name} {digest}", end="  ")
    console.print()
    if "reproduce" in document:
        console.print(f"again: {document['reproduce']}", soft_wrap=True)


def _print_evaluation(console: Console, document: EvaluationDocument, regimes: bool) -> None:
    digits = min(MOST_DECIMALS, decimals_for(1e4 * document["sigma"]))
    rows = document["rows"]
    console.print(Text(_title(document), "bold"), soft_wrap=True)
    console.print(_table("Gain in bps", gain_columns(document, digits), rows, _scenario))
    versus = "Gain of the model less that of each rule, on the same orders"
    console.print(_table(versus, versus_columns(digits), rows, _scenario))
    net = "After impact, and on arrival, in bps" if shows_arrival(document) else "After impact, in bps"
    console.print(_table(net, net_columns(document, digits), rows, _scenario))
    fixed = [row for row in rows if row.get("slippage_against_curve")]
    if fixed:
        title = "Fixed horizon, m = n: |slippage| in bps"
        console.print(_table(title, fixed_columns(digits), fixed, _scenario))
    if regimes:
        title, found = "Regimes, min periods up to n / 2", document["regimes"]["summary"]
        console.print(_table(title, regime_columns(digits), found, lambda row: row["kind"]))
    for line in [*_quality(document.get("quality", {})), *made_of(document)]:
        console.print(line)
    console.print()


def _scenario(row: EvaluationRow) -> object:
    return row["side"], row["target_kind"], row["benchmark"]


def _quality(found: Mapping[str, QualityRecord]) -> list[str]:
    """A line for each series with something odd, and one for all others."""
    lines, clean = [], []
    for name, one in found.items():
        odd = ", ".join(f"{k.replace('_', ' ')} {_listed(v)}" for k, v in one.items() if v and k != "rows")
        lines += [f"{name}: {odd}"] if odd else []
        clean += [] if odd else [name]
    return lines + ([f"nothing odd in the bars of {_some(clean)}"] if clean else [])


def _title(document: EvaluationDocument) -> str:
    names = [document["market"]] if "market" in document else document["bars"]
    where = _some(names)
    if "interval_ns" in document:
        where += f", {format_duration(document['interval_ns'])} bars"
    if "data" in document:
        where += f" {_day(document['data']['from_ns'])} to {_day(document['data']['to_ns'])}"
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


def _summary(evaluations: list[EvaluationDocument]) -> Table:
    rows = [(one, row) for one in evaluations for row in one["summary"]]
    name = fraction_name(evaluations[0])
    title = f"Summary: buy and sell together, min periods up to n / 2, mean gain {name}"
    return _table(title, summary_columns(), rows, lambda row: row[0].get("interval_ns"))


def _table(title: str, columns: Columns[Row], rows: list[Row], group: Callable[[Row], object]) -> Table:
    """A line between rows of different groups."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    cells = {name: [text(row) for row in rows] for name, text in columns.items()}
    shown = {name: column for name, column in cells.items() if any(column)}
    for name in shown:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    groups = [group(row) for row in rows]
    several = len(set(groups)) < len(rows)
    for k, texts in enumerate(zip(*shown.values(), strict=True)):
        last_of_group = k + 1 < len(rows) and groups[k] != groups[k + 1]
        table.add_row(*texts, end_section=several and last_of_group)
    return table


def _notes(document: EvaluationDocument) -> list[str]:
    lines = legend(document, fraction_name(document))
    return lines + [f"{name} is left out: {why}" for name, why in document["left_out"].items()]


def _listed(value: int | str | list[str]) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)
