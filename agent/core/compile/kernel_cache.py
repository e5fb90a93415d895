"""Machine code on disk, named by what it is made of, and compiled by one process at a time.

Numba's own cache looks at the file of the function alone: after an edit of a callee it would go on serving
the old code, and after an edit of a comment it compiles anew. Here the names of files carry the digest of
the kernel, its callees and constants (``agent.core.compile.kernel_digest``), so what an edit or an upgrade
does not touch stays. A process that needs a kernel which another one is compiling waits for it.

Where the files lie is left to Numba: ``NUMBA_CACHE_DIR`` if set, else ``__pycache__`` beside the source,
else (not writable) the user's cache directory, in a folder named after the path of the source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

from agent.core.compile.kernel_digest import kernel_digest, layout_digest

if sys.platform != "win32":  # there two processes may compile the same, and either's code is kept
    import fcntl

KEPT = 3
"""States of the sources whose code stays for each kernel, the latest saved: two branches and one more."""
LOCKS = "kernels.lock"


class _NamedByFunction(CompileResultCacheImpl):
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        """Numba's name without the line: a function that moves down its file keeps its code."""
        name, _, version = super().get_filename_base(fullname, abiflags).rpartition("-")
        return f"{name}-{version.partition('.')[2]}"


class KernelCache(FunctionCache):
    """Numba's cache of one function, with files of its own for each state of what it is made of."""

    _impl_class = _NamedByFunction

    def __init__(self, kernel: Any) -> None:
        super().__init__(kernel.py_func)
        self._kernel = kernel
        self._files: dict[Any, IndexDataCacheFile] = {}  # of what is being compiled, by signature

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Only one process at a time looks for this function's code and, where there is none, makes it."""
        with _locked(Path(self.cache_path), self._impl.filename_base):
            yield

    def holds_current(self) -> bool:
        """Whether code of the function as it is now is on disk, for some types of arguments."""
        pattern = f"{self._impl.filename_base}-{kernel_digest(self._kernel)}-*.nbi"
        return any(Path(self.cache_path).glob(pattern))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._cache_file = self._files[sig] = self._file_for(sig)
        found = super().load_overload(sig, target_context)
        if found is not None:
            del self._files[sig]
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save, and drop what was saved for this function under states of long ago."""
        self._cache_file = self._files.pop(sig)
        super().save_overload(sig, data)
        with suppress(OSError):  # another process may be dropping the same
            _drop_old(Path(self.cache_path), self._impl.filename_base)

    def _file_for(self, sig: Any) -> IndexDataCacheFile:
        arguments, _ = sigutils.normalize_signature(sig)
        state = f"{kernel_digest(self._kernel)}-{layout_digest(arguments)}"
        return IndexDataCacheFile(self.cache_path, f"{self._impl.filename_base}-{state}", source_stamp="")


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes from the same ``name`` in ``folder``: a lock on one byte of a file there."""
    file = _lock_file(folder)
    if file is None or sys.platform == "win32":
        yield
        return
    place = int(sha256(name.encode()).hexdigest()[:15], 16)
    with suppress(OSError):  # without locks two processes may compile the same: no harm done
        fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


@cache
def _lock_file(folder: Path) -> int | None:
    """Opened once and never closed: closing would give up every lock of this process in it."""
    with suppress(OSError):
        return os.open(folder / LOCKS, os.O_RDWR | os.O_CREAT, 0o666)
    return None


def _drop_old(folder: Path, function: str) -> None:
    indices = sorted(folder.glob(f"{function}-*.nbi"), key=lambda index: index.stat().st_mtime_ns)
    for index in indices[:-KEPT]:
        for file in folder.glob(f"{index.stem}.*"):
            file.unlink(missing_ok=True)
