"""One seed from beginning to end: the exchange, the agent's lives, the faults, and what is left of it all."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import traceback
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.app.live_session import LiveResult
from agent.app.log_in_line import bring_in_line
from agent.app.session_end import end_session
from agent.config import Config, Feed, Jobs, Risk
from agent.core.errors import AgentError
from agent.core.events import CommandKind
from connectors.embedded.server import Endpoint
from storage.log.control.command_sender import Sent, send
from tests.simulation import virtual_time
from tests.simulation.agent_machine import AgentMachine
from tests.simulation.exchange_machine import ExchangeMachine
from tests.simulation.killed import Killed
from tests.simulation.scenario import COMMANDS, LASTING, S, Fault, Scenario
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.virtual_time import now_ns

DATABASE = Path("agent.db")
URL = f"sqlite:///{DATABASE}"
SESSIONS = Path("sessions")
BOUND_S = 240.0
"""An agent that works on so long after its last order's time waits for something that never comes."""


@dataclass
class Outcome:
    """What a seed came to."""

    scenario: Scenario
    exchange: ExchangeMachine
    config: Config
    result: LiveResult | BaseException | None = None  # None: died
    dead: list[tuple[int, int]] = field(default_factory=list)  # spans in which nothing was done, ns
    kills: int = 0
    done: list[Fault] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    left: dict[str, int] = field(
        default_factory=dict
    )  # of a life that ended by itself: tasks, files, sockets


def config_of(scenario: Scenario) -> Config:
    return Config(
        symbol=scenario.symbols[0],
        orders=scenario.orders,
        database=URL,
        out=SESSIONS,
        seed=scenario.seed,
        feed=Feed(warm_up=60 * S, book_depth=20),
        risk=Risk(max_volume_share=None, max_notional=Decimal(10**9)),
        jobs=Jobs(heartbeat=3600 * S),
    )


def simulate(scenario: Scenario) -> Outcome:
    """Play it, in the current directory."""
    loop = VirtualLoop(scenario.seed)
    virtual_time.begin(loop, scenario.seed)
    asyncio.set_event_loop(loop)
    loop.net.set_defaults(latency=scenario.latency_s)
    exchange = ExchangeMachine(scenario, loop)
    outcome = Outcome(scenario, exchange, config_of(scenario))
    run = _Run(scenario, loop, exchange, outcome)
    endpoint = loop.run_until_complete(exchange.ready())
    loop.run_until_complete(run.live(endpoint))
    if run.agent.power.dead:
        run.after_death()
    else:
        run.after_end()
    outcome.virtual_s = loop.time()
    outcome.errors += list(map(_told, loop.faults))
    return outcome


def in_database(session: str) -> bool:
    """Whether the log knows it."""
    connection = sqlite3.connect(DATABASE)
    try:
        return bool(connection.execute("SELECT 1 FROM sessions WHERE session = ?", (session,)).fetchall())
    except sqlite3.OperationalError:
        return False  # no tables yet
    finally:
        connection.close()


def _told(fault: dict[str, Any]) -> str:
    """What no task has handled, and where it came from."""
    error = fault.get("exception")
    if error is None:
        return str(fault.get("message"))
    where = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{error!r} at {'; '.join(f'{Path(each.filename).name}:{each.lineno}' for each in where)}"


class _Run:
    def __init__(
        self, scenario: Scenario, loop: VirtualLoop, exchange: ExchangeMachine, outcome: Outcome
    ) -> None:
        self.scenario, self.loop, self.exchange, self.outcome = scenario, loop, exchange, outcome
        self.rng = random.Random(f"lives:{scenario.seed}")
        self.agent = AgentMachine(1, self.rng, exchange)

    async def live(self, endpoint: Endpoint) -> None:
        """The first life, with the faults of its time."""
        self.agent.start(self.outcome.config, endpoint)
        doing = [asyncio.ensure_future(self._do(fault)) for fault in self.scenario.faults]
        bound_s = self.scenario.longest_s + BOUND_S
        await asyncio.wait({self.agent.ended}, timeout=bound_s)
        if not self.agent.ended.done():
            self.outcome.errors.append(f"the run did not end within {bound_s:g} s")
            self.agent.kill(cut_power=False)
        self.outcome.result = self.agent.ended.result()
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        if not self.agent.power.dead:
            await asyncio.sleep(1.0)
            self.outcome.left = self._left()

    def _left(self) -> dict[str, int]:
        name = self.agent.name
        return {
            "tasks": len(self.loop.tasks(name)),
            "connections": self.loop.open_connections(name),
            "files": self.agent.disk.open_files,
            "database": len(self.agent.database.connections),
        }

    # --- faults -----------------------------------------------------------------------------------

    async def _do(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        agent = self.agent
        if agent.ended.done():
            return
        self.outcome.done.append(fault)
        now_s = self.loop.time()
        if fault.kind == "kill":
            agent.kill(cut_power=False)
        elif fault.kind == "power_cut":
            agent.kill(cut_power=True)
        elif fault.kind == "kill_at_call":
            agent.power.at_call = agent.power.calls + int(fault.size)
        elif fault.kind == "disk_full":
            agent.disk.free = int(fault.size)
        elif fault.kind == "stall":
            self.outcome.dead.append((now_ns(), now_ns() + int(fault.size * S)))
            self.loop.stall(agent.name, fault.size)
        elif fault.kind == "database_locked":
            agent.database.locked_until_s = now_s + fault.size
        elif fault.kind == "database_full":
            agent.database.full_until_s = now_s + fault.size
        elif fault.kind in COMMANDS:
            await self._command(fault)
        else:
            await self.exchange.do(fault, agent.name)

    async def _command(self, fault: Fault) -> None:
        kind = CommandKind.KILL if fault.kind == "kill_switch" else CommandKind(fault.kind)
        command = Sent(f"{fault.kind}-{fault.at_s:.3f}", kind)
        try:
            await send(URL, command, now_ns, now_ns)
        except AgentError as error:
            self.outcome.errors += [] if self.agent.power.dead else [f"ctl {kind}: {error}"]

    # --- afterwards -------------------------------------------------------------------------------

    def after_death(self) -> None:
        """Nothing is done until somebody comes."""
        self.agent.bury(DATABASE)
        self.outcome.kills += 1
        died_ns = self.agent.died_ns or now_ns()
        self.loop.run_until_complete(asyncio.sleep(self.scenario.dead_s))
        self.outcome.dead.append((died_ns, 2**62))
        self._end_session(self.scenario.die_again_at)

    def after_end(self) -> None:
        """What the run itself asks for: a database that was behind is brought in line once it can be."""
        result = self.outcome.result
        if isinstance(result, LiveResult) and not result.database.in_line:
            self.loop.run_until_complete(asyncio.sleep(max(LASTING.values())))
            self._helper(None).install()
            bring_in_line(result.path, URL)

    def _helper(self, dies_at: int | None) -> AgentMachine:
        """Another process of the user's."""
        helper = AgentMachine(2 + self.outcome.kills, self.rng, self.exchange)
        helper.power.at_call = dies_at
        return helper

    def _end_session(self, dies_at: int | None) -> None:
        """`sessions end`, as somebody would type it; it may die too, and is typed again."""
        names = sorted(path.name for path in SESSIONS.glob("*"))
        if not names or not in_database(names[-1]):
            return  # it died before it began: no order was started
        helper = self._helper(dies_at)
        helper.install()
        try:
            end_session(URL, names[-1], now_ns, now_ns)
        except Killed:
            helper.bury(DATABASE)
            self.outcome.kills += 1
            self._end_session(None)
        except AgentError as error:
            self.outcome.errors.append(f"sessions end: {error}")
