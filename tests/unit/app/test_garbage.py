"""Garbage in circles: a live run has little of it for long, a replay does not look for it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app.build import build_engine, inline_policies
from agent.app.world import garbage
from agent.config import Config
from connectors.embedded.synthetic.synthetic_market import synthetic_session


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The collector is the whole process's."""
    before = gc.get_threshold()
    yield
    garbage._live = False
    gc.unfreeze()
    gc.set_threshold(*before)


class Circle:
    """Holds itself."""

    def __init__(self) -> None:
        self.own = self


def build() -> None:
    (instrument,), _ = synthetic_session(1, 1.0)
    config = Config()
    build_engine(config, [instrument], inline_policies(config))


def kept_after(dropped: int) -> int:
    """How many of 1,000 old circles are still there once so many younger ones were dropped with them."""
    old = [Circle() for _ in range(1_000)]
    there = [weakref.ref(each) for each in old]
    gc.collect(1)  # they are of the oldest now
    del old[:]
    young: list[Circle] = []
    for _ in range(dropped):
        young.append(Circle())
        del young[: len(young) - 2_000]  # each lives for a while
    return sum(ref() is not None for ref in there)


def test_a_live_run_soon_gives_back_what_died_in_circles() -> None:
    """Old objects too; in a replay they stay. An engine built later changes nothing of it."""
    build()
    assert gc.get_threshold() == garbage.SELDOM
    assert kept_after(400_000) == 1_000
    garbage.collect_often()
    build()
    assert gc.get_threshold() == garbage.OFTEN
    assert kept_after(400_000) == 0


def test_a_live_run_does_not_look_through_what_it_began_with() -> None:
    """All that was there is frozen: a look goes through what has come since."""
    garbage.collect_often()
    assert gc.get_freeze_count() > 50_000
    assert len(gc.get_objects()) < 5_000


BLOCKS = """
import ctypes
import numpy as np
from agent.app.world.garbage import collect_often

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

malloc_info = ctypes.CDLL(None).mallinfo2
malloc_info.restype = Info
for _ in range(3):
    np.zeros(2 << 20, np.int8)  # from now on glibc cuts smaller ones out of its heap
before = malloc_info().hblks
block = np.zeros(256 << 10, np.int8)
print(malloc_info().hblks - before)
collect_often()
before = malloc_info().hblks
block = np.zeros(256 << 10, np.int8)
print(malloc_info().hblks - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not glibc")
def test_a_large_block_of_a_live_run_goes_back_to_the_system() -> None:
    """It is the system's own, whatever was freed before; in another process it is a part of the heap."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", BLOCKS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
async def test_what_a_burst_took_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks below the size that goes back by itself, freed under one that stays above them."""
    monkeypatch.setattr(garbage, "GIVE_BACK_S", 0.01)
    burst = [bytearray(64 << 10) for _ in range(1600)]
    last = bytearray(64 << 10)
    full_mb = resident_mb()
    del burst
    before_mb = resident_mb()
    assert before_mb > full_mb - 50  # it is still with the process
    keeping = asyncio.create_task(garbage.keep_small())
    await asyncio.sleep(0.3)
    keeping.cancel()
    assert resident_mb() < before_mb - 50
    assert last


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
