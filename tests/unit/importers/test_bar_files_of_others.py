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
    folder.mkdir(exist_ok=True)
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
    "date and hour": (
        "x.csv",
        _csv("Date,Hour,Open,High,Low,Close,Volume", lambda k: f"2024-06-20,{6 + k},{_ohlcv(k)}"),
    ),
    "day and hour in two digits": (
        "x.csv",
        _csv("day,hour,open,high,low,close,volume", lambda k: f"20240620,0{6 + k},{_ohlcv(k)}"),
    ),
    "date and hour with its minutes": (
        "x.csv",
        _csv("Date,Hour,Open,High,Low,Close,Volume", lambda k: f"20/06/2024,{600 + 100 * k},{_ohlcv(k)}"),
    ),
    "date and time of day": (
        "x.csv",
        _csv("Date,Time of day,Open,High,Low,Close,Volume", lambda k: f"2024-06-20,0{6 + k}:00,{_ohlcv(k)}"),
    ),
    "date, time and hour": (
        "x.csv",
        _csv("Date,Hour,Time,Open,High,Low,Close,Volume", lambda k: f"20240620,0,{6 + k}:00:00,{_ohlcv(k)}"),
    ),
    "date and a whole stamp as time": (
        "x.csv",
        _csv(
            "Date,Time,Open,High,Low,Close,Volume",
            lambda k: f"2024-06-20,2024-06-20 0{6 + k}:00:00,{_ohlcv(k)}",
        ),
    ),
    "no header, American date and time": ("x.txt", _csv("", lambda k: f"06/20/2024,0{6 + k}:00,{_ohlcv(k)}")),
    "no header, in quotes": (
        "x.csv",
        _csv("", lambda k: ",".join(f'"{cell}"' for cell in f"{_at(k)},{_ohlcv(k)}".split(","))),
    ),
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


NEW_YORK_MINUTES = [f"2025-06-{day} {9 + m // 60:02}:{m % 60:02}" for day in (16, 17) for m in range(30, 420)]


def _minutes(times: list[str]) -> bytes:
    rows = [f"{t}:00,100,101,99,100,{10 + k}" for k, t in enumerate(times)]
    return "\n".join(["time,open,high,low,close,volume", *rows, ""]).encode()


def test_bars_stamped_at_their_end_are_recognised(tmp_path: Path) -> None:
    """9:31 to 16:00 in New York: the first starts at 9:30, none is lost, and the report says so."""
    ends = [*NEW_YORK_MINUTES[1:390], "2025-06-16 16:00", *NEW_YORK_MINUTES[391:], "2025-06-17 16:00"]
    file = tmp_path / "x.csv"
    file.write_bytes(_minutes(ends))
    code, said, report = imported(tmp_path, file, "--format", "klines", "--calendar", "XNYS")
    assert code == 0, said
    assert (report["bars"], report["outside"], report["stamped_at_end"]) == (780, 0, True)
    assert "stamped at their end" in report["problems"][0]
    assert bars_of(tmp_path)["open_ns"][0] == 1_750_080_600 * 10**9  # 2025-06-16T13:30:00Z


def test_bars_stamped_at_their_start_stay(tmp_path: Path) -> None:
    """9:30 to 15:59, and one more at 16:00 on one of two days: an auction's, outside the session."""
    file = tmp_path / "x.csv"
    file.write_bytes(_minutes([*NEW_YORK_MINUTES[:390], "2025-06-16 16:00", *NEW_YORK_MINUTES[390:]]))
    code, said, report = imported(tmp_path, file, "--format", "klines", "--calendar", "XNYS")
    assert code == 0, said
    assert (report["bars"], report["outside"], report["stamped_at_end"]) == (780, 1, False)


def test_ends_are_taken_at_the_word_of_the_user(tmp_path: Path) -> None:
    """Without a calendar nothing shows it: --stamped end moves each bar by its hour; ends of .999 show it."""
    file = tmp_path / "x.csv"
    file.write_bytes(PLAIN)
    assert imported(tmp_path / "a", file, "--format", "klines", "--stamped", "end")[0] == 0
    assert bars_of(tmp_path / "a")["open_ns"].tolist() == [_at(k - 1) * 10**9 for k in range(3)]
    ends = _csv("close_time,open,high,low,close,volume", lambda k: f"{_at(k + 1) * 1000 - 1},{_ohlcv(k)}")
    file.write_bytes(ends)
    assert imported(tmp_path / "b", file, "--format", "klines")[0] == 0
    file.write_bytes(ends.replace(b"close_time", b"time"))
    assert imported(tmp_path / "c", file, "--format", "klines")[0] == 0
    for folder in ("b", "c"):
        assert bars_of(tmp_path / folder)["open_ns"].tolist() == [_at(k) * 10**9 for k in range(3)]


HOUR_ENDS = [
    ("close_time", 0, 1),
    ("close_time", -1, 1),
    ("time", -1, 1),
    ("time", -1000, 1),
    ("time", 0, 0),
]


@pytest.mark.parametrize(("column", "shift_ms", "moved"), HOUR_ENDS)
@pytest.mark.parametrize("stamped", ["", "start", "end"])
def test_a_bar_is_moved_once_at_most(
    tmp_path: Path, column: str, shift_ms: int, moved: int, stamped: str
) -> None:
    """Times that show to be of ends, and the user's word: an hour back, not two, and said; at start, none."""
    file = tmp_path / "x.csv"
    rows = _csv(f"{column},open,high,low,close,volume", lambda k: f"{_at(k) * 1000 + shift_ms},{_ohlcv(k)}")
    file.write_bytes(rows)
    moved = {"": moved, "start": 0, "end": 1}[stamped]
    given = ("--stamped", stamped) if stamped else ()
    code, said, report = imported(tmp_path, file, "--format", "klines", *given)
    assert code == 0, said
    first_ns = (_at(0) * 1000 + shift_ms) * 10**6 if not moved else _at(-1) * 10**9
    assert bars_of(tmp_path)["open_ns"][0] == first_ns
    assert report["stamped_at_end"] == bool(moved)
    assert any("moved to its start" in text for text in report["problems"]) == bool(moved)


def test_two_files_of_ends_are_moved_once_on_a_calendar(tmp_path: Path) -> None:
    """Two days of 9:31 to 16:00 in New York under close_time, a file each: none falls out of its session."""
    files = []
    for k, day in enumerate((NEW_YORK_MINUTES[:390], NEW_YORK_MINUTES[390:])):
        ends = [*day[1:], f"{day[0][:10]} 16:00"]
        files.append(tmp_path / f"{k}.csv")
        files[k].write_bytes(_minutes(ends).replace(b"time", b"close_time", 1))
    options = [str(files[1]), "--format", "klines", "--calendar", "XNYS"]
    code, said, report = imported(tmp_path, files[0], *options)
    assert code == 0, said
    assert (report["bars"], report["outside"], report["stamped_at_end"]) == (780, 0, True)


CLOSING = [
    (60, [k for k in range(24 * 60 * 6) if k // 60 % 24 != 22], "1 hours of the day have none"),
    (1440, [0, 1440, 4 * 1440, 5 * 1440, 6 * 1440], "the weekend has none"),
    (60, [k * 60 for k in range(24 * 16) if (k // 24) % 7 != 2], "1 days of the week have none"),
]


@pytest.mark.parametrize(("minutes", "starts", "words"), CLOSING)
def test_a_market_that_closes_is_not_taken_for_gaps(
    tmp_path: Path, minutes: int, starts: list[int], words: str
) -> None:
    """An hour a night, one weekend, a day a week (from Thursday 2024-06-20 on): its calendar is asked for."""
    file = tmp_path / "x.csv"
    midnight_s = START_S - 6 * HOUR_S
    rows = [f"{midnight_s + 60 * k},100,101,99,100,5" for k in starts]
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows, ""]))
    code, said, _ = imported(tmp_path / "a", file, "--format", "klines")
    assert code != 0
    assert words in said
    assert "--calendar" in said
    code, said, report = imported(tmp_path / "b", file, "--format", "klines", "--calendar", "24/7")
    assert code == 0, said
    assert report["absent"] > 0


def test_volumes_of_eight_decimals_get_a_coarser_lot(tmp_path: Path) -> None:
    """9e4 x 2e5 coins in cents and 1e-8 is 1.8e20, beyond 2^62: lots of 1e-6, said."""
    file = tmp_path / "x.csv"
    volumes = ("200000.12345678", "1.00000001", "2")
    header = "time,open,high,low,close,volume"
    file.write_bytes(_csv(header, lambda k: f"{_at(k)},90000.01,90000.02,90000,90000,{volumes[k]}"))
    code, said, report = imported(tmp_path, file, "--format", "klines")
    assert code == 0, said
    assert report["lot"] == "0.000001"
    assert "held to 0.000001" in " ".join(report["problems"])
    assert bars_of(tmp_path)["base_lots"].tolist() == [200_000_123_457, 1_000_000, 2_000_000]


NAMED = [
    ("BTCUSDT", "BTC/USDT", True),
    ("BTC/USDT", "BTC/USDT", True),
    ("btc-usdt", "BTC/USDT", True),
    ("X:BTCUSD", "BTC/USD", True),
    ("IBM.US", "IBM/USD", True),
    ("ETHUSDT", "BTC/USDT", False),
    ("BTC/USDT", "BTC/USD", False),
    ("BTCUSDT", "BTC/USD", False),
    ("IBMX", "IBM/USD", False),
]


@pytest.mark.parametrize(("name", "symbol", "same"), NAMED)
def test_bars_of_another_symbol_are_refused(tmp_path: Path, name: str, symbol: str, same: bool) -> None:
    """The only symbol of a file is not the one asked for because it is the only one: names are equal."""
    file = tmp_path / "x.csv"
    file.write_bytes(_csv("symbol,time,open,high,low,close,volume", lambda k: f"{name},{_at(k)},{_ohlcv(k)}"))
    code, said, _ = imported(tmp_path, file, "--format", "klines", symbol=symbol)
    assert (code == 0) == same, said
    assert same or f"holds no bars of {symbol}: it has {name}" in said


def test_a_volume_of_money_alone_is_not_coins(tmp_path: Path) -> None:
    """``Volume USD`` and nothing else: the coins are asked for; ``Volume BTC`` alone are coins."""
    file = tmp_path / "x.csv"
    for currency in ("USD", "USDT", "BTC"):
        file.write_bytes(PLAIN.replace(b"volume", f"Volume {currency}".encode()))
        code, said, _ = imported(tmp_path / currency, file, "--format", "klines")
        assert (code == 0) == (currency == "BTC"), said
        assert currency == "BTC" or "lacks volume" in said


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


def test_an_interval_of_bars_may_be_worth_more_than_64_bits(tmp_path: Path) -> None:
    """300 bars of 1,000 coins at 60,000 in cents and 1e-8: each fits, 16 of them do not, and the lot stays.

    Inspected, the turnover is theirs; an order judged over many of them has a benchmark within their range.
    """
    file = tmp_path / "x.csv"
    rows = [f"{_at(k)},60000.01,60010,59990,60000,{1_000 + k}.12345678" for k in range(300)]
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows, ""]))
    code, said, report = imported(tmp_path, file, "--format", "klines", "--calendar", "24/7")
    assert code == 0, said
    assert report["lot"] == "0.00000001"
    session = str(tmp_path / "session")
    (market,) = orjson.loads(CliRunner().invoke(app, ["sessions", "inspect", session, "--json"]).stdout)[
        "instruments"
    ]
    assert float(market["bars"]["turnover"]) == pytest.approx(60_000 * 300 * 1_149.6, rel=1e-3)
    argv = ["replay", session, "--json", "--quantity", "1", "--algo", "twap", "--shadow", ""]
    times = ["--interval", "8d", "--min-duration", "8d", "--max-duration", "8d"]
    done = CliRunner().invoke(app, [*argv, *times])
    (parent,) = orjson.loads(done.stdout)["parents"]
    assert parent["state"] == "completed"
    assert abs(parent["gain_bps"]) < 10


WITHOUT_VOLUME = {
    "no column": ("time,open,high,low,close", ""),
    "five columns": ("", ""),
    "all 0": ("time,open,high,low,close,volume", ",0"),
    "all empty": ("time,open,high,low,close,volume", ","),
}


@pytest.mark.parametrize("name", WITHOUT_VOLUME)
@pytest.mark.parametrize("options", [(), ("--lot-size", "1")])
def test_bars_without_volume_are_refused_in_one_sentence(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """An order is given a share of each bar's volume: on them it could never fill."""
    header, volume = WITHOUT_VOLUME[name]
    file = tmp_path / "x.csv"
    file.write_bytes(_csv(header, lambda k: f"{_at(k)},100,103,98,101{volume}"))
    code, said, _ = imported(tmp_path, file, *options)
    assert code != 0
    assert "these bars have no volume, and an order on bars is given a share of it" in said
    assert not (tmp_path / "session").exists()
