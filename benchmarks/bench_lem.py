"""Latency of a live decision: one order through ``Predictor.decide_many``, one thread.

    python benchmarks/bench_lem.py [--decisions 200] [--json]

*cold*: the market's bars are new, so the window of lookback bars is encoded first (every live decision
that opens an interval). *warm*: the same bars were just encoded for another order (a shadow, the other
side). *encode*: the encoder alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from agent.core.types import NS_PER_S, BenchmarkKind, MarketView, OrderView, Side, TargetKind
from lem.predictor import Predictor
from lem.simulate import simulate

DELTA_NS = 45 * NS_PER_S
N = 12


def requests(count: int, history: int) -> list[tuple[OrderView, MarketView]]:
    """Orders in their fifth interval, each on a market of its own."""
    bars = simulate("stochastic-vol", np.random.default_rng(1), count, history + 4, 5e-4, DELTA_NS)
    order = OrderView(
        side=Side.BUY,
        target_kind=TargetKind.QUANTITY,
        benchmark=BenchmarkKind.VWAP,
        t=4,
        m=4,
        n=N,
        interval_ns=DELTA_NS,
        start_ns=0,
        remaining=0.6,
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
    return [(order, MarketView(0, DELTA_NS, rows, float("nan"), float("nan"))) for rows in bars]


def timed(calls: list[Callable[[], object]]) -> dict[str, float]:
    """p50 and p99 of each call's wall time in ms; the first three warm up."""
    taken = []
    for call in calls:
        began = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return {f"p{q}_ms": round(float(np.percentile(taken[3:], q)), 3) for q in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load()
    asked = requests(arguments.decisions + 3, predictor.bars_needed)
    cold = timed([partial(predictor.decide_many, [r]) for r in asked])
    warm = timed([partial(predictor.decide_many, [asked[-1]])] * len(asked))
    encoder, rows = predictor.checkpoint.model.encoder, predictor.lookback + 32
    values = torch.randn(1, rows, encoder.embedding.scale.shape[0])
    mask, valid = torch.ones_like(values, dtype=torch.bool), torch.ones(1, rows, dtype=torch.bool)
    with torch.inference_mode():
        encode = timed([partial(encoder, values, mask, valid)] * len(asked))
    results = {"cold": cold, "warm": warm, "encode": encode, "decisions": arguments.decisions}
    if arguments.json:
        print(json.dumps(results))
        return
    for name in ("cold", "warm", "encode"):
        print(f"{name:8s} p50 {results[name]['p50_ms']:8.2f} ms   p99 {results[name]['p99_ms']:8.2f} ms")


if __name__ == "__main__":
    main()
