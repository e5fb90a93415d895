"""Command lines: every command and option of both programs, with values that are right, odd, or left out."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import cache
from typing import Any

from typer.main import get_command

from agent.cli import app as agent_app
from lem.cli import app as lem_app
from tests.fuzz.trial import Case
from tests.fuzz.world import DURATIONS, ODD_TEXTS, World, odd

RIGHT: dict[str, Callable[[random.Random, World], str]] = {
    "session": lambda d, w: str(d.choice([w.session, w.plain])),
    "sessions": lambda d, w: str(d.choice([w.session, w.plain, w.folder])),
    "folder": lambda d, w: str(w.folder),
    "files": lambda d, w: str(w.klines),
    "file": lambda d, w: str(w.klines),
    "bars": lambda d, w: str(w.klines),
    "db": lambda d, w: f"sqlite:///{w.scratch / 'agent.db'}",
    "out": lambda d, w: str(w.scratch / d.choice(["a", "b/c", "d.csv"])),
    "html": lambda d, w: str(w.scratch / "page.html"),
    "latencies": lambda d, w: str(w.scratch / "latencies"),
    "what": lambda d, w: d.choice(
        ["parents", "children", "fills", "decisions", "slippage", "sessions", "gaps", "sql"]
    ),
    "statement": lambda d, w: d.choice(["SELECT 1", "SELECT * FROM fills", "SELECT count(*) FROM v_fills"]),
    "action": lambda d, w: d.choice(["pause", "resume", "cancel", "amend", "kill"]),
    "parent": lambda d, w: "s-P1",
    "since": lambda d, w: d.choice(["2h", "2020-01-01", "3d"]),
    "until": lambda d, w: d.choice(["2h", "2030-01-01"]),
    "symbol": lambda d, w: d.choice(["BTC/USDT", "ETH/USDT", "IBM/USD", "BTC/USD:BTC"]),
    "exchange": lambda d, w: "no-such-exchange",
    "market": lambda d, w: d.choice([str(w.session), "synthetic"]),
    "seed": lambda d, w: str(d.randrange(9)),
    "side": lambda d, w: d.choice(["buy", "sell"]),
    "quantity": lambda d, w: d.choice(["0.2", "1", "0.00001", "1e9"]),
    "notional": lambda d, w: d.choice(["1000", "5", "1e12"]),
    "algo": lambda d, w: d.choice(["twap", "vwap", "pov", "almgren_chriss", "immediate", "optimal_stopping"]),
    "algo_params": lambda d, w: d.choice(["rate=0.1", "rate=", "=1", "x=1", "rate=inf"]),
    "tactic": lambda d, w: d.choice(["twap_micro", "peg", "sweep"]),
    "shadows": lambda d, w: d.choice(["twap", "twap,vwap", ",", "twap,twap"]),
    "benchmark": lambda d, w: d.choice(["vwap", "twap"]),
    "align": lambda d, w: d.choice(["none", "grid"]),
    "limit_price": lambda d, w: d.choice(["60000", "1", "0.001"]),
    "speed": lambda d, w: "max",
    "start": lambda d, w: "2025-03-03T14:30",
    "kind": lambda d, w: d.choice(["klines", "binance-raw", "tardis-csv"]),
    "form": lambda d, w: d.choice(["table", "json", "csv", "parquet"]),
    "limit": lambda d, w: str(d.randrange(1, 9)),
    "config": lambda d, w: str(w.folder / "none.yaml"),
    "port": lambda d, w: "99999",
}
LONG = {"train", "ablate", "fetch", "serve-exchange", "record"}
"""Only with what ends them at once: work of minutes or a network is no input."""


@cache
def _commands() -> list[tuple[str, tuple[str, ...], list[Any]]]:
    found: list[tuple[str, tuple[str, ...], list[Any]]] = []

    def walk(program: str, command: Any, path: tuple[str, ...]) -> None:
        below = getattr(command, "commands", None)
        for name, inner in (below or {}).items():
            walk(program, inner, (*path, name))
        if not below:
            found.append((program, path, list(command.params)))

    walk("agent", get_command(agent_app), ())
    walk("lem", get_command(lem_app), ())
    return found


def make_case(draw: random.Random, world: World) -> Case:
    """Any command with some of its options, on a database of its own."""
    shutil.copy(world.database, world.fresh() / "agent.db")
    program, path, params = draw.choice(_commands())
    argv = list(path)
    oddness = draw.choice([0.0, 0.1, 0.3, 0.9])
    for param in params:
        argv += _given(draw, world, param, oddness)
    if "--paper" not in argv and path == ("run",) and draw.random() < 0.9:
        argv.append("--paper")
    argv = _made_short(draw, path, argv)
    if draw.random() < 0.05:
        argv.insert(draw.randrange(len(argv) + 1), draw.choice([odd(draw), "--" + odd(draw), "--json"]))
    return Case(argv, program=program)


def _given(draw: random.Random, world: World, param: Any, oddness: float) -> list[str]:
    options = [o for o in param.opts if o.startswith("--")]
    value = _value(draw, world, param.name, oddness)
    if not options:
        return (
            [value] if draw.random() < 0.95 and not (param.name == "parent" and draw.random() < 0.7) else []
        )
    needed = bool(getattr(param, "required", False))
    if draw.random() > (0.97 if needed else 0.2):
        return []
    if getattr(param, "is_flag", False):
        return [options[0]]
    return [f"{options[0]}={value}"] if draw.random() < 0.5 else [options[0], value]


def _value(draw: random.Random, world: World, name: str, oddness: float) -> str:
    if draw.random() < oddness:
        return odd(draw)
    if name in RIGHT:
        return RIGHT[name](draw, world)
    return draw.choice(DURATIONS) if "duration" in name or name in ("interval", "history") else odd(draw)


def _made_short(draw: random.Random, path: tuple[str, ...], argv: list[str]) -> list[str]:
    """Keep what goes out to a network, or works for minutes, from getting so far."""
    if path in (("run",), ("record",), ("doctor",), ("serve-exchange",)):
        kept = [a for a in argv if not a.startswith(("--exchange", "--market", "--config", "--port"))]
        argv = [a for a in kept if a not in ("no-such-exchange", "synthetic", "embedded")]
        end = ["--port", draw.choice(["99999", "-1", "x"])] if path[0] == "serve-exchange" else []
        return [*argv, *(end or ["--exchange", draw.choice(["no-such-exchange", "", "Δ", "[/red]"])])]
    if path and path[0] in LONG:
        return [*argv, draw.choice(["--no-such-option", "--workers=-1", "--seed=x"])]
    if path in (("evaluate",), ("bound",), ("explain",)):
        return [
            *argv,
            *draw.choice([["--n=x"], ["--n=0"], ["--n=-3"], ["--json=1"], [draw.choice(ODD_TEXTS)]]),
        ]
    return argv
