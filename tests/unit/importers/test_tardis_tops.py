"""Tardis' quotes and book_snapshot_N: each line is a book as it stood, on the tape as a snapshot."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.core.market.tape import Kind
from storage.recordings.session import SessionReader
from tests.captures import T0_MS, tardis
from tests.unit.importers.test_bar_files_of_others import imported

FIRST = "exchange,symbol,timestamp,local_timestamp"
QUOTES = f"{FIRST},ask_amount,ask_price,bid_price,bid_amount"


def header_of(levels: int) -> str:
    parts = [
        f"{side}[{k}].{what}"
        for k in range(levels)
        for side in ("asks", "bids")
        for what in ("price", "amount")
    ]
    return ",".join([FIRST, *parts])


def line(k: int, cells: str, exchange: str = "binance", symbol: str = "BTCUSDT") -> str:
    """The k-th line, a tenth of a second after the one before, received 2 ms after it was sent."""
    sent_us = (T0_MS + 100 * k) * 1000
    return f"{exchange},{symbol},{sent_us},{sent_us + 2000},{cells}"


def written(path: Path, header: str, lines: list[str]) -> Path:
    data = "\n".join([header, *lines, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def books(folder: Path) -> list[list[tuple[int, Decimal, Decimal]]]:
    """(side, price, size) of the levels of each snapshot on the tape."""
    reader = SessionReader(folder / "session")
    unit, found = reader.instruments[0], list[list[tuple[int, Decimal, Decimal]]]()
    for row in reader.events():
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            found.append([])
        elif row["kind"] == Kind.LEVEL:
            price, size = row["price_ticks"] * unit.tick, row["qty_lots"] * unit.lot
            found[-1].append((int(row["side"]), Decimal(price), Decimal(size)))
    return found


def test_quotes_are_books_of_one_level(tmp_path: Path) -> None:
    """Amount before price of the ask, price before amount of the bid; an empty side is no level."""
    cells = ["2,100.3,100.1,3", "2.5,100.4,100.1,3", ",,100.2,1"]
    other = line(3, "2,30.3,30.1,3", symbol="ETHUSDT")
    file = written(tmp_path / "q.csv.gz", QUOTES, [*(line(k, c) for k, c in enumerate(cells)), other])
    code, said, report = imported(tmp_path, file)
    assert code == 0, said
    assert (report["format"], report["snapshots"], report["other_symbols"]) == ("tardis-csv", 3, 1)
    assert (report["tick"], report["lot"]) == ("0.1", "0.1")
    assert books(tmp_path) == [
        [(1, Decimal("100.1"), Decimal(3)), (-1, Decimal("100.3"), Decimal(2))],
        [(1, Decimal("100.1"), Decimal(3)), (-1, Decimal("100.4"), Decimal("2.5"))],
        [(1, Decimal("100.2"), Decimal(1))],
    ]
    tape = SessionReader(tmp_path / "session").events()
    assert set(tape["recv_ns"].tolist()) == {(T0_MS + 100 * k + 2) * 10**6 for k in range(3)}
    assert tape["exch_ns"][1] == T0_MS * 10**6


@pytest.mark.parametrize("levels", [5, 25])
def test_snapshots_hold_all_their_levels(tmp_path: Path, levels: int) -> None:
    """Bids from the best down, then asks from the best up; the last level may be missing on one side."""
    full = ",".join(f"{101 + k / 10:.1f},{k + 1},{100 - k / 10:.1f},{k + 2}" for k in range(levels))
    short = full.rsplit(",", 2)[0] + ",,"
    file = written(tmp_path / "s.csv", header_of(levels), [line(0, full), line(1, short)])
    code, said, report = imported(tmp_path, file)
    assert code == 0, said
    bids = [(1, Decimal(f"{100 - k / 10:.1f}"), Decimal(k + 2)) for k in range(levels)]
    asks = [(-1, Decimal(f"{101 + k / 10:.1f}"), Decimal(k + 1)) for k in range(levels)]
    assert books(tmp_path) == [[*bids, *asks], [*bids[:-1], *asks]]
    assert report["events"] == 2 * (2 * levels + 2) - 1


def test_an_order_trades_on_quotes_and_trades(tmp_path: Path) -> None:
    """Top of book and trades are a session with a book: fills are the book's, not modelled ones."""
    rows = [line(k, f"50,100.{3 + k % 2},100.{1 + k % 2},50") for k in range(600)]
    quotes = written(tmp_path / "q.csv", QUOTES, rows)
    prints = [line(k, f"{k},buy,100.3,5") for k in range(600)]
    trades = written(tmp_path / "t.csv", f"{FIRST},id,side,price,amount", prints)
    out = tmp_path / "session"
    argv = ["import", str(quotes), str(trades), "--symbol", "BTC/USDT", "--out", str(out)]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    times = ["--interval", "10s", "--min-duration", "20s", "--max-duration", "30s"]
    done = CliRunner().invoke(app, ["replay", str(out), "--quantity", "5", "--algo", "twap", *times])
    assert done.exit_code == 0, done.output
    assert "modelled" not in done.stdout
    assert "COMPLETED" in done.stdout.upper()


BAD = [
    ("2,0,100.1,3", "a price of 0"),
    ("2,-1,100.1,3", "negative"),
    ("2,100.3,100.1", "a field too few"),
    ("2,100.3,100.1,3,4", "a field too many"),
    (",100.3,100.1,3", "a price without an amount"),
    (",,,", "nothing"),
    ("2,1e400,100.1,3", "no number"),
]


@pytest.mark.parametrize(("cells", "why"), BAD)
def test_a_line_that_is_no_book_is_counted_and_named(tmp_path: Path, cells: str, why: str) -> None:
    """One of four: the others make the session."""
    rows = [line(k, "2,100.3,100.1,3") for k in range(3)]
    file = written(tmp_path / "q.csv", QUOTES, [rows[0], line(1, cells), *rows[1:]])
    code, said, report = imported(tmp_path, file)
    assert code == 0, (said, why)
    assert (report["bad_lines"], report["snapshots"]) == (1, 3)
    assert "q.csv:3" in report["problems"][0]


def test_finer_prices_are_read_again(tmp_path: Path) -> None:
    """Nine decimals and more, as of tokens of many zeros."""
    file = written(tmp_path / "q.csv", QUOTES, [line(k, "2,0.000000012,0.0000000115,3") for k in range(3)])
    code, said, report = imported(tmp_path, file)
    assert code == 0, said
    assert report["tick"] == "0.0000000001"
    assert books(tmp_path)[0][0][1] == Decimal("0.0000000115")


def test_two_books_of_one_market_are_refused(tmp_path: Path) -> None:
    """Quotes beside incremental_book_L2 would be one book made of two."""
    quotes = written(tmp_path / "q.csv", QUOTES, [line(0, "2,100.3,100.1,3")])
    book = tmp_path / "b.csv"
    book.write_bytes(b"".join(tardis(exchange="binance")[0]))
    argv = ["import", str(book), str(quotes), "--symbol", "BTC/USDT", "--out", str(tmp_path / "s")]
    done: Any = CliRunner().invoke(app, argv)
    assert done.exit_code != 0
    assert "b.csv and q.csv both show the book" in str(done.exception)
    assert not (tmp_path / "s").exists()
