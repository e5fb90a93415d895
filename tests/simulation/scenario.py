"""What a seed decides: the market, the orders, and which faults come when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from agent.algos.registry import ALGOS
from agent.config import OrderRow
from agent.engine.tactics.tactic_registry import TACTIC_NAMES
from agent.order_options import Order

S = 10**9
SYMBOLS = ("BTC/USDT", "ETH/USDT")
_UNITS = {"BTC/USDT": Decimal("0.1"), "ETH/USDT": Decimal(2)}  # what an order is a multiple of

LASTING = {  # faults that last, by their longest, in seconds
    "refuse": 20.0,
    "silent": 30.0,
    "deaf": 30.0,
    "cut": 25.0,
    "late": 8.0,
    "twice": 8.0,
    "wild_price": 4.0,
    "database_locked": 40.0,
    "database_full": 30.0,
    "stall": 25.0,
}
COUNTED = {  # faults that come so many times, at most
    "skip_trades": 40,
    "skip_depth": 10,
    "rest_too_many": 6,
    "rest_unavailable": 6,
    "rest_empty": 4,
    "rest_html": 4,
    "garbage": 3,
}
AT_ONCE = ("drop", "close", "forget_all", "forget_trades", "forget_book")
OF_EXCHANGE = {*LASTING, *COUNTED, *AT_ONCE} - {"database_locked", "database_full", "stall", "cut"}
COMMANDS = ("pause", "resume", "cancel", "kill_switch")
MUTE_S = 4.0
"""A user who types a command waits longer for the answer."""
DEATHS = ("kill", "kill", "kill_at_call", "kill_at_call", "kill_at_call", "disk_full", "power_cut")
AGAIN = (0, 1, 2, 4, 6)  # how often what comes after a death dies too
LATEST_CALLS = (40, 40, 200, 1000)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, at which second after the market began. ``size``: seconds, a count, or a call.

    Of a command: for how long the database takes nothing of the agent once the command is there.
    """

    at_s: float
    kind: str
    size: float = 0.0

    def __str__(self) -> str:
        return f"{self.at_s:.2f} s {self.kind}" + (f" {self.size:g}" if self.size else "")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One seed's world."""

    seed: int
    symbols: tuple[str, ...]
    orders: tuple[OrderRow, ...]
    faults: tuple[Fault, ...]
    trades_per_s: float
    exchange_ahead_ns: int  # how wrong its clock is
    latency_s: tuple[float, float]
    dead_s: float  # from a death to what comes after it
    die_again_at: tuple[int, ...]  # the calls in which what comes after it, and after that, dies too
    resumes: bool  # after a death the session goes on; else it is closed

    @property
    def longest_s(self) -> float:
        """The orders' own time."""
        return max((row.start + row.order.max_duration) / S for row in self.orders)

    def with_faults(self, faults: Sequence[Fault]) -> Scenario:
        return replace(self, faults=tuple(faults))

    def told(self) -> list[str]:
        orders = [
            f"{row.id}: {row.symbol} {row.order.side} {row.order.quantity or row.order.notional} by"
            f" {row.order.algo}/{row.order.tactic}, from {row.start / S:g} s on"
            f" {row.order.max_duration / S:g} s"
            for row in self.orders
        ]
        return [*orders, *map(str, self.faults)]


def scenario(seed: int) -> Scenario:
    """The same for the same seed."""
    rng, locks = random.Random(f"scenario:{seed}"), random.Random(f"locks:{seed}")
    symbols = SYMBOLS[: rng.choice((1, 1, 2))]
    orders = tuple(_order(rng, symbols, number) for number in range(1, rng.choice((1, 1, 2, 3, 5)) + 1))
    until_s = max((row.start + row.order.max_duration) / S for row in orders)
    return Scenario(
        seed=seed,
        symbols=symbols,
        orders=orders,
        faults=tuple(_with_lock(locks, fault) for fault in _faults(rng, until_s)),
        trades_per_s=rng.choice((2.0, 5.0, 15.0)),
        exchange_ahead_ns=rng.choice((0, 0, 1, -1)) * rng.randrange(20 * S),
        latency_s=rng.choice(((0.0005, 0.005), (0.001, 0.03), (0.02, 0.15))),
        dead_s=rng.choice((0.0, 2.0, rng.uniform(0, 60), rng.uniform(0, 60))),
        die_again_at=tuple(rng.randrange(1, rng.choice(LATEST_CALLS)) for _ in range(rng.choice(AGAIN))),
        resumes=rng.random() < 0.75,
    )


def _order(rng: random.Random, symbols: Sequence[str], number: int) -> OrderRow:
    symbol, interval = rng.choice(symbols), rng.choice((1, 2, 2, 5, 10))
    intervals = rng.randint(3, 8)
    amount = _UNITS[symbol] * rng.randint(1, 12)
    algo = rng.choice(list(ALGOS))
    others = [name for name in ALGOS if name != algo]
    size = {"quantity": amount} if rng.random() < 0.7 else {"notional": amount * 5000}
    return OrderRow(
        id=f"P{number}",
        symbol=symbol,
        start=rng.choice((0, 0, rng.randrange(20 * S))),
        order=Order(
            **size,
            side=rng.choice(("buy", "sell")),
            benchmark=rng.choice(("vwap", "twap")),
            interval=interval * S,
            min_duration=rng.randint(0, intervals) * interval * S,
            max_duration=intervals * interval * S,
            algo=algo,
            tactic=rng.choice(TACTIC_NAMES),
            shadows=tuple(rng.sample(others, rng.choice((0, 0, 1, 2)))),
            participation_cap=rng.choice((None, None, None, 0.3)),
            align=rng.choice(("none", "none", "grid")),
        ),
    )


def _faults(rng: random.Random, until_s: float) -> tuple[Fault, ...]:
    """Some seeds are quiet, most have a handful of faults, half of all end in a death."""
    kinds = [*LASTING, *COUNTED, *AT_ONCE]
    found = [_fault(rng, rng.choice(kinds), until_s) for _ in range(rng.choice((0, 1, 2, 4, 8)))]
    if rng.random() < 0.15:
        found += [_fault(rng, rng.choice(COMMANDS), until_s) for _ in range(rng.choice((1, 2)))]
    if rng.random() < 0.7:
        found += [_fault(rng, rng.choice(DEATHS), until_s) for _ in range(rng.choice((1, 1, 2, 3)))]
    return tuple(sorted(found, key=lambda fault: fault.at_s))


def _with_lock(rng: random.Random, fault: Fault) -> Fault:
    """Some commands are read in a database that does not take the answer at once."""
    if fault.kind not in COMMANDS or rng.random() < 0.6:
        return fault
    return replace(fault, size=round(rng.uniform(0.2, MUTE_S), 2))


def _fault(rng: random.Random, kind: str, until_s: float) -> Fault:
    at_s = rng.uniform(0.0 if rng.random() < 0.15 else 1.5, until_s + 4.0)
    if kind in LASTING:
        return Fault(at_s, kind, round(rng.uniform(0.2, LASTING[kind]), 2))
    if kind in COUNTED:
        return Fault(at_s, kind, rng.randint(1, COUNTED[kind]))
    if kind == "kill_at_call":
        return Fault(at_s, kind, rng.randint(1, 60))  # so many calls after that time
    if kind == "disk_full":
        return Fault(at_s, kind, rng.randrange(20_000))  # bytes left
    return Fault(at_s, kind)
