"""Keys that only a live run shows: the embedded exchange, its feed, the database, the clock's orders."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent.cli import main
from agent.core.market.tape import Flag, Kind
from agent.core.types import NS_PER_S
from storage.recordings.session import SessionReader
from tests.every_key.key_markets import Markets

pytestmark = pytest.mark.slow

S = 10**9
TICK = {"quantity": "0.01", "algo": "twap", "shadows": [], "interval": "1s"}
EVERY = {"name": "tick", "every": "3s", "order": {**TICK, "min_duration": "1s", "max_duration": "1s"}}


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return (int(str(stop.value.code)), *capsys.readouterr())


def write(folder: Path, raw: dict[str, Any]) -> str:
    file = folder / "c.yaml"
    file.write_text(yaml.safe_dump(raw))
    return str(file)


def recorded(
    folder: Path, name: str, raw: dict[str, Any], capsys: pytest.CaptureFixture[str], duration: str = "2s"
) -> tuple[SessionReader, str]:
    """What ``record`` made under a configuration, and what it logged."""
    file = write(folder, {"out": str(folder / name), **raw})
    code, out, err = said(["record", "--duration", duration, "--json", "--config", file], capsys)
    assert code == 0, err
    path = Path(json.loads(out)["session"])
    assert path.parent == folder / name  # the key ``out``
    return SessionReader(path), err


def closes(reader: SessionReader) -> dict[int, int]:
    """The history's klines: close by opening time."""
    bars = reader.bars()
    return dict(zip(bars["open_ns"].tolist(), bars["close_ticks"].tolist(), strict=True))


def pace(reader: SessionReader) -> float:
    """Live trades in a second of ours."""
    events = reader.events()
    trades = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.HISTORY == 0)]
    return len(trades) * S / max(1, int(np.ptp(trades["recv_ns"])))


def depth(reader: SessionReader) -> int:
    """Bids in the first whole book."""
    events = reader.events()
    end = int(np.flatnonzero(events["kind"] == Kind.SNAPSHOT_END)[0])
    book = events[:end]
    begin = int(np.flatnonzero(book["kind"] == Kind.SNAPSHOT_BEGIN)[-1])
    return int(np.count_nonzero((book["kind"][begin:] == Kind.LEVEL) & (book["side"][begin:] == 1)))


@pytest.mark.slow
def test_the_feed_and_the_embedded_market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Depth, history, speed, seed, symbol, heartbeat and folder, each seen in what was recorded."""
    few = {"feed": {"book_depth": 20, "warm_up": "20m"}, "jobs": {"heartbeat": "1h"}}
    many = {"feed": {"book_depth": 50, "warm_up": "1h"}, "jobs": {"heartbeat": "500ms"}}
    a, quiet = recorded(tmp_path, "a", few, capsys)
    b, beats = recorded(tmp_path, "b", many, capsys)
    other = few | {"embedded": {"seed": 2, "speed": 20}}
    c, _ = recorded(tmp_path, "c", other, capsys)
    d, _ = recorded(tmp_path, "d", few | {"symbol": "ETH/USDT"}, capsys)
    assert depth(a) <= 20 < depth(b)
    assert len(closes(a)) < len(closes(b)) / 2  # feed.warm_up
    assert pace(c) > 2 * pace(a)  # embedded.speed, on a computer that has other work
    assert ("alive" in quiet, beats.count("alive") > 1) == (False, True)  # jobs.heartbeat
    assert _alike(a, b) > 0.9 > 0.1 > _alike(a, c)  # embedded.seed
    assert [r.instruments[0].symbol for r in (a, d)] == ["BTC/USDT", "ETH/USDT"]


def _alike(a: SessionReader, b: SessionReader) -> float:
    """The share of one's past trades that the other has had too, whenever."""
    first, second = (set(history(reader)) for reader in (a, b))
    return len(first & second) / len(first)


def history(reader: SessionReader) -> list[tuple[int, int]]:
    """Price and size of the trades before the first live one."""
    events = reader.events()
    past = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.HISTORY != 0)]
    return list(zip(past["price_ticks"].tolist(), past["qty_lots"].tolist(), strict=True))


@pytest.mark.slow
def test_a_recorded_market_that_ends_is_a_quiet_book(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``embedded.market`` plays a session; once it has ended, ``feed.stale_after`` says how often it is asked
    whether its book is still so. It is, and the tape says so."""
    market = Markets(tmp_path).path("plain")
    raw: dict[str, Any] = {"embedded": {"market": str(market), "speed": 20}}
    prices = set(SessionReader(market).events()["price_ticks"].tolist())
    asked = {}
    for after in ("500ms", "1h"):
        reader, _ = recorded(tmp_path, after, raw | {"feed": {"stale_after": after}}, capsys, "4s")
        events = reader.events()
        trades = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.HISTORY == 0)]
        assert set(trades["price_ticks"].tolist()) <= prices
        assert not np.any(events["kind"] == Kind.STALE)
        late = events["recv_ns"] > (reader.end_ns or 0) - NS_PER_S
        asked[after] = bool(np.any(late & (events["kind"] == Kind.LEVEL)))
    assert asked == {"500ms": True, "1h": False}


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ({"feed": {"connect_timeout": "1ms"}}, 3, ["0.001 s"]),
        ({"exchange": "bydfi"}, 3, ["bydfi", "watch"]),
    ],
)
def test_the_exchange_and_how_long_it_may_take(
    raw: dict[str, Any], code: int, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exchange that cannot stream is named with what it lacks; a deadline is named when it passes."""
    found, out, err = said(["record", "--duration", "1s", "--config", write(tmp_path, raw)], capsys)
    assert (found, out) == (code, "")
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"cron": "30 12 * * *"}, ["lunch by twap next", "12:30:00 UTC"]),
        ({"cron": "0 9 * * *", "name": "early"}, ["early by twap next", "09:00:00 UTC"]),
        ({"cron": "0 9 * * *", "order": TICK | {"algo": "vwap"}}, ["lunch by vwap next"]),
    ],
)
def test_doctor_says_what_the_clock_will_start(
    schedule: dict[str, Any], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each schedule by name with its algo and its next moment."""
    whole = {"name": "lunch", "order": TICK | {"min_duration": "1s", "max_duration": "1s"}} | schedule
    whole["order"] = {"min_duration": "1s", "max_duration": "1s", **whole["order"]}
    raw = {"database": f"sqlite:///{tmp_path}/a.db", "schedules": [whole]}
    code, out, _ = said(["doctor", "--json", "--config", write(tmp_path, raw)], capsys)
    detail = next(c["detail"] for c in json.loads(out)["checks"] if c["name"] == "configuration")
    assert code == 0
    assert all(word in detail for word in words), detail


@pytest.mark.slow
def test_the_clock_starts_orders_and_sessions_until_interrupted(tmp_path: Path) -> None:
    """``schedules``, ``jobs.rotate_session``, ``database``: orders of no other kind, in two sessions."""
    raw = {
        "database": f"sqlite:///{tmp_path}/other.db",
        "out": str(tmp_path / "sessions"),
        "schedules": [EVERY],
        "jobs": {"rotate_session": "5s"},
    }
    argv = [sys.executable, "-m", "agent", "run", "--paper", "--config", write(tmp_path, raw)]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    lines, rotated = [], 0
    for line in running.stderr:
        lines.append(line)
        rotated += "session_rotates" in line
        if rotated and "-P1 completed" in line:
            running.send_signal(signal.SIGINT)
    running.stderr.close()
    assert running.wait(30) == 130
    text = "".join(lines)
    assert "PAPER embedded BTC/USDT; until Ctrl-C" in text
    assert '"schedule": "tick"' in text
    assert len(list((tmp_path / "sessions").iterdir())) >= 2
    database = sqlite3.connect(tmp_path / "other.db")
    targets = database.execute("SELECT DISTINCT target FROM parent_orders").fetchall()
    database.close()
    assert [float(target) for (target,) in targets] == [0.01]
