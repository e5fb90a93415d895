"""Kernels are compiled once for all workers and all processes that tests start, before the first test."""

from __future__ import annotations

import sys

import pytest


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
