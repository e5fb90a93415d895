"""``python -m lem explain``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import InputError
from lem.cli.common_options import Json, check_writable
from lem.cli.html_files import Html, write_page

if TYPE_CHECKING:
    from agent.core.types import MarketView, OrderView

    Asked = dict[str, tuple[OrderView, MarketView]]

MOST = 12  # rows of a table
SPARK = " ▁▂▃▄▅▆▇█"


def explain(
    session: Annotated[Path, typer.Argument(help="directory of a recorded session with an order by lem")],
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
    asked = _asked(session)
    name = decision or list(asked)[-1]
    if name not in asked:
        raise InputError(f"no decision {name!r} by the model in {session}: it has {_some(asked)}")
    order, market = asked[name]
    if not len(market.bars):
        raise InputError(
            f"decision {name} saw no bars: nothing to explain; take a later one of {_some(asked)}"
        )
    checkpoint = load_checkpoint(model)
    explanation = run(checkpoint.model, order, market)
    document = {"decision": name, "interval": order.t, "digest": checkpoint.digest}
    document["reproduce"] = shlex.join(["python", "-m", "lem", "explain", str(session), "--decision", name])
    document |= explanation.to_json()
    if html is not None:
        from lem.page.explanation_page import explanation_page

        write_page(html, explanation_page(json.loads(json.dumps(document))))
    typer.echo(json.dumps(document)) if as_json else _print(document)


def _asked(session: Path) -> Asked:
    """What the model was shown at each of its decisions in a replay of ``session``."""
    from agent.app.replay_session import replay_session

    asked: Asked = {}

    def seen(name: str, order: OrderView, market: MarketView) -> None:
        asked[name] = (order, market)

    replayed = replay_session(session, None, override=False, verify=False, speed=None, shown=seen)
    by_lem = {parent["id"] for parent in replayed.summary.parents() if parent["algo"] == "lem"}
    asked = {k: v for k, v in asked.items() if k.rsplit("/", 1)[0] in by_lem}
    if not asked:
        raise InputError(f"{session} holds no decision by the model: give a session with an order by lem")
    return asked


def _some(asked: Asked) -> str:
    names = list(asked)
    return ", ".join(names) if len(names) <= MOST else f"{names[0]} ... {names[-1]} ({len(names)})"


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from lem.page.explanation_page import distance

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    may = "" if document["may_finish"] else " (not allowed to finish in this interval)"
    console.print(
        f"decision {document['decision']}, interval {document['interval']}:"
        f" {100 * document['share']:.2f} % of the order,"
        f" finish probability {document['finish_probability']:.3f}{may}; model {document['digest']}"
    )
    flips = Table(title="what would change its mind, one input at a time")
    for name in ("input", "value", "finish / go on would turn at", "share of the order could be"):
        flips.add_column(name, justify="left" if name == "input" else "right")
    ordered = sorted(document["flips"], key=distance)
    for row in ordered[:MOST]:
        low, high = row["shares"]
        at = "never" if row["flips_at"] is None else f"{row['flips_at']:.4g}"
        flips.add_row(row["name"], f"{row['value']:.4g}", at, f"{100 * low:.2f} .. {100 * high:.2f} %")
    weights = Table(title="where it looks")
    for name in ("feature", "value", "weight", "mean weight"):
        weights.add_column(name, justify="left" if name == "feature" else "right")
    for row in document["features"][:MOST]:
        value = "absent" if row["value"] is None else f"{row['value']:+.3f}"
        weights.add_row(row["name"], value, f"{row['weight']:.3f}", f"{row['mean_weight']:.3f}")
    console.print(flips)
    console.print(weights)
    console.print(f"attention, newest bar first: {_spark(document['attention'])}")
    told = ", ".join(f"{name} {value:+.3f}" for name, value in document["forecasts"].items())
    console.print(f"forecasts in the context (features, in their own units): {told}")


def _spark(weights: list[float]) -> str:
    most = max(weights, default=0.0)
    if most <= 0:
        return "none"
    return "".join(SPARK[round((len(SPARK) - 1) * w / most)] for w in weights[:100])
