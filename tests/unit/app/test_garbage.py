"""Garbage in circles: a live run has little of it for long, a replay does not look for it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

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
