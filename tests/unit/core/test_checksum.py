"""CRC-32 as zlib computes it: any length, start and blocks, with the processor's help or without."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.canonical import CHECK_ROWS, TapeCheck
from agent.core.compile import checksum
from agent.core.market.tape import EVENT

RANDOM = np.random.default_rng(4).integers(0, 256, 200_000).astype(np.uint8)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 57_344, 200_000])
@pytest.mark.parametrize("start", [0, 1, 0xDEADBEEF, 0xFFFFFFFF])
def test_the_number_is_zlibs(length: int, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around every edge of a chunk, and going on from what came before."""
    monkeypatch.setattr(checksum, "SMALL", 0)
    data = RANDOM[:length]
    assert checksum.crc32(data, start) == zlib.crc32(data.tobytes(), start)


@settings(deadline=None)  # the first example compiles
@given(st.binary(max_size=700), st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 200))
def test_blocks_are_summed_one_by_one(raw: bytes, start: int, first: int, size: int) -> None:
    """Each block has its own sum; the first goes on from the start; compiled and zlib's agree."""
    data = np.frombuffer(raw, np.uint8)
    edges = [0, *range(first, len(raw), size)] if raw else []
    blocks = [raw[low : (first if low == 0 else low + size)] for low in edges]
    expected = [zlib.crc32(block, 0 if i else start) for i, block in enumerate(blocks)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksum, "SMALL", 0)
        assert checksum.crc32_blocks(data, start, first, size) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksum, "FOLDS", False)
        assert checksum.crc32_blocks(data, start, first, size) == expected
        assert checksum.crc32(data, start) == zlib.crc32(raw, start)


@pytest.mark.parametrize("sizes", [[1], [7], [1024], [1023, 1], [1500, 3000], [5000]])
def test_a_tape_check_is_the_crc_of_each_1024_rows(sizes: list[int]) -> None:
    """Lines as the first version of this program recorded them, wherever the tape is cut."""
    rows = RANDOM[: 3000 * EVENT.itemsize].view(EVENT)
    check, lines, at = TapeCheck(), [], 0
    while at < len(rows):
        size = sizes[at % len(sizes)]
        lines += check.add(rows[at : at + size])
        at += size
    expected = []
    for low in range(0, len(rows), CHECK_ROWS):
        block = rows[low : low + CHECK_ROWS]
        expected.append(f"tape|rows={low}..{low + len(block) - 1}|crc={zlib.crc32(block.tobytes()):08x}")
    assert [*lines, *check.finish()] == expected
