"""Bybit's and OKX's order book archives, captures of Bybit and Hyperliquid: made by hand, row by row."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.core.market.tape import Flag, Kind
from storage.recordings.session import SessionReader
from tests.captures import MS, T0_MS, kinds
from tests.unit.importers.test_bar_files_of_others import imported

Pairs = list[tuple[str, str]]
BIDS: Pairs = [("100.1", "3"), ("100.0", "2")]
ASKS: Pairs = [("100.2", "4"), ("100.4", "9")]


def bybit(
    k: int, kind: str, bids: Pairs, asks: Pairs, number: int, name: str = "BTCUSDT", depth: int = 500
) -> Any:
    """The message of the k-th tenth of a second."""
    data = {"s": name, "b": bids, "a": asks, "u": number, "seq": 7 * number}
    ts = T0_MS + 100 * k
    return {"topic": f"orderbook.{depth}.{name}", "ts": ts, "type": kind, "data": data, "cts": ts - 3}


def okx(k: int, action: str, bids: Pairs, asks: Pairs, name: str = "BTC-USDT") -> Any:
    sides = {side: [[p, q, "1"] for p, q in pairs] for side, pairs in (("asks", asks), ("bids", bids))}
    return {"instId": name, "action": action, "ts": str(T0_MS + 100 * k), **sides}


def lines(messages: list[Any], stamped: bool = False) -> bytes:
    """``stamped``: received 5 ms after they were sent, as a collector writes them."""
    out = []
    for message in messages:
        data = message.get("data")
        sent = message.get("ts") or (data["time"] if isinstance(data, dict) and "time" in data else T0_MS)
        if isinstance(data, list) and "time" in data[-1]:
            sent = data[-1]["time"]
        out.append((b"%d " % ((int(sent) + 5) * MS) if stamped else b"") + orjson.dumps(message) + b"\n")
    return b"".join(out)


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2023-11-14_BTCUSDT_ob500.data", data)
    return out.getvalue()


def tarred(data: bytes, count: int = 1) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for k in range(count):
            member = tarfile.TarInfo(f"BTC-USDT-L2orderbook-400lv-2023-11-1{k}.data")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def tape(folder: Path) -> tuple[Any, Any]:
    reader = SessionReader(folder / "session")
    return reader.instruments[0], reader.events()


def levels(instrument: Any, rows: Any) -> list[tuple[int, Decimal, Decimal]]:
    mine = rows[rows["kind"] == Kind.LEVEL]
    return [
        (int(r["side"]), instrument.price(int(r["price_ticks"])), instrument.quantity(int(r["qty_lots"])))
        for r in mine
    ]


SHOWN = [
    (1, Decimal("100.1"), Decimal(3)),
    (1, Decimal("100.0"), Decimal(2)),
    (-1, Decimal("100.2"), Decimal(4)),
    (-1, Decimal("100.4"), Decimal(9)),
    (1, Decimal("100.1"), Decimal(0)),
    (-1, Decimal("100.2"), Decimal("0.5")),
]
CHANGE: tuple[Pairs, Pairs] = ([("100.1", "0")], [("100.2", "0.5")])
ARCHIVES = {
    "bybit.zip": (
        zipped(lines([bybit(0, "snapshot", BIDS, ASKS, 9), bybit(1, "delta", *CHANGE, 10)])),
        ("bybit", 3),
    ),
    "okx.tar.gz": (
        tarred(lines([okx(0, "snapshot", BIDS, ASKS), okx(1, "update", *CHANGE)])),
        ("okx", 0),
    ),
    "okx.data": (lines([okx(0, "snapshot", BIDS, ASKS), okx(1, "update", *CHANGE)]), ("okx", 0)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_a_book_at_the_exchange_times(tmp_path: Path, name: str) -> None:
    """A snapshot and a change, without --format: received when they were sent, nothing lost."""
    data, (exchange, ahead_ms) = ARCHIVES[name]
    (tmp_path / name).write_bytes(data)
    code, said, report = imported(tmp_path, tmp_path / name)
    assert code == 0, said
    assert (report["format"], report["snapshots"], report["depth_updates"]) == ("book-archive", 1, 1)
    assert (report["lines"], report["gaps"], report["clock_offset_ns"]) == (2, 0, 0)
    instrument, rows = tape(tmp_path)
    assert instrument.exchange == exchange
    assert levels(instrument, rows) == SHOWN
    assert kinds(rows) == ["SNAPSHOT_BEGIN", *["LEVEL"] * 4, "SNAPSHOT_END", "LEVEL", "LEVEL"]
    assert rows["recv_ns"].tolist() == [T0_MS * MS] * 6 + [(T0_MS + 100) * MS] * 2
    assert rows["exch_ns"][-1] == (T0_MS + 100 - ahead_ms) * MS
    assert [bool(f & Flag.LAST) for f in rows["flags"]] == [False] * 5 + [True, False, True]


def test_a_hole_of_numbered_updates_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    """Thirty updates show that Bybit counts them; 32 to 34 are missing, and 35 is of a book nobody knows."""
    rows = [bybit(0, "snapshot", BIDS, ASKS, 1)]
    rows += [bybit(k, "delta", [("100.0", str(k))], [], k + 1) for k in range(1, 31)]
    rows += [bybit(31, "delta", [("100.0", "50")], [], 35), bybit(32, "delta", [], [], 36)]
    rows += [bybit(40, "snapshot", BIDS, ASKS, 90), bybit(41, "delta", [("100.0", "1")], [], 91)]
    (tmp_path / "x.data").write_bytes(lines(rows))
    code, said, report = imported(tmp_path, tmp_path / "x.data")
    assert code == 0, said
    assert (report["gaps"], report["book_updates_lost"], report["depth_unsynced"]) == (1, 3, 2)
    assert any(text.startswith("x.data:32: ") for text in report["problems"]), report["problems"]
    _, events = tape(tmp_path)
    edges = events[(events["kind"] == Kind.GAP_BEGIN) | (events["kind"] == Kind.GAP_END)]
    assert kinds(edges) == ["GAP_BEGIN", "GAP_END"]
    assert edges["qty_lots"].tolist() == [0, 3]
    assert edges["recv_ns"].tolist() == [(T0_MS + 3100) * MS, (T0_MS + 4000) * MS]
    assert all(flags & Flag.BOOK for flags in edges["flags"])


def test_updates_that_are_not_counted_make_no_gaps(tmp_path: Path) -> None:
    """Ids in steps of seven are times, not counts: nothing is missing."""
    rows = [bybit(0, "snapshot", BIDS, ASKS, 1)]
    rows += [bybit(k, "delta", [("100.0", str(k))], [], 7 * k) for k in range(1, 40)]
    (tmp_path / "x.data").write_bytes(lines(rows))
    code, said, report = imported(tmp_path, tmp_path / "x.data")
    assert code == 0, said
    assert (report["gaps"], report["depth_updates"]) == (0, 39)


def test_anchors_of_okx_and_days_that_join_are_no_gaps(tmp_path: Path) -> None:
    """A snapshot within a file, and one that begins the next day's; one an hour later is a gap."""
    first = [okx(0, "snapshot", BIDS, ASKS), okx(1, "update", *CHANGE), okx(2, "snapshot", BIDS, ASKS)]
    for at, gaps in ((30, 0), (36_000, 1)):
        second = [okx(at, "snapshot", BIDS, ASKS), okx(at + 1, "update", *CHANGE)]
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "1.data").write_bytes(lines(first))
        (folder / "2.data").write_bytes(lines(second))
        argv = ["import", str(folder / "2.data"), str(folder / "1.data"), "--symbol", "BTC/USDT", "--json"]
        done = CliRunner().invoke(app, [*argv, "--out", str(folder / "s")])
        assert done.exit_code == 0, done.output
        report = orjson.loads(done.stdout)
        assert (report["gaps"], report["snapshots"]) == (gaps, 3)


def test_a_book_and_its_trades_are_one_session(tmp_path: Path) -> None:
    """Bybit's archive with its file of trades: each trade before the update that came after it."""
    rows = [bybit(0, "snapshot", BIDS, ASKS, 1)]
    rows += [bybit(k, "delta", [("100.1", str(3 + k % 2))], [], k + 1) for k in range(1, 600)]
    (tmp_path / "x.data.zip").write_bytes(zipped(lines(rows)))
    header = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
    )
    prints = [
        f"{(T0_MS + 100 * k + 50) / 1000:.4f},BTCUSDT,Buy,0.5,100.2,ZeroPlusTick,m{k},1,1,1"
        for k in range(600)
    ]
    (tmp_path / "BTCUSDT.csv.gz").write_bytes(gzip.compress("\n".join([header, *prints, ""]).encode()))
    out = tmp_path / "session"
    files = [str(tmp_path / "x.data.zip"), str(tmp_path / "BTCUSDT.csv.gz")]
    done = CliRunner().invoke(
        app, ["import", *files, "--symbol", "BTC/USDT:USDT", "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["trades"], report["depth_updates"], report["gaps"]) == (600, 599, 0)
    assert (report["tick"], report["lot"], report["recv_steps_back"]) == ("0.1", "0.1", 0)
    _, events = tape(tmp_path)
    assert (events["recv_ns"][1:] >= events["recv_ns"][:-1]).all()
    trades = events[events["kind"] == Kind.TRADE]
    assert trades["exch_ns"].tolist() == [(T0_MS + 100 * k + 50) * MS for k in range(600)]
    assert set(trades["side"].tolist()) == {1}
    times = ["--interval", "10s", "--min-duration", "20s", "--max-duration", "30s"]
    done = CliRunner().invoke(app, ["replay", str(out), "--quantity", "1", "--algo", "twap", *times])
    assert done.exit_code == 0, done.output
    assert "modelled" not in done.stdout


def _trade(k: int, **other: Any) -> dict[str, Any]:
    at = T0_MS + 100 * k
    found = {"T": at, "s": "BTCUSDT", "S": "Sell", "v": "0.02", "p": "100.1", "L": "MinusTick", "i": f"a-{k}"}
    return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": at + 1, "data": [{**found, **other}]}


def test_a_capture_of_bybit(tmp_path: Path) -> None:
    """Two depths, trades twice over, answers of the exchange: the deepest book, each trade once."""
    twice = _trade(2)
    twice["data"] += _trade(3)["data"]
    rows = [
        {"success": True, "ret_msg": "", "conn_id": "x", "op": "subscribe", "ts": T0_MS},
        bybit(0, "snapshot", BIDS[:1], ASKS[:1], 5, depth=1),
        bybit(0, "snapshot", BIDS, ASKS, 1, depth=50),
        _trade(1),
        bybit(2, "delta", *CHANGE, 2, depth=50),
        twice,
        _trade(3),
        bybit(4, "snapshot", BIDS, ASKS, 77, depth=50),
    ]
    (tmp_path / "x.gz").write_bytes(gzip.compress(lines(rows, stamped=True)))
    code, said, report = imported(tmp_path, tmp_path / "x.gz", symbol="BTC/USDT:USDT")
    assert code == 0, said
    assert (report["format"], report["lines"]) == ("bybit-raw", 8)
    assert (report["trades"], report["trade_duplicates"], report["other_streams"]) == (3, 1, 2)
    assert (report["snapshots"], report["depth_updates"], report["gaps"]) == (2, 1, 1)
    assert any("orderbook.1" in text for text in report["problems"])
    instrument, events = tape(tmp_path)
    trades = events[events["kind"] == Kind.TRADE]
    assert trades["side"].tolist() == [-1] * 3
    assert [instrument.price(int(t)) for t in trades["price_ticks"]] == [Decimal("100.1")] * 3
    assert trades["recv_ns"].tolist()[0] == (T0_MS + 106) * MS


def hyper(k: int, coin: str = "HYPE") -> list[dict[str, Any]]:
    at = T0_MS + 100 * k
    sides = [[{"px": p, "sz": q, "n": 1} for p, q in pairs] for pairs in (BIDS, ASKS)]
    trade = {
        "coin": coin,
        "side": "A" if k % 2 else "B",
        "px": "100.1",
        "sz": "0.5",
        "time": at,
        "tid": 77 + k,
    }
    return [
        {"channel": "l2Book", "data": {"coin": coin, "time": at, "levels": sides}},
        {"channel": "trades", "data": [trade]},
    ]


def test_a_capture_of_hyperliquid(tmp_path: Path) -> None:
    """Each book whole, none of them a gap; the trades of another coin and the answers are counted."""
    rows = [{"channel": "subscriptionResponse", "data": {"method": "subscribe", "time": T0_MS}}]
    rows += [message for k in range(4) for message in hyper(k)] + hyper(5, "BTC") + hyper(3)[1:]
    (tmp_path / "x.gz").write_bytes(gzip.compress(lines(rows, stamped=True)))
    code, said, report = imported(tmp_path, tmp_path / "x.gz", symbol="HYPE/USDC:USDC")
    assert code == 0, said
    assert (report["format"], report["snapshots"], report["trades"]) == ("hyperliquid-raw", 4, 4)
    assert (report["other_symbols"], report["trade_duplicates"], report["gaps"]) == (2, 1, 0)
    instrument, events = tape(tmp_path)
    assert instrument.exchange == "hyperliquid"
    assert levels(instrument, events)[:4] == SHOWN[:4]
    trades = events[events["kind"] == Kind.TRADE]
    assert (trades["ext_id"].tolist(), trades["side"].tolist()) == ([77, 78, 79, 80], [1, -1, 1, -1])


REFUSED = [
    ([bybit(0, "snapshot", BIDS, ASKS, 1, name="BTCUSD")], "BTC/USDT", False, "other symbols: BTCUSD"),
    (
        [okx(0, "snapshot", BIDS, ASKS, name="BTC-USDT-SWAP")],
        "BTC/USDT",
        False,
        "other symbols: BTC-USDT-SWAP",
    ),
    ([okx(0, "snapshot", BIDS, ASKS)], "BTC/USDT:USDT", False, "other symbols: BTC-USDT"),
    (
        [okx(0, "snapshot", BIDS, ASKS, name="BTC-USDT-SWAP")],
        "BTC/USDT:USDT",
        False,
        "give --contract-size in BTC",
    ),
    ([bybit(0, "snapshot", BIDS, ASKS, 1), _trade(1)], "BTC/USDT", True, "the trades are of a contract"),
    (hyper(1), "HYPE/USDC", True, "other symbols: HYPE"),
]


@pytest.mark.parametrize(("messages", "symbol", "stamped", "words"), REFUSED)
def test_what_is_another_market_is_refused(
    tmp_path: Path, messages: list[Any], symbol: str, stamped: bool, words: str
) -> None:
    """Another symbol or kind of market, contracts of a size nobody knows: no session, and the reason."""
    (tmp_path / "x.data").write_bytes(lines(messages, stamped))
    code, said, _ = imported(tmp_path, tmp_path / "x.data", symbol=symbol)
    assert code != 0
    assert words in said
    assert not (tmp_path / "session").exists()


def test_an_inverse_book_of_bybit_counts_dollars(tmp_path: Path) -> None:
    """BTCUSD in contracts of one dollar, settled in bitcoin."""
    (tmp_path / "x.data").write_bytes(lines([bybit(0, "snapshot", BIDS, ASKS, 1, name="BTCUSD")]))
    code, said, report = imported(tmp_path, tmp_path / "x.data", symbol="BTC/USD:BTC")
    assert code == 0, said
    instrument, _ = tape(tmp_path)
    assert (instrument.inverse, instrument.multiplier, report["market"]) == (True, Decimal(1), "inverse")


def test_prices_of_ten_decimals_are_read_exactly(tmp_path: Path) -> None:
    """As of OKX's tokens of many zeros."""
    bids, asks = [("0.0000000101", "5000000")], [("0.0000000102", "7000000")]
    (tmp_path / "x.data").write_bytes(lines([okx(0, "snapshot", bids, asks, name="PEPE-USDT")]))
    code, said, report = imported(tmp_path, tmp_path / "x.data", symbol="PEPE/USDT")
    assert code == 0, said
    instrument, rows = tape(tmp_path)
    assert report["tick"] == "0.0000000001"
    assert [price for _, price, _ in levels(instrument, rows)] == [Decimal(bids[0][0]), Decimal(asks[0][0])]


def test_changes_without_a_snapshot_are_no_book(tmp_path: Path) -> None:
    """Said first where trades make a session, and as the reason where nothing does."""
    rows = [bybit(k, "delta", *CHANGE, k, depth=50) for k in range(1, 5)]
    with_trades = [rows[0], _trade(1), rows[1], _trade(2), _trade(3)]
    (tmp_path / "x.gz").write_bytes(gzip.compress(lines(with_trades, stamped=True)))
    code, said, report = imported(tmp_path, tmp_path / "x.gz", symbol="BTC/USDT:USDT")
    assert code == 0, said
    assert report["problems"][0].startswith("no snapshot: the session has no book")
    (tmp_path / "y.data").write_bytes(lines([okx(k, "update", *CHANGE) for k in range(1, 5)]))
    code, said, _ = imported(tmp_path / "y", tmp_path / "y.data")
    assert code != 0
    assert "4 changes of a book and no snapshot" in said


def test_bad_lines_are_named_and_an_archive_cut_off_keeps_what_came_before(tmp_path: Path) -> None:
    """Half a line, a price of 0, no levels at all; a tar of two files is refused."""
    rows = [okx(0, "snapshot", BIDS, ASKS)] + [
        okx(k, "update", [("100.0", str(k))], []) for k in range(1, 3000)
    ]
    whole = tarred(lines(rows))
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    code, said, report = imported(tmp_path, tmp_path / "x.tar.gz")
    assert code == 0, said
    assert (report["bad_lines"], 100 < report["depth_updates"] < 2990) == (1, True)
    bad = lines(rows[:5]) + b'{"instId":"BTC-USDT"}\n[1]\n' + lines([okx(9, "update", [("0", "1")], [])])
    (tmp_path / "y.data").write_bytes(bad)
    code, said, report = imported(tmp_path / "y", tmp_path / "y.data")
    assert code == 0, said
    assert (report["bad_lines"], report["lines"]) == (3, 8)
    assert "y.data:6: KeyError" in report["problems"][0]
    (tmp_path / "z.tar.gz").write_bytes(tarred(lines(rows[:3]), count=2))
    code, said, _ = imported(tmp_path / "z", tmp_path / "z.tar.gz")
    assert code != 0
    assert "holds several files: unpack it" in said
