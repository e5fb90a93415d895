"""This computer and its processes: whether the one that a heartbeat names still runs here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START_TICKS = 0, 19  # of the fields that follow the command's name in /proc/PID/stat


def this_host() -> str:
    """The name of this computer."""
    return socket.gethostname()


def this_pid() -> int:
    return os.getpid()


def runs_here(pid: int, by_ns: int) -> bool | None:
    """Whether process ``pid`` runs on this computer and was started by ``by_ns``; None where nobody can say.

    A process started later has inherited the number of one that ended.
    """
    if not (_PROC / "self" / "stat").exists():
        return None
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        booted_s = next(
            int(line.split()[1]) for line in (_PROC / "stat").read_text().splitlines() if line[:5] == "btime"
        )
    except (OSError, StopIteration):
        return False
    started_s = booted_s + int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
    return fields[_STATE] not in "ZX" and started_s <= by_ns / 1e9 + 1
