"""Kernels are compiled once for all workers and all processes that tests start, before the first test.

And the databases that tests use: a real PostgreSQL server, started by the first test that wants one.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, make_url

from tests.postgres_server import MISSING, PostgresServer, on_server, programs, served


def pytest_sessionstart(session: pytest.Session) -> None:
    """On every core; what is on disk already takes no time. A single test does without."""
    worker = hasattr(session.config, "workerinput")
    if worker or session.config.option.collectonly or not session.config.getoption("numprocesses", None):
        return
    from agent.app.warm_up import warm_up

    said = [""]

    def progress(doing: str, done: int, total: int) -> None:
        if doing != said[0] or (total and done == total):
            said[0] = doing
            sys.stderr.write(f"{doing} ({total} kernels)\n" if total else f"{doing}\n")

    warm_up(model=True, synthetic=True, progress=progress)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real server, this process's own, for as long as its tests run."""
    if (at := programs()) is None:
        pytest.skip(MISSING)
    with served(at) as server:
        server.initialise()
        server.start()
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[URL]:
    """An empty database of this test's own."""
    name = f"agent_{uuid.uuid4().hex[:12]}"
    on_server(postgres_server.url, f"CREATE DATABASE {name}")
    yield make_url(postgres_server.url).set(database=name)
    on_server(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)")
