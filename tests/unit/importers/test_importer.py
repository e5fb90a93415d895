"""Raw Binance captures become tape rows: every line accounted for, every fault named."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.market.tape import Flag, Kind
from agent.core.ports import SessionWriter as WriterPort
from connectors.importers.binance.binance_raw import import_binance_raw
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import ImportRequest
from connectors.importers.symbols import parse_symbol
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.loaded_captures import load
from tests.realdata import capture_files

MS = 1_000_000
T0 = 1_700_000_000_000  # ms
BEHIND_NS = 1270 * MS  # the recorder's clock is behind the exchange's


def _line(at_ms: int, message: dict[str, Any], delay_ms: int = 2) -> bytes:
    return b"%d %s\n" % ((T0 + at_ms + delay_ms) * MS - BEHIND_NS, orjson.dumps(message))


def _stream(name: str, data: dict[str, Any], symbol: str = "btcusdt") -> dict[str, Any]:
    return {"stream": f"{symbol}@{name}", "data": data}


def _depth(at: int, first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    data = {"e": "depthUpdate", "E": T0 + at, "U": first, "u": last, "b": bids, "a": asks}
    return _line(at, _stream("depth@100ms", data))


def _trade(at: int, number: int, *, maker: bool = False, traded: int | None = None) -> bytes:
    when = T0 + (at if traded is None else traded)
    data = {"e": "trade", "E": T0 + at, "t": number, "p": "100.10000000", "q": "0.50000000"}
    return _line(at, _stream("trade", data | {"T": when, "m": maker}))


def _snapshot(at: int, update: int) -> bytes:
    bids, asks = [["100.00000000", "1.00000000"]], [["100.20000000", "2.00000000"]]
    return _line(at, {"lastUpdateId": update, "bids": bids, "asks": asks})


def _ticker(at: int, update: int) -> bytes:
    data = {"u": update, "b": "100.00000000", "B": "1.00000000", "a": "100.20000000", "A": "2.00000000"}
    return _line(at, _stream("bookTicker", data))


def _file(folder: Path, lines: list[bytes], name: str = "x.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(b"".join(lines)))
    return path


def _kinds(events: Any) -> list[Kind]:
    return [Kind(k) for k in events["kind"]]


def test_real_capture_is_whole() -> None:
    """The BTCUSDT capture: every line accounted for, no break, no crossed book, no missing trade."""
    instrument, events, report = load(list(reversed(capture_files("btcusdt"))), "BTCUSDT")
    assert (report.lines, report.accounted, report.bad_lines) == (99_574, 99_574, 0)
    assert (report.trades, report.book_tickers, report.snapshots) == (19_904, 73_174, 1)
    assert (report.depth_updates, report.depth_before_snapshot) == (6_493, 2)
    assert (report.gaps, report.crossed, report.trades_missing, report.recv_steps_back) == (0, 0, 0, 0)
    assert (instrument.tick, instrument.lot) == (Decimal("0.01"), Decimal("0.00001"))
    assert report.tick_inferred
    assert report.lot_inferred
    assert report.sizes_rounded == 7
    assert 1_270 * MS < report.clock_offset_ns < 1_280 * MS
    assert len(events) == report.events
    assert np.count_nonzero(events["kind"] == Kind.LEVEL) == report.levels
    assert np.all(np.diff(events["recv_ns"]) >= 0)
    assert np.array_equal(events["seq"], np.arange(1, len(events) + 1))
    trades = events[events["kind"] == Kind.TRADE]
    assert np.all(np.diff(trades["ext_id"]) == 1)
    assert np.mean(trades["exch_ns"] > trades["recv_ns"]) <= 0.001
    assert np.count_nonzero(events["flags"] & Flag.LAST) == 19_904 + 73_174 + 6_493 + 1


def test_session_holds_what_load_gives(tmp_path: Path) -> None:
    """The streaming import writes the very rows that load returns, and closes the session."""
    paths = capture_files("ethusdt")
    _, events, expected = load(paths, "ETH/USDT")

    def open_writer(instrument: Instrument, report: ImportReport) -> WriterPort:
        header = SessionHeader("i", (instrument,), report.first_recv_ns, source="binance-raw")
        return SessionWriter.create(tmp_path / "s", header)

    report = import_binance_raw(ImportRequest(paths, "ETH/USDT"), open_writer, tmp_path)
    reader = SessionReader(tmp_path / "s")
    assert report == expected
    assert np.array_equal(reader.events(), events)
    assert reader.end_ns == report.last_recv_ns
    assert reader.instruments[0].lot == Decimal("0.0001")


def test_diffs_around_the_snapshot(tmp_path: Path) -> None:
    """Of diffs received before the snapshot the old is dropped, the one that straddles it applied."""
    lines = [
        _depth(0, 1, 4, [["99.00000000", "1.00000000"]], []),
        _depth(100, 5, 9, [["99.10000000", "1.00000000"]], [["100.30000000", "1.00000000"]]),
        _snapshot(110, 7),
        _depth(200, 10, 12, [], []),
        _depth(300, 13, 13, [["99.10000000", "0.00000000"]], []),
    ]
    _, events, report = load([_file(tmp_path, lines)], "BTC/USDT")
    assert (report.depth_before_snapshot, report.depth_updates, report.gaps) == (1, 3, 0)
    assert _kinds(events) == [Kind.SNAPSHOT_BEGIN, *[Kind.LEVEL] * 2, Kind.SNAPSHOT_END, *[Kind.LEVEL] * 3]
    assert events["flags"].tolist() == [0, 0, 0, 1, 0, 1, 1]
    assert events["price_ticks"].tolist() == [0, 1000, 1002, 0, 991, 1003, 991]
    assert events["qty_lots"].tolist()[-1] == 0
    assert report.accounted == report.lines == 5


def test_break_in_the_book_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    """A missing update opens a gap; nothing of the book is passed on until a snapshot closes it."""
    level = [["99.00000000", "1.00000000"]]
    lines = [
        _snapshot(0, 7),
        _depth(100, 8, 9, level, []),
        _depth(200, 15, 16, level, []),
        _depth(300, 17, 18, level, []),
        _snapshot(310, 17),
        _depth(400, 19, 20, level, []),
    ]
    _, events, report = load([_file(tmp_path, lines)], "BTC/USDT")
    gap = events[np.isin(events["kind"], (Kind.GAP_BEGIN, Kind.GAP_END))]
    assert (report.gaps, report.book_updates_lost, report.depth_before_snapshot) == (1, 5, 1)
    assert gap["qty_lots"].tolist() == [0, 5]
    assert gap["flags"].tolist() == [Flag.BOOK | Flag.LAST] * 2
    assert _kinds(events)[5:8] == [Kind.GAP_BEGIN, Kind.SNAPSHOT_BEGIN, Kind.LEVEL]
    assert report.problems == ["x.gz:3: book updates 10 to 14 are missing"]
    assert report.accounted == report.lines


def test_trade_ids(tmp_path: Path) -> None:
    """Missing trade ids are a gap, a repeated one is dropped, a late one is kept and flagged."""
    lines = [_trade(0, 1), _trade(10, 5, maker=True), _trade(20, 3, traded=5), _trade(30, 5), _trade(40, 6)]
    _, events, report = load([_file(tmp_path, lines)], "BTC/USDT")
    assert (report.trades, report.trade_duplicates, report.trades_missing, report.trades_late) == (4, 1, 2, 1)
    assert _kinds(events) == [Kind.TRADE, Kind.GAP_BEGIN, Kind.GAP_END, *[Kind.TRADE] * 3]
    assert events["ext_id"].tolist() == [1, 1, 1, 5, 3, 6]
    assert events["qty_lots"][2] == 3
    assert events["side"].tolist() == [1, 0, 0, -1, 1, 1]
    assert events["flags"][4] == Flag.LAST | Flag.LATE


def test_clock_offset_and_receive_times(tmp_path: Path) -> None:
    """The constant offset is removed, and a receive stamp that steps back is held and counted."""
    lines = [_trade(10 * i, i) for i in range(100)]
    lines[50] = lines[50].replace(lines[50].split(b" ")[0], lines[20].split(b" ")[0])
    _, events, report = load([_file(tmp_path, [_ticker(0, 1), *lines])], "BTC/USDT")
    assert report.recv_steps_back == 1
    assert np.all(np.diff(events["recv_ns"]) >= 0)
    early = [line for line in lines if line is not lines[50]]
    _, events, report = load([_file(tmp_path, early)], "BTC/USDT")
    assert report.clock_offset_ns == BEHIND_NS - 2 * MS
    assert np.array_equal(events["exch_ns"], events["recv_ns"])


def test_crossed_book_is_counted(tmp_path: Path) -> None:
    """A book whose best bid reaches the best ask is counted and named; deleting the ask uncrosses it."""
    bid = [["100.20000000", "1.00000000"]]
    ask = [["100.20000000", "0.00000000"], ["100.40000000", "1.00000000"]]
    lines = [_snapshot(0, 7), _depth(100, 8, 8, bid, []), _depth(200, 9, 9, [], ask)]
    _, _, report = load([_file(tmp_path, lines)], "BTC/USDT")
    assert report.crossed == 1
    assert report.problems == ["x.gz:2: the book is crossed after update 8"]


def test_bad_lines_are_named_and_do_not_stop_the_import(tmp_path: Path) -> None:
    """Garbage, missing fields, other symbols and streams are each counted, bad ones with file and line."""
    lines = [
        _trade(0, 1),
        b"not a line\n",
        _line(1, _stream("trade", {"e": "trade"})),
        _line(2, _stream("trade", {}, symbol="ethusdt")),
        _line(3, _stream("kline_1m", {})),
        _depth(4, 1, 2, [["-1.00000000", "1.00000000"]], []),
        b"5 []\n",
        _trade(5, 2),
    ]
    _, events, report = load([_file(tmp_path, lines)], "BTC/USDT")
    assert (report.bad_lines, report.other_symbols, report.other_streams) == (4, 1, 1)
    named = [p.split(": ")[0] for p in report.problems]
    bad = ["x.gz:2", "x.gz:3", "x.gz:6", "x.gz:7"]
    assert named == ["no book in the files", *bad, "streams that are not read"]
    assert len(events) == 2
    assert report.accounted == report.lines == 8


def test_truncated_file_is_read_to_its_end(tmp_path: Path) -> None:
    """A gz file cut off in the middle gives its whole lines, and the next file goes on."""
    rng = np.random.default_rng(1)
    lines = [_trade(10 * i + int(rng.integers(5)), i) for i in range(2000)]
    first = _file(tmp_path, lines[:1000], "a.gz")
    first.write_bytes(first.read_bytes()[:-300])
    second = tmp_path / "b.txt"
    second.write_bytes(b"".join(lines[1000:]))
    _, events, report = load([second, first], "BTC/USDT")
    assert report.bad_lines == 1
    assert report.problems[1].startswith(f"a.gz:{report.trades - 999}: the compressed file is cut off")
    assert 0 < report.trades_missing == 2000 - report.trades
    assert events["ext_id"][-1] == 1999
    assert report.accounted == report.lines


def test_corrupt_gz_is_named(tmp_path: Path) -> None:
    """A flipped byte in the compressed data ends that file with its line named."""
    path = _file(tmp_path, [_trade(10 * i, i) for i in range(1000)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _, _, report = load([_file(tmp_path, [_trade(0, 5000)], "ok.gz"), path], "BTC/USDT")
    assert report.bad_lines >= 1
    assert "x.gz:" in report.problems[-1]
    assert report.accounted == report.lines


def test_given_tick_and_lot(tmp_path: Path) -> None:
    """A given tick and lot are used if they fit the capture; one that does not is refused with what would."""
    path = _file(tmp_path, [_trade(0, 1)])
    instrument, events, report = load([path], "BTC/USDT", tick=Decimal("0.05"), lot=Decimal("0.25"))
    assert (instrument.tick, report.tick_inferred) == (Decimal("0.05"), False)
    assert (events["price_ticks"][0], events["qty_lots"][0]) == (2002, 2)
    with pytest.raises(
        InputError, match=r"tick 0.3 does not divide the prices .*: give 0.1, or leave it out"
    ):
        load([path], "BTC/USDT", tick=Decimal("0.3"))
    with pytest.raises(InputError, match=r"lot 1 does not divide the trades"):
        load([path], "BTC/USDT", lot=Decimal(1))


def test_unusable_input(tmp_path: Path) -> None:
    """A missing file, a capture of another symbol and a symbol without a quote are refused."""
    path = _file(tmp_path, [_trade(0, 1)])
    with pytest.raises(InputError, match=r"cannot open .*nowhere.gz: No such file"):
        load([tmp_path / "nowhere.gz"], "BTC/USDT")
    with pytest.raises(InputError, match=r"no Binance spot messages of ETH/USDT .*other symbols: BTCUSDT"):
        load([path], "ETHUSDT")
    with pytest.raises(InputError, match="BASE/QUOTE"):
        parse_symbol("BTC")
    assert parse_symbol("ethbtc").unified == "ETH/BTC"
