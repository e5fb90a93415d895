"""What a live batch costs: ten tape rows through engine and venue while a child order rests in the book.

``python benchmarks/bench_batch.py [--seconds 600]``: so much of the synthetic BTC/USDT market comes in
batches of ten rows, as a live run would pass them, to an engine that works one twap parent by ``peg`` (a
post-only child at the touch, anew every 3 s). Batches that found a resting order, and in which nothing fell
due, are "plain"; those in which timers, answers or fills of the order were handled as well are "eventful".
Times in microseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from agent.app.build import build_engine, inline_policies
from agent.config import Config, Order, Risk, Venue
from agent.core.events import StartParent
from agent.core.market.tape import Kind
from agent.core.types import NS_PER_S
from agent.orders import build_spec
from agent.venue.kernel.loop import N_RESTING
from connectors.embedded.synthetic.synthetic_market import synthetic_session

ROWS = 10


def quantiles(times_ns: list[int]) -> dict[str, Any]:
    p50, p99 = np.percentile(times_ns, [50, 99]) / 1000
    return {"batches": len(times_ns), "p50": round(p50, 1), "p99": round(p99, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    (instrument,), events = synthetic_session(1, seconds)
    interval_ns, count = 3 * NS_PER_S, max(1, int(seconds // 3))
    order = Order(
        quantity=Decimal(20 * count),
        interval=interval_ns,
        min_duration=interval_ns,
        max_duration=count * interval_ns,
    )
    config = Config(
        order=replace(order, algo="twap", tactic="peg", shadows=()),
        risk=Risk(max_notional=Decimal(10) ** 9, max_participation=None),
        venue=Venue(balances={"BTC": Decimal(0), "USDT": Decimal(10) ** 9}),
    )
    engine = build_engine(config, [instrument], inline_policies(config))
    first = int(np.flatnonzero(events["kind"] == Kind.SNAPSHOT_END)[0]) + 1
    engine.advance(events[:first])
    spec = build_spec(config.order, instrument, "bench-P1", None)
    engine.command(StartParent(int(events["recv_ns"][first]), int(events["seq"][first - 1]), spec))
    plain: list[int] = []
    eventful: list[int] = []
    gc.disable()  # a live run's pauses are not the venue's
    for at in range(first, len(events) - ROWS, ROWS):
        batch = events[at : at + ROWS].copy()
        resting = engine.market.state.counts[N_RESTING] > 0
        due_ns = engine.next_timer_ns
        began = time.perf_counter_ns()
        engine.advance(batch)
        took = time.perf_counter_ns() - began
        quiet = engine.next_timer_ns == due_ns and not engine.drain()
        if resting:
            (plain if quiet else eventful).append(took)
    print(json.dumps({"rows": ROWS, "plain_us": quantiles(plain), "eventful_us": quantiles(eventful)}))


if __name__ == "__main__":
    main()
