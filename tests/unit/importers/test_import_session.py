"""The session that an import makes: its units, what it says was done, and what making it takes."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.terminal.imported.import_tables import render_import
from connectors.importers.formats import loader
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import BLOCK_ROWS, ImportRequest
from storage.recordings.session import SessionHeader, SessionWriter
from tests import captures as c
from tests.captures import Depth, Trade, import_lines


def test_contract_size_that_nobody_knows(tmp_path: Path) -> None:
    """Contracts of an exchange not known here need --contract-size, and it is used and recorded."""
    book, _ = c.tardis(exchange="okex-swap", symbol="BTC-USDT-SWAP")
    with pytest.raises(
        InputError, match=r"BTC/USDT:USDT on okex-swap is worth .* give --contract-size in BTC"
    ):
        import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book})
    units: dict[str, Any] = {"contract_size": Decimal("0.01")}
    instrument, _, report = import_lines(tmp_path, "tardis-csv", "BTC/USDT:USDT", {"b.csv": book}, **units)
    assert (instrument.multiplier, instrument.exchange, report["contract_size"]) == (
        Decimal("0.01"),
        "okx",
        "0.01",
    )


@pytest.mark.parametrize("kind", ["binance-raw", "tardis-csv"])
def test_prices_off_the_given_tick(tmp_path: Path, kind: str) -> None:
    """Prices that the given tick does not divide are refused: how many, where first, and what would fit."""
    files = {"x.csv": c.spot() if kind == "binance-raw" else c.tardis(exchange="binance")[0]}
    with pytest.raises(InputError, match=r"tick 0.2 .* multiples of 0.1 \(\d+ rows; 100.1 in x.csv:\d"):
        import_lines(tmp_path, kind, "BTC/USDT", files, tick=Decimal("0.2"))
    least = Decimal("1e-9" if kind == "binance-raw" else "1e-13")
    with pytest.raises(InputError, match=f"tick {least} is not allowed"):
        import_lines(tmp_path, kind, "BTC/USDT", files, tick=least)


def test_a_lot_that_nothing_tells(tmp_path: Path) -> None:
    """Without one size there is no lot to infer, and it is asked for."""
    lines = c.spot([Depth(0, [("100.1", "0")], [], snapshot=True)])
    with pytest.raises(InputError, match=r"no lot can be inferred: .* give --lot-size"):
        import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.csv": lines})
    instrument, _, _ = import_lines(
        tmp_path, "binance-raw", "BTC/USDT", {"x.csv": lines}, lot=Decimal("0.001")
    )
    assert instrument.lot == Decimal("0.001")


def test_the_session_says_what_was_done(tmp_path: Path) -> None:
    """session.json keeps the report that the command prints."""
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [b"garbage\n", *c.spot()]})
    header = orjson.loads((tmp_path / "session" / "session.json").read_bytes())
    assert header["import"] == {k: v for k, v in report.items() if k != "session"}
    assert header["import"]["problems"][0].startswith("x.gz:1: ValueError")
    for name in ("session", "events", "trades", "levels", "gaps", "crossed", "clock_offset_ns"):
        assert name in report


def test_the_report_in_words(tmp_path: Path) -> None:
    """The terminal names what was made, what was wrong and by which rule it was mended, and the lines."""
    lines = c.spot()
    del lines[1]
    _, _, report = import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": [b"garbage\n", *lines]})
    console = Console(width=120, record=True, file=io.StringIO())
    session = Path(report.pop("session"))
    render_import(ImportReport(**report), session, console)
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
    import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": c.spot()})
    with pytest.raises(InputError, match="already holds a session: choose another --out"):
        import_lines(tmp_path, "binance-raw", "BTC/USDT", {"x.gz": c.spot()})


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
def test_progress_is_told(tmp_path: Path, kind: str) -> None:
    """Whoever watches is told the bytes read, up to all of the files."""
    book, trades = c.tardis()
    files = {"x.gz": c.futures()} if kind == "binance-raw" else {"b.csv.gz": book, "t.csv": trades}
    seen: list[int] = []
    import_lines(tmp_path, kind, "BTC/USDT:USDT", files, watch=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum((tmp_path / name).stat().st_size for name in files)


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
        instrument, tape, report = import_lines(folder, "binance-raw", "BTC/USDT", {"x": lines})
        assert instrument.tick == Decimal(expected)
        assert report["prices_rounded"] == (1 if expected == "0.1" else 0)
        assert instrument.price(int(tape["price_ticks"][1])) == Decimal(
            "40000.1" if expected == "0.1" else "40000.137"
        )
    given = tmp_path / "given"
    given.mkdir()
    lines = c.spot([Depth(0, [odd, *whole], [("90000.5", "1")], snapshot=True), Trade(10, 1, "90000.5", "1")])
    _, _, report = import_lines(given, "binance-raw", "BTC/USDT", {"x": lines}, tick=Decimal("0.1"))
    assert report["problems"] == ["price 40000.137 in x:1 is off the tick 0.1: moved to the nearest"]


def test_an_impossible_price_is_marked(tmp_path: Path) -> None:
    """Ten times every price around it: on the tape as recorded, with the live feed's mark, and counted."""
    prices = ["60001.0", "60000.5", "600010.0", "60001.5"]
    trades = [Trade(10 + n, 1 + n, text, "1") for n, text in enumerate(prices)]
    book = Depth(0, [("60000.0", "1")], [("60001.0", "1")], snapshot=True)
    instrument, tape, report = import_lines(
        tmp_path, "binance-raw", "BTC/USDT", {"x": c.spot([book, *trades])}
    )
    rows = tape[tape["kind"] == Kind.TRADE]
    assert [instrument.price(int(p)) for p in rows["price_ticks"]] == [Decimal(p) for p in prices]
    assert (rows["flags"] & Flag.IMPOSSIBLE > 0).tolist() == [False, False, True, False]
    assert report["prices_impossible"] == 1
