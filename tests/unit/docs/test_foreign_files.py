"""Sentences of docs/sessions.md on files that others recorded: how they are packed, timed and judged."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agent.core.market.tape import Kind
from storage.recordings.session import SessionReader
from tests.captures import T0_MS
from tests.every_key.command_line import call
from tests.fuzz.import_files import KINDS
from tests.unit.docs.test_cut_sessions import same_moment
from tests.unit.importers import test_tardis_tops as tops
from tests.unit.importers.test_exchange_lines import ASKS, BIDS, Pairs, bybit, hyper, lines, okx, tape

Files = dict[str, bytes]


def imported(folder: Path, files: Files, symbol: str = "BTC/USDT", *options: str) -> Any:
    """The report of an import of the files into ``folder/session``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    paths = [folder / name for name in files]
    done = call(
        "agent", "import", *paths, "--symbol", symbol, "--out", folder / "session", *options, "--json"
    )
    assert done.code == 0, done.err
    return json.loads(done.out)


def unpacked(data: bytes) -> bytes:
    """What a file of one of the kinds holds."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    if data.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(data))
        return archive.read(archive.namelist()[0])
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as one:
            inside = one.extractfile(one.getmembers()[0])
            assert inside is not None
            return inside.read()
    except tarfile.ReadError:
        return data


def _zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.dat", data)
    return out.getvalue()


def _tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("x.dat")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "Zstandard": _zstd,
    "zip": _zipped,
    "tar": _tarred,
    "tar in gzip": lambda data: gzip.compress(_tarred(data)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_in_every_packing(tmp_path: Path, kind: str) -> None:
    """Read as what it is, under a name that says nothing: the same rows as of the plain file."""
    make, symbol, format_ = KINDS[kind]
    plain = {f"x{at}": unpacked(data) for at, data in enumerate(make().values())}
    report = imported(tmp_path / "plain", plain, symbol)
    assert report["format"] == format_
    expected = rows_of(tmp_path / "plain")
    assert len(expected[0]) + len(expected[1]) >= 60
    for name, pack in PACKINGS.items():
        folder = tmp_path / name
        imported(folder, {file: pack(data) for file, data in plain.items()}, symbol)
        assert rows_of(folder) == expected, name


def rows_of(folder: Path) -> tuple[list[Any], list[Any]]:
    """Tape and bars."""
    reader = SessionReader(folder / "session")
    return reader.events().tolist(), reader.bars().tolist()


TAPES = [kind for kind, (_, _, format_) in KINDS.items() if format_ not in ("klines", "trades")]


@pytest.mark.parametrize("kind", TAPES)
def test_an_imported_update_is_received_at_one_moment(tmp_path: Path, kind: str) -> None:
    """Whatever file the books are of."""
    make, symbol, _ = KINDS[kind]
    imported(tmp_path, make(), symbol)
    same_moment(SessionReader(tmp_path / "session").events())


DAY_S = 86_400
FIRST_S = 1_718_841_600  # 2024-06-20
TIMES: dict[str, Callable[[int], object]] = {
    "seconds": lambda at_s: at_s,
    "milliseconds": lambda at_s: at_s * 10**3,
    "microseconds": lambda at_s: at_s * 10**6,
    "nanoseconds": lambda at_s: at_s * 10**9,
    "yyyymmdd": lambda at_s: 20240620 + (at_s - FIRST_S) // DAY_S,
}


@pytest.mark.parametrize("unit", TIMES)
def test_times_are_read_by_their_size(tmp_path: Path, unit: str) -> None:
    """Of bars and of trades, in the same three days."""
    days = [FIRST_S + k * DAY_S for k in range(3)]
    bars = [f"{TIMES[unit](at)},100,103,98,101,10" for at in days]
    imported(tmp_path / "bars", {"x.csv": _text("time,open,high,low,close,volume", bars)})
    assert SessionReader(tmp_path / "bars" / "session").bars()["open_ns"].tolist() == [
        s * 10**9 for s in days
    ]
    trades = [f"{TIMES[unit](at)},100,5" for at in days]
    imported(tmp_path / "trades", {"x.csv": _text("time,price,amount", trades)})
    _, events = tape(tmp_path / "trades")
    assert events["exch_ns"].tolist() == [s * 10**9 for s in days]


def _text(header: str, rows: list[str]) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


OKX_TRADES = "instrument_name,trade_id,side,price,size,created_time"


def test_okx_books_and_trades(tmp_path: Path) -> None:
    """A book with the trades of its archive, and these alone."""
    book = lines(
        [okx(0, "snapshot", BIDS, ASKS), *(okx(k, "update", [("100.0", f"{k}")], []) for k in range(1, 40))]
    )
    prints = [f"BTC-USDT,{k},buy,100.2,0.5,{T0_MS + 100 * k + 50}" for k in range(40)]
    trades = _text(OKX_TRADES, prints)
    for name, files, format_ in (
        ("both", {"book.data": book, "trades.csv": trades}, "book-archive"),
        ("alone", {"trades.csv": trades}, "trades"),
    ):
        report = imported(tmp_path / name, files)
        assert (report["format"], report["trades"], report["gaps"]) == (format_, 40, 0)
        _, events = tape(tmp_path / name)
        printed = events[events["kind"] == Kind.TRADE]
        assert printed["exch_ns"].tolist() == [(T0_MS + 100 * k + 50) * 10**6 for k in range(40)]
        assert set(printed["side"].tolist()) == {1}


def test_no_latency_is_measured_on_an_archive(tmp_path: Path) -> None:
    """Though Bybit tells two times of each update: both are the exchange's. A capture has one to measure."""
    level: Pairs = [("100.0", "5")]
    messages = [bybit(0, "snapshot", BIDS, ASKS, 1, depth=50)]
    messages += [bybit(k, "delta", level, [], k + 1, depth=50) for k in range(1, 100)]
    imported(tmp_path / "archive", {"x.data": lines(messages)})
    imported(tmp_path / "capture", {"x.data": lines(messages, stamped=True)})
    for name, counted in (("archive", False), ("capture", True)):
        argv = ("calibrate", tmp_path / name / "session", "--latencies", tmp_path / name / "measured")
        done = call("agent", *argv, "--json")
        assert (done.code == 0) is counted
        assert ("holds no measured latency" in done.err) is not counted
        assert (tmp_path / name / "measured" / "market_data_book.csv").exists() is counted


def test_a_loss_inside_an_archive_of_okx_is_not_seen(tmp_path: Path) -> None:
    """More than a minute of updates is missing, twice: no gap, for they bear no numbers."""
    rows = [okx(0, "snapshot", BIDS, ASKS)]
    rows += [okx(k, "update", [("100.0", f"{k}")], []) for k in (*range(1, 40), *range(740, 780))]
    rows += [okx(1500, "snapshot", BIDS, ASKS)]  # an anchor, as every quarter of an hour
    assert imported(tmp_path, {"x.data": lines(rows)})["gaps"] == 0
    assert Kind.GAP_BEGIN not in tape(tmp_path)[1]["kind"]


def test_a_lost_connection_is_not_seen_in_whole_books(tmp_path: Path) -> None:
    """Quotes, snapshots and Hyperliquid's books with a minute of silence in them: no gap."""
    moments = [*range(20), *range(620, 640)]
    five = ",".join(f"{101 + k},2,{100 - k},3" for k in range(5))
    for name, header, cells in (("q", tops.QUOTES, "2,101,100,3"), ("s", tops.header_of(5), five)):
        rows = [tops.line(k, cells) for k in moments]
        report = imported(tmp_path / name, {"x.csv": _text(header, rows)})
        assert (report["format"], report["snapshots"], report["gaps"]) == ("tardis-csv", len(moments), 0)
    books = [hyper(k)[0] for k in moments]
    report = imported(tmp_path / "h", {"x": lines(books, stamped=True)}, "HYPE/USDC:USDC")
    assert (report["format"], report["snapshots"], report["gaps"]) == ("hyperliquid-raw", len(moments), 0)
