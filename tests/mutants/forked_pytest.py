"""Starts pytest many times at the price of one: what tests import of others is imported once, then forked.

Reads one JSON document a line (``tree``, ``arguments``, ``log``) and answers each with the number of the
process that runs it, then with its exit code. Nothing of the project is imported here: that comes from the
tree, with the mutant in it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys

import numba
import pytest

FOREIGN = (
    *("numpy", "numba", "numba.extending", "llvmlite.binding", "sqlalchemy.ext.asyncio", "aiosqlite"),
    *("alembic.command", "pyarrow.parquet", "orjson", "pydantic", "yaml", "structlog", "typer", "rich.table"),
    *("aiohttp.web", "cryptography.x509", "apscheduler.schedulers.asyncio", "asyncio", "ccxt.pro"),
)
MOST_BYTES = 8 << 30
"""Of address space: a mutant may ask for all memory there is."""


def main() -> None:
    for name in FOREIGN:
        importlib.import_module(name)
    for line in sys.stdin:
        given = json.loads(line)
        child = os.fork()
        if not child:
            _run(given["tree"], given["arguments"], given["log"], as_python=given["as_python"])
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _run(tree: str, arguments: list[str], log: str, *, as_python: bool) -> None:
    """In a session of its own, so that it can be ended with what its tests start."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(out, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = tree
    sys.path[0] = tree
    if as_python:
        numba.config.DISABLE_JIT = True
        arguments = ["-p", "tests.mutants.as_python", *arguments]
    code = 3
    try:
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
