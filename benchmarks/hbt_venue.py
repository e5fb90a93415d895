"""hftbacktest's side of ``bench_venue``: one timed pass over a tape for every line on standard input.

``python -m benchmarks.hbt_venue TAPE.npy RULES.json``, under the reference environment's interpreter (see
``make differential``); it imports nothing of the product. Made once and not timed: its rows, its book, the
compilation of the strategy. Timed: the pass over the tape, strategy and orders included.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import hftbacktest as hbt
import numpy as np
from numba import njit

from tests.differential.hbt_worker import to_hbt

GTX, LIMIT = 1, 0
ACTIVE = (1, 5)  # its order states: new, partially filled


@njit
def work(bot, first_ns, step_ns, lots):
    """Every ``step_ns`` rest an order at the touch in place of the last. Returns (orders, lots filled)."""
    bot.elapse(0)
    n = filled = 0
    while bot.elapse(first_ns + (n + 1) * step_ns - bot.current_timestamp) == 0:
        orders = bot.orders(0)
        last = orders.get(n)
        if last is not None:
            filled += round(lots - last.leaves_qty)
            if last.status in ACTIVE:
                bot.cancel(0, n, False)
        bot.clear_inactive_orders(0)
        n += 1
        depth = bot.depth(0)
        if n % 2:
            bot.submit_buy_order(0, n, depth.best_bid, lots, GTX, LIMIT, False)
        else:
            bot.submit_sell_order(0, n, depth.best_ask, lots, GTX, LIMIT, False)
    return n, filled


def new_bot(rows, rules, book):
    """Return hftbacktest at the start of the tape, with the book ``book``: "hashmap" or "roi_vector"."""
    asset = hbt.BacktestAsset().data(rows).linear_asset(1.0).tick_size(1.0).lot_size(1.0)
    asset = asset.constant_order_latency(rules["entry_ns"], rules["response_ns"]).risk_adverse_queue_model()
    asset = asset.partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
    if book == "roi_vector":
        priced = rows["px"][rows["px"] > 0]
        asset = asset.roi_lb(float(priced.min())).roi_ub(float(priced.max()))
        return hbt.ROIVectorMarketDepthBacktest([asset])
    return hbt.HashMapMarketDepthBacktest([asset])


def once(rows, rules, book):
    """One pass: seconds on the wall and of the processor, and what was done."""
    bot = new_bot(rows, rules, book)
    began, cpu = time.perf_counter(), time.process_time()
    orders, filled = work(bot, rules["first_ns"], rules["step_ns"], float(rules["lots"]))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    done = {"seconds": seconds, "cpu_s": cpu, "orders": orders, "filled_lots": filled}
    bot.close()
    return done


def main(tape: str, rules: str) -> None:
    """Answer each line of standard input (the name of a book) with one pass, as a line of JSON."""
    given = json.loads(Path(rules).read_text())
    rows = to_hbt(np.load(tape), given["feed_ns"])
    for line in sys.stdin:
        print(json.dumps(once(rows, given, line.strip())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
