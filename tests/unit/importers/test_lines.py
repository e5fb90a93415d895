"""Files read line by line, packed or not: every line once, and how far it is."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from connectors.importers.lines import TornFileError, read_blocks, read_lines
from tests.captures import Trade, spot, tardis
from tests.unit.importers.test_bar_files_of_others import imported

DRAW = random.Random(1)
LINES = [b"%d %s\n" % (n, DRAW.randbytes(40).hex().encode()) for n in range(20_000)]
WHOLE = b"".join(LINES)
THIRD = len(WHOLE) // 3


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", data)
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


FILES = {
    "plain": WHOLE,
    "packed": gzip.compress(WHOLE),
    "of two parts": gzip.compress(WHOLE[:THIRD]) + gzip.compress(WHOLE[THIRD:]),
    "zip": _zip(WHOLE),
    "zstd": _zstd(WHOLE),
    "zstd of two parts": _zstd(WHOLE[:THIRD]) + _zstd(WHOLE[THIRD:]),
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


@pytest.mark.parametrize("kind", ["zip", "zstd", "zstd of two parts"])
def test_an_archive_says_on_its_way_how_far_it_is(kind: str, tmp_path: Path) -> None:
    """Of more than a megabyte inside, part of the bytes is told with the first block."""
    path = tmp_path / "file"
    path.write_bytes(FILES[kind])
    told: list[int] = []
    next(read_blocks(path, told.append))
    assert 0.3 < sum(told) / len(FILES[kind]) < 0.9


def test_a_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    """Packed or not."""
    for data in (b"a\nb", gzip.compress(b"a\nb"), _zip(b"a\nb"), _zstd(b"a\nb")):
        (tmp_path / "file").write_bytes(data)
        assert b"".join(read_blocks(tmp_path / "file")) == b"a\nb"


@pytest.mark.parametrize("kind", ["packed", "zstd"])
def test_a_file_cut_off_gives_its_whole_lines(kind: str, tmp_path: Path) -> None:
    """Then says that it is cut off, and what it held of a line."""
    data = FILES[kind]
    (tmp_path / "file").write_bytes(data[: len(data) // 2])
    blocks: list[bytes] = []
    with pytest.raises(TornFileError):
        blocks.extend(read_blocks(tmp_path / "file"))
    got = b"".join(blocks)
    assert len(got) > 100_000
    assert WHOLE.startswith(got)
    assert got.endswith(b"\n")


@pytest.mark.parametrize("pack", [_zip, _zstd])
@pytest.mark.parametrize("given", [True, False])
def test_captures_and_tardis_files_may_be_packed_so(
    tmp_path: Path, pack: Callable[[bytes], bytes], given: bool
) -> None:
    """Imported by the command line, with --format and without: as many lines as of the plain file."""
    for kind, lines in (("binance-raw", spot()), ("tardis-csv", tardis(exchange="binance")[0])):
        file = tmp_path / f"{kind}.csv"
        file.write_bytes(pack(b"".join(lines)))
        code, said, report = imported(tmp_path / kind, file, *(["--format", kind] if given else []))
        assert code == 0, said
        assert (report["format"], report["lines"], report["bad_lines"]) == (kind, len(lines), 0)


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_a_zip_with_a_hole_is_named(tmp_path: Path, kind: str) -> None:
    """One message, or what could be read of it with the tear counted."""
    trades = [Trade(k, k, f"100.{k % 10}", "1") for k in range(20_000)]
    data = _zip(b"".join(spot(trades) if kind == "binance-raw" else tardis(trades, "binance")[1]))
    middle = len(data) // 2
    file = tmp_path / "x.zip"
    file.write_bytes(data[:middle] + DRAW.randbytes(200) + data[middle + 200 :])
    code, said, report = imported(tmp_path, file, "--format", kind)
    assert code == 0, said
    assert report["bad_lines"] >= 1
    assert 5_000 < report["trades"] < 20_000
    assert any("x.zip:" in text for text in report["problems"])
