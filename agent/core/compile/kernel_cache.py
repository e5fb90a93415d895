"""Machine code on disk belongs to one state of all the sources it is made of.

A kernel has its callees' code and the constants of other modules compiled into it, while Numba's own
cache looks at the file of the function alone: after an edit elsewhere it would go on serving the old
code. Here file names carry a digest of the function's module and of all the project's modules that it
imports, directly or not. Where the files lie is left to Numba: ``NUMBA_CACHE_DIR`` if set, else
``__pycache__`` beside the source, else (not writable) the user's cache directory, in a folder named
after the path of the source.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache

ROOT = Path(__file__).resolve().parents[3]
KEPT = 3
"""States of the sources whose code stays for each kernel, the latest saved: two branches and one more."""
# Only imports at the left margin: those inside functions are none of a kernel's business.
_IMPORT = re.compile(
    r"^(?:from|import) ((?:agent|connectors|lem)\b[\w.]*)(?: import (\([^)]*\)|.*))?", re.MULTILINE
)


class _NamedBySources(CompileResultCacheImpl):
    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._file = Path(inspect.getfile(py_func)).resolve()
        super().__init__(py_func)

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{sources_digest(self._file)}"


class KernelCache(FunctionCache):
    """Numba's cache of one function, with files of its own for each state of the sources."""

    _impl_class = _NamedBySources

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save, and drop what was saved for this function under states of long ago."""
        super().save_overload(sig, data)
        with suppress(OSError):  # another process may be dropping the same
            _drop_old(Path(self.cache_path), self._impl.filename_base.split("-", 1)[0])


@cache
def sources_digest(file: Path) -> str:
    """Digest of a module and of what it imports from the project, as they are when first asked for.

    That is while the module is being imported: what a file holds later does not change this process.
    """
    return sha256(b"".join(sorted(sources(file).values()))).hexdigest()[:16]


def sources(file: Path) -> dict[Path, bytes]:
    """The SHA-256 of a module and of all that it imports from the project, directly or not."""
    found: dict[Path, bytes] = {}
    todo = [file]
    while todo:
        one = todo.pop()
        if one not in found:
            found[one], below = _read(one)
            todo += below
    return found


@cache
def _read(file: Path) -> tuple[bytes, tuple[Path, ...]]:
    """The SHA-256 of a file, and the project's files that it imports."""
    text = file.read_bytes()
    return sha256(text).digest(), tuple(_imported(text.decode()))


def _imported(text: str) -> Iterator[Path]:
    for module, names in _IMPORT.findall(text):
        own = _file_of(module)
        if own is not None:
            yield own
        else:  # a package: the names are modules or its own
            yield from filter(None, (_file_of(f"{module}.{name}") for name in re.findall(r"\w+", names)))


@cache
def _file_of(module: str) -> Path | None:
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.is_file() else None


def _drop_old(folder: Path, function: str) -> None:
    indices = sorted(folder.glob(f"{function}-*.nbi"), key=lambda index: index.stat().st_mtime_ns)
    for index in indices[:-KEPT]:
        for file in folder.glob(f"{index.stem}.*"):
            file.unlink(missing_ok=True)
