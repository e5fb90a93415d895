"""One life of the agent on a machine of its own: the product's ``run_paper``, and how it dies."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from agent.app.live_feed import Ended
from agent.app.live_session import LiveResult, run_paper
from agent.app.world.run_world import World
from agent.config import Config
from agent.core.clock import Clock
from agent.core.errors import AgentError
from agent.core.ports import Feed
from agent.core.types import NS_PER_S
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from connectors.embedded.server import Endpoint
from connectors.supervisor import Patience
from tests.integration.test_parity import Quiet
from tests.simulation import inline_sqlite, simulated_disk
from tests.simulation.exchange_machine import ExchangeMachine
from tests.simulation.inline_sqlite import Database
from tests.simulation.killed import Killed, Power
from tests.simulation.simulated_disk import SimulatedDisk
from tests.simulation.virtual_time import VirtualClock, now_ns


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
    """A life, its disk and its database's connections."""

    def __init__(self, number: int, rng: random.Random, exchange: ExchangeMachine) -> None:
        self.name = f"agent-{number}"
        self.exchange, self.loop = exchange, exchange.loop
        self.died_ns: int | None = None
        self.cut_power = False
        self.power = Power(self._on_death)
        self.disk = SimulatedDisk(rng, self.power)
        self.database = Database(rng, self.power)
        self.ended: asyncio.Future[LiveResult | BaseException | None] = self.loop.create_future()

    def install(self) -> None:
        """Under the recordings and the database of this process."""
        simulated_disk.install(self.disk)
        inline_sqlite.install(self.database)

    def start(self, config: Config, endpoint: Endpoint) -> None:
        self.install()
        self.loop.spawn(self.name, self._live(config, endpoint))

    async def _live(self, config: Config, endpoint: Endpoint) -> None:
        try:
            result: LiveResult | BaseException = await run_paper(config, Quiet(), world=self._world(endpoint))
        except (AgentError, Exception) as error:
            result = error
        if not self.ended.done():
            self.ended.set_result(result)

    def _world(self, endpoint: Endpoint) -> World:
        @contextlib.asynccontextmanager
        async def open_feed(config: Config, clock: Clock) -> AsyncIterator[tuple[Feed, Ended]]:
            options = FeedOptions(
                book_depth=config.feed.book_depth,
                connect_deadline_s=config.feed.connect_timeout / NS_PER_S,
                patience=Patience(stale_s=config.feed.stale_after / NS_PER_S),
            )
            feed = CcxtFeed(
                "binance",
                clock,
                session_factory=lambda: self.exchange.session(endpoint),
                options=options,
                name="embedded",
            )
            try:
                yield feed, lambda: False
            finally:
                await feed.close()

        return World(VirtualClock, now_ns, open_feed, _Inline, _no_signal)

    # --- death ------------------------------------------------------------------------------------

    def kill(self, *, cut_power: bool) -> None:
        """Now, from outside."""
        self.cut_power = cut_power
        if not self.power.dead and not self.ended.done():
            with contextlib.suppress(Killed):
                self.power.die()

    def _on_death(self) -> None:
        self.died_ns = now_ns()
        self.loop.kill(self.name, silently=self.cut_power)
        if not self.ended.done():
            self.ended.set_result(None)

    def bury(self, database: Path) -> None:
        """The kernel's part: files are closed as they are; what power kept alive is lost."""
        self.disk.kill(lose_unsynced=self.cut_power)
        self.database.kill(database, lose_unsynced=self.cut_power)
