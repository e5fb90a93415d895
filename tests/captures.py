"""One list of market events, written as each format that can be imported: what went in is known exactly."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from agent.app.importing import import_files
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from storage.recordings.session import SessionReader

MS = 1_000_000
T0_MS = 1_700_000_000_000
DELAY_MS = 2
TRADE_DELAY_MS = 5

Pairs = Sequence[tuple[str, str]]
"""(price, size) of levels; size "0" deletes."""


@dataclass(frozen=True)
class Trade:
    at_ms: int
    number: int
    price: str
    size: str
    side: int = 1
    delay_ms: int = TRADE_DELAY_MS


@dataclass(frozen=True)
class Depth:
    """``snapshot``: the whole book; otherwise what changed."""

    at_ms: int
    bids: Pairs
    asks: Pairs
    snapshot: bool = False
    delay_ms: int = DELAY_MS


Event = Trade | Depth

EVENTS: tuple[Event, ...] = (
    Depth(0, [("100.1", "3"), ("100.0", "2")], [("100.2", "4"), ("100.4", "9")], snapshot=True),
    Depth(100, [("100.1", "1")], []),
    Trade(130, 7, "100.2", "3"),
    Depth(200, [], [("100.2", "1"), ("100.3", "5")]),
    Trade(230, 8, "100.1", "1", side=-1),
    Trade(231, 9, "100.0", "2", side=-1),
    Depth(300, [("100.1", "0"), ("100.0", "0"), ("99.9", "6")], [("100.2", "0")]),
    Depth(400, [("100.0", "8")], [("100.1", "7")]),
)
"""Of all kinds, sizes whole so that they can be contracts."""


def spot(events: Sequence[Event] = EVENTS, symbol: str = "BTCUSDT") -> list[bytes]:
    """Lines of a Binance spot capture: update ids without a hole."""
    lines, update = [], 100
    for event in events:
        if isinstance(event, Trade):
            data = {"e": "trade", "E": T0_MS + event.at_ms, "s": symbol, "t": event.number, "p": event.price}
            data |= {"q": event.size, "T": T0_MS + event.at_ms, "m": event.side < 0, "M": True}
            lines.append(line(event.at_ms, stream(symbol, "trade", data), event.delay_ms))
        elif event.snapshot:
            lines.append(line(event.at_ms, {"lastUpdateId": update, **_sides(event, "bids", "asks")}))
        else:
            data = {"e": "depthUpdate", "E": T0_MS + event.at_ms, "s": symbol, "U": update + 1}
            update += 5
            lines.append(
                line(event.at_ms, stream(symbol, "depth@100ms", data | {"u": update} | _sides(event)))
            )
    return lines


def futures(
    events: Sequence[Event] = EVENTS, symbol: str = "BTCUSDT", pair: str = "", trades: str = "trade"
) -> list[bytes]:
    """Lines of a futures capture: ids with holes, ``pu`` tells the one before; ``pair``: coin-M."""
    lines, update = [], 100
    of_pair = {"ps": pair} if pair else {}
    for event in events:
        stamps = {"E": T0_MS + event.at_ms, "T": T0_MS + event.at_ms}
        if isinstance(event, Trade):
            data = {
                "e": trades,
                **stamps,
                "s": symbol,
                "p": event.price,
                "q": event.size,
                "m": event.side < 0,
            }
            ids = (
                {"t": event.number, "X": "MARKET"}
                if trades == "trade"
                else {"a": event.number, "f": 1, "l": 1}
            )
            lines.append(line(event.at_ms, stream(symbol, trades, data | ids | of_pair), event.delay_ms))
        elif event.snapshot:
            names = {"symbol": symbol, "pair": pair} if pair else {}
            snapshot = {"lastUpdateId": update, **stamps, **names, **_sides(event, "bids", "asks")}
            lines.append(line(event.at_ms, snapshot))
        else:
            data = {"e": "depthUpdate", **stamps, "s": symbol, "U": update + 3, "u": update + 9, "pu": update}
            update += 9
            levels = stream(symbol, "depth@0ms", {**data, **of_pair, **_sides(event)})
            lines.append(line(event.at_ms, levels))
    return lines


def tardis(
    events: Sequence[Event] = EVENTS, exchange: str = "binance-futures", symbol: str = "BTCUSDT"
) -> tuple[list[bytes], list[bytes]]:
    """Lines of the two files, incremental_book_L2 and trades."""
    book = [b"exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"]
    trades = [b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"]
    for event in events:
        sent = (T0_MS + event.at_ms) * 1000
        start = f"{exchange},{symbol},{sent},{sent + event.delay_ms * 1000}"
        if isinstance(event, Trade):
            side = "buy" if event.side > 0 else "sell"
            trades.append(f"{start},{event.number},{side},{event.price},{event.size}\n".encode())
            continue
        flag = "true" if event.snapshot else "false"
        for name, levels in (("bid", event.bids), ("ask", event.asks)):
            book.extend(f"{start},{flag},{name},{p},{q}\n".encode() for p, q in levels)
    return book, trades


def rows(*, shift_ms: int = 0, stamped_snapshots: bool = True) -> list[tuple[Any, ...]]:
    """What ``EVENTS`` must be on the tape: kind, received and sent (ms), side, price, size, ends an update.

    ``shift_ms``: what the clock offset moves the exchange's stamps by.
    """
    found: list[tuple[Any, ...]] = []
    for event in EVENTS:
        at, sent = event.at_ms + event.delay_ms, event.at_ms + shift_ms
        if isinstance(event, Trade):
            found.append(("TRADE", at, sent, event.side, Decimal(event.price), Decimal(event.size), True))
            continue
        sent = sent if stamped_snapshots or not event.snapshot else at
        levels = [
            ("LEVEL", at, sent, side, Decimal(price), Decimal(size), False)
            for side, pairs in ((1, event.bids), (-1, event.asks))
            for price, size in pairs
        ]
        if event.snapshot:
            begin = ("SNAPSHOT_BEGIN", at, at, 0, Decimal(0), Decimal(0), False)
            end = ("SNAPSHOT_END", at, at, 0, Decimal(0), Decimal(0), True)
            found += [begin, *levels, end]
        else:
            found += [*levels[:-1], (*levels[-1][:-1], True)]
    return found


def line(at_ms: int, message: dict[str, Any], delay_ms: int = DELAY_MS) -> bytes:
    return b"%d %s\n" % ((T0_MS + at_ms + delay_ms) * MS, orjson.dumps(message))


def stream(symbol: str, name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"stream": f"{symbol.lower()}@{name}", "data": data}


def write(path: Path, lines: Sequence[bytes]) -> Path:
    """Write a file, compressed if its name ends in gz."""
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _sides(event: Depth, bids: str = "b", asks: str = "a") -> dict[str, list[list[str]]]:
    return {bids: [list(pair) for pair in event.bids], asks: [list(pair) for pair in event.asks]}


def import_lines(
    folder: Path, kind: str, symbol: str, files: dict[str, list[bytes]], **units: Any
) -> tuple[Instrument, EventArray, dict[str, Any]]:
    """Write files of these lines, import them into a new session, and read it."""
    paths = [write(folder / name, lines) for name, lines in files.items()]
    report = import_files(paths, kind, symbol, folder / "session", **units).to_json()
    reader = SessionReader(folder / "session")
    return reader.instruments[0], reader.events(), report


def tape_rows(instrument: Instrument, events: EventArray) -> list[tuple[Any, ...]]:
    """The tape as ``rows`` tells it."""
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


def kinds(events: EventArray) -> list[str]:
    """The names of the rows' kinds."""
    return [Kind(int(k)).name for k in events["kind"]]
