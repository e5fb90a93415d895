"""Files of every format that can be imported, damaged, cut, mixed and renamed: each refused or read rightly.

A session that comes of it is judged: its prices lie where those of the file lie, its times in the file's
days, every line is accounted for. A session of a market that never was is a fault.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from agent.cli import main as agent_main
from agent.core.market.tape import Kind
from storage.recordings.session import SessionReader
from tests.fuzz.trial import Case
from tests.fuzz.world import World, odd

T0_MS = 1_700_000_000_000 // 60_000 * 60_000
COUNT = 60
MS, DAY_NS = 10**6, 86_400 * 10**9
LOW, HIGH = 100.0, 110.0  # of every price
TARDIS = "exchange,symbol,timestamp,local_timestamp"
FORMATS = ("binance-raw", "bybit-raw", "hyperliquid-raw", "book-archive", "tardis-csv", "klines", "trades")

Files = dict[str, bytes]


def _price(k: int, up: int = 0) -> str:
    return f"{104 + k % 3 + up / 10:.1f}"


def _text(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()


def _book(k: int) -> tuple[list[list[str]], list[list[str]]]:
    """Bids and asks of the k-th moment, five a side."""
    bids = [[_price(k, -n), f"{n + 1}.5"] for n in range(1, 6)]
    return bids, [[_price(k, n), f"{n + 2}.5"] for n in range(1, 6)]


# --- one file or two of each format -----------------------------------------------------------------


def _spot_capture() -> Files:
    lines = []
    for k in range(COUNT):
        at, (bids, asks) = T0_MS + 100 * k, _book(k)
        if k == 0:
            message: Any = {"lastUpdateId": 100, "bids": bids, "asks": asks}
        elif k % 3:
            data = {
                "e": "depthUpdate",
                "E": at,
                "s": "BTCUSDT",
                "U": 100 + k,
                "u": 100 + k,
                "b": bids,
                "a": asks,
            }
            message = {"stream": "btcusdt@depth@100ms", "data": data}
        else:
            data = {
                "e": "trade",
                "E": at,
                "s": "BTCUSDT",
                "t": k // 3,
                "p": _price(k),
                "q": "0.5",
                "T": at,
                "m": True,
            }
            message = {"stream": "btcusdt@trade", "data": data}
        lines.append(f"{(at + 2) * MS} {json.dumps(message)}")
    # Ids of the diffs have no holes: trades stand between them.
    return {"btcusdt_20231114.gz": gzip.compress(_renumbered(lines))}


def _renumbered(lines: list[str]) -> bytes:
    out, update = [], 100
    for line in lines:
        stamp, _, text = line.partition(" ")
        message = json.loads(text)
        data = message.get("data", {})
        if data.get("e") == "depthUpdate":
            update += 1
            data["U"] = data["u"] = update
        out.append(f"{stamp} {json.dumps(message)}")
    return _text(out)


def _tardis_book() -> Files:
    book, trades = [f"{TARDIS},is_snapshot,side,price,amount"], [f"{TARDIS},id,side,price,amount"]
    for k in range(COUNT):
        sent = (T0_MS + 100 * k) * 1000
        start, flag = f"binance,BTCUSDT,{sent},{sent + 2000}", "true" if k == 0 else "false"
        for side, levels in zip(("bid", "ask"), _book(k), strict=True):
            book += [f"{start},{flag},{side},{price},{size}" for price, size in levels]
        trades.append(f"{start},{k},buy,{_price(k)},0.5")
    return {"book.csv.gz": gzip.compress(_text(book)), "trades.csv.gz": gzip.compress(_text(trades))}


def _tardis_tops(levels: int) -> Files:
    parts = [f"{s}[{n}].{w}" for n in range(levels) for s in ("asks", "bids") for w in ("price", "amount")]
    lines = [
        f"{TARDIS},{','.join(parts)}" if levels > 1 else f"{TARDIS},ask_amount,ask_price,bid_price,bid_amount"
    ]
    for k in range(COUNT):
        sent, (bids, asks) = (T0_MS + 100 * k) * 1000, _book(k)
        cells = [[*asks[n], *bids[n]] if levels > 1 else [*asks[n][::-1], *bids[n]] for n in range(levels)]
        lines.append(f"binance,BTCUSDT,{sent},{sent + 2000},{','.join(c for row in cells for c in row)}")
    return {f"book_snapshot_{levels}.csv": _text(lines)}


def _bybit_messages(k: int) -> list[Any]:
    (bids, asks), ts = _book(k), T0_MS + 100 * k
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": k + 1, "seq": k}
    book = {
        "topic": "orderbook.500.BTCUSDT",
        "ts": ts,
        "type": "delta" if k else "snapshot",
        "data": data,
        "cts": ts,
    }
    trade = {"T": ts, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": _price(k), "i": f"id-{k}"}
    return [book, {"topic": "publicTrade.BTCUSDT", "ts": ts, "type": "snapshot", "data": [trade]}]


def _bybit_archive() -> Files:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ob500.data", _text([json.dumps(_bybit_messages(k)[0]) for k in range(COUNT)]))
    return {"2023-11-14_BTCUSDT_ob500.data.zip": out.getvalue(), **_bybit_trades()}


def _bybit_capture() -> Files:
    lines = [f"{(m['ts'] + 5) * MS} {json.dumps(m)}" for k in range(COUNT) for m in _bybit_messages(k)]
    return {"bybit.gz": gzip.compress(_text(lines))}


def _okx_archive() -> Files:
    lines = []
    for k in range(COUNT):
        bids, asks = ([[*level, "1"] for level in side] for side in _book(k))
        action = "update" if k % 20 else "snapshot"
        message = {
            "instId": "BTC-USDT",
            "action": action,
            "ts": str(T0_MS + 100 * k),
            "asks": asks,
            "bids": bids,
        }
        lines.append(json.dumps(message))
    data, out = _text(lines), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("BTC-USDT-L2orderbook-400lv-2023-11-14.data")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return {"okx.tar.gz": out.getvalue()}


def _hyperliquid_capture() -> Files:
    lines = []
    for k in range(COUNT):
        at = T0_MS + 100 * k
        sides = [[{"px": p, "sz": q, "n": 1} for p, q in side] for side in _book(k)]
        trade = {"coin": "BTC", "side": "B", "px": _price(k), "sz": "0.5", "time": at, "tid": 7 + k}
        both = ({"coin": "BTC", "time": at, "levels": sides}, [trade])
        for channel, data in zip(("l2Book", "trades"), both, strict=True):
            lines.append(f"{(at + 5) * MS} {json.dumps({'channel': channel, 'data': data})}")
    return {"hl.gz": gzip.compress(_text(lines))}


def _candle(k: int) -> list[Any]:
    return [T0_MS + 60_000 * k, 104.0 + k % 3, 107.0 + k % 3, 102.0, 105.0 + k % 2, 10.5 + k % 5]


def _klines_of_binance() -> Files:
    rows = []
    for k in range(COUNT):
        row = _candle(k)
        money = 104.5 * row[5]
        rows.append([*row, row[0] + 59_999, money, 7, row[5] / 2, money / 2, 0])
    return {"BTCUSDT-1m-2023-11.csv": _text([",".join(map(str, row)) for row in rows])}


def _klines_with_names() -> Files:
    lines = ["Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT"]
    for k in range(COUNT):
        at, *prices, volume = _candle(k)
        day = str(np.datetime64(at, "ms")).replace("T", " ")[:19]
        cells = [at, day, "BTCUSDT", *prices, volume, 104.5 * volume]
        lines.append(",".join(map(str, cells)))
    return {"Binance_BTCUSDT_minute.csv": _text(lines)}


def _klines_as_json() -> Files:
    return {"BTC_USDT-1m.json": json.dumps([_candle(k) for k in range(COUNT)]).encode()}


def _klines_as_table(suffix: str) -> Files:
    names = ("open_time", "open", "high", "low", "close", "volume")
    table, out = (
        pa.table(dict(zip(names, zip(*map(_candle, range(COUNT)), strict=True), strict=True))),
        io.BytesIO(),
    )
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, out)
    else:
        pyarrow.feather.write_feather(table, out)
    return {f"x.{suffix}": out.getvalue()}


def _agg_trades() -> Files:
    rows = [f"{k},{_price(k)},0.5,{k},{k},{T0_MS + 500 * k},true" for k in range(COUNT)]
    return {"BTCUSDT-aggTrades-2023-11-14.csv": _text(rows)}


def _bybit_trades() -> Files:
    rows = ["timestamp,symbol,side,size,price,tickDirection,trdMatchID"]
    rows += [f"{(T0_MS + 500 * k) / 1000},BTCUSDT,Buy,0.5,{_price(k)},PlusTick,m{k}" for k in range(COUNT)]
    return {"BTCUSDT2023-11-14.csv.gz": gzip.compress(_text(rows))}


def _freqtrade_trades() -> Files:
    rows = [[T0_MS + 500 * k, str(k), None, "buy", float(_price(k)), 0.5, 50.0] for k in range(COUNT)]
    return {"BTC_USDT-trades.json": json.dumps(rows).encode()}


def _kraken_trades() -> Files:
    return {"XBTUSDT.csv": _text([f"{T0_MS // 1000 + k},{_price(k)},0.5" for k in range(COUNT)])}


KINDS: dict[str, tuple[Callable[[], Files], str, str]] = {
    "binance-raw": (_spot_capture, "BTC/USDT", "binance-raw"),
    "tardis book": (_tardis_book, "BTC/USDT", "tardis-csv"),
    "tardis quotes": (lambda: _tardis_tops(1), "BTC/USDT", "tardis-csv"),
    "tardis snapshots": (lambda: _tardis_tops(5), "BTC/USDT", "tardis-csv"),
    "bybit archive": (_bybit_archive, "BTC/USDT", "book-archive"),
    "bybit capture": (_bybit_capture, "BTC/USDT", "bybit-raw"),
    "okx archive": (_okx_archive, "BTC/USDT", "book-archive"),
    "hyperliquid": (_hyperliquid_capture, "BTC/USDC:USDC", "hyperliquid-raw"),
    "binance klines": (_klines_of_binance, "BTC/USDT", "klines"),
    "named klines": (_klines_with_names, "BTC/USDT", "klines"),
    "candles": (_klines_as_json, "BTC/USDT", "klines"),
    "parquet": (lambda: _klines_as_table("parquet"), "BTC/USDT", "klines"),
    "feather": (lambda: _klines_as_table("feather"), "BTC/USDT", "klines"),
    "aggTrades": (_agg_trades, "BTC/USDT", "trades"),
    "bybit trades": (_bybit_trades, "BTC/USDT", "trades"),
    "freqtrade": (_freqtrade_trades, "BTC/USDT", "trades"),
    "kraken trades": (_kraken_trades, "BTC/USDT", "trades"),
}
NAMELESS = ("binance klines", "candles", "parquet", "feather", "aggTrades", "freqtrade", "kraken trades")
"""Files that name no symbol: they are what the user says."""


# --- what is done to them ---------------------------------------------------------------------------


def make_case(draw: random.Random, world: World) -> Case:
    """Files, damaged in up to three ways, imported with or without their format; judged."""
    folder = world.fresh()
    name = draw.choice(sorted(KINDS))
    make, symbol, kind = KINDS[name]
    files, about, kinds = make(), [name], {kind}
    if draw.random() < 0.1:
        other = draw.choice(sorted(KINDS))
        files |= {f"other-{file}": data for file, data in KINDS[other][0]().items()}
        about.append(f"with {other}")
        kinds.add(KINDS[other][2])
    for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
        file = draw.choice(sorted(files))
        how = draw.choice(WAYS)
        files[file] = how(draw, files[file])
        about.append(f"{file}: {how.__name__.strip('_').replace('_', ' ')}")
    if draw.random() < 0.15:
        files = {
            draw.choice(["x", "x.csv", "x.parquet", "x.gz", "ü.json"]) + str(n): d
            for n, d in enumerate(files.values())
        }
        about.append("renamed")
    for file, data in files.items():
        (folder / file).write_bytes(data)
    wanted = symbol if draw.random() < 0.9 else draw.choice(OTHER_SYMBOLS)
    given = _options(draw, kind)
    out = folder / "session"
    argv = [
        "import",
        *(str(folder / file) for file in files),
        "--symbol",
        wanted,
        "--out",
        str(out),
        *given,
        "--json",
    ]
    named = name not in NAMELESS and len(about) == 1
    return Case(
        argv,
        "; ".join(about),
        call=lambda: judged(argv, out, kinds, refuse=named and wanted != symbol and wanted in OTHER_COINS),
    )


OTHER_COINS = ("ETH/USDT", "BTC/USD", "BTC/EUR", "ETH/USDC:USDC")
OTHER_SYMBOLS = (*OTHER_COINS, "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDC:USDC", "", "BTC", "日本/円")


def _options(draw: random.Random, kind: str) -> list[str]:
    given: list[str] = []
    if draw.random() < 0.5:
        given += ["--format", kind if draw.random() < 0.7 else draw.choice(FORMATS)]
    if draw.random() < 0.15:
        name = draw.choice(["--tick-size", "--lot-size", "--contract-size"])
        given += [name, draw.choice(["0.1", "0.01", "1", "0.5", "1e-9", "1e-13", "0.3", odd(draw)])]
    if draw.random() < 0.05:
        given += draw.choice([["--calendar", "XNYS"], ["--calendar", "24/7"], ["--calendar", odd(draw)]])
    if draw.random() < 0.05:
        given += ["--stamped", draw.choice(["start", "end", odd(draw)])]
    return given


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error):
        return data


def _bytes_flipped(draw: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 3, 20])):
        if out:
            at = draw.randrange(len(out))
            out[at] = draw.choice([out[at] ^ 1, out[at] ^ 0x80, 0, 255, 10, draw.randrange(256)])
    return bytes(out)


def _cut(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _text_flipped(draw: random.Random, data: bytes) -> bytes:
    return _bytes_flipped(draw, _unpacked(data))


def _text_cut(draw: random.Random, data: bytes) -> bytes:
    return _cut(draw, _unpacked(data))


def _lines_otherwise(draw: random.Random, data: bytes) -> bytes:
    """Shuffled, doubled, dropped, or from the middle."""
    lines = _unpacked(data).split(b"\n")
    first, rest = lines[:1], lines[1:]
    how = draw.randrange(5)
    if how == 0:
        draw.shuffle(rest)
    elif how == 1:
        rest = rest + rest[: len(rest) // 2]
    elif how == 2:
        rest = [line for line in rest if draw.random() < 0.8]
    elif how == 3:
        rest = rest[::-1]
    else:
        first, rest = [], lines[draw.randrange(len(lines)) :]
    return b"\n".join(first + rest)


def _some_values_odd(draw: random.Random, data: bytes) -> bytes:
    """A cell or a JSON value of a few lines is something else."""
    lines = _unpacked(data).split(b"\n")
    for _ in range(draw.choice([1, 2, 5])):
        k = draw.randrange(len(lines))
        cells = lines[k].split(b",")
        cells[draw.randrange(len(cells))] = draw.choice(
            [b"", b"0", b"-1", b"nan", b"inf", b"1e400", b"null", b'"x"', b"[]", b"{}", b"9" * 30, b"1e-30",
             odd(draw).encode(errors="replace")]
        )  # fmt: skip
        lines[k] = b",".join(cells)
    return b"\n".join(lines)


def _written_otherwise(draw: random.Random, data: bytes) -> bytes:
    """As other systems write text, or packed once more."""
    text = _unpacked(data)
    return draw.choice(
        [
            lambda: b"\xef\xbb\xbf" + text,
            lambda: text.replace(b"\n", b"\r\n"),
            lambda: text.decode(errors="replace").encode("utf-16"),
            lambda: gzip.compress(text),
            lambda: gzip.compress(gzip.compress(text)),
            lambda: gzip.compress(text)[:-4],
            lambda: text.replace(b",", b";"),
            lambda: b"some title\n\n" + text,
            lambda: text + b"\x00" * 64,
            lambda: bytes(pa.Codec("zstd").compress(text, asbytes=True)),
            lambda: text.replace(b".", b","),
        ]
    )()


def _something_else(draw: random.Random, _: bytes) -> bytes:
    return draw.choice(
        [b"", b"\n", b"\x00" * 99, b"hello\n", b"[" * 9999, b"{}", b"[]", b"PAR1", b"PK\x03\x04", b"\x1f\x8b"]
    )


WAYS = (
    *(_bytes_flipped, _cut, _text_flipped, _text_flipped, _text_cut, _lines_otherwise, _lines_otherwise),
    *(_some_values_odd, _some_values_odd, _some_values_odd, _written_otherwise, _something_else),
)


# --- what comes of it -------------------------------------------------------------------------------


def judged(argv: list[str], out: Path, kinds: set[str], *, refuse: bool) -> None:
    """Import, and look at the session if there is one: of one of ``kinds``. Raises AssertionError."""
    code: object = 0
    try:
        agent_main(argv)
    except SystemExit as left:
        code = left.code or 0
    if code:
        assert not (out / "session.json").exists(), "refused, and a session is there"
        raise SystemExit(code)
    assert not refuse, "a session of a symbol that the files do not hold"
    reader = SessionReader(out)
    read_as = reader.header.source
    assert read_as in kinds, f"read as {read_as}, and they are {', '.join(sorted(kinds))}"
    assert not reader.losses, reader.losses
    _judge(reader, argv)
    shutil.rmtree(out)
    raise SystemExit(0)


def _judge(reader: SessionReader, argv: list[str]) -> None:
    report, (unit,) = reader.header.imported or {}, reader.instruments
    lines = report["lines"]
    bars, tape = reader.bars(), reader.events()
    assert len(bars) or len(tape), "nothing in it"
    times = bars["open_ns"] if len(bars) else tape["recv_ns"]
    assert (np.diff(times) >= 0).all(), "times step back"
    middle = float(np.median(times)) / MS
    assert abs(middle - T0_MS) < 2 * 86_400_000, (
        f"its times are of another day: {np.datetime64(int(middle), 'ms')}"
    )
    priced = tape[np.isin(tape["kind"], (Kind.TRADE, Kind.LEVEL))]
    ticks = bars["close_ticks"] if len(bars) else priced["price_ticks"]
    price = float(np.median(ticks)) * float(unit.tick)
    assert LOW - 10 < price < HIGH + 10, f"its price is {price:g}"
    sizes = bars["base_lots"] if len(bars) else priced[priced["kind"] == Kind.TRADE]["qty_lots"]
    if len(sizes):
        size = float(np.median(sizes)) * float(unit.lot)
        assert 0 <= size < 100, f"a usual size is {size:g}"
    assert len(bars) <= 100 * max(int(str(lines)), 1) or "--calendar" in argv, (
        f"{len(bars)} bars of {lines} lines"
    )
