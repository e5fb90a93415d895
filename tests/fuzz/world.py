"""What cases are made of: small sessions, a database, files, and values that are odd in known ways."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

from agent.app.warm_up import warm_up
from agent.cli import main
from lem.network.checkpoint import DEFAULT_PATH
from tests.fakes import SMALL, S, record, start, synthetic_tape

ODD_TEXTS = (
    *("", " ", "0", "-1", "1", "1e400", "-1e400", "nan", "inf", "-inf", ".inf", "1e-400", "0x10", "1_000"),
    *("99999999999999999999", "-99999999999999999999", "9" * 400, "1e18", "9223372036854775808", "0.1.2"),
    *("None", "null", "true", "[]", "{}", "[/red]", "[bold]x[/]", "%s", "{0}", "\\", "'", '"', "`", "a b"),
    *("Δ", "日本", "\u202e", "e\u0301", "\t", "\n", "\x00", "\x1b[31m", "\ud800", "/", "..", "/dev/null"),
    *("/proc/self/mem", "-", "--", "~", "$HOME", "*", "x" * 5000, "99999d", "1e9d", "-5s", "5", "0s", "1ms"),
    *("2025-13-01", "9999-12-31", "0001-01-01", "2025-03-03T14:30+99:00", "1677-09-21", "2262-04-12"),
    *("BTC/USDT", "buy", "sell", "twap", "lem", "pov", "SELECT 1", "sqlite://", "postgresql://", "://"),
)
ODD_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**6, 10**9, 10**18, 2**63 - 1, 2**63, -(2**63), 10**30, -(10**30)),
    *(0.0, 0.5, -0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"), 1e18),
    *([], {}, [1], {"a": 1}, [[]], {"measured": []}, [None], ["twap"], b"\x00\xff"),
)
DURATIONS = ("1ms", "1s", "2s", "3s", "5s", "20s", "1m", "1h", "3660d", "99999d", "0.5s", "90", "-1s")


def odd(draw: random.Random) -> str:
    """A text that is odd, or two of them together, or a plain number."""
    kind = draw.random()
    if kind < 0.75:
        return draw.choice(ODD_TEXTS)
    if kind < 0.85:
        return f"{draw.choice(ODD_TEXTS)}{draw.choice(ODD_TEXTS)}".lstrip(
            "/"
        )  # nothing at the root of a disk
    return repr(round(draw.uniform(-5, 5), draw.randrange(6)))


@dataclass(frozen=True, slots=True)
class World:
    """``folder`` is made once; ``scratch`` is a case's own and emptied before it."""

    folder: Path
    session: Path  # a tape with one order
    plain: Path  # without an order
    database: Path
    stored: str  # its first session; cases may add theirs
    checkpoint: Path
    klines: Path

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def fresh(self) -> Path:
        """The scratch folder, empty."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        return self.scratch


ORDER = replace(SMALL, quantity=Decimal("0.2"), min_duration=2 * S, max_duration=4 * S, interval=S)


def make_world(folder: Path) -> World:
    """Make everything in ``folder``, and compile what a case may call: its time is not a case's."""
    warm_up(model=True, synthetic=True, progress=lambda what, done, count: None)
    instrument, events = synthetic_tape(seconds=8.0)
    session = record(folder / "worked", instrument, events, [start(instrument, events, ORDER)], ORDER)
    plain = record(folder / "plain", instrument, events, [], ORDER)
    database = folder / "agent.db"
    _quiet(["replay", str(session), "--db", f"sqlite:///{database}", "--json"])
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (stored,) = connection.execute("SELECT session FROM sessions").fetchone()
    connection.close()
    klines = folder / "klines.csv"
    klines.write_text("\n".join(_kline(minute) for minute in range(300)) + "\n")
    return World(folder, session, plain, database, str(stored), DEFAULT_PATH, klines)


def _kline(minute: int) -> str:
    at_ms, price = 1_700_000_000_000 // 60_000 * 60_000 + 60_000 * minute, 100 + minute % 7
    return (
        f"{at_ms},{price},{price + 1},{price - 1},{price},{10 + minute % 5},{at_ms + 59_999},1000,5,5,500,0"
    )


def _quiet(argv: list[str]) -> None:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), suppress(SystemExit):
        main(argv)
