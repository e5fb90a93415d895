"""What a decision of the model costs: one order bar by bar, and ten thousand at once. One thread.

    python benchmarks/bench_lem.py [--decisions 2000] [--orders 10000] [--json]

*streaming*: a new bar arrives and one order decides (features, one step of the encoder, its network).
*warm*: the same bars, another order. *rebuild*: a market never seen, its whole window encoded. *round*:
orders of 2 to 32 intervals, started at any of them, on 20 symbols and a common grid; a bar arrives for
every symbol and all decide. *torch*: the full pass of the encoder through torch, for comparison.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from agent.core.bars import FBarArray
from agent.core.types import NS_PER_S, MarketView, OrderView, Slice
from lem.config import SCENARIOS
from lem.predictor import Predictor
from lem.simulate import simulate

DELTA_NS = 45 * NS_PER_S
SYMBOLS = 20
LONGEST = 32
START = (
    "import time; a = time.perf_counter(); from lem.predictor import Predictor; b = time.perf_counter();"
    " Predictor.load(); print(time.perf_counter() - b)"
)


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


def timed(calls: Iterable[Callable[[], object]]) -> list[float]:
    """Wall time of each call in ms."""
    taken = []
    for call in calls:
        began = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken


def percentiles(taken: list[float]) -> dict[str, float]:
    """p50 and p99; the first three warm up."""
    return {f"p{q}_ms": round(float(np.percentile(taken[3:], q)), 3) for q in (50, 99)}


def streaming(predictor: Predictor, decisions: int) -> list[float]:
    """One order after another, each decided bar by bar; a new order's first encoding is left out."""
    n, first = 24, predictor.bars_needed
    taken: list[float] = []
    for k, bars in enumerate(markets(-(-decisions // (n - 1)), first + n, 1)):
        asked = [(order(t, n, k % 8), view(bars[: first + t])) for t in range(n)]
        taken += timed([partial(predictor.decide_many, [one]) for one in asked])[1:]
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


def rounds(predictor: Predictor, orders: int) -> dict[str, float]:
    """The same orders one interval later, five times; every symbol has a new bar each time."""
    first = predictor.bars_needed + LONGEST
    bars = markets(SYMBOLS, first + 8, 3)
    base = book(bars, orders, first)
    predictor.decide_many(base)
    taken: list[float] = []
    answers: list[Slice] = []
    for step in range(1, 6):
        later = [view(rows[: first + step]) for rows in bars]
        moved = [replace(o, t=o.t + step, n=o.n + step) for o, _ in base]
        asked = [(o, later[i % SYMBOLS]) for i, o in enumerate(moved)]
        began = time.perf_counter()
        answers = predictor.decide_many(asked)
        taken.append(1e3 * (time.perf_counter() - began))
    assert len(answers) == orders
    return {"p50_ms": round(float(np.median(taken)), 1), "max_ms": round(max(taken), 1), "orders": orders}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=2_000)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load()
    same = (order(4, 12, 0), view(markets(1, predictor.bars_needed + 4, 4)[0]))
    new = markets(60, predictor.bars_needed + 4, 5)
    encoder, rows = predictor.checkpoint.model.encoder, predictor.lookback
    values = torch.randn(1, rows, predictor.checkpoint.model.config.features)
    mask, valid = torch.ones_like(values, dtype=torch.bool), torch.ones(1, rows, dtype=torch.bool)

    def full_pass() -> object:
        with torch.inference_mode():
            return encoder(values, mask, valid)

    start = [sys.executable, "-c", START]
    results = {
        "streaming": percentiles(streaming(predictor, arguments.decisions)),
        "warm": percentiles(timed([partial(predictor.decide_many, [same])] * 500)),
        "rebuild": percentiles(
            timed([partial(predictor.decide_many, [(order(4, 12, 0), view(b))]) for b in new])
        ),
        "round": rounds(predictor, arguments.orders),
        "torch": percentiles(timed([full_pass] * 40)),
        "cached_start_s": round(float(subprocess.check_output(start)), 3),
    }
    if arguments.json:
        print(json.dumps(results))
        return
    for name, numbers in results.items():
        print(f"{name:16s} {numbers}")


if __name__ == "__main__":
    main()
