"""One list of market events, written in every format, gives the same tape."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Kind
from storage.recordings.session import SessionReader
from tests import captures as c
from tests.captures import EVENTS, MS, T0_MS, Depth, Trade, import_lines, tape_rows
from tests.loaded_captures import load
from tests.realdata import capture_files
from tests.unit.importers.test_bar_files_of_others import imported

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
    instrument, events, report = import_lines(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert report["clock_offset_ns"] == -c.DELAY_MS * MS
    assert tape_rows(instrument, events) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
    assert (instrument.exchange, instrument.symbol) == (exchange, symbol)
    assert (instrument.multiplier, instrument.inverse) == (Decimal(size), inverse)
    assert (instrument.tick, instrument.lot) == (Decimal("0.1"), Decimal(1))
    assert (report["lines"], report["gaps"], report["crossed"], report["bad_lines"]) == (len(lines), 0, 0, 0)
    market = "inverse" if inverse else "linear" if ":" in symbol else "spot"
    assert (report["format"], report["market"]) == ("binance-raw", market)


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
    instrument, events, report = import_lines(tmp_path, "tardis-csv", symbol, files)
    assert tape_rows(instrument, events) == c.rows()
    assert report["clock_offset_ns"] == 0
    assert (instrument.multiplier, instrument.inverse) == (Decimal(size), symbol.endswith("BTC"))
    assert report["lines"] == len(book) + len(trades) == report["headers"] + report["book_rows"] + 3
    assert events[events["kind"] == Kind.TRADE]["ext_id"].tolist() == [7, 8, 9]


def test_real_capture_as_tardis_files(tmp_path: Path) -> None:
    """The real BTCUSDT capture written as Tardis files gives the rows that the capture itself gives."""
    instrument, events, _ = load(capture_files("btcusdt")[:1], "BTC/USDT")
    events = events[events["kind"] != Kind.BBO]
    files = _tardis_of(instrument, events[:60_000])
    _, made, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT", files)
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


def test_futures_id_that_only_touches_is_no_hole(tmp_path: Path) -> None:
    """Futures ids jump between diffs without anything missing: only ``pu`` counts."""
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": c.futures()})
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
    _, events, report = import_lines(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": lines})
    counted = ("mark_prices", "force_orders", "trades_off_market", "trades_other_kind", "gaps", "bad_lines")
    assert [report[name] for name in counted] == [1, 1, 1, 1, 0, 0]
    assert events[events["kind"] == Kind.TRADE]["ext_id"].tolist() == [7, 8, 9, 11]


def test_book_tickers_of_futures_are_stamped(tmp_path: Path) -> None:
    """A futures bookTicker bears the exchange's time, and it is used."""
    data = {"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "100.1", "B": "3", "a": "100.2", "A": "4"}
    ticker = c.line(50, c.stream("BTCUSDT", "bookTicker", data | {"E": T0_MS + 50, "T": T0_MS + 49}))
    _, events, _ = import_lines(tmp_path, "binance-raw", "BTC/USDT:USDT", {"x.gz": [*c.futures(), ticker]})
    best = events[events["kind"] == Kind.BBO]
    assert best["exch_ns"].tolist() == [(T0_MS + 49 + c.DELAY_MS) * MS] * 2
    assert best["qty_lots"].tolist() == [3, 4]


def test_ids_that_are_no_numbers(tmp_path: Path) -> None:
    """Ids of other exchanges are hashed, each to its own number, and never judged for holes."""
    trades = c.tardis([Trade(i, i, "100.1", "1") for i in range(4)], "bitmex", "XBTUSD")[1]
    ids = (b"00000000-006d-1000-0000-000c3ff9a1bb", b"00000000-006d-1000-0000-000c3ff9a1bc", b"", b"9")
    named = [trades[0]]
    named += [line.replace(b",%d,buy" % i, b",%s,buy" % ids[i]) for i, line in enumerate(trades[1:])]
    _, events, report = import_lines(tmp_path, "tardis-csv", "BTC/USD:BTC", {"t.csv.gz": named})
    assert (report["trades"], report["gaps"], len(set(events["ext_id"].tolist()))) == (4, 0, 4)


def test_days_of_tardis_files_join(tmp_path: Path) -> None:
    """Files of two days in any order are joined by time, and the second day's snapshot is no gap."""
    day = 86_400_000
    events = [replace(e, at_ms=e.at_ms + day) for e in EVENTS]
    second = [replace(e, number=e.number + 3) if isinstance(e, Trade) else e for e in events]
    files: dict[str, list[bytes]] = {}
    for name, part in (("2", second), ("1", EVENTS)):
        files[f"book{name}.csv"], files[f"trades{name}.csv.gz"] = c.tardis(part)
    instrument, tape, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", files)
    once = c.rows()
    again = [(kind, at + day, sent + day, *rest) for kind, at, sent, *rest in once]
    assert tape_rows(instrument, tape) == once + again
    assert (report["gaps"], report["trades_missing"], report["headers"]) == (0, 0, 4)


def test_files_of_two_symbols(tmp_path: Path) -> None:
    """A spot snapshot names no symbol: it is of the one that its file names; another's is not mixed in."""
    other = [Depth(5, [("2000.1", "3")], [("2000.2", "4")], snapshot=True), Depth(50, [("2000.1", "1")], [])]
    files = {"eth.gz": c.spot(other, "ETHUSDT"), "btc.gz": c.spot()}
    instrument, tape, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", files)
    assert tape_rows(instrument, tape) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
    assert (report["snapshots"], report["other_symbols"], report["crossed"]) == (1, 2, 0)


TWO_MARKETS = [
    ("coinbase", "BTC/USD", "BTC-USD", "BTC-USDT"),
    ("coinbase", "BTC/USDT", "BTC-USDT", "BTC-USD"),
    ("deribit", "BTC/USD:BTC", "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"),
    ("deribit", "BTC/USD:BTC-241227", "BTC-27DEC24", "BTC-28MAR25"),
    ("deribit", "BTC/USDC", "BTC_USDC", "BTC_USDC-PERPETUAL"),
    ("bitmex", "BTC/USD:BTC", "XBTUSD", "XBTUSDT"),
    ("bitmex", "BTC/USD:BTC-241227", "XBTZ24", "XBTUSD"),
    ("bybit", "BTC/USDT:USDT", "BTCUSDT", "BTCUSDT-27DEC24"),
    ("cryptofacilities", "BTC/USD:BTC", "PI_XBTUSD", "PF_XBTUSD"),
    ("kraken", "BTC/USD", "XBT/USD", "XBT/USDT"),
    ("kraken", "BAT/USD", "BAT/USD", "BATH/USD"),
]


@pytest.mark.parametrize(("exchange", "symbol", "name", "other"), TWO_MARKETS)
def test_a_grouped_file_gives_the_rows_of_its_symbol(
    tmp_path: Path, exchange: str, symbol: str, name: str, other: str
) -> None:
    """Another market whose name begins alike comes first in the file, and is counted as another symbol."""
    mine = c.tardis([Trade(10, 1, "100.1", "1"), Trade(20, 2, "100.2", "2")], exchange, name)[1]
    theirs = c.tardis([Trade(0, 8, "900.1", "7"), Trade(30, 9, "900.2", "7")], exchange, other)[1]
    lines = [theirs[0], theirs[1], *mine[1:], theirs[2]]
    files, size = {"t.csv": lines}, Decimal(1)
    instrument, tape, report = import_lines(tmp_path, "tardis-csv", symbol, files, contract_size=size)
    assert [instrument.price(int(t)) for t in tape["price_ticks"]] == [Decimal("100.1"), Decimal("100.2")]
    assert (report["trades"], report["other_symbols"]) == (2, 2)


NOT_OF_IT = [
    ("bitmex", "BTC/USD", "XBTUSD"),
    ("bitmex", "ETH/USD:ETH", "ETHUSD"),
    ("kraken", "BTC/USD", "XBT/USDT"),
]


@pytest.mark.parametrize(("exchange", "symbol", "name"), NOT_OF_IT)
def test_a_name_of_another_kind_of_market_is_refused(
    tmp_path: Path, exchange: str, symbol: str, name: str
) -> None:
    """A contract is not spot, a quanto settles in bitcoin, USDT is not USD: what the file holds is named."""
    trades = c.tardis([Trade(0, 1, "100.1", "1")], exchange, name)[1]
    with pytest.raises(InputError, match=f"no rows of {symbol} .* they hold {exchange} {name}"):
        import_lines(tmp_path, "tardis-csv", symbol, {"t.csv": trades})


def test_a_book_of_snapshots_only(tmp_path: Path) -> None:
    """Three snapshots and nothing else: each replaces the one before, none is crossed, none ends a gap."""
    books = [
        Depth(200 * k, [(f"{100 + k}.1", "3")], [(f"{100 + k}.2", "4")], snapshot=True) for k in range(3)
    ]
    book = c.tardis(books)[0]
    _, tape, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book})
    assert c.kinds(tape) == ["SNAPSHOT_BEGIN", "LEVEL", "LEVEL", "SNAPSHOT_END"] * 3
    assert tape["price_ticks"][tape["kind"] == Kind.LEVEL].tolist() == [1001, 1002, 1011, 1012, 1021, 1022]
    assert (report["gaps"], report["crossed"], report["book_rows"]) == (0, 0, 6)
    assert np.unique(tape["recv_ns"]).size == 3


def test_prices_of_nine_decimals(tmp_path: Path) -> None:
    """0.000010236 is 10236 ticks of 1e-9, in the book and in trades; nothing is dropped."""
    events = [
        Depth(0, [("0.000010235", "3")], [("0.000010236", "4"), ("0.00001024", "9")], snapshot=True),
        Trade(10, 7, "0.000010236", "3"),
    ]
    book, trades = c.tardis(events, "bybit-spot", "PEPEUSDT")
    files = {"b.csv": book, "t.csv": trades}
    instrument, tape, report = import_lines(tmp_path, "tardis-csv", "PEPE/USDT", files)
    assert (instrument.tick, report["bad_lines"], report["tick"]) == (Decimal("1e-9"), 0, "0.000000001")
    assert tape["price_ticks"].tolist() == [0, 10235, 10236, 10240, 0, 10236]


def test_a_tick_of_nine_decimals_may_be_given(tmp_path: Path) -> None:
    """By the command line, for a market whose tick is 1e-9: the same ticks as inferred."""
    events = [Trade(10, 7, "0.000010236", "3"), Trade(11, 8, "0.00001", "3")]
    file = c.write(tmp_path / "t.csv", c.tardis(events, "bybit-spot", "PEPEUSDT")[1])
    code, said, report = imported(tmp_path, file, "--tick-size", "0.000000001", symbol="PEPE/USDT")
    assert code == 0, said
    assert (report["tick"], report["bad_lines"]) == ("0.000000001", 0)
    assert SessionReader(tmp_path / "session").events()["price_ticks"].tolist() == [10236, 10000]


def test_ids_that_futures_leave_out_are_no_gap(tmp_path: Path) -> None:
    """Off-book trades have ids too: 5 and 8 are missing and no gap; two hundred in a row are one."""
    numbers = [3, 4, 6, 7, 9, 210]
    trades = c.tardis([Trade(10 * i, n, "100.1", "1") for i, n in enumerate(numbers)])[1]
    _, tape, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"t.csv": trades})
    assert (report["ids_off_market"], report["gaps"], report["trades_missing"]) == (2, 1, 200)
    assert c.kinds(tape)[-3:] == ["GAP_BEGIN", "GAP_END", "TRADE"]


def test_a_late_trade_of_futures_is_no_copy(tmp_path: Path) -> None:
    """4, 8 and 9 come late into small holes and are kept, the second 8 is dropped; 12 never was a trade."""
    numbers = [1, 2, 3, 5, 4, 6, 7, 10, 8, 9, 8, 11, 13]
    trades = c.tardis([Trade(10 * i, n, "100.1", "1") for i, n in enumerate(numbers)])[1]
    _, tape, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"t.csv": trades})
    assert tape["ext_id"].tolist() == [1, 2, 3, 5, 4, 6, 7, 10, 8, 9, 11, 13]
    assert (report["trade_duplicates"], report["ids_off_market"], report["gaps"]) == (1, 1, 0)


def test_receive_stamps_of_every_unit(tmp_path: Path) -> None:
    """The collector stamped in microseconds until 2023: the same tape as of nanoseconds."""
    for digits in (13, 16, 19):
        folder = tmp_path / str(digits)
        folder.mkdir()
        lines = [line[:digits] + line[19:] for line in c.spot()]
        instrument, events, report = import_lines(folder, "binance-raw", "BTC/USDT", {"x.gz": lines})
        assert tape_rows(instrument, events) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
        assert report["bad_lines"] == 0


def test_a_stamp_of_another_unit_than_the_file_s_is_bad(tmp_path: Path) -> None:
    """One line in microseconds among nanoseconds is a broken stamp, and named."""
    lines = c.spot()
    lines[-1] = lines[-1][:16] + lines[-1][19:]
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["bad_lines"] == 1
    assert "is not in nanoseconds since 1970" in report["problems"][0]


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_streams_of_their_own(tmp_path: Path, market: str) -> None:
    """Messages without the combined stream's frame give the same tape; an answer to SUBSCRIBE is none."""
    framed = c.spot() if market == "spot" else c.futures()
    lines = []
    for line in framed:
        stamp, _, text = line.partition(b" ")
        message = orjson.loads(text)
        lines.append(stamp + b" " + orjson.dumps(message.get("data", message)) + b"\n")
    lines.insert(1, lines[0].partition(b" ")[0] + b' {"result":null,"id":1}\n')
    symbol = "BTC/USDT" if market == "spot" else "BTC/USDT:USDT"
    instrument, events, report = import_lines(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert tape_rows(instrument, events) == c.rows(shift_ms=c.DELAY_MS, stamped_snapshots=False)
    assert (report["bad_lines"], report["other_streams"]) == (0, 1)


PARTIAL = [
    ("BTC/USDT", {"lastUpdateId": 160}, ("bids", "asks")),
    ("BTC/USDT:USDT", {"e": "depthUpdate", "E": T0_MS, "T": T0_MS, "U": 1, "u": 160, "pu": 9}, ("b", "a")),
]


@pytest.mark.parametrize(("symbol", "head", "names"), PARTIAL)
def test_partial_books_are_snapshots(
    tmp_path: Path, symbol: str, head: dict[str, Any], names: tuple[str, str]
) -> None:
    """depth20 sends the best levels whole: each is the book, and an older one is dropped."""
    last = "lastUpdateId" if "lastUpdateId" in head else "u"
    lines = []
    for k, update in enumerate((160, 170, 165)):
        sides = {names[0]: [["100.1", str(3 + k)]], names[1]: [["100.2", "4"]]}
        lines.append(c.line(100 * k, c.stream("BTCUSDT", "depth20@100ms", {**head, last: update, **sides})))
    _, events, report = import_lines(tmp_path, "binance-raw", symbol, {"x.gz": lines})
    assert c.kinds(events) == ["SNAPSHOT_BEGIN", "LEVEL", "LEVEL", "SNAPSHOT_END"] * 2
    assert events["qty_lots"].tolist() == [0, 3, 4, 0, 0, 4, 4, 0]
    assert (report["snapshots"], report["snapshots_old"], report["other_streams"]) == (2, 1, 0)


def test_a_capture_without_a_book_says_so(tmp_path: Path) -> None:
    """Trades and candles alone: no book, and the stream that is not read is named."""
    lines = [
        *c.spot([Trade(10, 1, "100.1", "1")]),
        c.line(20, c.stream("BTCUSDT", "kline_1m", {"e": "kline"})),
    ]
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": lines})
    assert report["problems"][0].startswith("no book in the files: the session has no book")
    assert report["problems"][1] == "streams that are not read: kline_1m"


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_next_to_nothing_makes_no_session(tmp_path: Path, kind: str) -> None:
    """One line of five that can be read is no market: refused, with the first that could not be."""
    trade = Trade(10, 1, "100.1", "1")
    lines = c.spot([trade]) if kind == "binance-raw" else c.tardis([trade], "binance")[1]
    with pytest.raises(InputError, match=r"[45] of \d lines could not be read.*x.csv:[23]"):
        import_lines(tmp_path, kind, "BTC/USDT", {"x.csv": [*lines, *[b"something,else\n"] * 4]})
    assert not (tmp_path / "session").exists()
