"""``python -m lem evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import InputError
from lem.cli.options import Json, Threads, progress, time_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from lem.paths import Question


def evaluate(
    market: Annotated[str | None, typer.Option(help="a simulator: gaussian, gaussian-bars, ...")] = None,
    bars: Annotated[list[Path] | None, typer.Option(help="parquet or CSV files of bars")] = None,
    more_bars: Annotated[list[Path] | None, typer.Argument(help="further bar files")] = None,
    interval: Annotated[str | None, typer.Option(help="as in 15m; default: the files' own")] = None,
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
            document = _on_files(checkpoint, files, interval, (from_, to), question, report)
        else:
            document = evaluate_market(checkpoint, market or "gaussian", question, report)
    typer.echo(json.dumps(document)) if as_json else _print_rows(document)


def _on_files(
    checkpoint: Any,
    files: list[Path],
    interval: str | None,
    span: tuple[str | None, str | None],
    question: Question,
    report: Callable[[int, int], None],
) -> dict[str, Any]:
    from agent.durations import parse_duration_ns
    from lem.windows import evaluate_files

    interval_ns = None if interval is None else parse_duration_ns(interval)
    bounds = (time_ns(span[0]), time_ns(span[1]))
    return evaluate_files(checkpoint, files, interval_ns, bounds, question, report)


def _share(value: float, fraction: float | None) -> str:
    return f"{value:.3f}" if fraction is None else f"{value:.3f} ({fraction:.2f})"


def _print_rows(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    where = document.get("market") or ", ".join(document["bars"])
    table = Table(
        title=f"gain in bps on {where}, sigma {1e4 * document['sigma']:.3g} bps, n = {document['n']}"
    )
    columns = ("side", "target", "bench", "m", "mean", "± 95 %", "std", "p5", "median", "p95", "|slip|")
    for name in (*columns, "of bound", "regret", "arrival", "net", "of prog.", "stopping", "dump", "twap"):
        table.add_column(name, justify="left" if name in columns[:3] else "right")
    for row in document["rows"]:
        gain, rules = row["gain_bps"], row["baselines"]
        part = row["fraction_of_bound"]
        numbers = (gain["mean"], gain["ci95"][1] - gain["mean"], gain["std"], gain["p5"], gain["median"])
        table.add_row(
            row["side"],
            row["target_kind"],
            row["benchmark"],
            str(row["min_period"]),
            *(f"{x:.3f}" for x in (*numbers, gain["p95"], row["abs_slippage_bps_mean"])),
            "" if part is None else f"{part:.3f}",
            f"{row['regret']['fraction_of_bound']:.4f}" if "regret" in row else "",
            _share(row["arrival_gain_bps_mean"], row["arrival_fraction"]),
            f"{row['gain_after_impact_bps_mean']:.3f}",
            f"{row['impact']['fraction_of_programme']:.3f}" if "impact" in row else "",
            *(f"{rules[k]['gain_after_impact_bps_mean']:.3f}" for k in ("optimal_stopping", "dump", "twap")),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    typer.echo(
        f"model {document['digest']}; net (and the three rules): gain less square-root impact at"
        f" {100 * document['impact_participation']:g} % of the volume; of prog.: what the exact optimum with"
        " impact adds to twap; regret: of the bound, by what each stop gives up;"
        f" risk aversion {document['risk_aversion']:g}"
    )
