"""One list of market events, written in every format, gives the same tape; what is wrong is named."""

from __future__ import annotations

import dataclasses
import io
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from rich.console import Console

from agent.app.imports import import_files
from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.tape import EventArray, Flag, Kind
from agent.terminal.imports import render_import
from connectors.importers.binance_raw import load
from connectors.importers.pipeline import BLOCK_ROWS, ImportRequest
from connectors.importers.registry import loader
from connectors.importers.report import ImportReport
from storage.session import SessionHeader, SessionReader, SessionWriter
from tests import captures as c
from tests.captures import EVENTS, MS, T0_MS, Depth, Event, Trade
from tests.realdata import capture_files


def _import(
    folder: Path, kind: str, symbol: str, files: dict[str, list[bytes]], **units: Any
) -> tuple[Instrument, EventArray, dict[str, Any]]:
    paths = [c.write(folder / name, lines) for name, lines in files.items()]
    report = import_files(paths, kind, symbol, folder / "session", **units)
    reader = SessionReader(folder / "session")
    return reader.instruments[0], reader.events(), report


def _rows(instrument: Instrument, events: EventArray) -> list[tuple[Any, ...]]:
    return [
        (
            Kind(int(e["kind"])).name,
            int(e["recv_ns"]) / MS - T0_MS,
            int(e["exch_ns"]) / MS - T0_MS,
            int(e["side"]),
            instrument.price(int(e["price_ticks"])),
            instrument.quantity(int(e["qty_lots"])),
            bool(e["flags"] & Flag.LAST),
        )
        for e in events
    ]


BINANCE = [
    ("BTC/USDT", c.spot(), "binance", "1", False),
    ("BTC/USDT:USDT", c.futures(), "binanceusdm", "1", False),
    ("BTC/USDT:USDT", c.futures(trades="aggTrade"), "binanceusdm", "1", False),
    ("BTC/USD:BTC", c.futures(symbol="BTCUSD_PERP", pair="BTCUSD"), "binancecoinm", "100", True),
    ("ETH/USD:ETH", c.futures(symbol="ETHUSD_PERP", pair="ETHUSD"), "binancecoinm", "10", True),
    ("BTC/USDT:USDT-241227", c.futures(symbol="BTCUSDT_241227"), "binanceusdm", "1", False),
]


@pytest.mark.parametrize(("symbol", "lines", "exchange", "size", "inverse"), BINANCE)
def test_binance_capture_row_by_row(
    tmp_path: Path, symbol: str, lines: list[bytes], exchange: str, size: str, inverse: bool
) -> None:
    """Spot, USD-M and coin-M captures of the same events give the same tape, and their instrument."""
    instrument, events, report = _import(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert report["clock_offset_ns"] == -c.DELAY_MS * MS
    assert _rows(instrument, events) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
    assert (instrument.exchange, instrument.symbol) == (exchange, symbol)
    assert (instrument.multiplier, instrument.inverse) == (Decimal(size), inverse)
    assert (instrument.tick, instrument.lot) == (Decimal("0.1"), Decimal(1))
    assert (report["lines"], report["gaps"], report["crossed"], report["bad_lines"]) == (len(lines), 0, 0, 0)


TARDIS = [
    ("BTC/USDT", "binance", "BTCUSDT", "1"),
    ("BTC/USDT:USDT", "binance-futures", "BTCUSDT", "1"),
    ("BTC/USD:BTC", "binance-delivery", "BTCUSD_PERP", "100"),
    ("BTC/USD:BTC", "bitmex", "XBTUSD", "1"),
    ("BTC/USD:BTC", "deribit", "BTC-PERPETUAL", "1"),
]


@pytest.mark.parametrize(("symbol", "exchange", "name", "size"), TARDIS)
def test_tardis_row_by_row(tmp_path: Path, symbol: str, exchange: str, name: str, size: str) -> None:
    """incremental_book_L2 (gz) and trades (plain) joined by local_timestamp give the same tape."""
    book, trades = c.tardis(exchange=exchange, symbol=name)
    files = {"trades.csv": trades, "book.csv.gz": book}
    instrument, events, report = _import(tmp_path, "tardis-csv", symbol, files)
    assert _rows(instrument, events) == c.rows()
    assert report["clock_offset_ns"] == 0
    assert (instrument.multiplier, instrument.inverse) == (Decimal(size), symbol.endswith("BTC"))
    assert report["lines"] == len(book) + len(trades) == report["headers"] + report["book_rows"] + 3
    assert events[events["kind"] == Kind.TRADE]["ext_id"].tolist() == [7, 8, 9]


def test_real_capture_as_tardis_files(tmp_path: Path) -> None:
    """The real BTCUSDT capture written as Tardis files gives the rows that the capture itself gives."""
    instrument, events, _ = load(capture_files("btcusdt")[:1], "BTC/USDT")
    events = events[events["kind"] != Kind.BBO]
    files = _tardis_of(instrument, events[:60_000])
    _, made, report = _import(tmp_path, "tardis-csv", "BTC/USDT", files)
    assert (report["gaps"], report["crossed"], report["bad_lines"]) == (0, 0, 0)
    assert np.array_equal(made["recv_ns"], events["recv_ns"][: len(made)] // 1000 * 1000)
    for name in ("kind", "side", "price_ticks", "qty_lots", "flags"):
        assert np.array_equal(made[name], events[name][: len(made)])


def _tardis_of(instrument: Instrument, events: EventArray) -> dict[str, list[bytes]]:
    """Only whole updates: the first rows up to a trade."""
    last = int(np.flatnonzero(events["kind"] == Kind.TRADE)[-1])
    book, trades = c.tardis([], "binance", "BTCUSDT")
    in_snapshot = False
    for e in events[: last + 1]:
        kind = Kind(int(e["kind"]))
        in_snapshot = kind is Kind.SNAPSHOT_BEGIN or (in_snapshot and kind is not Kind.SNAPSHOT_END)
        price, size = instrument.price(int(e["price_ticks"])), instrument.quantity(int(e["qty_lots"]))
        start = f"binance,BTCUSDT,{e['exch_ns'] // 1000},{e['recv_ns'] // 1000}"
        if kind is Kind.TRADE:
            side = "buy" if e["side"] > 0 else "sell"
            trades.append(f"{start},{e['ext_id']},{side},{price},{size}\n".encode())
        elif kind is Kind.LEVEL:
            flag, side = str(in_snapshot).lower(), "bid" if e["side"] > 0 else "ask"
            book.append(f"{start},{flag},{side},{price},{size}\n".encode())
    return {"book.csv": book, "trades.csv": trades}


# --- what is wrong with the files ------------------------------------------------------------------


def _kinds(events: EventArray) -> list[str]:
    return [Kind(int(k)).name for k in events["kind"]]


def test_futures_break_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    """``pu`` that is not the ``u`` before it opens a gap; the diff that ends at the next snapshot goes on."""
    lines = c.futures()
    del lines[3]  # a diff
    again = c.futures([Depth(350, [("100.0", "1")], [("100.5", "1")], snapshot=True)])
    lines.insert(-1, again[0].replace(b'"lastUpdateId":100', b'"lastUpdateId":127'))
    _, events, report = _import(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": lines})
    assert (report["gaps"], report["book_updates_lost"], report["depth_updates"]) == (1, 9, 3)
    assert report["problems"][0] == "x.gz:6: book updates 110 to 118 are missing"
    gap = events[np.isin(events["kind"], (Kind.GAP_BEGIN, Kind.GAP_END))]
    assert gap["flags"].tolist() == [Flag.BOOK | Flag.LAST] * 2
    assert _kinds(events)[-8:] == ["SNAPSHOT_END", "GAP_END", *["LEVEL"] * 6]


def test_futures_id_that_only_touches_is_no_hole(tmp_path: Path) -> None:
    """Futures ids jump between diffs without anything missing: only ``pu`` counts."""
    _, _, report = _import(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": c.futures()})
    assert (report["gaps"], report["depth_updates"]) == (0, 4)


def test_mark_prices_liquidations_and_trades_off_the_book(tmp_path: Path) -> None:
    """They are counted apart and leave no row, and an id spent on the insurance fund is no gap."""
    lines = c.futures()
    mark = {"e": "markPriceUpdate", "E": T0_MS, "s": "BTCUSDT", "p": "1", "r": "0", "T": T0_MS}
    force = {"e": "forceOrder", "E": T0_MS, "o": {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "1"}}
    lines += [c.line(500, c.stream("BTCUSDT", "markPrice@1s", mark))]
    lines += [c.line(501, c.stream("BTCUSDT", "forceOrder", force))]
    fund = c.futures([Trade(502, 10, "150.0", "1")])[0].replace(b"MARKET", b"INSURANCE_FUND")
    lines += [
        fund,
        *c.futures([Trade(503, 11, "100.1", "1")]),
        *c.futures([Trade(504, 5, "1", "1")], trades="aggTrade"),
    ]
    _, events, report = _import(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": lines})
    counted = ("mark_prices", "force_orders", "trades_off_market", "trades_other_kind", "gaps", "bad_lines")
    assert [report[name] for name in counted] == [1, 1, 1, 1, 0, 0]
    assert events[events["kind"] == Kind.TRADE]["ext_id"].tolist() == [7, 8, 9, 11]


def test_book_tickers_of_futures_are_stamped(tmp_path: Path) -> None:
    """A futures bookTicker bears the exchange's time, and it is used."""
    data = {"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "100.1", "B": "3", "a": "100.2", "A": "4"}
    ticker = c.line(50, c.stream("BTCUSDT", "bookTicker", data | {"E": T0_MS + 50, "T": T0_MS + 49}))
    _, events, _ = _import(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": [*c.futures(), ticker]})
    best = events[events["kind"] == Kind.BBO]
    assert best["exch_ns"].tolist() == [(T0_MS + 49 + c.DELAY_MS) * MS] * 2
    assert best["qty_lots"].tolist() == [3, 4]


OTHER_MARKET = [
    ("BTC/USDT", c.futures(), r"x.gz:1 is of a USD-M futures capture .* like BTC/USDT:USDT"),
    ("BTC/USDT:USDT", c.spot(), r"x.gz:1 is of a spot capture and BTC/USDT:USDT is a symbol of USD-M"),
    ("BTC/USDT", [c.futures()[2]], r"x.gz:1 is of a USD-M futures capture"),
    ("BTC/USDT:USDT", [c.spot()[2]], r"x.gz:1 is of a spot capture"),
    (
        "BTC/USD:BTC",
        c.futures(),
        r"no Binance inverse messages of BTC/USD:BTC .*other symbols: BTCUSDT",
    ),
]


@pytest.mark.parametrize(("symbol", "lines", "message"), OTHER_MARKET)
def test_capture_of_another_market(tmp_path: Path, symbol: str, lines: list[bytes], message: str) -> None:
    """A capture whose keys are another market's than the symbol's is refused with the line; no session."""
    with pytest.raises(InputError, match=message):
        _import(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert not (tmp_path / "session").exists()


EMPTY = [
    ("binance-raw", [], r"no Binance spot messages of BTC/USDT in f.csv \(0 lines\)"),
    ("tardis-csv", [], r"f.csv:1: '' are not the columns of a Tardis file"),
    ("tardis-csv", c.spot(), r"f.csv:1: .* are not the columns of a Tardis file: give one with"),
    ("binance-raw", c.tardis()[0], r"\(14 lines; first problem: f.csv:1: ValueError"),
    ("tardis-csv", c.tardis(symbol="ETHUSDT")[0], r"they hold binance-futures BTCUSDT|ETHUSDT"),
    ("tardis-csv", c.tardis()[0][:1], r"no rows of BTC/USDT \(spot\) in f.csv \(1 lines\)"),
    ("parquet", c.spot(), r"format 'parquet' is not known: choose one of binance-raw, tardis-csv"),
]


@pytest.mark.parametrize(("kind", "lines", "message"), EMPTY)
def test_empty_file_or_another_format(tmp_path: Path, kind: str, lines: list[bytes], message: str) -> None:
    """An empty file, one of another format, exchange or symbol is refused in one message."""
    with pytest.raises(InputError, match=message):
        _import(tmp_path, kind, "BTC/USDT", {"f.csv": lines})
    assert not (tmp_path / "session").exists()


def test_bad_tardis_lines_are_named(tmp_path: Path) -> None:
    """What is no row (words, signs, zero prices, cut off, seconds for microseconds) is dropped and named."""
    book, trades = c.tardis()
    book[6:6] = [
        b"garbage\n",
        book[5].replace(b"100.1", b"-100.1"),
        book[5].replace(b"100.1", b"0"),
        book[5].replace(b",1\n", b",-1\n"),
        book[5].replace(b"00000,17", b"00000,"),
        book[5].replace(b"bid", b"mid"),
        book[5].replace(b"BTCUSDT", b"ETHUSDT"),
    ]
    trades[2:2] = [trades[2].replace(b",1\n", b",0\n"), trades[2].replace(b"100.1", b"1.123456789")]
    files = {"book.csv": book, "trades.csv": [*trades[:-1], trades[-1][:60]]}
    _, events, report = _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", files)
    assert (report["bad_lines"], report["other_symbols"], report["trades"]) == (9, 1, 2)
    named = [p.split(": ")[0] for p in report["problems"]]
    assert sorted(named) == sorted(
        [*(f"book.csv:{n}" for n in range(7, 13)), "trades.csv:3", "trades.csv:4", "trades.csv:6"]
    )
    assert len(events) == len(c.rows()) - 1
    kept = report["headers"] + report["book_rows"] + report["trades"]
    assert kept + report["bad_lines"] + report["other_symbols"] == report["lines"]


def test_tardis_rows_before_the_snapshot_and_a_second_one(tmp_path: Path) -> None:
    """Changes before the first snapshot are dropped; a later snapshot says that the book was lost: a gap."""
    early = Depth(-50, [("50.0", "1")], [])
    again = Depth(350, [("100.0", "1")], [("100.5", "1")], snapshot=True)
    book, trades = c.tardis([early, *EVENTS[:-1], again, EVENTS[-1]])
    _, events, report = _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book, "t.csv": trades})
    assert (report["book_rows_unsynced"], report["gaps"]) == (1, 1)
    assert report["problems"] == ["b.csv:14: a new snapshot: the book was not followed until here"]
    around = _kinds(events)[-8:]
    assert around == [
        "GAP_BEGIN",
        "SNAPSHOT_BEGIN",
        "LEVEL",
        "LEVEL",
        "SNAPSHOT_END",
        "GAP_END",
        "LEVEL",
        "LEVEL",
    ]


def test_tardis_trade_ids(tmp_path: Path) -> None:
    """Binance's ids: a hole is a gap, a repeated one is dropped; a trade stamped earlier is flagged LATE."""
    numbers = [1, 2, 2, 5, 6, 4]
    events = [Trade(10 * i, n, "100.1", "1") for i, n in enumerate(numbers)]
    events[4] = Trade(35, 6, "100.1", "1", delay_ms=20)
    events[3] = Trade(38, 5, "100.1", "1", delay_ms=5)
    trades = c.tardis(events)[1]
    _, tape, report = _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"t.csv": trades})
    counted = ("trades", "trade_duplicates", "gaps", "trades_missing", "trades_late")
    assert [report[name] for name in counted] == [5, 1, 1, 1, 1]
    assert tape["ext_id"].tolist() == [1, 2, 2, 2, 5, 6, 4]
    assert tape["qty_lots"].tolist() == [1, 1, 0, 2, 1, 1, 1]
    assert tape["flags"].tolist()[-2:] == [Flag.LAST | Flag.LATE, Flag.LAST]


def test_ids_that_are_no_numbers(tmp_path: Path) -> None:
    """Ids of other exchanges are hashed, each to its own number, and never judged for holes."""
    trades = c.tardis([Trade(i, i, "100.1", "1") for i in range(4)], "bitmex", "XBTUSD")[1]
    ids = (b"00000000-006d-1000-0000-000c3ff9a1bb", b"00000000-006d-1000-0000-000c3ff9a1bc", b"", b"9")
    named = [trades[0]]
    named += [line.replace(b",%d,buy" % i, b",%s,buy" % ids[i]) for i, line in enumerate(trades[1:])]
    _, events, report = _import(tmp_path, "tardis-csv", "BTC/USD:BTC", {"t.csv.gz": named})
    assert (report["trades"], report["gaps"], len(set(events["ext_id"].tolist()))) == (4, 0, 4)


def test_contract_size_that_nobody_knows(tmp_path: Path) -> None:
    """Contracts of an exchange not known here need --contract-size, and it is used and recorded."""
    book, _ = c.tardis(exchange="okex-swap", symbol="BTC-USDT-SWAP")
    with pytest.raises(
        InputError, match=r"BTC/USDT:USDT on okex-swap is worth .* give --contract-size in BTC"
    ):
        _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book})
    units: dict[str, Any] = {"contract_size": Decimal("0.01")}
    instrument, _, report = _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book}, **units)
    assert (instrument.multiplier, instrument.exchange, report["contract_size"]) == (
        Decimal("0.01"),
        "okx",
        "0.01",
    )


def test_torn_tardis_file(tmp_path: Path) -> None:
    """A gz cut off gives its whole lines; the break is named with file and line."""
    lines = c.tardis(
        [Trade(10 * i, i, f"{100 + i % 7}.{i % 10}", f"{1 + i * 7919 % 1009}") for i in range(3000)]
    )[1]
    path = c.write(tmp_path / "t.csv.gz", lines)
    path.write_bytes(path.read_bytes()[:-400])
    report = import_files([path], "tardis-csv", "BTC/USDT:USDT", tmp_path / "session")
    assert 0 < report["trades"] < 3000
    assert report["problems"] == [
        f"t.csv.gz:{report['trades'] + 2}: the compressed file is cut off",
    ]
    assert report["lines"] == report["trades"] + report["headers"] + report["bad_lines"]


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_crossed_book_is_mended(tmp_path: Path, kind: str) -> None:
    """A bid set above the asks takes them off the book in the same update; both are counted and named."""
    crossing = [*EVENTS[:2], Depth(150, [("100.3", "2")], []), Depth(160, [], [("100.5", "1")])]
    files = {"x.csv": c.spot(crossing) if kind == "binance-raw" else c.tardis(crossing, "binance")[0]}
    _, events, report = _import(tmp_path, kind, "BTC/USDT", files)
    assert (report["crossed"], report["levels_uncrossed"], report["bad_lines"]) == (1, 1, 0)
    mended = events[-3:]
    assert mended["price_ticks"].tolist() == [1002, 1003, 1005]
    assert mended["qty_lots"].tolist() == [0, 2, 1]
    assert mended["side"].tolist() == [-1, 1, -1]
    assert mended["flags"].tolist() == [0, Flag.LAST, Flag.LAST]
    assert report["problems"][0].startswith(f"x.csv:{3 if kind == 'binance-raw' else 7}: the book is crossed")


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_time_that_steps_back_is_held(tmp_path: Path, kind: str) -> None:
    """A receive stamp before the one above it is held there, counted and named; no row is lost."""
    events = [*EVENTS[:3], Depth(40, [("99.8", "2")], []), *EVENTS[3:]]
    book, trades = c.tardis(events, "binance")
    files = {"x.csv": c.spot(events)} if kind == "binance-raw" else {"x.csv": book, "t.csv": trades}
    _, tape, report = _import(tmp_path, kind, "BTC/USDT", files)
    assert report["recv_steps_back"] == 1
    assert np.all(np.diff(tape["recv_ns"]) >= 0)
    assert len(tape) == len(c.rows()) + 1
    line = 4 if kind == "binance-raw" else 7
    assert report["problems"][0].startswith(f"x.csv:{line}: received ")


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_prices_off_the_given_tick(tmp_path: Path, kind: str) -> None:
    """Prices that the given tick does not divide are refused: how many, where first, and what would fit."""
    files = {"x.csv": c.spot() if kind == "binance-raw" else c.tardis(exchange="binance")[0]}
    with pytest.raises(InputError, match=r"tick 0.2 .* multiples of 0.1 \(\d+ rows; 100.1 in x.csv:\d"):
        _import(tmp_path, kind, "BTC/USDT", files, tick=Decimal("0.2"))
    with pytest.raises(InputError, match="tick 1E-9 is not allowed"):
        _import(tmp_path, kind, "BTC/USDT", files, tick=Decimal("1e-9"))


def test_a_lot_that_nothing_tells(tmp_path: Path) -> None:
    """Without one size there is no lot to infer, and it is asked for."""
    lines = c.spot([Depth(0, [("100.1", "0")], [], snapshot=True)])
    with pytest.raises(InputError, match=r"no lot can be inferred: .* give --lot-size"):
        _import(tmp_path, "binance-raw", "BTC/USDT", {"x.csv": lines})
    instrument, _, _ = _import(tmp_path, "binance-raw", "BTC/USDT", {"x.csv": lines}, lot=Decimal("0.001"))
    assert instrument.lot == Decimal("0.001")


def test_the_session_says_what_was_done(tmp_path: Path) -> None:
    """session.json keeps the report that the command prints."""
    _, _, report = _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [b"garbage\n", *c.spot()]})
    header = orjson.loads((tmp_path / "session" / "session.json").read_bytes())
    assert header["import"] == {k: v for k, v in report.items() if k != "session"}
    assert header["import"]["problems"][0].startswith("x.gz:1: ValueError")
    for name in ("session", "events", "trades", "levels", "gaps", "crossed", "clock_offset_ns"):
        assert name in report


def test_the_report_in_words(tmp_path: Path) -> None:
    """The terminal names what was made, what was wrong and by which rule it was mended, and the lines."""
    lines = c.spot()
    del lines[1]
    _, _, report = _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [b"garbage\n", *lines]})
    console = Console(width=120, record=True, file=io.StringIO())
    render_import(report, console)
    text = console.export_text()
    for part in (
        "BTC/USDT (spot)",
        "tick  0.1  (inferred",
        "marked on the tape",
        "x.gz:1: ",
        "depth unsynced",
    ):
        assert part in text


def test_an_existing_session_is_not_overwritten(tmp_path: Path) -> None:
    """A second import into the same directory is refused before anything is read."""
    _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": c.spot()})
    with pytest.raises(InputError, match="already holds a session: choose another --out"):
        _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": c.spot()})


# --- broken at random ------------------------------------------------------------------------------


def _break(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    """A few bytes changed, a line cut, one doubled, two swapped, one lost."""
    lines = list(lines)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(lines))
        data = bytearray(lines[at])
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice(b'0123456789-.,"{}[]abeE\n\xff')
        other = rng.randrange(len(lines))
        change = rng.randrange(5)
        if change == 0:
            lines[at] = lines[at][: rng.randrange(len(lines[at]))] + b"\n"
        elif change == 1:
            lines.insert(at, lines[at])
        elif change == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif change == 3 and len(lines) > 3:
            del lines[at]
        else:
            lines[at] = bytes(data)
    return lines


@pytest.mark.parametrize("kind", ["spot", "futures", "tardis"])
def test_whatever_is_broken_is_accounted_for(tmp_path: Path, kind: str) -> None:
    """Files broken at random are imported or refused; each line is counted once, and time runs on."""
    rng, refused = random.Random(kind), 0
    for number in range(80):
        folder = tmp_path / str(number)
        folder.mkdir()
        book, trades = c.tardis()
        name, symbol, files = {
            "spot": ("binance-raw", "BTC/USDT", {"x.gz": c.spot()}),
            "futures": ("binance-raw", "BTC/USDT:USDT", {"x.gz": c.futures()}),
            "tardis": ("tardis-csv", "BTC/USDT:USDT", {"b.csv": book, "t.csv.gz": trades}),
        }[kind]
        heads = 1 if kind == "tardis" else 0  # a file with another header is another file
        broken = {file: lines[:heads] + _break(rng, lines[heads:]) for file, lines in files.items()}
        try:
            _, events, report = _import(folder, name, symbol, broken)
        except InputError:
            refused += 1
            continue
        fields = {f.name for f in dataclasses.fields(ImportReport)}
        assert ImportReport(**{k: v for k, v in report.items() if k in fields}).accounted == report["lines"]
        assert np.all(np.diff(events["recv_ns"]) >= 0)
        assert np.all(events["qty_lots"] >= 0)
        assert np.all(events["price_ticks"][np.isin(events["kind"], (Kind.TRADE, Kind.LEVEL))] > 0)
        assert len(events) == report["events"]
    assert refused < 16


def test_a_broken_receive_stamp_holds_nothing_up(tmp_path: Path) -> None:
    """A stamp that leaps by years alone is a bad line; one that leaps with the exchange's is believed."""
    lines = c.spot()
    years = lines[2].replace(b"17000", b"19000", 1)
    _, events, report = _import(
        tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [*lines[:2], years, *lines[3:]]}
    )
    assert (report["bad_lines"], report["recv_steps_back"], report["gaps"]) == (1, 0, 0)
    assert events["recv_ns"][-1] < (T0_MS + 1000) * MS
    later = c.spot([Trade(10_000_000, 10, "100.1", "1")])
    (tmp_path / "later").mkdir()
    _, events, report = _import(tmp_path / "later", "binance-raw", "BTC/USDT", {"x.gz": [*lines, *later]})
    assert (report["bad_lines"], report["trades"]) == (0, 4)
    (tmp_path / "reset").mkdir()
    wrong = lines[2].replace(b"17000", b"16000", 1)  # the recorder's clock was wrong at first
    _, _, report = _import(tmp_path / "reset", "binance-raw", "BTC/USDT", {"x.gz": [wrong, *lines[1:]]})
    assert (report["bad_lines"], report["trades"], report["trade_duplicates"]) == (1, 3, 1)


# --- much of it ------------------------------------------------------------------------------------


def test_days_of_tardis_files_join(tmp_path: Path) -> None:
    """Files of two days in any order are joined by time, and the second day's snapshot is no gap."""
    day = 86_400_000
    events = [replace(e, at_ms=e.at_ms + day) for e in EVENTS]
    second = [replace(e, number=e.number + 3) if isinstance(e, Trade) else e for e in events]
    files: dict[str, list[bytes]] = {}
    for name, part in (("2", second), ("1", EVENTS)):
        files[f"book{name}.csv"], files[f"trades{name}.csv.gz"] = c.tardis(part)
    instrument, tape, report = _import(tmp_path, "tardis-csv", "BTC/USDT:USDT", files)
    once = c.rows()
    again = [(kind, at + day, sent + day, *rest) for kind, at, sent, *rest in once]
    assert _rows(instrument, tape) == once + again
    assert (report["gaps"], report["trades_missing"], report["headers"]) == (0, 0, 4)


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_rows_are_written_in_blocks(tmp_path: Path, kind: str) -> None:
    """However long the files, no more than a block of rows is held, and the tape is the same."""
    levels = [(f"{60_000 - i}.1", "1") for i in range(400)]
    changes = [Depth(i, levels[:200], []) for i in range(1, 600)]
    events = [Depth(0, levels, [("60001.0", "1")], snapshot=True), *changes]
    lines = c.futures(events) if kind == "binance-raw" else c.tardis(events)[0]
    sizes: list[int] = []

    def open_writer(instrument: Instrument, report: ImportReport) -> SessionWriter:
        header = SessionHeader("s", (instrument,), report.first_recv_ns)
        return Counting.create(tmp_path / "s", header)

    class Counting(SessionWriter):
        def events(self, rows: EventArray) -> None:
            sizes.append(len(rows))
            super().events(rows)

    request = ImportRequest([c.write(tmp_path / "x.gz", lines)], "BTC/USDT:USDT")
    report = loader(kind)(request, open_writer, tmp_path)
    assert len(sizes) > 1
    assert max(sizes) <= BLOCK_ROWS
    assert sum(sizes) == report.events == 403 + 599 * 200
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("s", "x.gz")] == []


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_sizes_beyond_what_an_integer_holds(tmp_path: Path, kind: str) -> None:
    """A coin counted by the trillion: sizes are held at forty billion and counted, nothing else is lost."""
    huge, deep = "3000000000000.00", [(f"0.000009{90 - i}", "7") for i in range(8)]
    events: list[Event] = [
        Depth(0, [("0.00001000", huge), *deep], [("0.00001001", "5000000.00")], snapshot=True),
        Depth(10, [("0.00001000", "1234567.00")], [("0.00001002", huge)]),
        Trade(20, 1, "0.00001001", "1000.00"),
    ]
    book, trades = c.tardis(events, "binance", "PEPEUSDT")
    files = {"x.gz": c.spot(events, "PEPEUSDT")} if kind == "binance-raw" else {"b": book, "t": trades}
    instrument, tape, report = _import(tmp_path, kind, "PEPE/USDT", files)
    assert (instrument.tick, instrument.lot) == (Decimal("0.00000001"), Decimal(1000))
    assert (report["bad_lines"], report["gaps"], report["sizes_clipped"]) == (0, 0, 2)
    assert int(tape["qty_lots"].max()) == 40_000_000_000 // 1000


def test_prices_beyond_what_an_integer_holds(tmp_path: Path) -> None:
    """A price that large is a broken line."""
    lines = c.spot([*EVENTS, Trade(500, 10, "300000000000.0", "1")])
    _, _, report = _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["problems"] == [
        "x.gz:9: ValueError: 300000000000.0 is out of range: from 0 to below 46,116,860,184 can be held"
    ]


def test_files_of_two_symbols(tmp_path: Path) -> None:
    """A spot snapshot names no symbol: it is of the one that its file names; another's is not mixed in."""
    other = [Depth(5, [("2000.1", "3")], [("2000.2", "4")], snapshot=True), Depth(50, [("2000.1", "1")], [])]
    files = {"eth.gz": c.spot(other, "ETHUSDT"), "btc.gz": c.spot()}
    instrument, tape, report = _import(tmp_path, "binance-raw", "BTC/USDT", files)
    assert _rows(instrument, tape) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
    assert (report["snapshots"], report["other_symbols"], report["crossed"]) == (1, 2, 0)


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_progress_is_told(tmp_path: Path, kind: str) -> None:
    """Whoever watches is told the bytes read, up to all of the files."""
    book, trades = c.tardis()
    files = {"x.gz": c.futures()} if kind == "binance-raw" else {"b.csv.gz": book, "t.csv": trades}
    seen: list[int] = []
    _import(tmp_path, kind, "BTC/USDT:USDT", files, watch=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum((tmp_path / name).stat().st_size for name in files)


def test_a_book_that_is_never_whole_again(tmp_path: Path) -> None:
    """A gap that no snapshot closes, and a capture without any, are the first thing that is said."""
    lines = c.spot()
    del lines[3]
    _, _, report = _import(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["problems"][0] == "no snapshot follows book update 105: from there on the book is not known"
    (tmp_path / "none").mkdir()
    _, _, report = _import(tmp_path / "none", "binance-raw", "BTC/USDT", {"x.gz": lines[1:]})
    assert report["problems"][0] == "no snapshot: the session has no book, and no order can trade on it"


def test_few_prices_off_the_tick_are_moved_to_it(tmp_path: Path) -> None:
    """One price in ten thousand may be off: it is rounded and named; with more of them the tick is finer."""
    whole = [(f"{50_000 + i}.1", "1") for i in range(30_000)]
    odd = ("40000.137", "1")
    for number, (levels, expected) in enumerate(
        (([odd, *whole], "0.1"), ([odd, odd, *whole[:9_000]], "0.001"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        lines = c.spot([Depth(0, levels, [("90000.5", "1")], snapshot=True), Trade(10, 1, "90000.5", "1")])
        instrument, tape, report = _import(folder, "binance-raw", "BTC/USDT", {"x": lines})
        assert instrument.tick == Decimal(expected)
        assert report["prices_rounded"] == (1 if expected == "0.1" else 0)
        assert instrument.price(int(tape["price_ticks"][1])) == Decimal(
            "40000.1" if expected == "0.1" else "40000.137"
        )
    given = tmp_path / "given"
    given.mkdir()
    lines = c.spot([Depth(0, [odd, *whole], [("90000.5", "1")], snapshot=True), Trade(10, 1, "90000.5", "1")])
    _, _, report = _import(given, "binance-raw", "BTC/USDT", {"x": lines}, tick=Decimal("0.1"))
    assert report["problems"] == ["price 40000.137 in x:1 is off the tick 0.1: moved to the nearest"]
