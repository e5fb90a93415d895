"""From ``--resume`` to the first decision: a session of an hour and five symbols whose process died.

``python benchmarks/bench_resume.py [--minutes 60] [--symbols 5]``: a synthetic hour is recorded as a live run
would have, an order a symbol (one by the model, the others schedules, each with a shadow), and left without
its end. Then the product goes on with it, in a process of its own, on the embedded exchange, which plays
the hour again to be where it would be: that time is the exchange's, and told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.app.build import build_engine, fingerprint, inline_policies
from agent.config import Config, Embedded, Order, OrderRow, Risk
from agent.core.events import StartParent
from agent.core.market.tape import Kind
from agent.core.types import NS_PER_S
from agent.orders import build_spec
from agent.replay import BATCH_ROWS
from agent.shadow import shadow_specs
from connectors.embedded.synthetic.synthetic_market import START_NS, synthetic_session
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import worked

LIMIT_S = 240.0
MARKS = ("connecting to", "replaying what", "opening the database", "waiting for what")
ALGOS = ("lem", "twap", "vwap", "pov", "optimal_stopping")


def configured(folder: Path, symbols: list[str]) -> Config:
    orders = [
        OrderRow(
            id=f"o{n}",
            symbol=symbol,
            order=Order(
                notional=Decimal(100_000),
                algo=ALGOS[n % len(ALGOS)],
                shadows=("twap",),
                interval=10 * NS_PER_S,
                min_duration=90 * 60 * NS_PER_S,
                max_duration=150 * 60 * NS_PER_S,
            ),
        )
        for n, symbol in enumerate(symbols)
    ]
    return Config(
        symbol=symbols[0],
        order=orders[0].order,
        orders=tuple(orders),
        embedded=Embedded(seed=1),
        risk=Risk(max_orders_per_s=None, max_volume_share=None),
        database=f"sqlite:///{folder / 'agent.db'}",
        out=folder / "sessions",
    )


def dead_session(folder: Path, minutes: float, symbols: list[str]) -> tuple[Config, Path]:
    """Recorded up to now, and never closed."""
    config = configured(folder, symbols)
    instruments, tape = synthetic_session(1, minutes * 60, symbols, past_s=600)
    began_ns = time.time_ns() // 10**6 * 10**6 - round(minutes * 60 * NS_PER_S)
    tape = tape.copy()
    for name in ("recv_ns", "exch_ns"):
        tape[name] += began_ns - START_NS
    path = config.out / "20260101T000000-000"
    header = SessionHeader(
        path.name,
        tuple(instruments),
        began_ns,
        config=config.model_dump(mode="json"),
        fingerprint=fingerprint(config, [*ALGOS]),
        run={"begun_ns": began_ns, "began_ns": began_ns},
    )
    writer = SessionWriter.create(path, header)
    engine = build_engine(config, instruments, inline_policies(config))
    starts, seq = [], int(tape["seq"][-1])
    books = [
        np.flatnonzero((tape["kind"] == Kind.SNAPSHOT_END) & (tape["instrument"] == n))[0]
        for n in range(len(instruments))
    ]
    at_ns = int(tape["recv_ns"][max(books)]) + NS_PER_S
    cut = int(np.searchsorted(tape["recv_ns"], at_ns, side="right"))
    tape["seq"][cut:] += len(instruments)
    for n, row in enumerate(config.orders):
        spec = build_spec(row.order, instruments[n], f"{path.name}-{row.id}", None)
        seq = int(tape["seq"][cut - 1]) + 1 + n
        starts.append(StartParent(at_ns, seq, spec, tuple(shadow_specs(spec, row.order.shadows))))
    writer.events(tape)
    worked(writer, engine, starts, BATCH_ROWS)
    writer.abandon()
    return config, path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--symbols", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        _, path = dead_session(folder, given.minutes, list(SYMBOLS)[: given.symbols])
        rows = sum(len(batch) for batch in SessionReader(path).batches())
        command = [
            sys.executable,
            "-m",
            "agent",
            "run",
            "--paper",
            "--resume",
            str(path),
            "--json",
            "--log-json",
        ]
        where = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        began_s, marks = time.monotonic(), {}
        told = folder / "told"
        run = subprocess.Popen(
            [*command, "--out", str(folder / "sessions"), "--db", f"sqlite:///{folder / 'agent.db'}"],
            stderr=told.open("w"),
            stdout=subprocess.DEVNULL,
            text=True,
            env=where,
        )
        results = path / "outcome.jsonl"
        known = results.stat().st_size
        while run.poll() is None and time.monotonic() - began_s < LIMIT_S:
            time.sleep(0.02)
            for line in told.read_text().splitlines():
                said = json.loads(line)["event"] if line.startswith("{") else line
                for mark in MARKS:
                    if said.startswith(mark) and mark not in marks:
                        marks[mark] = time.monotonic() - began_s
            if MARKS[-1] in marks and "DecisionTaken|" in results.read_bytes()[known:].decode():
                marks["first decision"] = time.monotonic() - began_s
                break
        run.kill()
        run.wait()
    print(f"{rows:,} rows of the tape; seconds from the command to:")
    for mark, seconds in marks.items():
        print(f"  {mark}: {seconds:.1f}")
    exchange_s = marks["replaying what"] - marks["connecting to"]
    print(f"the embedded exchange played the hour again in {exchange_s:.1f} s of them")


if __name__ == "__main__":
    main()
