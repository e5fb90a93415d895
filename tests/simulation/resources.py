"""What a process holds: memory by several measures, and what of an agent is open in a simulation."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.agent_machine import AgentMachine

MB = 1 << 20
TOLD = 25
"""Types that a comparison names."""


@dataclass
class Held:
    """At one moment. Counts are the median of several: what comes and goes is no growth."""

    rss_mb: float = 0.0  # resident memory of the whole process, the exchange and the loop within
    malloc_mb: float = 0.0  # handed out by the C library and not given back: numpy's arrays, OpenSSL, SQLite
    python_blocks: int = 0  # small blocks in use: objects of Python
    objects: int = 0  # that the garbage collector knows
    garbage: int = 0  # objects in circles that waited for it; they are in none of the numbers above
    tasks: int = 0
    timers: int = 0
    connections: int = 0
    files: int = 0  # recordings on the simulated disk
    database_connections: int = 0
    descriptors: int = 0  # real ones
    threads: int = 0


class _MallInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def malloc_mb() -> float:
    """Handed out by the C library; 0 where it does not tell (not glibc's)."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0.0
    mallinfo.restype = _MallInfo
    info = mallinfo()
    return round((info.uordblks + info.hblkhd) / MB, 2)


def memory() -> Held:
    """Of this process, after a collection of garbage."""
    garbage = gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        rss_mb=round(pages * os.sysconf("SC_PAGE_SIZE") / MB, 2),
        malloc_mb=malloc_mb(),
        python_blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        garbage=garbage,
    )


def open_now(agent: AgentMachine) -> dict[str, int]:
    """By the names of ``Held``."""
    loop, disk, database = agent.loop, agent.disk, agent.database
    return {
        "tasks": len(loop.tasks(agent.name)),
        "timers": loop.open_timers(agent.name),
        "connections": loop.open_connections(agent.name),
        "files": disk.open_files,
        "database_connections": len(database.connections),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1,
        "threads": threading.active_count(),
    }


class Compared:
    """What has grown since the last look, by type, in number and in bytes.

    What Python's garbage collector knows is counted, and what that alone holds (numbers, texts, arrays) under
    the type of who holds it. What was there when the agent began is frozen, and not gone through.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def grown(self) -> list[str]:
        counts, sizes = _census()
        lines = [f"  {n:+} {name}" for name, n in (counts - self._counts).most_common(TOLD)]
        lines += [f"  {n:+} bytes: {name}" for name, n in (sizes - self._bytes).most_common(TOLD)]
        self._counts, self._bytes = counts, sizes
        return lines


def _census() -> tuple[Counter[str], Counter[str]]:
    """How many objects there are, and their bytes, by type."""
    known = gc.get_objects()
    seen = {id(each) for each in known}
    counts, sizes = Counter[str](), Counter[str]()
    for holder in known:
        waiting: list[tuple[object, str]] = [(holder, _type_name(holder))]
        while waiting:
            each, name = waiting.pop()
            counts[name] += 1
            sizes[name] += sys.getsizeof(each, 0)
            for held in gc.get_referents(each):
                if id(held) not in seen and not gc.is_tracked(held):
                    seen.add(id(held))
                    waiting.append((held, f"{_type_name(held)} of {_type_name(holder)}"))
    return counts, sizes


def _type_name(each: object) -> str:
    return f"{type(each).__module__}.{type(each).__qualname__}"
