"""Options that commands share, and the configuration they make of them.

The options of an order are not listed here: ``order_options`` makes them from ``agent.order_options.Order``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.core.secret_url import DatabaseUrl
from agent.order_list.order_texts import OrderValues, order_values
from agent.order_options import OptionOfField, order_fields

if TYPE_CHECKING:
    from agent.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration (YAML); if left out, config.yaml in this folder, or the defaults."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log as JSON lines, on a terminal too.")]
Database = Annotated[
    DatabaseUrl | None,
    typer.Option(
        "--db", parser=DatabaseUrl, metavar="URL", help="Execution log, as in sqlite:///runs/agent.db."
    ),
]
Exchange = Annotated[
    str | None, typer.Option(metavar="ID", help="ccxt exchange id, or embedded (the local exchange).")
]
Symbol = Annotated[str | None, typer.Option(metavar="SYMBOL", help="As ccxt writes it: BTC/USDT.")]
Seed = Annotated[
    int | None, typer.Option(help="Seed of the synthetic market, and of what the paper venue draws.")
]
ReplaySeed = Annotated[
    int | None, typer.Option(help="Seed of what the paper venue draws; the tape is as it was recorded.")
]
MarketSeed = Annotated[int | None, typer.Option(help="Seed of the synthetic market.")]
SessionsFolder = Annotated[Path | None, typer.Option("--out", help="Folder of recorded sessions.")]
Market = Annotated[
    str | None,
    typer.Option(
        metavar="SESSION|synthetic",
        help="What the embedded exchange plays: a recorded session, or a synthetic market.",
    ),
]


def session_path(given: Path) -> Path:
    """A path as it is; else a session's name in the configured folder, or ``last``, the newest there."""
    from agent.config import configuration_file, load_config
    from storage.recordings.catalogue import find_session

    return find_session(given, lambda: load_config(configuration_file(None)).out)


def session_paths(given: list[Path]) -> list[Path]:
    """The same of each."""
    return [session_path(each) for each in given]


SessionPath = Annotated[
    Path,
    typer.Argument(
        metavar="SESSION", callback=session_path, help="A recorded session: its directory, its name, or last."
    ),
]

SessionPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="SESSION...",
        callback=session_paths,
        help="Recorded sessions: directories, names, last, or folders of sessions.",
    ),
]

# --- the options of an order -----------------------------------------------------------------------


def order_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command every option of an order in place of its parameter ``order: OrderValues``."""
    options = order_fields()

    @functools.wraps(command)
    def with_options(**given: object) -> int:
        values = order_values({each.name: given.pop(each.name) for each in options})
        return command(order=values, **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += map(_parameter, options) if parameter.name == "order" else [parameter]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def _parameter(each: OptionOfField) -> inspect.Parameter:
    """The option as typer reads it. Values are text: ``order_values`` reads them, with our own messages."""
    option = typer.Option(
        each.flag, metavar=each.option.metavar, help=each.option.help, rich_help_panel="The order"
    )
    text = Annotated[list[str] | None, option] if each.is_mapping else Annotated[str | None, option]
    return inspect.Parameter(
        each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=text
    )


# --- the configuration -----------------------------------------------------------------------------


def configuration(path: Path | None, order: OrderValues | None = None, **top: object) -> Config:
    """The configuration file (or config.yaml here, or the defaults) with the command line's values on top."""
    from agent.config import configuration_file, load_config

    return overlaid(load_config(configuration_file(path)), order, top)


def overlaid(base: Config, order: OrderValues | None, top: Mapping[str, object]) -> Config:
    """``base`` with the values of the command line that were given on top."""
    from agent.calibration.measured_files import resolved
    from agent.config import parse_config

    whole = base.model_dump()
    whole["order"].update(order or {})
    whole.update({k: v for k, v in top.items() if v is not None})
    return resolved(parse_config(whole, "command line"))


def market_configuration(
    path: Path | None,
    market: str | None,
    seed: int | None,
    order: OrderValues | None = None,
    **top: object,
) -> Config:
    """The same with what the embedded exchange plays: its seed is the run's."""
    from agent.app.embedded_market import SYNTHETIC
    from storage.recordings.catalogue import find_session

    settings = configuration(path, order, seed=seed, **top)
    if market is not None and market != SYNTHETIC:
        market = str(find_session(Path(market), lambda: settings.out))
    embedded = {k: v for k, v in (("market", market), ("seed", seed)) if v is not None}
    return settings.model_copy(update={"embedded": settings.embedded.model_copy(update=embedded)})
