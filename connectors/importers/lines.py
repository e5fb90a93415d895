"""Lines of plain or gzip files, as far as they can be read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.core.errors import InputError

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class TornFileError(Exception):
    """The file breaks off here. The message says how; ``args[1]`` is the unfinished line."""


OnBytes = Callable[[int], None]
"""Called with the number of bytes of a file, as they lie on the disk, that were read more."""


def _silent(_: int) -> None:
    pass


def read_lines(path: Path, on_bytes: OnBytes = _silent) -> Iterator[bytes]:
    """Yield the lines of a file without their ends, decompressed.

    Raises InputError when it cannot be opened, and TornFileError after the last whole line when it is
    cut off or corrupt.
    """
    for block in read_blocks(path, on_bytes):
        yield from block.removesuffix(b"\n").split(b"\n")


def read_blocks(path: Path, on_bytes: OnBytes = _silent) -> Iterator[bytes]:
    """Yield pieces of whole lines, decompressed. Raises as ``read_lines`` does."""
    rest = b""
    try:
        for data in _decompressed(path, on_bytes):
            block, end, rest = (rest + data).rpartition(b"\n")
            if end:
                yield block + end
    except (zlib.error, EOFError) as error:
        raise TornFileError(str(error), rest) from error
    if rest:
        yield rest


def _decompressed(path: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}; give a file that is there") from error
    with file:
        first = file.read(_CHUNK)
        if not first.startswith(_GZIP_MAGIC):
            while first:
                on_bytes(len(first))
                yield first
                first = file.read(_CHUNK)
            return
        on_bytes(len(first))
        member = zlib.decompressobj(wbits=31)
        while first:
            yield member.decompress(first)
            rest = member.unused_data if member.eof else b""
            first = rest or file.read(_CHUNK)
            if not rest:
                on_bytes(len(first))
            if member.eof and first:
                member = zlib.decompressobj(wbits=31)
        if not member.eof:
            raise EOFError("the compressed file is cut off")
