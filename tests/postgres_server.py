"""A real PostgreSQL server that the tests start themselves, from Debian's package or what is on the path.

It listens on loopback, trusts whoever comes, keeps its data in a folder of its own and is gone afterwards.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADMIN = "tester"
START_S = 60.0
MISSING = "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def unprivileged() -> dict[str, Any]:
    """How ``subprocess`` starts what root may not run."""
    if os.geteuid() != 0:
        return {}
    import pwd  # there is none on Windows

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class PostgresServer:
    """One server; ``url`` is of its database ``postgres``."""

    def __init__(self, folder: Path, at: Path) -> None:
        self._at, self._folder, self.data = at, folder, folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{ADMIN}@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", ADMIN, "-E", "UTF8", "--no-sync")

    def copy_of(self, other: PostgresServer) -> None:
        """Begin as a replica that follows ``other``, and may only be read."""
        self._run("pg_basebackup", "-D", self.data, "-d", other.url, "-R", "-X", "stream", "-c", "fast")

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers; once stopped it may be started again."""
        given = {"fsync": "off", "listen_addresses": "127.0.0.1", "port": str(self.port), **settings}
        given |= {"unix_socket_directories": str(self._folder), "max_connections": "60"}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._at / "postgres", "-D", self.data, *options],
                stdout=log, stderr=log, start_new_session=True, **unprivileged(),
            )  # fmt: skip
        self._await()

    def stop(self) -> None:
        """At once; connections break."""
        if self._process is not None and self._process.poll() is None:
            self.go_on()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_S)

    def freeze(self) -> None:
        """Neither answer nor end: every one of its processes stands still."""
        self._to_all(signal.SIGSTOP)

    def go_on(self) -> None:
        self._to_all(signal.SIGCONT)

    def _to_all(self, sign: int) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in [self._process.pid, *map(int, children.read_text().split())]:
            os.kill(pid, sign)

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            asked = [self._at / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(asked, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'server.log').read_text()[-2000:]}")

    def _run(self, program: str, *argv: str | Path) -> None:
        done = subprocess.run(
            [self._at / program, *argv], capture_output=True, text=True, check=False, **unprivileged()
        )
        assert done.returncode == 0, done.stderr


def on_server(url: str, *statements: str) -> None:
    """Run statements outside of a transaction, in a thread of their own: the test's may have a loop."""
    import asyncpg

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


@contextmanager
def served(at: Path) -> Iterator[PostgresServer]:
    """A server with a folder of its own, initialised by whoever wants it and stopped at the end."""
    with owned_folder() as folder:
        server = PostgresServer(folder, at)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def owned_folder() -> Iterator[Path]:
    """A folder for a server: its user's own, and gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="agent-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, unprivileged()["user"])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
