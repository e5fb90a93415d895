"""``python -m lem evaluate``."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import InputError
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from lem.cli.common_options import Json, Threads, check_writable, progress, time_ns
from lem.cli.evaluate_csv import write_csv
from lem.cli.evaluate_options import command_line, min_periods
from lem.cli.html_files import Html, write_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from lem.evaluation.paths import Question
    from lem.network.checkpoint import Checkpoint

HISTORY = 32
Documents = list[dict[str, Any]]


def evaluate(
    context: typer.Context,
    market: Annotated[str | None, typer.Option(help="a simulator: gaussian, gaussian-bars, ...")] = None,
    bars: Annotated[list[Path] | None, typer.Option(help="parquet or CSV files of bars")] = None,
    more_bars: Annotated[list[Path] | None, typer.Argument(help="further bar files")] = None,
    interval: Annotated[
        list[str] | None, typer.Option(help="as in 15m, or several; default: the files' own, simulated 1m")
    ] = None,
    calendar: Annotated[
        str | None, typer.Option(help="of a market that closes, as in XNYS; its nights are no gaps")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="ISO 8601")] = None,
    to: Annotated[str | None, typer.Option("--to", help="ISO 8601")] = None,
    sigma: Annotated[float, typer.Option(help="volatility an interval of a simulated market")] = 1e-4,
    n: Annotated[int, typer.Option(help="max duration in intervals")] = 12,
    min_period: Annotated[
        list[str] | None, typer.Option(help="as in 4, 0-6 or 0,4,8; default 0, n/3, 2n/3, n")
    ] = None,
    min_rate: Annotated[float, typer.Option(help="least of the order an interval")] = DEFAULT_MIN_RATE,
    max_rate: Annotated[float, typer.Option(help="most of the order an interval")] = DEFAULT_MAX_RATE,
    orders: Annotated[int, typer.Option(help="paths, or orders on real bars at most")] = 20_000,
    every: Annotated[
        int,
        typer.Option(help="on real bars an order starts every so many bars; 0: every n: none overlaps"),
    ] = 0,
    seed: Annotated[int, typer.Option(help="of paths and of intervals by bootstrap", min=0)] = 1,
    risk_aversion: Annotated[
        float, typer.Option(help="of the model, of the optimum with impact and of Almgren-Chriss")
    ] = 1.0,
    participation: Annotated[float, typer.Option(help="order / market volume in n intervals")] = 0.0,
    arrival_weight: Annotated[
        float, typer.Option(help="0: beat the benchmark; 1: beat the arrival price", min=0.0, max=1.0)
    ] = 0.0,
    history: Annotated[
        int | None,
        typer.Option(
            help="bars seen before a simulated order; default 32, all it can use with arrival weight 1"
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the one shipped")] = None,
    csv: Annotated[Path | None, typer.Option(help="also write the rows, flat, to this file")] = None,
    html: Html = None,
    frontier: Annotated[
        bool,
        typer.Option("--frontier", help="also gain against risk and impact beside the optimum: 2 minutes"),
    ] = False,
    regimes: Annotated[bool, typer.Option("--regimes", help="also print the regimes")] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Judge a model on the same paths as optimal stopping, TWAP, a volume curve and Almgren-Chriss."""
    files = [*(bars or []), *(more_bars or [])]
    _check_choice(
        market,
        files,
        {"--calendar": calendar, "--from": from_, "--to": to, "--every": str(every) if every else None},
    )
    check_writable(csv, "--csv")
    check_writable(html, "--html")
    import torch

    from lem.evaluation.paths import Question, default_min_periods
    from lem.network.checkpoint import load_checkpoint

    torch.set_num_threads(threads)
    question = Question(
        n=n,
        min_periods=min_periods(min_period) if min_period else default_min_periods(n),
        orders=orders,
        seed=seed,
        sigma=sigma,
        history=HISTORY if history is None else history,
        risk_aversion=risk_aversion,
        participation=participation,
        arrival_weight=arrival_weight,
        min_rate=min_rate,
        max_rate=max_rate,
        every=every,
    ).checked()
    checkpoint = load_checkpoint(model)
    if history is None and arrival_weight == 1.0:
        question = replace(question, history=checkpoint.model.config.lookback)
    intervals = _intervals(interval)
    if files:
        span = (time_ns(from_, "--from"), time_ns(to, "--to"))
        documents = _on_files(checkpoint, files, intervals, span, question, calendar)
    else:
        documents = _on_market(checkpoint, market or "gaussian", intervals, question)
    document = _together(documents, command_line(context))
    if frontier:
        document["frontier"] = _frontier(checkpoint, question)
    if csv is not None:
        write_csv(csv, document)
    if html is not None:
        from lem.page.evaluation_page import evaluation_page

        write_page(html, evaluation_page(document))
    if as_json:
        typer.echo(json.dumps(document))
    else:
        from lem.cli.evaluate_tables import print_document

        print_document(document, regimes)


def _check_choice(market: str | None, files: list[Path], of_bars: dict[str, str | None]) -> None:
    if files and market is not None:
        raise InputError("--market and --bars exclude each other: give one of them")
    lost = [name for name, value in of_bars.items() if value is not None]
    if lost and not files:
        raise InputError(
            f"{lost[0]} says something of bars, and there are none: give --bars FILE, or leave it out"
        )


def _intervals(texts: list[str] | None) -> list[int | None]:
    from agent.durations import parse_duration_ns

    found: list[int | None] = [parse_duration_ns(text) for text in texts or []]
    return list(dict.fromkeys(found)) or [None]


def _on_files(
    checkpoint: Checkpoint,
    files: list[Path],
    intervals: list[int | None],
    span: tuple[int | None, int | None],
    question: Question,
    calendar: str | None,
) -> Documents:
    from lem.evaluation.evaluate_files import evaluate_files

    def one(interval: int | None, report: Callable[[int, int], None]) -> dict[str, Any]:
        return evaluate_files(checkpoint, files, interval, span, question, report, calendar)

    return _each(intervals, question.orders, one)


def _on_market(
    checkpoint: Checkpoint, market: str, intervals: list[int | None], question: Question
) -> Documents:
    from lem.evaluation.evaluate import evaluate_market

    def one(interval: int | None, report: Callable[[int, int], None]) -> dict[str, Any]:
        asked = replace(question, delta_ns=interval or question.delta_ns)
        found = evaluate_market(checkpoint, market, asked, report)
        return found if interval is None else found | {"interval_ns": interval}

    return _each(intervals, question.orders, one)


def _each(
    intervals: list[int | None],
    orders: int,
    one: Callable[[int | None, Callable[[int, int], None]], dict[str, Any]],
) -> Documents:
    documents = []
    for interval in intervals:
        with progress("evaluating", orders) as bar:
            documents.append(one(interval, bar))
    return documents


def _together(documents: Documents, command: str) -> dict[str, Any]:
    """One document; of several intervals, what they share and each under "documents"."""
    if len(documents) == 1:
        return documents[0] | {"reproduce": command}
    digests = " ".join(part["data_digest"] for part in documents)
    summary = [{"interval_ns": part["interval_ns"], **row} for part in documents for row in part["summary"]]
    return {
        "model": documents[0]["model"],
        "digest": documents[0]["digest"],
        "data_digest": sha256(digests.encode()).hexdigest()[:16],
        "reproduce": command,
        "summary": summary,
        "documents": [part | {"reproduce": command} for part in documents],
    }


def _frontier(checkpoint: Any, question: Question) -> dict[str, Any]:
    from lem.evaluation.frontier import frontier

    with progress("frontier", 1) as bar:
        return frontier(checkpoint, question, bar)
