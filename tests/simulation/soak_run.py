"""A soak: one life of an agent that lasts, what is done to it, and what it holds from hour to hour."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from decimal import Decimal
from statistics import median

from agent.app.live.run_views import LiveResult
from agent.config import Config, Venue
from connectors.embedded.printed_trades import TradeStore
from tests.simulation.agent_machine import AgentMachine
from tests.simulation.exchange_machine import MACHINE, ExchangeMachine
from tests.simulation.resources import Compared, Held, memory, open_now
from tests.simulation.scenario import Scenario
from tests.simulation.simulated_run import BOUND_S, LET_GO_S, config_of
from tests.simulation.soak_day import HOUR_S
from tests.simulation.virtual_loop import VirtualLoop

LOOK_EVERY_S = 5.0
LOOKED = 1 / 12
"""Share of the time between two measurements in which it is counted again and again what is open."""
TIDY_S = 10.0
LEDGER_MOST = 200
"""Trades that the exchange remembers of a symbol, and so shows on a page of REST: a page is full within the
first hour, as a real one always is. What the exchange keeps is none of the agent's growth."""
Tell = Callable[[float, Held, list[str]], None]
"""Called with the hours gone by, what is held, and what has grown."""


class ForgetfulExchange(ExchangeMachine):
    """One that keeps no ledger for checks."""

    def _note_quotes(self) -> None:
        for symbol in self.quotes:
            self.exchange.lane(symbol).trades = TradeStore(LEDGER_MOST)


class Soak:
    """``play`` it; then ``held`` has an entry for each ``every_s``."""

    def __init__(
        self, scenario: Scenario, loop: VirtualLoop, every_s: float, tell: Tell, *, trace: bool
    ) -> None:
        self.held: list[Held] = []
        self.faults = 0
        self._scenario, self._loop, self._every_s, self._tell = scenario, loop, every_s, tell
        self._compared = Compared() if trace else None
        loop.net.set_defaults(latency=scenario.latency_s)
        loop.unwatched.add(MACHINE)
        self._exchange = ForgetfulExchange(scenario, loop)
        self._endpoint = loop.run_until_complete(self._exchange.ready())
        self._agent = AgentMachine(1, random.Random(scenario.seed), self._exchange, self._endpoint)
        self._left: dict[str, int] = {}

    def play(self) -> None:
        """In the current directory."""
        self._agent.start(_config(self._scenario))
        self._loop.run_until_complete(self._life())

    async def _life(self) -> None:
        doing = asyncio.gather(self._do_faults(), self._look(), self._tidy())
        await asyncio.wait({self._agent.ended}, timeout=self._scenario.longest_s + BOUND_S)
        doing.cancel()
        await asyncio.sleep(LET_GO_S)
        self._left = self._agent.left()

    async def _do_faults(self) -> None:
        """Each at its time; those that last go on beside the next."""
        lasting: set[asyncio.Task[None]] = set()
        began_s = self._loop.time()
        for fault in self._scenario.faults:
            await asyncio.sleep(max(0.0, began_s + fault.at_s - self._loop.time()))
            task = self._loop.create_task(self._agent.suffer(fault))
            lasting.add(task)
            task.add_done_callback(lasting.discard)
            self.faults += 1

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            self._loop.tidy()

    async def _look(self) -> None:
        began_s = self._loop.time()
        while True:
            until_s = began_s + (len(self.held) + 1) * self._every_s
            await asyncio.sleep(until_s - self._every_s * LOOKED - self._loop.time())
            looks = list[dict[str, int]]()
            while self._loop.time() < until_s:
                looks.append(open_now(self._agent))
                await asyncio.sleep(LOOK_EVERY_S)
            self._exchange.changed.clear()
            counts = {name: int(median(look[name] for look in looks)) for name in looks[0]}
            self.held.append(replace(memory(), **counts))
            grown = self._compared.grown() if self._compared else []
            self._tell((until_s - began_s) / HOUR_S, self.held[-1], grown)

    # --- what came of it --------------------------------------------------------------------------

    @property
    def well(self) -> bool:
        """Whether the run ended by itself, every order was worked to its end, and nothing was left open."""
        result = self._agent.ended.result() if self._agent.ended.done() else None
        orders = isinstance(result, LiveResult) and len(result.summary.orders())
        return orders == len(self._scenario.orders) and not any(self._left.values())

    def document(self, wall_s: float) -> dict[str, object]:
        """The closing line."""
        result = self._agent.ended.result() if self._agent.ended.done() else None
        parents = result.summary.parents() if isinstance(result, LiveResult) else []
        hours = [asdict(held) for held in self.held]
        return {
            "virtual_hours": round(self._loop.time() / HOUR_S, 2),
            "wall_s": round(wall_s, 1),
            "symbols": len(self._scenario.symbols),
            "orders": len(parents),
            "completed": sum(parent["state"] == "completed" for parent in parents),
            "children": sum(parent["children"] for parent in parents),
            "faults": self.faults,
            "trades": result.feed["trades"] if isinstance(result, LiveResult) else 0,
            "events": result.events if isinstance(result, LiveResult) else 0,
            "ended": type(result).__name__ if isinstance(result, LiveResult) else repr(result),
            "left_open": self._left,
            "at_first": hours[0] if hours else {},
            "at_the_end": hours[-1] if hours else {},
            "growth": _growth(self.held),
            "well": self.well,
        }


def _growth(held: list[Held]) -> dict[str, float]:
    """Shares by which each number has grown from the first measurement to the last."""
    if len(held) < 2:
        return {}
    first, last = asdict(held[0]), asdict(held[-1])
    return {name: round(last[name] / first[name] - 1, 4) for name in first if first[name]}


def _config(scenario: Scenario) -> Config:
    coins = {symbol.partition("/")[0] for symbol in scenario.symbols} | {"USDT"}
    venue = Venue(balances=dict.fromkeys(sorted(coins), Decimal(10**9)))
    return config_of(scenario).model_copy(update={"venue": venue})
