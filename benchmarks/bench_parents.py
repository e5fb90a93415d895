"""How a replay grows with the number of its orders.

``python benchmarks/bench_parents.py [--parents 10 1000 10000] [--algo twap]``: so many orders of four seconds
on one tape, started one after another over the whole of it, so that more of them work at once the more there
are. Prints for each number the processor seconds, and by order those that the tape alone does not take.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from agent.app.build import algo, build_engine
from agent.config import Config, Order, Risk, Venue
from agent.core.events import StartParent
from agent.core.types import NS_PER_S
from agent.engine.policy import InlinePolicy
from agent.orders import build_spec
from agent.replay import replay
from agent.system_clock import SystemClock
from storage.recordings.session import SessionReader

sys.path.insert(0, str(Path(__file__).parent))
from bench_intervals import make

INTERVALS = 1000
"""Of half a second: how long the tape is."""


def configured(algo_name: str) -> Config:
    order = Order(
        quantity=Decimal("0.001"),
        algo=algo_name,
        interval=NS_PER_S,
        min_duration=2 * NS_PER_S,
        max_duration=4 * NS_PER_S,
        shadows=(),
    )
    venue = Venue(balances={"BTC": Decimal(0), "USDT": Decimal(10) ** 12})
    return Config(order=order, risk=Risk(max_orders_per_s=None), venue=venue)


def starts(reader: SessionReader, config: Config, count: int) -> list[StartParent]:
    """Spread over the tape, the last of them ten seconds before its end."""
    first_ns = int(next(reader.batches(1))["recv_ns"][0]) + NS_PER_S
    span_ns = (reader.end_ns or first_ns) - first_ns - 10 * NS_PER_S
    spec = build_spec(config.order, reader.instruments[0], "P", None)
    return [
        StartParent(first_ns + span_ns * n // count, 2**40 + n, replace(spec, parent_id=f"P{n}"), ())
        for n in range(count)
    ]


def spent_s(session: Path, config: Config, count: int) -> float:
    """Processor seconds of one replay with so many orders."""
    reader = SessionReader(session)
    engine = build_engine(config, reader.instruments, lambda spec: InlinePolicy(algo(spec.algo, config)))
    commands = starts(reader, config, count)
    began_s = time.process_time()
    replay(SessionReader(session), engine, commands, clock=SystemClock(), compare=False)
    return time.process_time() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parents", nargs="+", type=int, default=[10, 1_000, 10_000])
    parser.add_argument("--algo", default="twap")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        session, config = make(Path(scratch) / "tape", INTERVALS), configured(given.algo)
        spent_s(session, config, 10)  # compiled and warm
        tape_s = min(spent_s(session, config, 0) for _ in range(3))
        rows = []
        for count in given.parents:
            whole_s = min(spent_s(session, config, count) for _ in range(3 if count <= 100 else 1))
            each_ms = (whole_s - tape_s) / count * 1e3
            rows.append({"parents": count, "cpu_s": round(whole_s, 3), "each_ms": round(each_ms, 3)})
        growth = rows[-1]["each_ms"] / rows[0]["each_ms"]
        print(
            json.dumps(
                {"algo": given.algo, "tape_s": round(tape_s, 3), "replays": rows, "growth": round(growth, 3)}
            )
        )


if __name__ == "__main__":
    main()
