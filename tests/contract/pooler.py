"""A real pgbouncer in front of a server, pooling by transaction, if it is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from tests.postgres_server import START_S, free_port, owned_folder, unprivileged

_CONFIGURATION = """
[databases]
* = host={host} port={there}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
server_reset_query =
server_round_robin = 1
unix_socket_dir =
"""


def pgbouncer() -> str | None:
    """The program, wherever Debian puts it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def pooled(server: URL, program: str) -> Iterator[URL]:
    """The same database through a pooler with fewer connections to the server than it has clients."""
    port = free_port()
    with owned_folder() as folder:
        written = _CONFIGURATION.format(host=server.host, there=server.port, port=port, folder=folder)
        # With auth_type=any every client is this user.
        written = written.replace("* = ", f"* = user={server.username} ")
        (folder / "pgbouncer.ini").write_text(written)
        (folder / "users.txt").write_text("")
        process = subprocess.Popen(
            [program, folder / "pgbouncer.ini"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **unprivileged(),
        )  # fmt: skip
        try:
            _await(process, port)
            yield server.set(host="127.0.0.1", port=port)
        finally:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"pgbouncer did not start (exit code {process.poll()})")
