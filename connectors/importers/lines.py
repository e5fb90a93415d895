"""Lines of files, plain, gzip, Zstandard, a zip or tar of one file, as far as they can be read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from agent.barfiles.open_files import GZIP, UNREADABLE, ZIP, ZSTANDARD, is_tar, open_file, unpacked

_CHUNK = 1 << 20
_PIECE = 1 << 14  # of an archive at a time: so much may be lost where it breaks off


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
    except UNREADABLE as error:
        raise TornFileError(str(error), rest) from error
    if rest:
        yield rest


def _decompressed(path: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    with open_file(path) as file:
        first = file.read(_CHUNK)
        if first.startswith((ZIP, ZSTANDARD)) or is_tar(first):
            file.seek(0)
            yield from _unpacked(path, file, on_bytes)
        elif first.startswith(GZIP):
            yield from _gunzipped(file, first, on_bytes)
        else:
            while first:
                on_bytes(len(first))
                yield first
                first = file.read(_CHUNK)


def _gunzipped(file: BinaryIO, first: bytes, on_bytes: OnBytes) -> Iterator[bytes]:
    """All that can be read of a gzip file that begins with ``first``, to the byte where it breaks off."""
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


def _unpacked(path: Path, file: BinaryIO, on_bytes: OnBytes) -> Iterator[bytes]:
    size, told = path.stat().st_size, 0
    with unpacked(path, file) as inside:
        for piece in _pieces(inside):
            at = min(max(told, file.tell()), size)
            on_bytes(at - told)
            told = at
            yield piece
    on_bytes(size - told)


def _pieces(inside: BinaryIO) -> Iterator[bytes]:
    """What an archive holds; where it breaks off, what came before, then the error."""
    held = bytearray()
    try:
        while data := inside.read(_PIECE):
            held += data
            if len(held) >= _CHUNK:
                yield bytes(held)
                held.clear()
    except UNREADABLE:
        yield bytes(held)
        raise
    yield bytes(held)
