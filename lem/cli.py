"""``python -m lem``: train, evaluate, bound. Torch and numba load inside the commands.

Errors are one message on stderr; exit codes: 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import AgentError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lem.paths import Question

app = typer.Typer(
    name="lem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The Large Execution Model: train it, judge it, and compute the bound it is judged against.",
)

Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Threads = Annotated[int, typer.Option(help="CPU threads; one is as fast as two at these sizes", min=1)]


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="tiny | quick | long")] = "quick",
    seed: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("lem-model.safetensors"),
    iterations: Annotated[int | None, typer.Option(help="instead of the preset's", min=1)] = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train on simulated markets and write a checkpoint. quick takes less than five minutes."""
    from dataclasses import replace

    import torch

    from lem.checkpoint import save_checkpoint
    from lem.config import PRESETS, ModelConfig
    from lem.train import train as run

    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    torch.set_num_threads(threads)
    config = replace(PRESETS[preset], seed=seed)
    if iterations is not None:
        config = replace(config, iterations=iterations)
    with _progress("training", config.iterations) as bar:
        result = run(ModelConfig(), config, lambda done, total, loss: bar(done, total, f"loss {loss:+.4f}"))
    digest = save_checkpoint(result.model, out, result.summary(config, preset))
    record = {
        "path": str(out),
        "digest": digest,
        "preset": preset,
        "seed": seed,
        "iterations": result.iterations,
        "loss": result.loss,
        "seconds": round(result.seconds, 1),
        "bytes": out.stat().st_size,
    }
    if as_json:
        typer.echo(json.dumps(record))
    else:
        typer.echo(
            f"{out}: digest {digest}, {out.stat().st_size / 1e6:.2f} MB, {result.iterations} iterations in"
            f" {result.seconds:.0f} s, loss {result.loss:+.4f}"
        )


@app.command()
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
    ).checked()
    checkpoint = load_checkpoint(model)
    with _progress("evaluating", orders) as bar:
        report: Callable[[int, int], None] = lambda done, total: bar(done, total, "")  # noqa: E731
        if files:
            document = _on_files(checkpoint, files, interval, (from_, to), question, report)
        else:
            document = evaluate_market(checkpoint, market or "gaussian", question, report)
    typer.echo(json.dumps(document)) if as_json else _print_rows(document)


@app.command()
def bound(
    n: Annotated[int, typer.Option(help="max duration in intervals")] = 12,
    max_rate: Annotated[float, typer.Option(help="most of the order an interval")] = 1.0,
    price: Annotated[str, typer.Option(help="walk: price at its end; bars: its average")] = "walk",
    as_json: Json = False,
) -> None:
    """Exact expected gain of the best stopping rule on a driftless walk, in units of sigma, for every m."""
    from lem.bound import bound_table

    table = bound_table(n, max_rate, price)
    if as_json:
        gains = {str(m): round(gain, 6) + 0.0 for m, gain in table.items()}
        typer.echo(json.dumps({"n": n, "gain_sigma": gains, "max_rate": max_rate, "price": price}))
        return
    typer.echo(f"best expected gain in units of sigma, n = {n}, max rate {max_rate:g}, price: {price}")
    for m, gain in table.items():
        typer.echo(f"  m = {m:<4d} {gain:8.4f}")


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
    bounds = (_time_ns(span[0]), _time_ns(span[1]))
    return evaluate_files(checkpoint, files, interval_ns, bounds, question, report)


def _time_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"time {text!r} is not ISO 8601: write it as in 2025-01-31 or 2025-01-31T12:00"
        ) from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 1_000_000_000


def _print_rows(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    where = document.get("market") or ", ".join(document["bars"])
    table = Table(
        title=f"gain in bps on {where}, sigma {1e4 * document['sigma']:.3g} bps, n = {document['n']}"
    )
    columns = ("side", "target", "bench", "m", "mean", "± 95 %", "std", "p5", "median", "p95", "|slip|")
    for name in (*columns, "of bound", "impact", "stopping", "twap"):
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
            f"{row['gain_after_impact_bps_mean']:.3f}",
            *(f"{rules[k]['gain_bps_mean']:.3f}" for k in ("optimal_stopping", "twap")),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    typer.echo(
        f"model {document['digest']}; impact: gain less square-root impact at"
        f" {100 * document['impact_participation']:g} % of the volume;"
        f" risk aversion {document['risk_aversion']:g}"
    )


class _progress:  # noqa: N801
    """A progress bar on stderr when that is a terminal, else silence."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, note="")

    def __enter__(self) -> Callable[[int, int, str], None]:
        self._bar.start()
        return lambda done, total, note: self._bar.update(self._task, completed=done, total=total, note=note)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def main(argv: list[str] | None = None) -> None:
    """Entry point: turns our errors into one message and an exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        code = app(args=[a for a in arguments if a != "--debug"], standalone_mode=False)
    except AgentError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        message = getattr(error, "format_message", None)  # click's own: a wrong option or argument
        if message is None:
            raise
        typer.echo(f"error: {message()}", err=True)
        sys.exit(getattr(error, "exit_code", 2))
    sys.exit(code if isinstance(code, int) else 0)
