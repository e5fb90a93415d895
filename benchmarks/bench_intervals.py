"""How a replay grows with the number of an order's intervals.

``python benchmarks/bench_intervals.py [--algos twap ...] [--intervals 100 1000 10000]``: one order of so many
intervals of half a second, on a synthetic market that lasts a little longer, and replayed from its session.
Each tape grows with its order, so a slope of 1 is what nothing can go below. Prints for each algo the
processor seconds and the seconds of each replay, and between neighbours the slope of the former:
log(seconds' ratio) / log(intervals' ratio). Processor seconds, because they do not depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np

from agent.app.replay_session import replay_session
from agent.config import Config, Order, Risk, Venue
from connectors.embedded.synthetic.synthetic_market import START_NS, SyntheticMarket
from storage.recordings.session import SessionHeader, SessionWriter

INTERVAL_NS = 500_000_000
ALGOS = ("twap", "optimal_stopping", "lem")
LOTS_AN_INTERVAL = 40
MONEY = Decimal(10) ** 12


def make(path: Path, intervals: int) -> Path:
    """Write a session that lasts as long as the order, and what its last measure waits for."""
    market = SyntheticMarket(1, seconds=intervals * INTERVAL_NS / 1e9 + 75.0, past_s=0.0)
    writer = SessionWriter.create(path, SessionHeader(path.name, tuple(market.instruments), START_NS))
    seq, end_ns = 1, START_NS
    for batch in market.batches():
        batch["seq"] = np.arange(seq, seq + len(batch))
        seq += len(batch)
        writer.events(batch)
        end_ns = int(batch["recv_ns"][-1])
    writer.close(end_ns)
    return path


def configured(algo: str, intervals: int) -> Config:
    """An order that works in every one of its intervals, and nothing that refuses it for its size."""
    length_ns = intervals * INTERVAL_NS
    order = Order(
        quantity=Decimal(LOTS_AN_INTERVAL * intervals) / 100_000,
        algo=algo,
        interval=INTERVAL_NS,
        min_duration=length_ns,
        max_duration=length_ns,
        shadows=(),
    )
    risk = Risk(max_notional=MONEY, max_participation=None)
    return Config(order=order, risk=risk, venue=Venue(balances={"BTC": Decimal(0), "USDT": MONEY}))


def replayed(session: Path, algo: str, intervals: int) -> dict[str, object]:
    """One replay and what it took."""
    began = time.process_time()
    done = replay_session(session, configured(algo, intervals), override=True, verify=False, speed=None)
    spent = time.process_time() - began
    (parent,) = done.summary.parents()
    return {
        "intervals": intervals,
        "cpu_s": round(spent, 3),
        "seconds": round(done.result.seconds, 3),
        "decisions": parent["decisions"],
        "state": parent["state"],
        "digest": done.result.digest[:16],
    }


def slopes(rows: list[dict[str, object]]) -> list[float]:
    """The slope between neighbours on doubly logarithmic paper."""
    points = [(float(str(row["intervals"])), float(str(row["cpu_s"]))) for row in rows]
    return [round(math.log(t / s) / math.log(n / m), 3) for (m, s), (n, t) in pairwise(points)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--algos", nargs="+", default=list(ALGOS))
    parser.add_argument("--intervals", nargs="+", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--keep", type=Path, help="a folder for the sessions, to use them again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        sessions = {n: folder / f"intervals-{n}" for n in sorted(given.intervals)}
        for n, path in sessions.items():
            if not path.exists():
                make(path, n)
        for algo in given.algos:
            replayed(next(iter(sessions.values())), algo, next(iter(sessions)))  # compiled and warm
            rows = [replayed(path, algo, n) for n, path in sessions.items()]
            print(json.dumps({"algo": algo, "replays": rows, "slopes": slopes(rows)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
