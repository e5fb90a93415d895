"""A pytest plugin: every line that is run is noted under the test that runs it, in processes it starts too.

``line_tests`` starts coverage in each process by a ``sitecustomize`` of its own; this tells it whose lines
they are. A fixture of more than one test counts for its file: ``tests/unit/test_it.py::``.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutants.line_tests import CONTEXT, LIMIT_S, TIMES

taken_s: dict[str, float] = {}
failed: set[str] = set()


class TookTooLong(BaseException):
    """Ends a test that runs kernels as Python; the lines it reached until then count."""


def _switch(context: str) -> None:
    os.environ[CONTEXT] = context
    current = coverage.Coverage.current()
    if current is not None:
        current.switch_context(context)


@contextmanager
def _under(context: str) -> Generator[None]:
    before, began_s = os.environ.get(CONTEXT, ""), time.monotonic()
    _switch(context)
    try:
        yield
    finally:
        taken_s[context] = taken_s.get(context, 0.0) + time.monotonic() - began_s
        _switch(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    with _under(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """The context is the file's while a fixture is made that its next tests use too."""
    context = os.environ.get(CONTEXT, "")
    if fixturedef.scope == "function" or not context:
        return (yield)
    with _under(context.partition("::")[0] + "::"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    limit_s = int(os.environ.get(LIMIT_S, "0"))

    def stop(*_: object) -> None:
        raise TookTooLong(item.nodeid)

    if limit_s:
        signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit_s)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if not report.passed:
        failed.add(item.nodeid)
    return report


def pytest_sessionfinish() -> None:
    """xdist ends its workers without the usual steps at exit, so both are saved here."""
    passed = {context: round(s, 3) for context, s in taken_s.items() if context not in failed}
    folder = Path(os.environ[TIMES])
    (folder / f"{os.getpid()}-{time.time_ns()}.json").write_text(json.dumps(passed))
    current = coverage.Coverage.current()
    if current is not None:
        current.stop()
        current.save()
