"""The adapter to simloop: an event loop in virtual time whose machines can be stalled and killed.

All that the simulation needs of simloop is named here, so another loop could take its place. Two things
are added. A machine can be *stalled*: what it was about to do waits, as after SIGSTOP, while the others go
on. And it can be *killed*: nothing of it ever runs again, not even what its tasks would do when cancelled.
simloop's own ``crash`` cancels tasks, and so lets a dead process write.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any

from simloop import SimLoop
from simloop._loop import _current_host, _ExecutorJob, _host_of

DEAD = float("inf")


class _NoTrace:
    """In place of simloop's recorder: millions of events would be kept."""

    def record(self, *_event: object) -> None: ...


def machine() -> str:
    """Whose code runs: the machine's name."""
    return _current_host.get()


def on_machine(name: str, func: Callable[..., Any], *args: Any) -> Any:
    """Call ``func`` as a program on a machine, outside of the loop."""

    def call() -> Any:
        _current_host.set(name)
        return func(*args)

    return contextvars.copy_context().run(call)


class VirtualLoop(SimLoop):
    """Time passes only between steps, the order of ready work is drawn by the seed."""

    def __init__(self, seed: int, now_s: float = 0.0) -> None:
        super().__init__(seed)
        self._now = now_s
        self._recorder = _NoTrace()  # type: ignore[assignment]
        self._net._trace = lambda *_: None  # type: ignore[method-assign]
        self.net.host(machine())
        self.gates: dict[str, float] = {}  # machine -> until when it does nothing
        self.faults: list[dict[str, Any]] = []  # what no task has handled, of machines that live
        self.unwatched: set[str] = set()  # machines whose own stumbles are no fault
        self.steps = 0

    # --- machines -----------------------------------------------------------------------------------

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.net.host(name).create_task(work)

    def stall(self, name: str, for_s: float) -> None:
        self.gates[name] = self._now + for_s

    def kill(self, name: str, *, silently: bool) -> None:
        """``silently``: its peers learn nothing, as when its power fails; else its sockets are reset."""
        for key, transport in list(self.net._streams.items()):
            if key[1] == name:
                transport._protocol = None  # the process learns nothing
                if not silently:
                    transport.abort()
                self.net._streams.pop(key)
        self.gates[name] = DEAD
        self.net._alive[name] = not silently

    def cut(self, one: str, other: str, for_s: float) -> None:
        """No packet passes between two machines for so long; what is sent arrives afterwards."""
        self.net.partition({one}, {other})
        self.call_later(for_s, self.net.heal, context=contextvars.Context())

    def open_connections(self, name: str) -> int:
        return sum(key[1] == name for key in self.net._streams)

    def tidy(self) -> None:
        """Drop what simloop keeps for long where asyncio does not: timers that were cancelled, with all that
        they would have called, and the counters of connections that are over."""
        self._timers[:] = [entry for entry in self._timers if not entry[3].cancelled()]
        heapq.heapify(self._timers)
        net = self.net
        open_ = {key[0] for key in net._streams} | net._pending.keys()
        net._inbound = {key: queue for key, queue in net._inbound.items() if key[0] in open_}

    def tasks(self, name: str) -> list[asyncio.Task[Any]]:
        return [task for task in self.net._tasks.get(name, ()) if not task.done()]

    def open_timers(self, name: str) -> int:
        """Timers of a machine that nobody has cancelled."""
        return sum(_host_of(entry[3]) == name and not entry[3].cancelled() for entry in self._timers)

    # --- what simloop lacks -------------------------------------------------------------------------

    def _step(self) -> None:
        """As simloop's, but that a machine which is stalled or dead does nothing."""
        if not self._ready:
            self._advance_clock()
        index = self._policy.choose(self._ready_views)
        seq, label, handle, callback = self._ready.pop(index)
        self.steps += 1
        if handle.cancelled():
            return
        gate = self.gates.get(_host_of(handle)) if self.gates else None
        if gate is not None and gate > self._now:
            if gate != DEAD:
                heapq.heappush(self._timers, (gate, seq, label, handle, callback))  # type: ignore[arg-type]
            return
        handle._run()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Inline, as simloop's, and as on a thread: without a running loop, so that it may run one."""
        future: asyncio.Future[Any] = self.create_future()

        def as_on_a_thread() -> Any:
            events._set_running_loop(None)
            try:
                return func(*args)
            finally:
                events._set_running_loop(self)

        self.call_soon(_ExecutorJob(as_on_a_thread, (), future))
        return future

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Of machines that live; the exchange's server may stumble over a client that died."""
        task = context.get("task") or context.get("future")
        own = task.get_context() if isinstance(task, asyncio.Task) else contextvars.copy_context()
        name = own.get(_current_host, "")
        if name not in self.unwatched and self.gates.get(name) != DEAD:
            self.faults.append(context)

    async def shutdown_asyncgens(self) -> None:
        """Nothing is left open: ``asyncio.run`` asks for it."""

    async def shutdown_default_executor(self, *_: object) -> None:
        """There is no thread."""
