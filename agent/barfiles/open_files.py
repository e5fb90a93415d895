"""Files as they lie on a disk, opened by what they begin with: plain, gzip, Zstandard, zip, tar of one file.

What a file is called says little: an archive may be named ``.csv``, and a table have no ending at all.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa

from agent.core.errors import InputError

GZIP, ZSTANDARD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_HEAD_BYTES = 1 << 16
_TAR_AT, _TAR = 257, b"ustar"
UNREADABLE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
    pa.ArrowException,
)
"""What reading a file raises that is cut off or corrupt, packed or not."""


def open_file(path: Path) -> BinaryIO:
    """The file as it lies on the disk. Raises InputError when it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}; give a file that is there") from error


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """What the file holds, without its compression. Raises InputError when it cannot be opened."""
    with open_file(path) as file, unpacked(path, file) as inside:
        yield inside


def unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    """What ``file``, opened at its start, holds without its compression. Raises InputError."""
    start = file.read(_HEAD_BYTES)
    file.seek(0)
    if is_tar(start):
        return cast(BinaryIO, _TarMember(path, file))
    if start.startswith(GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if start.startswith(ZSTANDARD):
        return cast(BinaryIO, pa.input_stream(file, compression="zstd"))
    if start.startswith(ZIP):
        return _only_member(path, file)
    return file


def is_tar(start: bytes) -> bool:
    """Whether a file that begins so is a tar archive, plain or gzip."""
    if start.startswith(GZIP):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, 512)
        except zlib.error:
            return False
    return start[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR


class _TarMember:
    """The one file of a tar archive, read as a stream. ``read`` raises InputError where there is another."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        try:
            self._archive = tarfile.open(fileobj=file, mode="r|*")  # noqa: SIM115 - closed in __exit__
            self._inside = self._next()
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} is no readable tar archive: {error}; download it again") from error

    def _next(self) -> IO[bytes] | None:
        while (member := self._archive.next()) is not None:
            if member.isfile() and not _is_extra(member.name):
                return self._archive.extractfile(member)
        return None

    def read(self, size: int = -1) -> bytes:
        if self._inside is None:
            return b""
        data = self._inside.read(size)
        if not data or size < 0:
            self._inside = self._next()
            if self._inside is not None:
                raise InputError(f"{self._path} holds several files: unpack it and give the one to import")
        return data

    def __enter__(self) -> _TarMember:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()


def _only_member(path: Path, file: BinaryIO) -> BinaryIO:
    """The one file of a zip archive, as exchanges publish them."""
    try:
        archive = zipfile.ZipFile(file)
        members = [m for m in archive.infolist() if not m.is_dir() and not _is_extra(m.filename)]
        if len(members) == 1:
            return cast(BinaryIO, archive.open(members[0]))
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path} is no readable zip archive: {error}; download it again") from error
    names = ", ".join(m.filename for m in members[:5]) or "none"
    raise InputError(f"{path} holds {len(members)} files ({names}): unpack it and give the one to import")


def _is_extra(name: str) -> bool:
    """What computers add to archives, and the checksums that exchanges add."""
    return name.startswith("__MACOSX") or name.endswith((".DS_Store", ".CHECKSUM"))
