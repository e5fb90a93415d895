"""What is wrong with files that are imported: counted, named with file and line, mended or refused."""

from __future__ import annotations

import dataclasses
import json
import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pytest

from agent.app.importing import import_files
from agent.core.errors import InputError
from agent.core.market.tape import Flag, Kind
from connectors.importers.import_report import ImportReport
from tests import captures as c
from tests.captures import EVENTS, MS, T0_MS, Depth, Event, Trade, import_lines, kinds


def test_futures_break_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    """``pu`` that is not the ``u`` before it opens a gap; the diff that ends at the next snapshot goes on."""
    lines = c.futures()
    del lines[3]  # a diff
    again = c.futures([Depth(350, [("100.0", "1")], [("100.5", "1")], snapshot=True)])
    lines.insert(-1, again[0].replace(b'"lastUpdateId":100', b'"lastUpdateId":127'))
    _, events, report = import_lines(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": lines})
    assert (report["gaps"], report["book_updates_lost"], report["depth_updates"]) == (1, 9, 3)
    assert report["problems"][0] == "x.gz:6: book updates 110 to 118 are missing"
    gap = events[np.isin(events["kind"], (Kind.GAP_BEGIN, Kind.GAP_END))]
    assert gap["flags"].tolist() == [Flag.BOOK | Flag.LAST] * 2
    assert kinds(events)[-8:] == ["SNAPSHOT_END", "GAP_END", *["LEVEL"] * 6]


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
        import_lines(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert not (tmp_path / "session").exists()


EMPTY = [
    ("binance-raw", [], r"no Binance spot messages of BTC/USDT in f.csv \(0 lines\)"),
    ("tardis-csv", [], r"f.csv:1: '' are not the columns of a Tardis file"),
    ("tardis-csv", c.spot(), r"f.csv:1: .* are not the columns of a Tardis file: give one with"),
    (
        "binance-raw",
        c.tardis()[0],
        r"f.csv: no line is one of a raw Binance capture.* \(first: f.csv:1: ValueError",
    ),
    ("tardis-csv", c.tardis(symbol="ETHUSDT")[0], r"they hold binance-futures BTCUSDT|ETHUSDT"),
    ("tardis-csv", c.tardis()[0][:1], r"no rows of BTC/USDT \(spot\) in f.csv \(1 lines\)"),
    ("parquet", c.spot(), r"format 'parquet' is not known: choose one of binance-raw, bybit-raw"),
]


@pytest.mark.parametrize(("kind", "lines", "message"), EMPTY)
def test_empty_file_or_another_format(tmp_path: Path, kind: str, lines: list[bytes], message: str) -> None:
    """An empty file, one of another format, exchange or symbol is refused in one message."""
    with pytest.raises(InputError, match=message):
        import_lines(tmp_path, kind, "BTC/USDT", {"f.csv": lines})
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
    trades[2:2] = [trades[2].replace(b",1\n", b",0\n"), trades[2].replace(b"100.1", b"1.1234567890123")]
    files = {"book.csv": book, "trades.csv": [*trades[:-1], trades[-1][:60]]}
    _, events, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", files)
    assert (report["bad_lines"], report["other_symbols"], report["trades"]) == (9, 1, 2)
    named = [p.split(": ")[0] for p in report["problems"]]
    assert sorted(named) == sorted(
        [*(f"book.csv:{n}" for n in range(7, 13)), "trades.csv:3", "trades.csv:4", "trades.csv:6"]
    )
    assert len(events) == len(c.rows()) - 1
    kept = report["headers"] + report["book_rows"] + report["trades"]
    assert kept + report["bad_lines"] + report["other_symbols"] == report["lines"]


def test_only_the_word_that_it_has_subscribed_is_passed_over(tmp_path: Path) -> None:
    """An error that the exchange answered a request with is a bad line, which is named."""
    lines = c.spot()
    lines[1:1] = [c.line(10, {"result": None, "id": 1}, 0), c.line(11, {"error": {"code": 2}, "id": 2}, 0)]
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert (report["bad_lines"], report["other_streams"]) == (1, 1)
    assert report["problems"][0].startswith("x.gz:3: ")


def test_the_least_price_that_eight_decimals_hold_is_one(tmp_path: Path) -> None:
    """A coin at a hundred-millionth is traded and quoted; nothing of it is dropped as no price."""
    least = [
        Depth(0, [("0.00000001", "3")], [("0.00000002", "4")], snapshot=True),
        Trade(130, 7, "0.00000001", "3", side=-1),
        Depth(300, [("0.00000001", "5")], []),
    ]
    book, trades = c.tardis(least)
    instrument, events, report = import_lines(
        tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book, "t.csv": trades}
    )
    assert report["bad_lines"] == 0
    lots = events[events["price_ticks"] == 1]["qty_lots"]
    assert instrument.price(1) == Decimal("0.00000001")
    assert [instrument.quantity(int(each)) for each in lots] == [3, 3, 5]


def test_tardis_rows_before_the_snapshot_and_a_second_one(tmp_path: Path) -> None:
    """Changes before the first snapshot are dropped; a later snapshot says that the book was lost: a gap."""
    early = Depth(-50, [("50.0", "1")], [])
    again = Depth(350, [("100.0", "1")], [("100.5", "1")], snapshot=True)
    book, trades = c.tardis([early, *EVENTS[:-1], again, EVENTS[-1]])
    _, events, report = import_lines(
        tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book, "t.csv": trades}
    )
    assert (report["book_rows_unsynced"], report["gaps"]) == (1, 1)
    assert report["problems"] == ["b.csv:14: a new snapshot: the book was not followed until here"]
    around = kinds(events)[-8:]
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
    trades = c.tardis(events, "binance")[1]
    _, tape, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT", {"t.csv": trades})
    counted = ("trades", "trade_duplicates", "gaps", "trades_missing", "trades_late")
    assert [report[name] for name in counted] == [5, 1, 1, 1, 1]
    assert tape["ext_id"].tolist() == [1, 2, 2, 2, 5, 6, 4]
    assert tape["qty_lots"].tolist() == [1, 1, 0, 2, 1, 1, 1]
    assert tape["flags"].tolist()[-2:] == [Flag.LAST | Flag.LATE, Flag.LAST]


def test_torn_tardis_file(tmp_path: Path) -> None:
    """A gz cut off gives its whole lines; the break is named with file and line."""
    lines = c.tardis(
        [Trade(10 * i, i, f"{100 + i % 7}.{i % 10}", f"{1 + i * 7919 % 1009}") for i in range(3000)]
    )[1]
    path = c.write(tmp_path / "t.csv.gz", lines)
    path.write_bytes(path.read_bytes()[:-400])
    report = import_files([path], "tardis-csv", "BTC/USDT:USDT", tmp_path / "session").to_json()
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
    _, events, report = import_lines(tmp_path, kind, "BTC/USDT", files)
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
    _, tape, report = import_lines(tmp_path, kind, "BTC/USDT", files)
    assert report["recv_steps_back"] == 1
    assert np.all(np.diff(tape["recv_ns"]) >= 0)
    assert len(tape) == len(c.rows()) + 1
    line = 4 if kind == "binance-raw" else 7
    assert report["problems"][0].startswith(f"x.csv:{line}: received ")


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
            _, events, report = import_lines(folder, name, symbol, broken)
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
    _, events, report = import_lines(
        tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [*lines[:2], years, *lines[3:]]}
    )
    assert (report["bad_lines"], report["recv_steps_back"], report["gaps"]) == (1, 0, 0)
    assert events["recv_ns"][-1] < (T0_MS + 1000) * MS
    later = c.spot([Trade(10_000_000, 10, "100.1", "1")])
    (tmp_path / "later").mkdir()
    _, events, report = import_lines(
        tmp_path / "later", "binance-raw", "BTC/USDT", {"x.gz": [*lines, *later]}
    )
    assert (report["bad_lines"], report["trades"]) == (0, 4)
    (tmp_path / "reset").mkdir()
    wrong = lines[2].replace(b"17000", b"16000", 1)  # the recorder's clock was wrong at first
    _, _, report = import_lines(tmp_path / "reset", "binance-raw", "BTC/USDT", {"x.gz": [wrong, *lines[1:]]})
    assert (report["bad_lines"], report["trades"], report["trade_duplicates"]) == (1, 3, 1)


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
    instrument, tape, report = import_lines(tmp_path, kind, "PEPE/USDT", files)
    assert (instrument.tick, instrument.lot) == (Decimal("0.00000001"), Decimal(1000))
    assert (report["bad_lines"], report["gaps"], report["sizes_clipped"]) == (0, 0, 2)
    assert int(tape["qty_lots"].max()) == 40_000_000_000 // 1000


def test_prices_beyond_what_an_integer_holds(tmp_path: Path) -> None:
    """A price that large is a broken line."""
    lines = c.spot([*EVENTS, Trade(500, 10, "300000000000.0", "1")])
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["problems"] == [
        "x.gz:9: ValueError: 300000000000.0 is out of range: from 0 to below 46,116,860,184 can be held"
    ]


def test_a_book_that_is_never_whole_again(tmp_path: Path) -> None:
    """A gap that no snapshot closes, and a capture without any, are the first thing that is said."""
    lines = c.spot()
    del lines[3]
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["problems"][0] == "no snapshot follows book update 105: from there on the book is not known"
    (tmp_path / "none").mkdir()
    _, _, report = import_lines(tmp_path / "none", "binance-raw", "BTC/USDT", {"x.gz": lines[1:]})
    assert report["problems"][0] == "no snapshot: the session has no book, and no order can trade on it"


@pytest.mark.parametrize("framed", [True, False])
def test_a_snapshot_is_of_the_symbol_that_its_file_names(tmp_path: Path, framed: bool) -> None:
    """Written anew with blanks, or of single streams: a book of BTCUSDT is none of BTC/USD."""
    lines = []
    for line in c.spot():
        stamp, _, text = line.partition(b" ")
        message = orjson.loads(text)
        message = message if framed else message.get("data", message)
        lines.append(stamp + b" " + json.dumps(message).encode() + b"\n")
    with pytest.raises(InputError, match="other symbols: BTCUSDT"):
        import_lines(tmp_path, "binance-raw", "BTC/USD", {"x": lines})
