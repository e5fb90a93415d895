"""The execution log on both databases: fills written, the latest found among many, a stored replay replaced.

Through the product: events as the engine makes them, rows made of them, every column, index and foreign key.
PostgreSQL is a server that this starts, syncing as it does by default. FILLS=N in the environment for more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.core.events import AuditEvent
from agent.core.types import ChildState, ParentState
from storage.log.execution_log import SqlExecutionLog
from storage.log.queries import query
from storage.log.stored_replay import BATCH_EVENTS, StoredEvents
from tests.integration.test_storage import BTC, FILL, SPEC, T, _child, _parent
from tests.postgres_server import MISSING, on_server, programs, served

FILLS = int(os.environ.get("FILLS", "200000"))
CHILDREN = 32_000
ASKED = {"sqlite": 100_000, "postgresql": 80_000}


def orders(session: str, children: int) -> list[AuditEvent]:
    """A parent and its children, as they stand in the middle of their life."""
    spec = dataclasses.replace(SPEC, parent_id=f"{session}-p1")
    child = dataclasses.replace(_child(ChildState.OPEN, 3), parent_id=spec.parent_id)
    parent = _parent(spec, ParentState.WORKING, 1)
    return [parent, *(dataclasses.replace(child, child_id=f"{session}-p1/0/{n}") for n in range(children))]


def fills(session: str, count: int, children: int) -> list[AuditEvent]:
    """Fills of those children, a microsecond apart, each of another size and price."""
    return [
        dataclasses.replace(
            FILL,
            fill_id=f"{session}-p1/0/{n * children // count}/{n}",
            child_id=f"{session}-p1/0/{n * children // count}",
            parent_id=f"{session}-p1",
            seq=n,
            fill_ns=T + n * 1000,
            at_ns=T + n * 1000,
            price_ticks=6_150_001 + n % 977,
            qty_lots=1 + n % 9973,
            fee_tlp=(6_150_001 + n % 977) * (1 + n % 9973) * 1000,
            mid_half_ticks=12_300_001 + n % 1999,
        )
        for n in range(count)
    ]


def written(rows: StoredEvents, events: list[AuditEvent]) -> float:
    """Seconds that the events took in batches of a stored replay, its end included."""
    start = time.perf_counter()
    for first in range(0, len(events), BATCH_EVENTS):
        rows.add(events[first : first + BATCH_EVENTS])
    rows.finish(T, len(events))
    return time.perf_counter() - start


def bench_writing(url: str) -> tuple[float, float]:
    """Fills a second, and the microseconds of each on this process's processors (SQLite's are among them)."""
    events = fills("s1", FILLS, 1000)
    with StoredEvents(url, "s1", [BTC], {"opened_ns": T, "mode": "replay"}) as rows:
        rows.add(orders("s1", 1000))
        rows.flush()
        start_s = time.process_time()
        per_s = FILLS / written(rows, events)
        return per_s, (time.process_time() - start_s) / FILLS * 1e6


def bench_replacing(url: str) -> tuple[float, float]:
    """Seconds that storing a replay of many children takes, and that taking them out again takes."""
    opening = {"opened_ns": T, "mode": "replay", "replace": True}
    with StoredEvents(url, "r1", [BTC], opening) as rows:
        took = written(rows, [*orders("r1", CHILDREN), *fills("r1", CHILDREN, CHILDREN)])
    start = time.perf_counter()
    asyncio.run(_replaced(url, opening))
    return took, time.perf_counter() - start


async def _replaced(url: str, opening: dict[str, Any]) -> None:
    log = SqlExecutionLog(url, "r1", [BTC])
    try:
        await log.open_session(**opening)
    finally:
        await log.close()


def bench_latest(url: str) -> float:
    """Milliseconds of the query for the latest 20 fills, the best of five."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        query(url, "fills", limit=20)
        found.append(time.perf_counter() - start)
    return min(found) * 1000


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    with TemporaryDirectory() as folder:
        urls = {"sqlite": str(Path(folder) / "agent.db")}
        if (at := programs()) is None:
            print(MISSING)
            yield urls
            return
        with served(at) as server:
            server.initialise()
            server.start(fsync="on")
            yield urls | {"postgresql": server.url}


def main() -> None:
    with databases() as urls:
        for name, url in urls.items():
            fills_per_s, used_us = bench_writing(url)
            if name == "postgresql":
                on_server(url, "ANALYZE")  # as the server does by itself within a minute
            print(
                f"{name}: {fills_per_s:,.0f} fills/s of {FILLS:,} (asked: {ASKED[name]:,}),"
                f" {used_us:.1f} us of this process each"
            )
            print(f"{name}: the latest 20 of them in {bench_latest(url):.1f} ms, connecting included")
            took, replaced = bench_replacing(url)
            print(
                f"{name}: {CHILDREN:,} children and fills stored in {took:.2f} s, deleted in {replaced:.2f} s"
            )


if __name__ == "__main__":
    main()
