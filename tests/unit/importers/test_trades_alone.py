"""Trades without a book: archives as people download them, imported by the command line and traded on."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.feather
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.config import Bars, Order
from agent.core.events import ChildFilled, SlippageMeasured
from agent.core.market.tape import Flag, Kind
from agent.venue.bars.bars_of_trades import bars_of_trades
from connectors.importers.formats import FORMATS
from storage.recordings.session import SessionReader
from tests.bar_sessions import config, of, run
from tests.captures import spot, tardis
from tests.fuzz.import_files import KINDS
from tests.unit.importers.test_bar_files_of_others import PLAIN, imported

START_S = 1_718_863_200  # 2024-06-20T06:00:00Z
# after the start (ms), price, amount, taker bought: 0, then a second without a trade, then 2 and 2
TRADES = (
    (100, "100.1", "0.5", True),
    (900, "100.3", "0.25", False),
    (2000, "99.9", "1", True),
    (2999, "100", "2", True),
)


def _agg(k: int, unit: int = 1) -> str:
    at, price, amount, bought = TRADES[k]
    waited = str(not bought).lower()
    return f"{50 + k},{price},{amount},{70 + k},{70 + k},{(START_S * 1000 + at) * unit},{waited}"


def _rows(header: str, rows: list[str]) -> bytes:
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


AGG = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


def _bybit(k: int, symbol: str = "BTCUSDT") -> str:
    at, price, amount, bought = TRADES[k]
    side = "Buy" if bought else "Sell"
    return f"{START_S + at / 1000:.4f},{symbol},{side},{amount},{price},PlusTick,m-{k},1,1,1"


def _clock(at_ms: int) -> str:
    at = datetime.fromtimestamp(START_S + at_ms / 1000, UTC)
    return f"{at:%Y%m%d},{at:%H:%M:%S}.{at_ms % 1000:03d}"


def _freqtrade() -> bytes:
    rows = [
        [START_S * 1000 + at, str(k), None, "buy" if bought else "sell", float(price), float(amount), 1.0]
        for k, (at, price, amount, bought) in enumerate(TRADES)
    ]
    return orjson.dumps(rows)


FILES = {
    "aggTrades with header": ("BTCUSDT-aggTrades.csv", _rows(AGG, [_agg(k) for k in range(4)])),
    "aggTrades of spot in us": ("x.csv", _rows("", [_agg(k, 1000) + ",true" for k in range(4)])),
    "trades": (
        "BTCUSDT-trades.csv",
        _rows("", [f"{k},{p},{a},1,{START_S * 1000 + t},{not b}" for k, (t, p, a, b) in enumerate(TRADES)]),
    ),
    "Bybit, newest first": (
        "BTCUSDT.csv.gz",
        gzip.compress(_rows(BYBIT, [_bybit(3), _bybit(2), _bybit(1), _bybit(0), _bybit(1, "BTCUSDC")])),
    ),
    "a date and a time of day": (
        "x.csv",
        _rows(
            "Date,Time,Price,Volume,Side",
            [_clock(t) + f",{p},{a},{'buy' if b else 'sell'}" for t, p, a, b in TRADES],
        ),
    ),
    "freqtrade JSON": ("x.json", _freqtrade()),
}


def tape_of(folder: Path) -> Any:
    return SessionReader(folder / "session").events()


@pytest.mark.parametrize("name", FILES)
def test_trades_are_the_tape(tmp_path: Path, name: str) -> None:
    """Each in order of time with its price, amount, side and, where it is a number, id; without --format."""
    file, data = FILES[name]
    (tmp_path / file).write_bytes(data)
    code, said, report = imported(tmp_path, tmp_path / file)
    assert code == 0, said
    assert (report["format"], report["trades"], report["gaps"]) == ("trades", 4, 0)
    assert (report["tick"], report["lot"]) == ("0.1", "0.01")
    rows = tape_of(tmp_path)
    assert rows["exch_ns"].tolist() == [(START_S * 1000 + at) * 10**6 for at, _, _, _ in TRADES]
    assert rows["recv_ns"].tolist() == rows["exch_ns"].tolist()
    assert rows["price_ticks"].tolist() == [1001, 1003, 999, 1000]
    assert rows["qty_lots"].tolist() == [50, 25, 100, 200]
    assert rows["side"].tolist() == [1, -1, 1, 1]
    assert set(rows["kind"].tolist()) == {Kind.TRADE}
    if "aggTrades" in name:
        assert rows["ext_id"].tolist() == [50, 51, 52, 53]


def _kraken(folder: Path, count: int = 60) -> tuple[Path, Any]:
    """A session of 5 every second at 100 and 101 in turn, no ids and no sides, and its report."""
    file = folder / "x.csv"
    file.write_bytes(_rows("", [f"{START_S + k},{100 + k % 2},5" for k in range(count)]))
    code, said, report = imported(folder, file)
    assert code == 0, said
    return folder / "session", report


def test_an_order_trades_on_them_and_says_how(tmp_path: Path) -> None:
    """A minute of a trade a second: the order completes, and its fills are said to be modelled."""
    path, report = _kraken(tmp_path)
    times = ["--interval", "5s", "--min-duration", "10s", "--max-duration", "20s"]
    order = ["--quantity", "2", "--side", "buy", "--algo", "twap", "--shadow", "vwap", *times]
    done = CliRunner().invoke(app, ["replay", str(path), *order])
    assert done.exit_code == 0, done.output
    assert "trades-only session: fills are modelled at the VWAP of each 1s of trades" in done.stdout
    assert "the last close" in done.stdout
    assert any("fills are modelled" in text for text in report["problems"])


def test_fills_are_at_the_price_of_the_trades_half_a_spread_worse(tmp_path: Path) -> None:
    """Slices of two seconds hold 5 at 100 and 5 at 101: 100.5 and 10 bps; what needs a book is not there."""
    path, _ = _kraken(tmp_path)
    order = Order(
        side="buy",
        quantity=Decimal(4),
        benchmark="vwap",
        min_duration=20 * 10**9,
        max_duration=20 * 10**9,
        interval=10 * 10**9,
        algo="twap",
        shadows=(),
    )
    units = Bars(half_spread_bps=Decimal(10))
    done, events = run(path, config(order, units), start=datetime.fromtimestamp(START_S + 10, UTC))
    fills = of(events, ChildFilled)
    assert {fill.price_model for fill in fills} == {"trades:vwap"}
    money = sum(Fraction(fill.price_ticks * fill.qty_lots) for fill in fills)
    lots = sum(fill.qty_lots for fill in fills)
    assert lots == 4  # of 1: trades of 5 show no finer lot
    assert 100.5 * 1.001 <= money / lots <= 101
    rows = of(events, SlippageMeasured)
    assert {row.used_price for row in rows if row.benchmark == "vwap"} == {100.5}
    for row in rows:
        assert row.measures["effective_spread_bps"] is None
        assert row.reasons["markout_1s_bps"].startswith("trades alone show no book")
        assert all({"trades_only", "modelled_spread"} <= set(flags) for flags in row.flags.values())
        assert "bars_only" not in str(row.flags)
    assert done.notes[0].startswith("trades-only session")


def test_missing_ids_are_a_gap_of_the_tape_and_mark_the_measures(tmp_path: Path) -> None:
    """Of 120 numbered trades of spot two are gone: a gap of two; of futures they may never have been."""
    file = tmp_path / "x.csv"
    rows = [f"{k},{100 + k % 2},1,{k},{k},{START_S * 1000 + 500 * k},false" for k in range(120)]
    del rows[50:52]
    file.write_bytes(_rows(AGG, rows))
    code, said, report = imported(tmp_path, file)
    assert code == 0, said
    assert (report["gaps"], report["trades_missing"]) == (1, 2)
    tape = tape_of(tmp_path)
    edges = tape[tape["kind"] != Kind.TRADE]
    assert edges["kind"].tolist() == [Kind.GAP_BEGIN, Kind.GAP_END]
    assert (edges["ext_id"].tolist(), edges["qty_lots"].tolist()) == ([49, 49], [0, 2])
    assert edges["exch_ns"].tolist() == [(START_S + 26) * 10**9] * 2
    assert not edges["price_ticks"].any()
    assert not edges["side"].any()
    times = ["--interval", "5s", "--min-duration", "20s", "--max-duration", "20s", "--quantity", "2"]
    for start, holed in ((START_S + 15, True), (START_S + 35, False)):
        at = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        done = CliRunner().invoke(app, ["replay", str(tmp_path / "session"), *times, "--start", at, "--json"])
        assert done.exit_code == 0, done.output
        assert ("trades are missing in 3 bars" in done.stdout) is holed
        assert ('"gap"' in done.stdout) is holed
    code, said, report = imported(tmp_path / "futures", file, symbol="BTC/USDT:USDT")
    assert code == 0, said
    assert (report["gaps"], report["trades_missing"], report["ids_off_market"]) == (0, 0, 2)


def test_a_tape_of_trades_is_cut_joined_and_looked_at(tmp_path: Path) -> None:
    """Two halves make the whole again, and the half is traded on."""
    path, _ = _kraken(tmp_path, 120)
    for name, span in (("a", ["--to", "60s"]), ("b", ["--from", "60s"])):
        argv = ["sessions", "slice", str(path), *span, "--out", str(tmp_path / name)]
        assert CliRunner().invoke(app, argv).exit_code == 0
    both = [str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c")]
    done = CliRunner().invoke(app, ["sessions", "merge", *both])
    assert done.exit_code == 0, done.output
    whole, again = (SessionReader(p).events() for p in (path, tmp_path / "c"))
    for name in ("recv_ns", "price_ticks", "qty_lots", "kind"):
        assert again[name].tolist() == whole[name].tolist()
    done = CliRunner().invoke(app, ["sessions", "inspect", str(tmp_path / "c")])
    assert done.exit_code == 0, done.output
    times = ["--interval", "5s", "--min-duration", "10s", "--max-duration", "20s", "--quantity", "2"]
    done = CliRunner().invoke(app, ["replay", str(tmp_path / "b"), *times])
    assert done.exit_code == 0, done.output


def test_files_that_overlap_give_each_trade_once(tmp_path: Path) -> None:
    """Two days' files that share a trade, the later given first; an id that is nowhere is counted."""
    late, early = tmp_path / "2.csv", tmp_path / "1.csv"
    rows = [f"{k},{100 + k},1,{k},{k},{START_S * 1000 + 50 * k},false" for k in range(40)]
    del rows[30]
    early.write_bytes(_rows(AGG, rows[:20]))
    late.write_bytes(_rows(AGG, rows[19:]))
    out = tmp_path / "s"
    files = [str(late), str(early), "--symbol", "BTC/USDT", "--out", str(out), "--json"]
    report = orjson.loads(CliRunner().invoke(app, ["import", *files]).stdout)
    assert (report["trades"], report["trade_duplicates"], report["trades_missing"]) == (39, 1, 1)


def test_trades_without_an_id_are_not_copies_of_each_other(tmp_path: Path) -> None:
    """Four trades, of which two bear no id: all are kept. Of two with the same, one is, and it is said."""
    file = tmp_path / "x.csv"
    rows = [f"{i},{START_S + k},{100 + k},1" for k, i in enumerate(("7", "", "", "8"))]
    file.write_bytes(_rows("id,time,price,amount", rows))
    code, said, report = imported(tmp_path / "a", file)
    assert code == 0, said
    assert (report["trades"], report["trade_duplicates"]) == (4, 0)
    file.write_bytes(_rows("id,time,price,amount", [*(row for row in rows if row[0] != ","), rows[-1]]))
    argv = ["import", str(file), "--symbol", "BTC/USDT", "--out", str(tmp_path / "b")]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    assert "a trade id seen before: dropped" in done.output


REFUSED = [
    (_rows("", [f"{START_S}000,104.0,107.0"]), "BTC/USDT", "holds one trade of BTC/USDT, which is no market"),
    (
        b"symbol,time,level,side,price,size\nBTCUSDT,1718863200,1,bid,100,2\n",
        "BTC/USDT",
        "shows the levels of a book (column level), not trades",
    ),
    (_rows(BYBIT, [_bybit(0, "ETHUSDT")]), "BTC/USDT", "it has ETHUSDT"),
    (_rows(AGG, [_agg(0).replace("100.1", "0")]), "BTC/USDT", "row 1 has price 0"),
    (_rows(AGG, [_agg(0)]), "BTC/USD:BTC", "trades alone of inverse contracts"),
    (
        _rows(
            "instrument_name,trade_id,side,price,size,created_time", [f"BTC-USDT-SWAP,1,buy,1,1,{START_S}000"]
        ),
        "BTC/USDT:USDT",
        "give --contract-size in BTC",
    ),
    (
        _rows(
            "instrument_name,trade_id,side,price,size,created_time",
            [f"BTC-USDT-241227,1,buy,1,1,{START_S}000"],
        ),
        "BTC/USDT:USDT-241227",
        "amounts of BTC-USDT-241227 are contracts",
    ),
]


@pytest.mark.parametrize(("data", "symbol", "words"), REFUSED)
def test_trades_that_are_refused(tmp_path: Path, data: bytes, symbol: str, words: str) -> None:
    """Another symbol, a price of 0, inverse contracts, contracts of a size nobody knows."""
    (tmp_path / "x.csv").write_bytes(data)
    code, said, _ = imported(tmp_path, tmp_path / "x.csv", "--format", "trades", symbol=symbol)
    assert code != 0
    assert words in said


def test_a_file_that_names_no_market_does_not_hide_the_contracts_of_another(tmp_path: Path) -> None:
    """The first of two files names OKX's swap, the second nothing."""
    row = f"1,buy,1,1,{START_S}000"
    header = "trade_id,side,price,size,created_time"
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_bytes(_rows(f"instrument_name,{header}", [f"BTC-USDT-SWAP,{row}"]))
    two.write_bytes(_rows(header, [row.replace("1,", "2,", 1)]))
    files = [str(one), str(two), "--symbol", "BTC/USDT:USDT", "--out", str(tmp_path / "s")]
    done = CliRunner().invoke(app, ["import", *files])
    assert done.exit_code != 0
    assert "amounts of BTC-USDT-SWAP are contracts" in str(done.exception)


def test_dated_contracts_of_binance_are_counted_in_coins(tmp_path: Path) -> None:
    """Their names have no hyphens, and no size is asked for."""
    file = tmp_path / "x.csv"
    rows = [f"BTCUSDT_241227,{k},buy,1,1,{START_S}00{k}" for k in (1, 2)]
    file.write_bytes(_rows("symbol,id,side,price,qty,time", rows))
    code, said, report = imported(tmp_path, file, symbol="BTC/USDT:USDT-241227")
    assert code == 0, said
    assert report["contract_size"] == "1"


@pytest.mark.parametrize("price", ["1e20", "1e300"])
@pytest.mark.parametrize("size", [(), ("--tick-size", "0.1", "--lot-size", "1e-8")])
def test_a_price_that_no_integer_holds_is_refused(tmp_path: Path, price: str, size: tuple[str, ...]) -> None:
    """A digit too many, of a trade or of a bar in which nothing traded: its time is named, nothing wraps."""
    file = tmp_path / "x.csv"
    rows = [f"{START_S + k},{price if k == 3 else 100},5" for k in range(60)]
    bars = [f"{START_S + 60 * k},100,{price if k == 3 else 101},99,100,{k % 3}" for k in range(9)]
    header = "time,open,high,low,close,volume"
    told = ((_rows("", rows), "at 2024-06-20 06:00:03"), (_rows(header, bars), "the bar of 2024-06-20 06:03"))
    for data, words in told:
        file.write_bytes(data)
        code, said, _ = imported(tmp_path, file, *size)
        assert code != 0
        assert words in said.replace("T", " ")
        assert "ticks x lots" in said


TICKER = b"exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,mark_price\n"
BOOK = b'{"topic":"funding.BTCUSDT","ts":1,"type":"snapshot","data":{}}\n'
LOOKS = [
    (b"".join(spot()), "binance-raw"),
    (b"".join(tardis(exchange="binance")[0]), "tardis-csv"),
    (PLAIN, "klines"),
    (FILES["trades"][1], "trades"),
    *((make()[next(iter(make()))], kind) for make, symbol, kind in KINDS.values() if symbol == "BTC/USDT"),
]


@pytest.mark.parametrize(("data", "kind"), LOOKS)
def test_a_file_is_looked_at(tmp_path: Path, data: bytes, kind: str) -> None:
    """Without --format it is read as what it is; as anything else the answer names what it is."""
    file = tmp_path / "x.dat"
    file.write_bytes(data)
    code, said, report = imported(tmp_path / "right", file)
    assert code == 0, said
    assert report["format"] == kind
    for other in FORMATS.keys() - {kind}:
        code, said, _ = imported(tmp_path / other, file, "--format", other)
        assert code != 0
        assert f"give --format {kind}" in said, said


UNREAD = [
    (TICKER, "a Tardis file of another kind"),
    (BOOK, "JSON lines of funding.BTCUSDT, as a book archive has them"),
    (b"hello\nworld\n", "text that begins with 'hello'"),
    (b"", "empty"),
]


@pytest.mark.parametrize(("data", "words"), UNREAD)
def test_what_no_format_reads_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    """What it looks like, and what the formats take."""
    file = tmp_path / "x.dat"
    file.write_bytes(data)
    code, said, _ = imported(tmp_path, file)
    assert code != 0
    assert words in said
    assert "klines bars of any source" in said


def test_tardis_trades_are_read_by_either_format(tmp_path: Path) -> None:
    """Looked at, they are Tardis'; --format trades takes them without a book."""
    file = tmp_path / "x.csv"
    file.write_bytes(b"".join(tardis(exchange="binance")[1]))
    for format_, given in (("tardis-csv", ()), ("trades", ("--format", "trades"))):
        code, said, report = imported(tmp_path / format_, file, *given)
        assert code == 0, said
        assert (report["format"], report["trades"]) == (format_, 3)


def test_an_hour_of_trades_is_worth_no_more_than_can_be_counted(tmp_path: Path) -> None:
    """Each fits, and those of two hours together would not; those of one hour are refused."""
    half = 2**61 + 2**60  # of the 2^62 that one hour may hold
    for apart_s, fits in ((3600, True), (1, False)):
        file = tmp_path / f"{apart_s}.csv"
        rows = [f"{START_S + k * apart_s},{half // 10**9},{10**9}" for k in range(2)]
        file.write_bytes(_rows("", rows))
        code, said, _ = imported(tmp_path / str(apart_s), file, "--tick-size", "1", "--lot-size", "1")
        assert (code == 0) is fits, said
        assert fits or "the trades of an hour are worth" in said


def test_a_tardis_line_with_stamps_of_other_days_is_unreadable(tmp_path: Path) -> None:
    """Two hours between sending and receiving: such a clock is none."""
    odd = f"binance,BTCUSDT,{START_S * 10**6},{(START_S + 7200) * 10**6},9,buy,1,5\n".encode()
    lines = [tardis(exchange="binance")[1][0], *_tardis_priced("1", "2", "1", "2"), odd]
    (tmp_path / "x.csv").write_bytes(b"".join(lines))
    code, said, report = imported(tmp_path, tmp_path / "x.csv", "--format", "tardis-csv")
    assert (code, report["trades"], report["bad_lines"]) == (0, 4, 1), said


def test_the_smallest_price_of_a_tardis_file_is_one(tmp_path: Path) -> None:
    """0.00000001, as some coins are worth; a price of nothing is unreadable."""
    lines = [tardis(exchange="binance")[1][0], *_tardis_priced("0.00000001", "0.00000002", "0")]
    (tmp_path / "x.csv").write_bytes(b"".join(lines))
    code, said, report = imported(tmp_path, tmp_path / "x.csv", "--format", "tardis-csv")
    assert (code, report["trades"], report["tick"]) == (0, 2, "0.00000001"), said


def _tardis_priced(*prices: str) -> list[bytes]:
    """A trade a millisecond at these prices."""
    return [
        f"binance,BTCUSDT,{START_S * 10**6 + k * 1000},{START_S * 10**6 + k * 1000},{k},buy,{p},5\n".encode()
        for k, p in enumerate(prices)
    ]


def test_feather_is_looked_at_by_its_columns(tmp_path: Path) -> None:
    """Trades in a feather file, as freqtrade stores them."""
    table = {"timestamp": [START_S * 1000 + t for t, _, _, _ in TRADES], "side": ["buy"] * 4}
    table |= {"price": [float(p) for _, p, _, _ in TRADES], "amount": [float(a) for _, _, a, _ in TRADES]}
    pyarrow.feather.write_feather(pa.table(table), tmp_path / "x.feather")
    code, said, report = imported(tmp_path, tmp_path / "x.feather")
    assert code == 0, said
    assert (report["format"], report["trades"]) == ("trades", 4)


def test_a_price_that_cannot_be_is_marked_and_makes_no_bar(tmp_path: Path) -> None:
    """One of ten times the others: kept on the tape, told, and in no bar that an order is worked on."""
    rows = [f"{k},{100 + k % 3},1,{k},{k},{START_S * 1000 + k * 500},true" for k in range(100)]
    rows[60] = f"60,1001,1,60,60,{START_S * 1000 + 30_000},true"
    file = tmp_path / "BTCUSDT-aggTrades-2024-06-20.csv"
    file.write_bytes(_rows(AGG, rows))
    code, said, report = imported(tmp_path, file)
    assert (code, report["prices_impossible"]) == (0, 1), said
    events = tape_of(tmp_path)
    assert events["price_ticks"][events["flags"] & int(Flag.IMPOSSIBLE) > 0].tolist() == [1001]
    assert bars_of_trades(events, 10**10)["high_ticks"].max() == 102
