"""``python -m lem evaluate``."""

from __future__ import annotations

import json
import sys
from csv import DictWriter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import InputError
from lem.cli.html import Html, check_writable, write_page
from lem.cli.options import Json, Threads, progress, time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lem.paths import Question


def evaluate(
    market: Annotated[str | None, typer.Option(help="a simulator: gaussian, gaussian-bars, ...")] = None,
    bars: Annotated[list[Path] | None, typer.Option(help="parquet or CSV files of bars")] = None,
    more_bars: Annotated[list[Path] | None, typer.Argument(help="further bar files")] = None,
    interval: Annotated[str | None, typer.Option(help="as in 15m; default: the files' own")] = None,
    calendar: Annotated[
        str | None, typer.Option(help="of a market that closes, as in XNYS; its nights are no gaps")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="ISO 8601")] = None,
    to: Annotated[str | None, typer.Option("--to", help="ISO 8601")] = None,
    sigma: Annotated[float, typer.Option(help="volatility an interval of a simulated market")] = 1e-4,
    n: Annotated[int, typer.Option(help="max duration in intervals")] = 12,
    min_period: Annotated[list[int] | None, typer.Option(help="default 0, n/3, 2n/3, n")] = None,
    orders: Annotated[int, typer.Option(help="paths, or orders on real bars at most")] = 20_000,
    seed: Annotated[int, typer.Option()] = 1,
    risk_aversion: Annotated[float, typer.Option()] = 1.0,
    participation: Annotated[float, typer.Option(help="order / market volume in n intervals")] = 0.0,
    arrival_weight: Annotated[
        float, typer.Option(help="0: beat the benchmark; 1: beat the arrival price", min=0.0, max=1.0)
    ] = 0.0,
    history: Annotated[int, typer.Option(help="bars seen before a simulated order")] = 32,
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the one shipped")] = None,
    csv: Annotated[Path | None, typer.Option(help="also write the rows, flat, to this file")] = None,
    html: Html = None,
    frontier: Annotated[
        bool,
        typer.Option("--frontier", help="also gain against risk and impact beside the optimum: 2 minutes"),
    ] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Judge a model against the bound, TWAP and optimal stopping on the same paths."""
    import torch

    from lem.checkpoint import load_checkpoint
    from lem.evaluate import evaluate_market
    from lem.paths import Question, default_min_periods

    files = [*(bars or []), *(more_bars or [])]
    if files and market is not None:
        raise InputError("--market and --bars exclude each other: give one of them")
    check_writable(html)
    torch.set_num_threads(threads)
    question = Question(
        n=n,
        min_periods=tuple(min_period) if min_period else default_min_periods(n),
        orders=orders,
        seed=seed,
        sigma=sigma,
        history=history,
        risk_aversion=risk_aversion,
        participation=participation,
        arrival_weight=arrival_weight,
    ).checked()
    checkpoint = load_checkpoint(model)
    with progress("evaluating", orders) as bar:
        report: Callable[[int, int], None] = lambda done, total: bar(done, total, "")  # noqa: E731
        if files:
            document = _on_files(checkpoint, files, interval, (from_, to), question, report, calendar)
        else:
            document = evaluate_market(checkpoint, market or "gaussian", question, report)
    if frontier:
        document["frontier"] = _frontier(checkpoint, question)
    if csv is not None:
        _write_csv(csv, document["rows"])
    if html is not None:
        from lem.page.evaluation import evaluation_page

        write_page(html, evaluation_page(document))
    typer.echo(json.dumps(document)) if as_json else _print_rows(document)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """One line a row; nested names joined by dots. Raises InputError where it cannot be written."""
    flat = [dict(_flat(row, "")) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = DictWriter(file, names)
            writer.writeheader()
            writer.writerows(flat)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --csv") from error


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for part, end in zip(value, ("low", "high"), strict=True):  # intervals are the only lists
            yield f"{name}.{end}", part
    else:
        yield name, value


def _on_files(
    checkpoint: Any,
    files: list[Path],
    interval: str | None,
    span: tuple[str | None, str | None],
    question: Question,
    report: Callable[[int, int], None],
    calendar: str | None,
) -> dict[str, Any]:
    from agent.durations import parse_duration_ns
    from lem.evaluate_files import evaluate_files

    interval_ns = None if interval is None else parse_duration_ns(interval)
    bounds = (time_ns(span[0]), time_ns(span[1]))
    return evaluate_files(checkpoint, files, interval_ns, bounds, question, report, calendar)


def _frontier(checkpoint: Any, question: Question) -> dict[str, Any]:
    from lem.frontier import frontier

    with progress("frontier", 1) as bar:
        return frontier(checkpoint, question, lambda done, total: bar(done, total, ""))


def _listed(value: Any) -> str:
    return " ".join(value) if isinstance(value, (list, tuple)) else str(value)


def _maybe(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.3f}"


def _net(row: dict[str, Any], rule: str) -> str:
    return f"{row['baselines'][rule]['gain_after_impact_bps_mean']:.3f}"


def _print_rows(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    where = document.get("market") or ", ".join(document["bars"])
    table = Table(
        title=f"gain in bps on {where}, sigma {1e4 * document['sigma']:.3g} bps, n = {document['n']}"
    )
    wide: dict[str, Callable[[dict[str, Any]], str]] = {  # a column each, left out where no row has it
        "side": lambda r: r["side"],
        "target": lambda r: r["target_kind"],
        "bench": lambda r: r["benchmark"],
        "m": lambda r: str(r["min_period"]),
        "mean": lambda r: f"{r['gain_bps']['mean']:.3f}",
        "± 95 %": lambda r: f"{r['gain_bps']['ci95'][1] - r['gain_bps']['mean']:.3f}",
        "std": lambda r: f"{r['gain_bps']['std']:.3f}",
        "p5": lambda r: f"{r['gain_bps']['p5']:.3f}",
        "p95": lambda r: f"{r['gain_bps']['p95']:.3f}",
        "|slip|": lambda r: f"{r['abs_slippage_bps_mean']:.3f}",
        "of bound": lambda r: _maybe(r["fraction_of_bound"]),
        "regret": lambda r: f"{r['regret']['fraction_of_bound']:.4f}" if "regret" in r else "",
        "arrival": lambda r: f"{r['arrival_gain_bps_mean']:.3f}" if document["arrival_weight"] else "",
        "of best": lambda r: _maybe(r["arrival_fraction"]),
        "net": lambda r: f"{r['gain_after_impact_bps_mean']:.3f}",
        "of prog.": lambda r: _maybe(r["impact"]["fraction_of_programme"]) if "impact" in r else "",
        "even": lambda r: _net(r, "optimal_stopping"),
        "dump": lambda r: _net(r, "dump"),
        "twap": lambda r: _net(r, "twap"),
    }
    cells = {name: [tell(row) for row in document["rows"]] for name, tell in wide.items()}
    shown = {name: column for name, column in cells.items() if any(column)}
    for name in shown:
        table.add_column(name, justify="left" if name in ("side", "target", "bench") else "right")
    for texts in zip(*shown.values(), strict=True):
        table.add_row(*texts)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for name, found in document.get("quality", {}).items():
        odd = ", ".join(f"{k.replace('_', ' ')} {_listed(v)}" for k, v in found.items() if v and k != "rows")
        typer.echo(f"{name}: {odd or 'nothing odd in its bars'}")
    typer.echo(
        f"model {document['digest']}, risk aversion {document['risk_aversion']:g}. regret: part of the bound"
        " kept, from what each stop gives up, without the noise of prices. net: gain less square-root impact"
        f" at {100 * document['impact_participation']:g} % of the volume, beside the rules that stop"
        " optimally and trade evenly (even) or all at once (dump), and twap. of prog.: the part of what the"
        " exact optimum with impact adds to twap. of best: the part of the achievable gain against arrival."
    )
