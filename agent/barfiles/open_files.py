"""Files as they lie on a disk, opened by what they begin with: plain, gzip, Zstandard, or a zip of one file.

What a file is called says little: an archive may be named ``.csv``, and a table have no ending at all.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from agent.core.errors import InputError

GZIP, ZSTANDARD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_MAGIC_BYTES = 8
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException)
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
    start = file.read(_MAGIC_BYTES)
    file.seek(0)
    if start.startswith(GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if start.startswith(ZSTANDARD):
        return cast(BinaryIO, pa.input_stream(file, compression="zstd"))
    if start.startswith(ZIP):
        return _only_member(path, file)
    return file


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
