"""Memory over a day: the engine of a live run, virtual time, orders that come and go all the time.

``python benchmarks/bench_soak.py [--hours 24] [--orders 200] [--symbols 5]
[--interval 10] [--keep-all]``: seeded synthetic
markets, the orders spread over the whole of it, each of 10 to 40 minutes, by twap, pov, vwap and lem in turn
with a twap shadow. What a run folds for its user (``agent.summary``) is folded too; nothing is recorded. At
each hour prints the process's memory, after garbage collection; at the end, as JSON, its growth from the end
of the first hour on. ``--keep-all``: without forgetting what nothing can ask for any more, as until 0.1.0.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.app.build import algo, build_engine
from agent.app.checks.start_orders import look_back_ns
from agent.app.checks.trading_checks import run_orders
from agent.config import Config, Order, OrderRow, Risk, Venue
from agent.core.events import StartParent
from agent.core.types import NS_PER_S
from agent.engine.policy import InlinePolicy
from agent.orders import build_spec
from agent.shadow import shadow_specs
from agent.summary import Summary
from connectors.embedded.synthetic.synthetic_market import START_NS, SyntheticMarket
from connectors.embedded.synthetic.synthetic_symbols import SMALLER

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
ALGOS = ("twap", "pov", "vwap", "lem")


def orders(count: int, symbols: list[str], interval_ns: int) -> list[OrderRow]:
    """Each of 10 to 40 minutes."""
    rng = np.random.default_rng(1)
    minutes = rng.integers(10, 41, count).tolist()
    return [
        OrderRow(
            id=f"o{n}",
            symbol=symbols[n % len(symbols)],
            order=Order(
                notional=Decimal(20_000),
                side=("buy", "sell")[n % 2],
                algo=ALGOS[n % 4],
                interval=interval_ns,
                min_duration=5 * MINUTE_NS,
                max_duration=minutes[n] * MINUTE_NS,
                shadows=("twap",) if n % 4 else (),
            ),
        )
        for n in range(count)
    ]


def resident_mb() -> float:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--symbols", type=int, default=5)
    parser.add_argument("--interval", type=int, default=10, help="seconds, of every order")
    parser.add_argument("--keep-all", action="store_true")
    given = parser.parse_args()
    symbols = [params.symbol for params in SMALLER[: given.symbols]]
    coins = ["USDT", *(name.partition("/")[0] for name in symbols)]
    config = Config(
        symbol=symbols[0],
        orders=tuple(orders(given.orders, symbols, given.interval * NS_PER_S)),
        venue=Venue(balances=dict.fromkeys(coins, Decimal(10**9))),
        risk=Risk(max_volume_share=None),
    )
    market = SyntheticMarket(1, symbols, seconds=given.hours * 3600.0, past_s=0.0)
    by_symbol = {i.symbol: i for i in market.instruments}
    engine = build_engine(config, market.instruments, lambda spec: InlinePolicy(algo(spec.algo, config)))
    if not given.keep_all:
        all_orders = list(run_orders(config))
        engine.forget(
            lambda number: look_back_ns(
                all_orders[started:], market.instruments[number].symbol, config.engine.lookback
            )
        )
    summary, seq, started, rows_in, began_s = Summary(market.instruments), 0, 0, 0, time.perf_counter()
    hours: list[float] = []
    span_ns = given.hours * HOUR_NS - 45 * MINUTE_NS
    for rows in market.batches():
        rows["seq"] = np.arange(seq + 1, seq + 1 + len(rows))
        seq, rows_in = seq + len(rows), rows_in + len(rows)
        engine.advance(rows)
        now_ns = int(rows["recv_ns"][-1])
        while started < given.orders and now_ns - START_NS >= span_ns * started // given.orders + NS_PER_S:
            row, seq = config.orders[started], seq + 1
            spec = build_spec(row.order, by_symbol[row.symbol or ""], f"soak-{row.id}", None)
            shadows = tuple(shadow_specs(spec, row.order.shadows))
            engine.command(StartParent(now_ns, seq, spec, shadows))
            started += 1
        summary.add(engine.drain())
        if (now_ns - START_NS) // HOUR_NS > len(hours):
            hours.append(resident_mb())
            print(f"{len(hours)} h: {hours[-1]} MB", file=sys.stderr, flush=True)
    engine.close(START_NS + given.hours * HOUR_NS + MINUTE_NS)
    summary.add(engine.drain())
    hours.append(resident_mb())
    documents = summary.parents()
    print(
        json.dumps(
            {
                "hours": given.hours,
                "orders": len(documents),
                "children": sum(p["children"] for p in documents),
                "rows": rows_in,
                "rss_mb": hours,
                "growth_after_first_hour": round(hours[-1] / hours[0] - 1, 4),
                "seconds": round(time.perf_counter() - began_s, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
