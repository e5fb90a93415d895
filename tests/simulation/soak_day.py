"""What happens on a long day: orders that come and go, and faults spread over all of it. No death.

The market is thinner than a real one: a trade every three seconds for each symbol, and books of few levels
that seldom change. And the agent looks less often whether anything is to be done (``make_quick``). What a run
keeps goes by orders, faults and time; what comes in between only makes a day longer to play.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

from agent import runtime
from agent.app.live import order_starts
from agent.config import OrderRow
from agent.order_options import Order
from connectors import ccxt_feed
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from storage.log import kept_log
from storage.log.bulk import instrument_texts
from storage.log.control import heartbeat
from tests.simulation.scenario import AT_ONCE, COUNTED, LASTING, Fault, S, Scenario

HOUR_S = 3600
QUIET = 0.25
"""Share of the time between two looks at whose end nothing goes wrong: what is counted then has settled."""
TRADED = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT")
ALGOS = ("twap", "pov", "vwap", "almgren_chriss", "optimal_stopping")
TACTICS = ("twap_micro", "peg", "sweep")
TRADES_PER_S = 0.3
MINUTES = (10, 15, 20, 25, 30)
"""How long orders work, in turn."""
SILENCES = 0.4
"""Share of the longest time that a lasting fault has: longer ones would leave orders little to do."""


def make_quick() -> None:
    """Books of few levels, small caches, and fewer idle looks: for commands, for due orders, at clocks."""
    kept_log.POLL_S, heartbeat.BEAT_S, order_starts.START_LOOK_S = 2.0, 5.0, 0.5
    instrument_texts.REMEMBERED = 64  # a real market has a thousand prices within the hour
    runtime.IDLE_S, ccxt_feed._DOUBT_S = 0.25, 0.5
    for name in TRADED:
        SYMBOLS[name] = replace(SYMBOLS[name], levels=40.0, level_per_s=0.3, touch_per_s=0.2)


def day(seed: int, hours: float, symbols: int, orders: int, faults: int, every_s: float = HOUR_S) -> Scenario:
    """The same for the same arguments; ``faults``: so many in each ``every_s``, after which it is looked."""
    rng = random.Random(f"day:{seed}")
    names = TRADED[:symbols]
    until_s = hours * HOUR_S
    return Scenario(
        seed=seed,
        symbols=names,
        orders=tuple(_order(number, names, _start_ns(number, orders, until_s)) for number in range(orders)),
        faults=tuple(_faults(rng, until_s, faults, every_s)),
        trades_per_s=TRADES_PER_S,
        exchange_ahead_ns=0,
        latency_s=(0.001, 0.03),
        dead_s=0.0,
        die_again_at=(),
        resumes=False,
    )


def _start_ns(number: int, orders: int, until_s: float) -> int:
    """Evenly over the day; the last one when it is over, so that the run lasts as long."""
    return round(until_s * number / max(1, orders - 1) * S)


def _order(number: int, symbols: tuple[str, ...], start_ns: int) -> OrderRow:
    algo = ALGOS[number % len(ALGOS)]
    minutes = MINUTES[number % len(MINUTES)]
    return OrderRow(
        id=f"D{number}",
        symbol=symbols[number % len(symbols)],
        start=start_ns,
        order=Order(
            notional=Decimal(3000),
            side=("buy", "sell")[number // len(symbols) % 2],
            interval=20 * S,
            min_duration=minutes * 20 * S,
            max_duration=minutes * 60 * S,
            algo=algo,
            tactic=TACTICS[number % len(TACTICS)],
            shadows=("twap",) if algo != "twap" else (),
        ),
    )


def _faults(rng: random.Random, until_s: float, each: int, every_s: float) -> list[Fault]:
    """Every kind in turn, at drawn moments, none in the last quarter of the time between two looks."""
    kinds = [*LASTING, *COUNTED, *AT_ONCE]
    rng.shuffle(kinds)
    found = []
    for number in range(round(each * until_s / every_s)):
        at_s = number // each * every_s + rng.uniform(0.02, 1.0 - QUIET) * every_s
        found.append(Fault(at_s, kinds[number % len(kinds)], _size(rng, kinds[number % len(kinds)])))
    return sorted(found, key=lambda fault: fault.at_s)


def _size(rng: random.Random, kind: str) -> float:
    if kind in LASTING:
        return round(rng.uniform(0.2, SILENCES * LASTING[kind]), 2)
    return float(rng.randint(1, COUNTED[kind])) if kind in COUNTED else 0.0
