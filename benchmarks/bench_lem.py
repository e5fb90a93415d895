"""What a decision of the model costs: one order bar by bar, and ten thousand at once. One thread.

    python benchmarks/bench_lem.py [--decisions 2000] [--orders 10000] [--json]

One order:
* *next bar*: a bar arrives and the order decides (features, one step of the encoder, its network);
* *first decision*: an order on a market never seen, its whole window encoded;
* *all decisions*: the two together as 24-interval orders meet them, one first decision in 24;
* *revised bar*: a late trade changed the newest bar, and the order decides again;
* *same bars*: another decision on bars that are encoded already;
* *torch, full pass*: what the first would cost through torch: features of the window and its encoding,
  without the network. It is measured between the others, so that all meet the same machine.

A round: orders of 2 to 32 intervals, started at any of them, on 20 symbols and a common grid, decide
together: *steady* after a new bar for every symbol, *revised* after a late trade in every newest bar,
*from nothing* by a process that has seen none of them.

Start: loading the model with its kernels to be compiled, or from the cache.

Wall time, and beside it the processor time of the one thread: on a busy machine the difference is others'.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from agent.core.market.bars import FBarArray
from agent.core.market.features import features
from agent.core.types import NS_PER_S, MarketView, OrderView
from lem.bars.simulate import simulate
from lem.network.model_config import SCENARIOS
from lem.serving.predictor import Predictor

DELTA_NS = 45 * NS_PER_S
SYMBOLS = 20
LONGEST = 32
INTERVALS = 24
ROUNDS = 20
WARM_UP = 3
START = (
    "import time; from lem.serving.predictor import Predictor;"
    " wall, cpu = time.perf_counter(), time.process_time();"
    " Predictor.load(); print(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu))"
)
Samples = dict[str, list[tuple[float, float]]]  # (wall, processor) in ms


def order(t: int, n: int, scenario: int) -> OrderView:
    side, kind, benchmark = SCENARIOS[scenario]
    return OrderView(
        side=side,
        target_kind=kind,
        benchmark=benchmark,
        t=t,
        m=n // 3,
        n=n,
        interval_ns=DELTA_NS,
        start_ns=0,
        remaining=1.0 - t / n,
        lot_share=1e-5,
        least_share=1e-5,
        min_rate=0.0,
        max_rate=1.0,
        achieved_price=1.0,
        benchmark_price=1.0,
        arrival_price=1.0,
        own_volume_share=0.05,
        expected_participation=0.05,
        risk_aversion=1.0,
    )


def markets(count: int, length: int, seed: int) -> FBarArray:
    return simulate("stochastic-vol", np.random.default_rng(seed), count, length, 5e-4, DELTA_NS)


def view(bars: FBarArray) -> MarketView:
    return MarketView(0, DELTA_NS, bars, float("nan"), float("nan"))


def revised(bars: FBarArray) -> FBarArray:
    """A late trade in the newest bar."""
    bars = bars.copy()
    bars["volume"][-1] *= 1.01
    bars["trades"][-1] += 1
    return bars


def timed(call: Callable[..., object], *given: object) -> tuple[float, float]:
    """Wall and processor time of ``call(*given)`` in ms."""
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    call(*given)
    return (time.perf_counter_ns() - wall) / 1e6, (time.thread_time_ns() - cpu) / 1e6


def one_order(predictor: Predictor, decisions: int) -> Samples:
    """24-interval orders one after another, each on a market of its own."""
    first, taken = predictor.bars_needed, defaultdict[str, list[tuple[float, float]]](list)
    model, lookback = predictor.checkpoint.model, predictor.lookback
    valid = torch.ones(1, lookback, dtype=torch.bool)

    def full_pass(bars: FBarArray) -> object:
        values, mask = features(bars, DELTA_NS, lookback)
        with torch.inference_mode():
            return model.encoder(torch.from_numpy(values)[None], torch.from_numpy(mask)[None], valid)

    for k, bars in enumerate(markets(-(-decisions // INTERVALS), first + INTERVALS, 1)):
        for t in range(INTERVALS):
            seen, one = bars[: first + t], order(t, INTERVALS, k % 8)
            asked, other = [(one, view(seen))], [(order(t, INTERVALS, (k + 1) % 8), view(seen))]
            late = [(one, view(revised(seen)))]
            spent = timed(predictor.decide_many, asked)
            taken["all decisions"].append(spent)
            taken["next bar" if t else "first decision"].append(spent)
            taken["same bars"].append(timed(predictor.decide_many, other))
            if t % 4 == 0:
                taken["revised bar"].append(timed(predictor.decide_many, late))
            if t % 12 == 0:
                taken["torch, full pass"].append(timed(full_pass, seen))
    return taken


def book(bars: FBarArray, count: int, now: int) -> list[tuple[OrderView, MarketView]]:
    """``count`` orders over the symbols, each started within the last LONGEST of ``now`` bars."""
    rng = np.random.default_rng(2)
    views = [view(rows[:now]) for rows in bars]
    age = rng.integers(0, LONGEST, count)
    horizon = np.minimum(LONGEST, age + 1 + rng.integers(1, LONGEST, count))
    return [
        (order(int(t), int(n), i % 8), views[i % SYMBOLS])
        for i, (t, n) in enumerate(zip(age, horizon, strict=True))
    ]


def rounds(predictor: Predictor, orders: int) -> Samples:
    """The same orders again and again, one interval later each time."""
    first = predictor.bars_needed + LONGEST
    bars, taken = markets(SYMBOLS, first + ROUNDS, 3), defaultdict[str, list[tuple[float, float]]](list)
    base = book(bars, orders, first)
    taken["from nothing"] = [
        timed(lambda: Predictor(predictor.checkpoint).decide_many(base)) for _ in range(3)
    ]
    predictor.decide_many(base)
    for step in range(1, ROUNDS):
        moved = [replace(o, t=o.t + step, n=o.n + step) for o, _ in base]
        for name, change in (("steady", np.copy), ("revised", revised)):
            later = [view(change(rows[: first + step])) for rows in bars]
            asked = [(o, later[i % SYMBOLS]) for i, o in enumerate(moved)]
            taken[name].append(timed(predictor.decide_many, asked))
    return taken


def starts() -> Samples:
    """Loading the shipped model in a process of its own, in ms: with an empty cache, and with a full one."""
    taken = defaultdict[str, list[tuple[float, float]]](list)
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compiling", "cached", "cached", "cached"):
            printed = subprocess.check_output(
                [sys.executable, "-c", START], env={**os.environ, "NUMBA_CACHE_DIR": cache}
            )
            wall, cpu = (float(x) for x in printed.split())
            taken[name].append((wall, cpu))
    return taken


def summary(taken: Samples, warm_up: int) -> dict[str, dict[str, float]]:
    """p50 and p99 in ms of each case after ``warm_up`` samples."""
    return {
        name: {
            f"{kind}_p{q}_ms": float(np.percentile([x[k] for x in samples[warm_up:]], q))
            for k, kind in enumerate(("wall", "cpu"))
            for q in (50, 99)
        }
        | {"samples": len(samples[warm_up:])}
        for name, samples in taken.items()
    }


def table(title: str, rows: dict[str, dict[str, float]], peer: str | None = None) -> None:
    """``peer``: the row whose median wall time is shown as a multiple of each row's."""
    print(f"\n{title:24s} {'wall: p50':>10s} {'p99 ms':>9s} {'cpu: p50':>9s} {'p99 ms':>9s} {'samples':>8s}")
    for name, row in rows.items():
        numbers = [row[f"{kind}_p{q}_ms"] for kind in ("wall", "cpu") for q in (50, 99)]
        ratio = "" if peer is None else f"   {rows[peer]['wall_p50_ms'] / numbers[0]:.1f} to a {peer}"
        print(
            f"{name:24s} {numbers[0]:10.3f} {numbers[1]:9.3f} {numbers[2]:9.3f} {numbers[3]:9.3f}"
            f" {row['samples']:8.0f}{ratio}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decisions", type=int, default=2_000)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor, load = Predictor.load(), os.getloadavg()[0]
    results = {
        "order": summary(one_order(predictor, arguments.decisions), WARM_UP),
        "round": summary(rounds(predictor, arguments.orders), 0),
        "start": summary(starts(), 0),
    }
    if arguments.json:
        print(json.dumps({**results, "orders": arguments.orders, "load": load}))
        return
    print(f"load average {load:.1f} on {os.cpu_count()} cores before it began; one thread")
    table("one order", results["order"], "torch, full pass")
    table(f"a round, {arguments.orders:,} orders", results["round"])
    table("start", results["start"])


if __name__ == "__main__":
    main()
