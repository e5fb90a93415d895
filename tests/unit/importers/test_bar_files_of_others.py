"""Bars in the forms in which people have them, imported by the command line: each bar in its place."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.feather
import pytest
from typer.testing import CliRunner

from agent.cli import app
from storage.recordings.session import SessionReader

START_S = 1_718_863_200  # 2024-06-20T06:00:00Z
HOUR_S = 3600
OPENS = (100.0, 101.0, 102.0)
VOLUMES = (10.0, 20.0, 30.0)


def imported(folder: Path, file: Path, *options: str, symbol: str = "BTC/USDT") -> tuple[int, str, Any]:
    """(exit status, what was said, the report where there is one)."""
    out = folder / "session"
    done = CliRunner().invoke(
        app, ["import", str(file), "--symbol", symbol, "--out", str(out), "--json", *options]
    )
    said = done.output + (str(done.exception) if done.exception else "")
    return done.exit_code, said, orjson.loads(done.stdout) if done.exit_code == 0 else None


def bars_of(folder: Path) -> Any:
    return SessionReader(folder / "session").bars()


def _csv(header: str, row: Callable[[int], str]) -> bytes:
    return "\n".join([*([header] if header else []), *(row(k) for k in range(3)), ""]).encode()


def _ohlcv(k: int) -> str:
    return f"{OPENS[k]},{OPENS[k] + 3},{OPENS[k] - 2},{OPENS[k] + 1},{VOLUMES[k]}"


def _at(k: int) -> int:
    return START_S + k * HOUR_S


def _binance(k: int, unit: int) -> str:
    at = _at(k) * unit
    money = VOLUMES[k] * (OPENS[k] + 0.5)
    return f"{at},{_ohlcv(k)},{at + HOUR_S * unit - 1},{money},{7 + k},{VOLUMES[k] / 4},{money / 4},0"


def _zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def _feather(data: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(pa.table(data), out)
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _lists(*names: str) -> list[list[Any]]:
    values = {"vwap": 0.5, "count": 7}
    return [
        [_at(k) * 1000, *(float(x) for x in _ohlcv(k).split(",")), *(values[n] for n in names)]
        for k in range(3)
    ]


PLAIN = _csv("time,open,high,low,close,volume", lambda k: f"{_at(k)},{_ohlcv(k)}")
COLUMNS: dict[str, list[Any]] = {
    "date": pa.array([_at(k) * 1000 for k in range(3)], pa.timestamp("ms", tz="UTC")),
    **{
        n: [float(_ohlcv(k).split(",")[i]) for k in range(3)]
        for i, n in enumerate(("open", "high", "low", "close", "volume"))
    },
}
FILES: dict[str, tuple[str, bytes]] = {
    "unix seconds": ("x.csv", PLAIN),
    "seconds with decimals": ("x.csv", _csv("t,o,h,l,c,v", lambda k: f"{_at(k)}.0,{_ohlcv(k)}")),
    "microseconds": (
        "x.csv",
        _csv("Time,Open,High,Low,Close,Volume", lambda k: f"{_at(k)}000000,{_ohlcv(k)}"),
    ),
    "nanoseconds": (
        "x.csv",
        _csv(
            "ticker,window_start,open,high,low,close,volume", lambda k: f"BTC,{_at(k)}000000000,{_ohlcv(k)}"
        ),
    ),
    "yyyymmddhhmmss": (
        "x.csv",
        _csv("Date,Open,High,Low,Close,Volume", lambda k: f"202406200{6 + k}0000,{_ohlcv(k)}"),
    ),
    "text in capitals": (
        "x.CSV",
        _csv("DATE,OPEN,HIGH,LOW,CLOSE,VOLUME", lambda k: f"2024-06-20 0{6 + k}:00:00,{_ohlcv(k)}"),
    ),
    "semicolons, text file": (
        "x.txt",
        _csv(
            "Date;Open;High;Low;Close;Volume",
            lambda k: f"2024.06.20 0{6 + k}:00;" + _ohlcv(k).replace(",", ";"),
        ),
    ),
    "date and time apart": (
        "x.txt",
        _csv(
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
            lambda k: f"BTCUSDT,60,20240620,0{6 + k}0000,{_ohlcv(k)}",
        ),
    ),
    "no header, American date and time": ("x.txt", _csv("", lambda k: f"06/20/2024,0{6 + k}:00,{_ohlcv(k)}")),
    "no header, seconds, trades": ("x.csv", _csv("", lambda k: f"{_at(k)},{_ohlcv(k)},5")),
    "Binance ms, no header": ("x.csv", _csv("", lambda k: _binance(k, 1000))),
    "Binance us, zipped": ("x.zip", _zipped("x.csv", _csv("", lambda k: _binance(k, 1_000_000)))),
    "title above, money named by its currency, newest first": (
        "x.csv",
        b"https://www.example.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume BTC,tradecount\n"
        + b"\n".join(
            f"{_at(k)}000,2024-06-20 0{6 + k}:00:00,BTC/USDT,{_ohlcv(k).rsplit(',', 1)[0]},"
            f"{VOLUMES[k] * OPENS[k]},{VOLUMES[k]},9".encode()
            for k in (2, 1, 0)
        ),
    ),
    "gzip": ("x.csv.gz", gzip.compress(PLAIN)),
    "Zstandard": ("x.csv.zst", _zstd(PLAIN)),
    "feather": ("x.feather", _feather(COLUMNS)),
    "JSON lists": ("x.json", orjson.dumps(_lists())),
    "JSON records in an answer": (
        "x.json",
        orjson.dumps({"results": [dict(zip("tohlcv", row, strict=True)) for row in _lists()]}),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_bars_in_every_form(tmp_path: Path, name: str) -> None:
    """Three hourly bars of 2024-06-20 at 6, 7 and 8 o'clock: their prices and volumes, to the tick."""
    file, data = FILES[name]
    (tmp_path / file).write_bytes(data)
    code, said, report = imported(tmp_path, tmp_path / file, "--format", "klines", "--tick-size", "0.5")
    assert code == 0, said
    rows = bars_of(tmp_path)
    assert rows["open_ns"].tolist() == [_at(k) * 10**9 for k in range(3)]
    assert rows["open_ticks"].tolist() == [200, 202, 204]
    assert rows["close_ticks"].tolist() == [202, 204, 206]
    assert [float(v) * float(report["lot"]) for v in rows["base_lots"]] == list(VOLUMES)
    assert report["interval_ns"] == HOUR_S * 10**9


VWAPS = [
    ("time,open,high,low,close,volume,count,vwap", "count 11", 7),
    ("date,open,high,low,close,volume,barCount,average", "IBKR", 7),
    ("t,o,h,l,c,v,n,vw", "Polygon", 7),
]


@pytest.mark.parametrize(("header", "name", "trades"), VWAPS)
def test_a_vwap_in_the_file_is_the_price(tmp_path: Path, header: str, name: str, trades: int) -> None:
    """100.25 for 10: 1,002.5 in money, whatever (high + low + close) / 3 would be; trades counted too."""
    file = tmp_path / "x.csv"
    file.write_bytes(_csv(header, lambda k: f"{_at(k)},{_ohlcv(k)},{trades},{OPENS[k] + 0.25}"))
    code, said, report = imported(tmp_path, file, "--format", "klines", "--tick-size", "0.25")
    assert code == 0, said
    rows = bars_of(tmp_path)
    assert report["typical_price"] == 0
    assert rows["quote_tl"].tolist() == [10 * 401, 20 * 405, 30 * 409]
    assert rows["trades"].tolist() == [trades] * 3


def test_the_exchange_s_own_header_gives_trades_and_takers(tmp_path: Path) -> None:
    """``count`` and ``taker_buy_volume``, as the archive of futures names them."""
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,"
    header += "count,taker_buy_volume,taker_buy_quote_volume,ignore"
    file = tmp_path / "x.csv"
    file.write_bytes(_csv(header, lambda k: _binance(k, 1000)))
    code, said, report = imported(tmp_path, file, "--format", "klines", "--lot-size", "0.5")
    assert code == 0, said
    rows = bars_of(tmp_path)
    assert (rows["trades"].tolist(), rows["taker_base_lots"].tolist()) == ([7, 8, 9], [5, 10, 15])
    assert report["typical_price"] == 0


REFUSED = [
    ("1,2,3", "row 1 has the time 1, which is no time from 1980 to 2100"),
    ("250000000,250003600,250007200", "no time from 1980 to 2100"),
    ("20241301,20241302,20241303", "20241301 is no date"),
    ("a,b,c", "times like 'a' are not understood"),
    ("01/02/2024,01/02/2024,01/02/2024", "day or month first"),
]


@pytest.mark.parametrize(("times", "words"), REFUSED)
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, times: str, words: str) -> None:
    """Nothing is silently of 1970: the row, the value and what is allowed."""
    file = tmp_path / "x.csv"
    cells = times.split(",")
    file.write_bytes(_csv("time,open,high,low,close,volume", lambda k: f"{cells[k]},{_ohlcv(k)}"))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert (code == 2 or code == 1, words in said) == (True, True), said
    assert not (tmp_path / "session").exists()


def test_milliseconds_that_become_microseconds(tmp_path: Path) -> None:
    """Binance's files changed with 2025: a file joined of both is one row of hours."""
    file = tmp_path / "x.csv"
    file.write_bytes(_csv("", lambda k: _binance(k, 1000 if k < 2 else 1_000_000)))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code == 0, said
    assert bars_of(tmp_path)["open_ns"].tolist() == [_at(k) * 10**9 for k in range(3)]


def test_money_that_is_no_money_is_refused(tmp_path: Path) -> None:
    """Volume in contracts of 100 USD beside a coin's sum: their quotient is no price."""
    file = tmp_path / "x.csv"
    header = "open_time,open,high,low,close,volume,quote_volume"
    file.write_bytes(_csv(header, lambda k: f"{_at(k)},{_ohlcv(k)},{VOLUMES[k] * 100 / OPENS[k]}"))
    code, said, _ = imported(tmp_path, file, "--format", "klines")
    assert code != 0
    assert "no money and base volume" in said


def test_an_archive_of_several_files_names_them(tmp_path: Path) -> None:
    """Which one is meant cannot be known."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", PLAIN)
        archive.writestr("b.csv", PLAIN)
    (tmp_path / "x.zip").write_bytes(out.getvalue())
    code, said, _ = imported(tmp_path, tmp_path / "x.zip", "--format", "klines")
    assert code != 0
    assert "holds 2 files (a.csv, b.csv)" in said
