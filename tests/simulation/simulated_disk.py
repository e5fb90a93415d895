"""The disk under a recording: it may be full, tear a write as its writer dies, and lose what was not synced.

It stands in the place of ``os`` in ``storage.recordings.segments``, where every byte of a recording passes,
and calls the real one: the files are real, so the product's own readers read what is left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.recordings import segments
from storage.recordings.lives.session_lock import LOCK
from tests.simulation.killed import Power
from tests.simulation.virtual_loop import machine


def _close_locks() -> None:
    """What the dead process held of a session: the system takes its lock back."""
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if each.readlink().name == LOCK:
                os.close(int(each.name))


@dataclass
class SimulatedDisk:
    """Calls of one life. ``free`` bytes may still be written; None: any number."""

    rng: random.Random
    power: Power
    free: int | None = None
    _paths: dict[int, Path] = field(default_factory=dict)
    _synced: dict[Path, int] = field(default_factory=dict)  # bytes that survive a loss of power

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self.power.check("open")
        known = Path(path).stat().st_size if Path(path).is_file() else 0
        fd = os.open(path, flags, mode)
        self._paths[fd] = Path(path)
        self._synced.setdefault(Path(path), known)
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        if self.power.dies_now():
            os.write(fd, data[: self.rng.randint(0, len(data))])
            self.power.die()
        if self.free is not None:
            if len(data) > self.free:
                os.write(fd, data[: self.free])
                self.free = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.free -= len(data)
        return os.write(fd, data)

    def ftruncate(self, fd: int, size: int) -> None:
        self.power.check("ftruncate")
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        self.power.check("fsync")
        path = self._paths.get(fd)
        if path is not None and path.is_file():
            self._synced[path] = path.stat().st_size

    def close(self, fd: int) -> None:
        if not self.power.dead:  # of a dead process the kernel closes them: ``kill``
            self._paths.pop(fd, None)
            os.close(fd)

    def kill(self, *, lose_unsynced: bool) -> None:
        """Close what the dead process had open. Without power each file keeps what was synced, and more by
        luck."""
        for fd in self._paths:
            os.close(fd)
        self._paths.clear()
        _close_locks()
        if lose_unsynced:
            for path, synced in self._synced.items():
                if path.is_file() and (size := path.stat().st_size) > synced:
                    os.truncate(path, self.rng.randint(synced, size))

    @property
    def open_files(self) -> int:
        return len(self._paths)


_disks: dict[str, SimulatedDisk] = {}  # by machine


class _OwnDisk:
    """What stands in the place of ``os``: the disk of the machine whose code runs; of others the real one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_disks.get(machine(), os), name)


def install(name: str, disk: SimulatedDisk) -> None:
    """Under the recordings of a machine from now on."""
    _disks[name] = disk
    segments.os = _OwnDisk()  # type: ignore[attr-defined]
