"""When Python looks for garbage in circles: seldom in a replay, often in a process that runs live.

What a replay makes is kept to its end and forms few circles; as often as Python is set to (700, 10, 10),
looking through it took a tenth of the time. A run that lives for weeks drops connections, tasks, tracebacks
and orders that are over, which hold each other. Set as in a replay it had a look at the youngest every forty
minutes, at the others never, and 20 MB of them waited after ten minutes with a few faults
(``tests/simulation/soak.py``).

What a process begins with, most of it its libraries', is frozen: so a look through all that has come since
takes milliseconds, and makes no decision late.

What bursts leave in the C library's heap goes back to the system once an hour (``keep_small``).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator

from connectors.ccxt_link import load_ccxt

SELDOM = (50_000, 20, 50)
OFTEN = (2_000, 3, 3)
GIVE_BACK_S = 3600.0
_M_MMAP_THRESHOLD, _LARGE = -3, 128 * 1024  # glibc's mallopt(3), and its own first threshold
_live = False


def collect_seldom() -> None:
    """Of a replay, unless this process runs live."""
    if not _live:
        gc.set_threshold(*SELDOM)


@contextlib.contextmanager
def as_in_a_replay() -> Iterator[None]:
    """A live run replays what was before it: for so long as a replay does."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def collect_often() -> None:
    """This process runs live from now on: freeze what is there, once its libraries are loaded."""
    global _live  # a process's garbage has one owner
    _live = True
    load_ccxt()
    gc.freeze()
    gc.collect()  # of nothing: Python looks through all only once a quarter more is there than the last time
    gc.set_threshold(*OFTEN)
    _give_back_large_blocks()


async def keep_small() -> None:
    """Once an hour, for ever: what a burst took and nothing holds any more goes back to the system."""
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        await asyncio.to_thread(give_back)


def give_back() -> None:
    """Free pages within glibc's heap: some milliseconds. Other C libraries are left alone."""
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _give_back_large_blocks() -> None:
    """Large blocks go back to the system when they are freed (TLS buffers, pages of REST).

    glibc raises the size from which on they do with each that it gives back; from then on they are cut out of
    its heap, and what a burst of reconnections took stays with the process. Other C libraries are left alone.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name."""
    found: Callable[..., int] | None = None
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), name, None)
    return found
