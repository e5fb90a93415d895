"""The files that the documents' commands speak of, in a folder where they run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq

from tests import bar_sessions
from tests.captures import tardis, write
from tests.every_key.command_line import call
from tests.every_key.key_markets import PLAIN_ORDER
from tests.fakes import S, record, small_session, start, synthetic_tape

SESSION = "20260101T120000-000"


def make_documents_world(folder: Path) -> None:
    """Everything below ``folder``: sessions, a log, bars, captures, a checkpoint."""
    sessions = folder / "runs" / "sessions"
    sessions.mkdir(parents=True)
    (folder / "mine.yaml").write_text("order: {quantity: 1}\n")
    rows = ["symbol,side,quantity,min_duration,max_duration,interval", "BTC/USDT,buy,0.1,1s,2s,1s"]
    (folder / "list.csv").write_text("\n".join([*rows, "ETH/USDT,sell,1,1s,2s,1s"]))
    _session_of_the_model(sessions / SESSION)
    shutil.copytree(sessions / SESSION, sessions / "ID")
    _done("replay", sessions / SESSION, "--db", folder / "runs" / "agent.db")
    small = small_session(folder / "small")
    for name, first, last in (("morning", "1ms", "10s"), ("afternoon", "10s", "20s")):
        _done("sessions", "slice", small, "--from", first, "--to", last, "--out", folder / "sessions" / name)
    for name, seed in (("BTC", 1), ("ETH", 2)):
        file = bar_sessions.write_csv(
            folder / f"{name}.csv", _quarters(seed, datetime(2024, 8, 1, tzinfo=UTC))
        )
        pq.write_table(pc.read_csv(file), folder / f"{name}.parquet")
    shutil.copy(folder / "BTC.parquet", folder / "BARS.parquet")
    bar_sessions.write_csv(folder / "IBM.csv", _trading_day())
    for name, lines in zip(("BOOK", "TRADES"), tardis(), strict=True):
        write(folder / f"{name}.csv.gz", lines)
    checkpoints = folder / "lem" / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[3] / "lem" / "checkpoints" / "default.safetensors", checkpoints)


def _done(*argv: object) -> None:
    done = call("agent", *argv)
    assert done.code == 0, done.err


def _session_of_the_model(path: Path) -> None:
    """Five and a half minutes with an order by the model."""
    instrument, events = synthetic_tape(330.0, seed=3)
    order = replace(
        PLAIN_ORDER, algo="lem", quantity=Decimal(2), interval=5 * S, min_duration=20 * S, max_duration=60 * S
    )
    order = replace(order, shadows=("twap",))
    record(path, instrument, events, [start(instrument, events, order, f"{SESSION}-P1")], order)


def _quarters(seed: int, first: datetime) -> list[bar_sessions.Bar]:
    """Five months of quarters of an hour that wander."""
    steps = np.random.default_rng(seed).normal(0.0, 0.2, 15_000)
    prices = np.round(1000 + np.cumsum(steps), 2).tolist()
    return [
        replace(bar, start=first + k * timedelta(minutes=15), money=None)
        for k, bar in enumerate(bar_sessions.hourly(prices))
    ]


def _trading_day() -> list[bar_sessions.Bar]:
    """One session of New York in quarters of an hour."""
    opens = datetime(2025, 3, 3, 14, 30, tzinfo=UTC)
    prices = [250.0 + k / 10 for k in range(26)]
    return [
        replace(bar, start=opens + k * timedelta(minutes=15))
        for k, bar in enumerate(bar_sessions.hourly(prices))
    ]
