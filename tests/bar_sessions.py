"""Files and sessions of bars for tests: small enough to check every fill by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.app.importing import import_files
from agent.app.replay_session import Replayed, replay_session
from agent.config import Bars, Config, Order, Venue
from agent.core.events import AuditEvent

HOUR = 3600 * 10**9
MIDNIGHT = datetime(2025, 3, 3, tzinfo=UTC)
MONEY = Venue(
    maker_fee_ppm=0,
    taker_fee_ppm=0,
    balances={"BTC": Decimal(1000), "USDT": Decimal(10**8), "IBM": Decimal(10**6), "USD": Decimal(10**9)},
)


@dataclass(frozen=True)
class Bar:
    """One row of a file. ``money`` None: the file has no notional column."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    money: float | None = None
    trades: int = 10
    bought: float = 0.0


def hourly(prices: Sequence[float], volume: float = 100.0, start: datetime = MIDNIGHT) -> list[Bar]:
    """Bars of an hour whose VWAP is 1 above their close, from 2 below it to 3 above."""
    return [
        Bar(start + k * timedelta(hours=1), p, p + 3, p - 2, p, volume, (p + 1) * volume, 10 + k, volume / 4)
        for k, p in enumerate(prices)
    ]


def write_csv(path: Path, bars: Sequence[Bar]) -> Path:
    """The bars as a CSV file of klines; times in ms."""
    money = all(bar.money is not None for bar in bars)
    names = "open_time,open,high,low,close,volume" + (
        ",quote_volume,n_trades,taker_buy_base" if money else ""
    )
    rows = []
    for b in bars:
        cells = [int(b.start.timestamp() * 1000), b.open, b.high, b.low, b.close, b.volume]
        rows.append(",".join(str(c) for c in cells + ([b.money, b.trades, b.bought] if money else [])))
    path.write_text("\n".join([names, *rows]) + "\n")
    return path


def session(folder: Path, bars: Sequence[Bar], symbol: str = "BTC/USDT", **units: Any) -> Path:
    """A session imported from the bars."""
    file = write_csv(folder / "bars.csv", bars)
    out = folder / "session"
    import_files([file], "klines", symbol, out, **units)
    return out


def config(order: Order, bars: Bars | None = None, venue: Venue = MONEY) -> Config:
    return Config(order=order, venue=venue, bars=bars or Bars(half_spread_bps=Decimal(10)))


def run(
    path: Path, given: Config, rows: int | None = None, start: datetime | None = None
) -> tuple[Replayed, list[AuditEvent]]:
    """Replay an order on a session; the replay and all that happened, in wall time."""
    events: list[AuditEvent] = []
    at_ns = None if start is None else int(start.timestamp()) * 10**9
    done = replay_session(
        path,
        given,
        override=True,
        verify=False,
        speed=None,
        rows=rows,
        watch=events.extend,
        start_ns=at_ns,
    )
    return done, events


def of(events: Sequence[AuditEvent], kind: type[Any]) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]
