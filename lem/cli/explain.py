"""``python -m lem explain``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.core.errors import InputError, NoOrderError
from agent.core.events import AuditEvent, DecisionTaken
from agent.entry.long_work import LongWork
from lem.cli.common_options import Json, check_writable
from lem.cli.html_files import Html, write_page

if TYPE_CHECKING:
    from agent.core.types import MarketView, OrderView
    from lem.serving.explain import Explanation

    Decisions = dict[str, tuple[OrderView, MarketView, float]]
    """By decision id: what the model was shown, and the share of the order it answered."""

MOST = 12  # rows of a table
SPARK = " ▁▂▃▄▅▆▇█"


def _session(given: Path) -> Path:
    """A path as it is; else a session's name in the configured folder, or ``last``."""
    from agent.config import configuration_file, load_config
    from storage.recordings.catalogue import find_session

    return find_session(given, lambda: load_config(configuration_file(None)).out)


def explain(
    session: Annotated[
        Path,
        typer.Argument(
            callback=_session,
            help="a recorded session with an order by lem: its directory, its name, or last",
        ),
    ],
    decision: Annotated[str | None, typer.Option(help="decision id, as in `agent log decisions`")] = None,
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the one shipped")] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Why the model decided as it did: weights, attention, forecasts, and what would have changed its mind.

    The session is replayed, so the model sees again what it saw. Without --decision, the last one.
    """
    from lem.network.checkpoint import load_checkpoint
    from lem.serving.explain import explain as run

    check_writable(html, "--html")
    with LongWork(f"replaying {session}"):
        decisions = _decisions(session)
    name = decision or list(decisions)[-1]
    if name not in decisions:
        raise InputError(f"no decision {name!r} by the model in {session}: it has {_some(decisions)}")
    order, market, decided = decisions[name]
    if not len(market.bars):
        raise InputError(
            f"decision {name} saw no bars: nothing to explain; take a later one of {_some(decisions)}"
        )
    checkpoint = load_checkpoint(model)
    with LongWork(f"asking the model about {name} again, with other inputs"):
        explanation = run(checkpoint.model, order, market)
    document: dict[str, object] = {"decision": name, "interval": order.t, "digest": checkpoint.digest}
    document["reproduce"] = shlex.join(["python", "-m", "lem", "explain", str(session), "--decision", name])
    document |= explanation.to_json() | {"decided_share": decided}
    if html is not None:
        from lem.page.explanation_page import explanation_page

        with LongWork(f"drawing {html}"):
            write_page(html, explanation_page(json.loads(json.dumps(document))))
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _print(name, order.t, checkpoint.digest, explanation, decided)


def _decisions(session: Path) -> Decisions:
    """The model's decisions in a replay of ``session``. Raises InputError where there is none."""
    from agent.app.replay_session import replay_session

    shown: dict[str, tuple[OrderView, MarketView]] = {}
    taken: dict[str, DecisionTaken] = {}

    def decided(events: Iterable[AuditEvent]) -> None:
        taken.update((e.decision_id, e) for e in events if isinstance(e, DecisionTaken))

    def record(name: str, order: OrderView, market: MarketView) -> None:
        shown[name] = (order, market)

    try:
        replayed = replay_session(
            session, None, override=False, verify=False, speed=None, watch=decided, shown=record
        )
    except NoOrderError as error:
        raise NoOrderError(
            f"{session} holds no order, so no decision by the model: give a session of `agent run` with an"
            " order by lem"
        ) from error
    by_lem = {parent["id"] for parent in replayed.summary.parents() if parent["algo"] == "lem"}
    found = {
        name: (*seen, taken[name].share)
        for name, seen in shown.items()
        if name in taken and taken[name].parent_id in by_lem
    }
    if not found:
        raise InputError(f"{session} holds no decision by the model: give a session with an order by lem")
    return found


def _some(decisions: Decisions) -> str:
    names = list(decisions)
    return ", ".join(names) if len(names) <= MOST else f"{names[0]} ... {names[-1]} ({len(names)})"


def _print(name: str, interval: int, digest: str, found: Explanation, decided: float) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.core.market.feature_names import feature_label, forecast_label
    from lem.page.explanation_page import distance

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    may = "" if found.may_finish else " (not allowed to finish in this interval)"
    console.print(
        f"decision {name}, interval {interval}: {100 * decided:.2f} % of the order"
        f" (before the order's bounds {100 * found.share:.2f} %),"
        f" finish probability {found.finish_probability:.3f}{may}; {found.history}; model {digest}"
    )
    flips = Table(title="what would change its mind, one input at a time")
    for header in ("input", "value", "finish / go on would turn at", "share of the order could be"):
        flips.add_column(header, justify="left" if header == "input" else "right")
    for flip in sorted(found.flips, key=lambda flip: distance(asdict(flip)))[:MOST]:
        low, high = flip.shares
        at = "never" if flip.flips_at is None else f"{flip.flips_at:.4g}"
        flips.add_row(
            feature_label(flip.name), f"{flip.value:.4g}", at, f"{100 * low:.2f} .. {100 * high:.2f} %"
        )
    weights = Table(title="where it looks")
    for header in ("feature", "value", "weight", "mean weight"):
        weights.add_column(header, justify="left" if header == "feature" else "right")
    for feature in found.features[:MOST]:
        value = "absent" if feature.value is None else f"{feature.value:+.3f}"
        weights.add_row(
            feature_label(feature.name), value, f"{feature.weight:.3f}", f"{feature.mean_weight:.3f}"
        )
    console.print(flips)
    console.print(weights)
    console.print(f"attention, newest bar first: {_spark(found.attention)}")
    forecasts = "; ".join(f"{forecast_label(name)} {value:+.3f}" for name, value in found.forecasts.items())
    console.print(f"forecasts in the context (features, in their own units): {forecasts}")


def _spark(weights: Sequence[float]) -> str:
    most = max(weights, default=0.0)
    if most <= 0:
        return "none"
    return "".join(SPARK[round((len(SPARK) - 1) * w / most)] for w in weights[:100])
