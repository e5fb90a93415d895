"""One life of the agent on a machine of its own: the product's own run, and how it dies."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from agent.app.live.run_views import LiveResult
from agent.app.live_feed import Market
from agent.app.live_session import run_paper
from agent.app.lives.finding import claim, session_meant
from agent.app.lives.former_session import FormerSession
from agent.app.world.run_world import World
from agent.config import Config
from agent.core.clock import Clock
from agent.core.ports import Feed
from agent.core.types import NS_PER_S
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from connectors.embedded.server import Endpoint
from connectors.supervisor import Patience
from storage.log.control import heartbeat, lease
from tests.integration.test_parity import Quiet
from tests.simulation import inline_sqlite, simulated_disk
from tests.simulation.exchange_machine import ExchangeMachine
from tests.simulation.inline_sqlite import Database
from tests.simulation.killed import Killed, Power
from tests.simulation.scenario import Fault
from tests.simulation.simulated_disk import SimulatedDisk
from tests.simulation.virtual_loop import machine, on_machine
from tests.simulation.virtual_time import VirtualClock, now_ns

PID_ABOVE_ALL = 2**22
"""Linux numbers its processes below this: nobody takes a life that ended for a process that runs."""


class _Inline(Executor):
    """What an algo decides on a thread is decided at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def _no_signal(_stopping: asyncio.Event) -> Iterator[None]:
    """Nobody presses Ctrl-C."""
    yield


class AgentMachine:
    """A process: a life of the agent, or a command that a user types. It may die at any of its calls."""

    def __init__(
        self, number: int, rng: random.Random, exchange: ExchangeMachine, endpoint: Endpoint
    ) -> None:
        self.name = f"agent-{number}"
        self.exchange, self.loop, self._endpoint = exchange, exchange.loop, endpoint
        self.loop.net.host(self.name)
        self.began_ns = now_ns()
        self.died_ns: int | None = None
        self.cut_power = False
        self.power = Power(self._on_death)
        self.disk = SimulatedDisk(rng, self.power)
        self.database = Database(rng, self.power)
        self.ended: asyncio.Future[LiveResult | BaseException | None] = self.loop.create_future()
        simulated_disk.install(self.name, self.disk)
        inline_sqlite.install(self.name, self.database)
        heartbeat.this_pid = lease.this_pid = lambda: PID_ABOVE_ALL + int(machine().rpartition("-")[2])

    @property
    def working(self) -> bool:
        return not self.ended.done()

    def call(self, func: Any, *args: Any) -> Any:
        """A command that a user types there."""
        return on_machine(self.name, func, *args)

    # --- lives ------------------------------------------------------------------------------------

    def start(self, config: Config) -> None:
        """`run`."""
        self.loop.spawn(self.name, self._live(config, None))

    def resume(self, which: str, config: Config) -> None:
        """`run --resume`. Raises AgentError where there is nothing to go on with, Killed."""
        former = self.call(self._former, which, config)
        self.loop.spawn(self.name, self._live(former.config, former))

    @staticmethod
    def _former(which: str, config: Config) -> FormerSession:
        path = session_meant(which, config, now_ns, now_ns)
        former = FormerSession.opened(path, config)
        try:
            claim(former.config, former.name, now_ns, now_ns)
        except BaseException:
            former.release(ended=False)
            raise
        return former

    async def _live(self, config: Config, former: FormerSession | None) -> None:
        try:
            result: LiveResult | BaseException = await run_paper(
                config, Quiet(), world=self._world(), former=former
            )
        except Exception as error:
            result = error
        if self.working:
            self.ended.set_result(result)

    def _world(self) -> World:
        @contextlib.asynccontextmanager
        async def open_feed(
            config: Config, clock: Clock, _began_ns: int | None = None
        ) -> AsyncIterator[tuple[Feed, Market]]:
            options = FeedOptions(
                book_depth=config.feed.book_depth,
                connect_deadline_s=config.feed.connect_timeout / NS_PER_S,
                patience=Patience(stale_s=config.feed.stale_after / NS_PER_S),
            )
            session = self.exchange.session
            feed = CcxtFeed(
                "binance",
                clock,
                session_factory=lambda: session(self._endpoint),
                options=options,
                name="embedded",
            )
            try:
                yield feed, Market()
            finally:
                await feed.close()

        return World(VirtualClock, now_ns, open_feed, _Inline, _no_signal)

    # --- trouble ----------------------------------------------------------------------------------

    async def suffer(self, fault: Fault) -> None:
        """One that is this machine's own, or else the exchange's or of the way to it."""
        if fault.kind == "stall":
            self.loop.stall(self.name, fault.size)
        elif fault.kind == "database_locked":
            self.database.locked_until_s = self.loop.time() + fault.size
        elif fault.kind == "database_full":
            self.database.full_until_s = self.loop.time() + fault.size
        else:
            await self.exchange.do(fault, self.name)

    # --- death ------------------------------------------------------------------------------------

    def kill(self, *, cut_power: bool = False) -> None:
        """Now, from outside."""
        self.cut_power = cut_power
        if not self.power.dead and self.working:
            with contextlib.suppress(Killed):
                self.power.die()

    def _on_death(self) -> None:
        self.died_ns = now_ns()
        self.loop.kill(self.name, silently=self.cut_power)
        if self.working:
            self.ended.set_result(None)

    def bury(self, database: Path) -> None:
        """The kernel's part: files are closed as they are; what power kept alive is lost."""
        self.disk.kill(lose_unsynced=self.cut_power)
        self.database.kill(database, lose_unsynced=self.cut_power)

    def left(self) -> dict[str, int]:
        """What a life that ended by itself has not given back."""
        return {
            "tasks": len(self.loop.tasks(self.name)),
            "connections": self.loop.open_connections(self.name),
            "files": self.disk.open_files,
            "database connections": len(self.database.connections),
        }
