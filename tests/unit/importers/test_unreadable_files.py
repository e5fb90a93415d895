"""Files that are broken or odd, imported by the command line: one message each, never a traceback."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from tests.captures import Trade, spot, tardis
from tests.unit.importers.test_bar_files_of_others import PLAIN, imported

DRAW = random.Random(5)
ROWS = b"".join(b"%d,%d,110,90,100,%d\n" % (1_718_863_200 + 60 * k, 95 + k % 9, k + 1) for k in range(20_000))
LONG = b"time,open,high,low,close,volume\n" + ROWS


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", data)
    return out.getvalue()


def _harmed(kind: str, harm: str) -> bytes:
    data, middle = PACKED[kind], len(PACKED[kind]) // 2
    if harm == "cut off":
        return data[:middle]
    if harm == "broken":
        return data[:middle] + DRAW.randbytes(200) + data[middle + 200 :]
    at = {"gzip": 10, "zip": 35, "zstd": 9}[kind]  # where the first block says what it is
    return data[:at] + b"\xff" + data[at + 1 :]


PACKED = {
    "gzip": gzip.compress(LONG),
    "zip": _zip(LONG),
    "zstd": bytes(pa.Codec("zstd").compress(LONG, asbytes=True)),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("harm", ["broken", "cut off", "no block"])
@pytest.mark.parametrize("given", [("--format", "klines"), ("--format", "trades"), ()])
def test_a_corrupt_archive_is_named(tmp_path: Path, kind: str, harm: str, given: tuple[str, ...]) -> None:
    """Gzip, zip and Zstandard, with a hole in their middle, without their end or of no known block."""
    (tmp_path / "x.csv").write_bytes(_harmed(kind, harm))
    code, said, _ = imported(tmp_path, tmp_path / "x.csv", *given)
    assert code == 1, said
    assert "readable" in said or "torn" in said
    assert "x.csv" in said


LIST = [1_718_863_200_000, 100, 101, 99, 100, 5]
RECORD = dict(zip("tohlcv", LIST, strict=True))
ODD = [
    ("klines", PLAIN.replace(b"low", b"open"), "several columns called 'open'"),
    ("klines", PLAIN.replace(b"low,close,volume", b"close,Volume BTC,Volume BTC"), "several columns called"),
    ("trades", b"time,price,price,amount\n1718863200,1,2,3\n", "several columns called 'price'"),
    ("klines", orjson.dumps([RECORD, LIST]), "row 1 is a record and row 2 is not"),
    ("klines", orjson.dumps([LIST, RECORD]), "row 1 is a list and row 2 is not"),
    ("klines", orjson.dumps([LIST, 7]), "row 1 is a list and row 2 is not"),
    ("klines", orjson.dumps([RECORD, None]), "row 1 is a record and row 2 is not"),
    ("klines", orjson.dumps([LIST, ["a", *LIST[1:]]]), "not a readable"),
    ("klines", orjson.dumps([7, LIST]), "JSON whose lists have 0 values"),
    ("trades", b"7\n8\n", "lacks time, price, amount"),
    ("klines", b"\xff\xfe" + PLAIN, "not a readable"),
    ("trades", b"time,price,amount,\xb0\n1718863200,1,2,3\n", "not a readable"),
    ("klines", b"symbol," + PLAIN.replace(b"\n17", b"\n\xff\xfe,17"), "no bars of BTC/USDT"),
    ("trades", b"symbol,time,price,amount\n\xff,1718863200,1,2\n", "no trades of BTC/USDT"),
    ("trades", b"price\n8\n", "lacks time, amount"),
    ("trades", b"1,2\n1,2\n", "lacks time, price, amount"),
]


@pytest.mark.parametrize(("kind", "data", "words"), ODD)
def test_what_cannot_be_told_apart_is_refused(tmp_path: Path, kind: str, data: bytes, words: str) -> None:
    """Two columns of one name, rows of different kinds, columns too few."""
    (tmp_path / "x.dat").write_bytes(data)
    code, said, _ = imported(tmp_path, tmp_path / "x.dat", "--format", kind)
    assert code == 1, said
    assert words in said


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    """Commas at the end of each line: nobody uses these columns."""
    (tmp_path / "x.csv").write_bytes(PLAIN.replace(b"\n", b",,\n"))
    code, said, _ = imported(tmp_path, tmp_path / "x.csv", "--format", "klines")
    assert code == 0, said


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_a_name_with_a_colon_is_a_file_s_name(tmp_path: Path, kind: str) -> None:
    """Most lines cannot be read: refused, with the first of them."""
    trade = Trade(10, 1, "100.1", "1")
    lines = spot([trade]) if kind == "binance-raw" else tardis([trade], "binance")[1]
    file = tmp_path / "day 08:15.csv"
    file.write_bytes(b"".join([*lines, *[b"something,else\n"] * 4]))
    code, said, _ = imported(tmp_path, file, "--format", kind)
    assert code == 1, said
    assert "first: day 08:15.csv:" in said
