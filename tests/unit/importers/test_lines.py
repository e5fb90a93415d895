"""Files read line by line, packed or not: every line once, and how far it is."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from connectors.importers.lines import TornFileError, read_blocks, read_lines

DRAW = random.Random(1)
LINES = [b"%d %s\n" % (n, DRAW.randbytes(40).hex().encode()) for n in range(20_000)]
WHOLE = b"".join(LINES)
FILES = {
    "plain": WHOLE,
    "packed": gzip.compress(WHOLE),
    "of two parts": gzip.compress(WHOLE[: len(WHOLE) // 3]) + gzip.compress(WHOLE[len(WHOLE) // 3 :]),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_line_once_and_every_byte_counted(kind: str, tmp_path: Path) -> None:
    """Blocks end with whole lines; the bytes that are told come to the file's size."""
    path = tmp_path / "file"
    path.write_bytes(FILES[kind])
    told: list[int] = []
    blocks = list(read_blocks(path, told.append))
    assert b"".join(blocks) == WHOLE
    assert all(block.endswith(b"\n") for block in blocks)
    assert sum(told) == len(FILES[kind])
    assert len(list(read_lines(path))) == len(LINES)


def test_a_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    """Packed or not."""
    for data in (b"a\nb", gzip.compress(b"a\nb")):
        (tmp_path / "file").write_bytes(data)
        assert b"".join(read_blocks(tmp_path / "file")) == b"a\nb"


def test_a_file_cut_off_gives_its_whole_lines(tmp_path: Path) -> None:
    """Then says that it is cut off, and what it held of a line."""
    data = FILES["packed"]
    (tmp_path / "file").write_bytes(data[: len(data) // 2])
    blocks: list[bytes] = []
    with pytest.raises(TornFileError):
        blocks.extend(read_blocks(tmp_path / "file"))
    got = b"".join(blocks)
    assert len(got) > 100_000
    assert WHOLE.startswith(got)
    assert got.endswith(b"\n")
