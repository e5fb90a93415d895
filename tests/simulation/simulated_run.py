"""One seed from beginning to end: the exchange, the agent's lives, the faults, and what is left of it all."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import traceback
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from agent.app.live.run_views import LiveResult
from agent.app.log_in_line import bring_in_line
from agent.app.session_end import end_session
from agent.config import Config, Feed, Jobs, Risk
from agent.core.errors import AgentError, InputError, InternalError
from agent.core.events import CommandKind
from connectors.embedded.server import Endpoint
from storage.log.control.command_sender import Sent, send
from tests.simulation import virtual_time
from tests.simulation.agent_machine import AgentMachine
from tests.simulation.exchange_machine import MACHINE, ExchangeMachine
from tests.simulation.killed import Killed
from tests.simulation.scenario import COMMANDS, LASTING, OF_EXCHANGE, Fault, S, Scenario
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.virtual_time import now_ns

DATABASE = Path("agent.db")
URL = f"sqlite:///{DATABASE}"
SESSIONS = Path("sessions")
BOUND_S = 240.0
"""An agent that works on so long after its last order's time waits for something that never comes."""
LET_GO_S = 60.0
"""How long a connection may take to close that a broken network holds up."""
LIVES_MOST = 6
TRIES_MOST = 8
"""Times that a user types a command which was refused because of a fault that passes."""
TRY_AGAIN_S = 10.0


@dataclass
class Outcome:
    """What a seed came to."""

    scenario: Scenario
    exchange: ExchangeMachine
    config: Config
    result: LiveResult | BaseException | None = None  # of the last life; None: it died
    dead: list[tuple[int, int]] = field(default_factory=list)  # spans in which nothing was done, ns
    closed_after_ns: int | None = None  # when the life died whose session was closed, not gone on with
    kills: int = 0
    resumes: int = 0
    done: list[Fault] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    left: dict[str, int] = field(default_factory=dict)  # of a life that ended by itself


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
    loop.unwatched.add(MACHINE)
    exchange = ExchangeMachine(scenario, loop)
    outcome = Outcome(scenario, exchange, config_of(scenario))
    endpoint = loop.run_until_complete(exchange.ready())
    _Run(scenario, loop, endpoint, outcome).play()
    outcome.virtual_s = loop.time()
    unhandled = [each for each in loop.faults if not isinstance(each.get("exception"), Killed)]
    outcome.errors += map(_told, unhandled)
    return outcome


def in_database(session: str) -> bool:
    """Whether the log knows it."""
    return bool(_query("SELECT 1 FROM sessions WHERE session = ?", session))


def _query(text: str, session: str) -> list[Any]:
    connection = sqlite3.connect(DATABASE)
    try:
        return connection.execute(text, (session,)).fetchall()
    except sqlite3.OperationalError:
        return []  # no tables yet
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
    """The lives, one after another; the faults go on meanwhile."""

    def __init__(self, scenario: Scenario, loop: VirtualLoop, endpoint: Endpoint, outcome: Outcome) -> None:
        self.scenario, self.loop, self.outcome = scenario, loop, outcome
        self.exchange, self._endpoint = outcome.exchange, endpoint
        self.rng = random.Random(f"lives:{scenario.seed}")
        self._numbers = 0
        self.agent = self._machine()
        self._bound_s = scenario.longest_s + BOUND_S
        self._deaths = iter(scenario.die_again_at)

    def _machine(self) -> AgentMachine:
        self._numbers += 1
        return AgentMachine(self._numbers, self.rng, self.exchange, self._endpoint)

    def play(self) -> None:
        self.agent.start(self.outcome.config)
        self._doing = [self.loop.create_task(self._do(fault)) for fault in self.scenario.faults]
        self._live()
        for _ in range(LIVES_MOST + 2):
            if not self._goes_on():
                break
            self._live()
        for task in self._doing:
            task.cancel()
        self._bring_in_line()

    # --- a life -----------------------------------------------------------------------------------

    def _live(self) -> None:
        self.loop.run_until_complete(self._until_ended(self.agent))

    async def _until_ended(self, agent: AgentMachine) -> None:
        await asyncio.wait({agent.ended}, timeout=self._bound_s)
        if agent.working:
            self.outcome.errors.append(f"the run did not end within {self._bound_s:g} s")
            agent.kill()
        self.outcome.result = result = agent.ended.result()
        if isinstance(result, InternalError) or not isinstance(result, LiveResult | AgentError | None):
            self.outcome.errors.append(f"the run ended with {type(result).__name__}: {result}")
        if agent.power.dead:
            agent.bury(DATABASE)
            self.outcome.kills += 1
            died_ns = agent.died_ns or now_ns()  # and a stall with it
            self.outcome.dead = [(from_ns, min(to_ns, died_ns)) for from_ns, to_ns in self.outcome.dead]
        else:
            await asyncio.sleep(1.0)
            if any(agent.left().values()):
                await asyncio.sleep(LET_GO_S)
            self.outcome.left = agent.left()

    def _goes_on(self) -> bool:
        """What a user does about a life that died or failed: True where another has begun."""
        session = self._session()
        if isinstance(self.outcome.result, LiveResult) or session is None:
            return False
        died_ns = self.agent.died_ns or now_ns()
        self._wait(self.scenario.dead_s)
        if not self.agent.power.dead and not self._open(session):
            return False  # it has failed and says so
        resumes = self.scenario.resumes and self._numbers <= LIVES_MOST
        for attempt in range(TRIES_MOST):
            try:
                if resumes and attempt < TRIES_MOST // 2:
                    self._resume(session, died_ns)
                    return True
                self._end(session, died_ns)
                return False
            except Killed:
                self._bury_helper()
            except AgentError as error:
                if not self._open(session):
                    return False  # it died once all was done
                refused = str(error)
                self._wait(TRY_AGAIN_S)
                resumes = resumes and not isinstance(error, InputError)
        self.outcome.errors.append(f"the session can neither go on nor be closed: {refused}")
        return False

    def _resume(self, session: str, died_ns: int) -> None:
        self.agent = self._machine()
        self.agent.power.at_call = self._dies_again()
        self.agent.resume(session, self.outcome.config)
        self.outcome.dead.append((died_ns, self.agent.began_ns))
        self.outcome.resumes += 1

    def _end(self, session: str, died_ns: int) -> None:
        """`sessions end`."""
        self.agent = self._machine()
        self.agent.power.at_call = self._dies_again()
        self.agent.call(end_session, URL, session, now_ns, now_ns)
        self.outcome.closed_after_ns = died_ns
        self.outcome.dead.append((died_ns, 2**62))

    def _dies_again(self) -> int | None:
        return next(self._deaths, None)

    def _bury_helper(self) -> None:
        self.agent.bury(DATABASE)
        self.outcome.kills += 1

    def _wait(self, for_s: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(for_s))

    @staticmethod
    def _session() -> str | None:
        """The session's name, if the log knows it: else it died before any order was started."""
        names = sorted(path.name for path in SESSIONS.glob("*"))
        return names[-1] if names and in_database(names[-1]) else None

    @staticmethod
    def _open(session: str) -> bool:
        return _query("SELECT state FROM sessions WHERE session = ?", session) == [("open",)]

    def _bring_in_line(self) -> None:
        """What the run itself asks for: a database that was behind is brought in line once it can be."""
        result = self.outcome.result
        if isinstance(result, LiveResult) and not result.database.in_line:
            self._wait(max(LASTING.values()))
            self._machine().call(bring_in_line, result.path, URL)

    # --- faults -----------------------------------------------------------------------------------

    async def _do(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        agent = self.agent
        if not agent.working and fault.kind not in OF_EXCHANGE:
            return
        self.outcome.done.append(fault)
        if fault.kind == "kill":
            agent.kill()
        elif fault.kind == "power_cut":
            agent.kill(cut_power=True)
        elif fault.kind == "kill_at_call":
            agent.power.at_call = agent.power.calls + int(fault.size)
        elif fault.kind == "disk_full":
            agent.disk.free = int(fault.size)
        elif fault.kind in COMMANDS:
            user = self._machine()
            if fault.size:
                user.database.when_stored = partial(self._lock, fault.size)
            await self.loop.spawn(user.name, self._command(fault))
        else:
            if fault.kind == "stall":
                self.outcome.dead.append((now_ns(), now_ns() + int(fault.size * S)))
            await agent.suffer(fault)

    def _lock(self, for_s: float) -> None:
        self.agent.database.locked_until_s = self.loop.time() + for_s

    async def _command(self, fault: Fault) -> None:
        kind = CommandKind.KILL if fault.kind == "kill_switch" else CommandKind(fault.kind)
        command = Sent(f"{fault.kind}-{fault.at_s:.3f}", kind)
        try:
            await send(URL, command, now_ns, now_ns)
        except AgentError as error:
            if self.agent.working and self._session() is not None:
                self.outcome.errors.append(f"ctl {kind}: {error}")
