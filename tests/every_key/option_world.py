"""The sessions, logs and configurations that the options are tried on, by the names that cases use."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests import bar_sessions
from tests.every_key.command_line import call
from tests.every_key.key_cases import LAW
from tests.every_key.key_markets import PLAIN_ORDER
from tests.fakes import order_of_the_model, record, small_session, synthetic_tape


def make_world(folder: Path) -> dict[str, str]:
    """Everything there is, once; cases write beside it."""
    made = {"folder": folder / "sessions", "empty": folder / "empty"}
    for path in made.values():
        path.mkdir()
    session = made["session"] = small_session(made["folder"] / "s")
    made["bars"] = bar_sessions.write_csv(
        folder / "bars.csv", bar_sessions.hourly([100.0 + k for k in range(12)], volume=10.0)
    )
    for name, symbol in (("barsession", "BTC/USDT"), ("eth", "ETH/USDT")):
        made[name] = folder / name
        _done("import", made["bars"], "--format", "klines", "--symbol", symbol, "--out", made[name])
    made["both"] = folder / "both"
    _done("sessions", "merge", made["barsession"], made["eth"], "--out", made["both"])
    instrument, events = synthetic_tape(330.0, seed=3)
    made["long"] = record(folder / "long", instrument, events, [], PLAIN_ORDER)
    for name, first, last in (("early", "1ms", "10s"), ("late", "10s", "20s"), ("open", "1s", "2s")):
        made[name] = folder / name
        _done("sessions", "slice", session, "--from", first, "--to", last, "--out", made[name])
    made["flipped"] = _flipped(session, folder / "flipped")
    made |= _logs(session, folder)
    made |= _of_the_model(folder)
    made |= _configurations(folder, made)
    return {name: str(path) for name, path in made.items()}


def _done(*argv: object) -> None:
    done = call("agent", *argv)
    assert done.code == 0, done.err


def _flipped(session: Path, folder: Path) -> Path:
    """A folder with a session of which one byte of one row is another than was written."""
    shutil.copytree(session, folder / "s")
    tape = folder / "s" / "tape-00000.arrows"
    data = bytearray(tape.read_bytes())
    data[len(data) // 2] ^= 1
    tape.write_bytes(bytes(data))
    return folder


def _logs(session: Path, folder: Path) -> dict[str, Path]:
    """Two logs of different replays, one of the run itself, and some in which that run died at its order."""
    made = {name: folder / f"{name}.db" for name in ("db", "other", "ran")}
    _done("replay", session, "--db", made["db"])
    _done("replay", session, "--db", made["other"], "--algo", "immediate")
    _done("sessions", "sync", session, "--db", made["ran"])
    for name in ("died", "died2", "died3", "died4"):  # one a command that ends it
        made[name] = folder / f"{name}.db"
        shutil.copy(made["ran"], made[name])
        with closing(sqlite3.connect(made[name])) as database, database:
            database.execute("UPDATE sessions SET state = 'open', closed_ns = NULL")
            database.execute("UPDATE parent_orders SET state = 'working', ended_ns = NULL")
    return made


def _of_the_model(folder: Path) -> dict[str, Path]:
    """Two files of minutes that wander, another model, and a session with an order by the model."""
    made = {"bylem": folder / "bylem", "tiny": folder / "tiny.safetensors"}
    instrument, events, order, command = order_of_the_model()
    record(made["bylem"], instrument, events, [command], order)
    done = call(
        "lem", "train", "--preset", "tiny", "--iterations", "1", "--workers", "1", "--out", made["tiny"]
    )
    assert done.code == 0, done.err
    for name, seed in (("minutes", 1), ("others", 2)):
        steps = np.random.default_rng(seed).normal(0.0, 0.05, 4000)
        prices = np.round(1000 + np.cumsum(steps), 2).tolist()
        bars = [
            replace(bar, start=bar_sessions.MIDNIGHT + k * timedelta(minutes=1), money=None)
            for k, bar in enumerate(bar_sessions.hourly(prices))
        ]
        made[name] = bar_sessions.write_csv(folder / f"{name}.csv", bars)
    return made


def _configurations(folder: Path, made: dict[str, Path]) -> dict[str, Path]:
    order = {"quantity": 1, "algo": "twap", "shadows": []}
    hourly = {"interval": "1h", "min_duration": "1h", "max_duration": "2h"}
    raws: dict[str, dict[str, Any]] = {
        "config": {"database": f"sqlite:///{made['other']}", "venue": {"taker_fee_ppm": 0}},
        "syncing": {"database": f"sqlite:///{folder / 'synced.db'}"},
        "ending": {"database": f"sqlite:///{made['died2']}"},
        "elsewhere": {"out": str(made["empty"])},
        "drawn": {"venue": {"entry": {"median_ms": 100, "sigma": 1.0}}},
        "law": {"venue": {"impact_laws": {"BTC/USDT": LAW}}},
        "hourly": {"order": order | hourly, "engine": {"lookback": 2}, "symbol": "BTC/USDT"},
    }
    raws["config"]["out"] = str(made["folder"])
    for name, raw in raws.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(raw))
    return {name: folder / f"{name}.yaml" for name in raws}
