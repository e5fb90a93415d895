"""Options of ``evaluate``: what each means, ranges of min periods, and the command as it was given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from agent.core.errors import InputError

Market = Annotated[str | None, typer.Option(help="simulated market: gaussian, gaussian-bars, ...")]
BarFiles = Annotated[list[Path] | None, typer.Option(help="parquet or CSV files of bars")]
MoreBarFiles = Annotated[list[Path] | None, typer.Argument(help="further bar files")]
Intervals = Annotated[
    list[str] | None, typer.Option(help="as in 15m, or several; default: the files' own, simulated 1m")
]
Calendar = Annotated[
    str | None, typer.Option(help="of a market that closes, as in XNYS; its nights are no gaps")
]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601")]
To = Annotated[str | None, typer.Option("--to", help="ISO 8601")]
Sigma = Annotated[float, typer.Option(help="volatility an interval of a simulated market")]
MaxDuration = Annotated[int, typer.Option(help="max duration in intervals")]
MinPeriods = Annotated[list[str] | None, typer.Option(help="as in 4, 0-6 or 0,4,8; default 0, n/3, 2n/3, n")]
MinRate = Annotated[float, typer.Option(help="least share of the order in an interval")]
MaxRate = Annotated[float, typer.Option(help="most share of the order in an interval")]
Orders = Annotated[int, typer.Option(help="paths, or orders on real bars at most")]
Every = Annotated[
    int, typer.Option(help="on real bars an order starts every so many bars; 0: every n: none overlaps")
]
Seed = Annotated[int, typer.Option(help="of simulated paths, and of bootstrap intervals", min=0)]
RiskAversion = Annotated[
    float, typer.Option(help="of the model, of the optimum with impact and of Almgren-Chriss")
]
Participation = Annotated[
    float,
    typer.Option(
        help="expected participation: the order / the market volume expected in n intervals, in [0, 1]"
    ),
]
ArrivalWeight = Annotated[
    float, typer.Option(help="0: beat the benchmark; 1: beat the arrival price", min=0.0, max=1.0)
]
History = Annotated[
    int | None,
    typer.Option(help="bars seen before a simulated order; default 32, all it can use with arrival weight 1"),
]
Model = Annotated[Path | None, typer.Option(help="checkpoint; default: the one shipped")]
Csv = Annotated[Path | None, typer.Option(help="also write the rows, flat, to this file")]
WithFrontier = Annotated[
    bool, typer.Option("--frontier", help="also gain against risk and impact beside the optimum: 2 minutes")
]
WithRegimes = Annotated[bool, typer.Option("--regimes", help="also print the regimes")]

OUTPUTS = ("csv", "html", "as_json", "threads", "regimes")
"""Options that change nothing in the document."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def min_periods(texts: list[str]) -> tuple[int, ...]:
    """Return the periods in order, each once: "4", "0-6" and "0,4,8" may be mixed. Raises InputError."""
    found: set[int] = set()
    for text in ",".join(texts).split(","):
        match = _RANGE.fullmatch(text.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > 10_000:
            raise InputError(
                f"min period {text!r} is not understood: give a number, a range as in 0-6,"
                " or a list as in 0,4,8"
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def check_source(market: str | None, files: list[Path], of_bars: dict[str, str | None]) -> None:
    """Refuse a market beside bar files, and options ``of_bars`` without any. Raises InputError."""
    if files and market is not None:
        raise InputError("--market and --bars exclude each other: give one of them")
    without_use = [name for name, value in of_bars.items() if value is not None]
    if without_use and not files:
        raise InputError(
            f"{without_use[0]} says something of bars, and there are none: give --bars FILE, or leave it out"
        )


def command_line(context: typer.Context) -> str:
    """The command as it was given, without what only changes where results go."""
    arguments = ["python", "-m", "lem", "evaluate"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name in OUTPUTS or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            arguments += [str(one) for one in value]
        else:
            arguments += _option(parameter.opts[0], value)
    return shlex.join(arguments)


def _option(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag] if value else []
    values = value if isinstance(value, list | tuple) else [value]
    return [argument for one in values for argument in (flag, str(one))]
