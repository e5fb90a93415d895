"""``python -m lem evaluate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from agent.entry.long_work import LongWork
from lem.cli import evaluate_options as options
from lem.cli.common_options import Json, Threads, check_writable, progress, time_ns
from lem.cli.evaluate_csv import write_csv
from lem.cli.html_files import Html, write_page

if TYPE_CHECKING:
    from lem.evaluation.evaluation_document import (
        EvaluationDocument,
        Frontier,
        JoinedDocument,
        SummaryRow,
    )
    from lem.evaluation.evaluation_spec import EvaluationSpec
    from lem.network.checkpoint import Checkpoint

HISTORY = 32
OnProgress = Callable[[int, int], None]


def evaluate(
    context: typer.Context,
    market: options.Market = None,
    bars: options.BarFiles = None,
    more_bars: options.MoreBarFiles = None,
    interval: options.Intervals = None,
    calendar: options.Calendar = None,
    from_: options.From = None,
    to: options.To = None,
    sigma: options.Sigma = 1e-4,
    n: options.MaxDuration = 12,
    min_period: options.MinPeriods = None,
    min_rate: options.MinRate = DEFAULT_MIN_RATE,
    max_rate: options.MaxRate = DEFAULT_MAX_RATE,
    orders: options.Orders = 20_000,
    every: options.Every = 0,
    seed: options.Seed = 1,
    risk_aversion: options.RiskAversion = 1.0,
    participation: options.Participation = 0.0,
    arrival_weight: options.ArrivalWeight = 0.0,
    history: options.History = None,
    model: options.Model = None,
    csv: options.Csv = None,
    html: Html = None,
    frontier: options.WithFrontier = False,
    regimes: options.WithRegimes = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Judge a model on the same paths as optimal stopping, TWAP, a volume curve and Almgren-Chriss."""
    files = [*(bars or []), *(more_bars or [])]
    of_bars = {"--calendar": calendar, "--from": from_, "--to": to, "--every": str(every) if every else None}
    options.check_source(market, files, of_bars)
    check_writable(csv, "--csv")
    check_writable(html, "--html")
    from lem.evaluation.evaluation_spec import EvaluationSpec, default_min_periods

    periods = options.min_periods(min_period) if min_period else default_min_periods(n)
    spec = EvaluationSpec(n, periods, orders, seed, sigma, HISTORY if history is None else history)
    spec = replace(spec, risk_aversion=risk_aversion, participation=participation, every=every)
    spec = replace(spec, arrival_weight=arrival_weight, min_rate=min_rate, max_rate=max_rate).checked()
    checkpoint = _load(model, threads)
    if history is None and arrival_weight == 1.0:
        spec = replace(spec, history=checkpoint.model.config.lookback)
    span = (time_ns(from_, "--from"), time_ns(to, "--to"))
    source = _Files(files, span, calendar) if files else market or "gaussian"
    document = _document(options.command_line(context), checkpoint, source, _intervals(interval), spec)
    if frontier:
        document["frontier"] = _frontier(checkpoint, spec)
    _output(document, csv, html, regimes=regimes, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Files:
    """Bar files, the span of their bars in ns, and the calendar of their market."""

    files: list[Path]
    span: tuple[int | None, int | None]
    calendar: str | None


def _load(model: Path | None, threads: int) -> Checkpoint:
    import torch

    from lem.network.checkpoint import load_checkpoint

    torch.set_num_threads(threads)
    return load_checkpoint(model)


def _intervals(texts: list[str] | None) -> list[int | None]:
    from agent.durations import parse_duration_ns

    found: list[int | None] = [parse_duration_ns(text) for text in texts or []]
    return list(dict.fromkeys(found)) or [None]


def _document(
    command: str,
    checkpoint: Checkpoint,
    source: _Files | str,
    intervals: list[int | None],
    spec: EvaluationSpec,
) -> EvaluationDocument | JoinedDocument:
    """Evaluate at each interval: one document, or what several share and each of them."""
    documents = []
    for interval_ns in intervals:
        with progress("evaluating", spec.orders) as bar:
            if isinstance(source, str):
                documents.append(_on_market(checkpoint, source, interval_ns, spec, bar))
            else:
                documents.append(_on_files(checkpoint, source, interval_ns, spec, bar))
    for one in documents:
        one["reproduce"] = command
    return documents[0] if len(documents) == 1 else _joined(documents, command)


def _on_files(
    checkpoint: Checkpoint, source: _Files, interval_ns: int | None, spec: EvaluationSpec, report: OnProgress
) -> EvaluationDocument:
    from lem.evaluation.evaluate_files import evaluate_files

    return evaluate_files(checkpoint, source.files, interval_ns, source.span, spec, report, source.calendar)


def _on_market(
    checkpoint: Checkpoint, market: str, interval_ns: int | None, spec: EvaluationSpec, report: OnProgress
) -> EvaluationDocument:
    from lem.evaluation.evaluate import evaluate_market

    timed = replace(spec, delta_ns=interval_ns or spec.delta_ns)
    document = evaluate_market(checkpoint, market, timed, report)
    if interval_ns is not None:
        document["interval_ns"] = interval_ns
    return document


def _joined(documents: list[EvaluationDocument], command: str) -> JoinedDocument:
    digests = " ".join(one["data_digest"] for one in documents)
    summary: list[SummaryRow] = [
        {"interval_ns": one["interval_ns"], **row} for one in documents for row in one["summary"]
    ]
    return {
        "model": documents[0]["model"],
        "digest": documents[0]["digest"],
        "data_digest": sha256(digests.encode()).hexdigest()[:16],
        "reproduce": command,
        "summary": summary,
        "documents": documents,
    }


def _frontier(checkpoint: Checkpoint, spec: EvaluationSpec) -> Frontier:
    from lem.evaluation.frontier import frontier

    with progress("frontier, in points", 0) as bar:
        return frontier(checkpoint, spec, bar)


def _output(
    document: EvaluationDocument | JoinedDocument,
    csv: Path | None,
    html: Path | None,
    *,
    regimes: bool,
    as_json: bool,
) -> None:
    """Write the files that were named, and print the document or its tables."""
    if csv is not None:
        write_csv(csv, document)
    if html is not None:
        from lem.page.evaluation_page import evaluation_page

        with LongWork(f"drawing {html}"):
            write_page(html, evaluation_page(dict(document)))
    if as_json:
        typer.echo(json.dumps(document))
    else:
        from lem.cli.evaluate_tables import print_document

        print_document(document, regimes)
