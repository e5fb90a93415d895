"""A whole replay against NautilusTrader's TWAP backtest on the same trades: one machine, one run, in turns.

``python benchmarks/bench_nautilus.py [SESSION] [--seconds 5700] [--trades-per-s 29] [--passes 7]``: on
SESSION (a directory) if given, else on a seeded synthetic BTC/USDT (700 rows a second, 4 % of them trades).

Ours is everything that `agent replay SESSION --algo twap --shadow vwap,pov --db FILE` does in a process that
has started, on a database that is there: reading and checking the session, book, venue with three lanes,
bars, the features of every decision, TCA, the digest, and every row of it stored in SQLite. Theirs is
``BacktestEngine.run`` alone, one TWAP order on trade ticks already made (see ``nautilus_twap``). Beside them,
in no ratio: ``database_s``, what making an empty database takes (its migrations), and ``process_s``, a whole
process with the tests' small session, from `python -m agent` to its exit, into a database of its own.

Three ratios are given, by the clock and by processor time, because a row and a trade are not one thing:

* ``events``: each side's own events a second; ours are book levels and trades, theirs the trades alone.
* ``trades_only``: on a session of one book and the same trades, so that both see the same events.
* ``time``: their seconds over ours for the same stretch of market, our book rows for nothing.

``make bench-nautilus`` makes the environment that it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from agent.app.replay_session import replay_session
from agent.config import Config, Order, Risk
from agent.core.instrument import Instrument
from agent.core.market.features import features
from agent.core.market.tape import EventArray, Flag, Kind
from agent.core.types import NS_PER_S, MarketView, OrderView
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from storage.log.database import migrate
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-nautilus"
INTERVALS, LEAST, SLICES = 12, 4, 5  # decisions of our order, at most and at least; market orders in each
WORKED = 0.83  # of the session: the rest is for the last markouts
QUANTITY = Decimal(2)
CHUNK_ROWS = 16384
LONG_NS = 10**15
SMALL, STARTS = ROOT / "tests" / "data" / "small-session", 3


@dataclass(frozen=True)
class Case:
    """A session on disk, and the order that both sides work on it."""

    path: Path
    order: Order
    rows: int
    trades: int

    @classmethod
    def of(cls, path: Path) -> Case:
        rows = trades = 0
        first_ns = last_ns = 0
        for batch in SessionReader(path).batches():
            live = batch[batch["flags"] & Flag.HISTORY == 0]
            first_ns = first_ns or int(live["recv_ns"][0])
            last_ns = int(batch["recv_ns"][-1])
            rows += len(batch)
            trades += int(np.count_nonzero(live["kind"] == Kind.TRADE))
        interval_s = max(SLICES, int((last_ns - first_ns) / NS_PER_S * WORKED / INTERVALS))
        order = Order(
            quantity=QUANTITY,
            algo="twap",
            interval=interval_s * NS_PER_S,
            min_duration=interval_s * LEAST * NS_PER_S,
            max_duration=interval_s * INTERVALS * NS_PER_S,
            shadows=("vwap", "pov"),
        )
        return cls(path, order, rows, trades)

    def theirs(self) -> dict[str, Any]:
        """The same order for their TWAP."""
        horizon_s = self.order.max_duration / NS_PER_S
        return {
            "quantity": str(QUANTITY),
            "horizon_secs": horizon_s,
            "interval_secs": horizon_s / (INTERVALS * SLICES),
        }


def write_session(path: Path, instrument: Instrument, events: EventArray) -> Path:
    """Record ``events`` as a session without an order."""
    events["seq"] = np.arange(1, len(events) + 1)
    writer = SessionWriter.create(path, SessionHeader(path.name, (instrument,), int(events["recv_ns"][0])))
    for start in range(0, len(events), CHUNK_ROWS):
        writer.events(events[start : start + CHUNK_ROWS])
    writer.close(int(events["recv_ns"][-1]))
    return path


def trades_only(whole: EventArray) -> EventArray:
    """The first whole book of a tape, and after it the trades alone."""
    ended = int(np.flatnonzero(whole["kind"] == Kind.SNAPSHOT_END)[0]) + 1
    later = whole[ended:]
    return np.concatenate([whole[:ended], later[later["kind"] == Kind.TRADE]])


class Theirs:
    """NautilusTrader in its own process, asked for one pass at a time."""

    def __init__(self, python: Path, folder: Path, events: EventArray, instrument: Instrument) -> None:
        trades = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.HISTORY == 0)]
        np.savez(
            folder / "trades.npz",
            price=trades["price_ticks"] * float(instrument.tick),
            size=trades["qty_lots"] * float(instrument.lot),
            **{name: trades[name] for name in ("side", "exch_ns", "recv_ns")},
        )
        command = [str(python), str(ROOT / "benchmarks" / "nautilus_twap.py"), str(folder / "trades.npz")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


def ours(case: Case, folder: Path, number: int) -> dict[str, Any]:
    """One whole replay into a new database. Returns seconds, and what it stored."""
    database = folder / f"{case.path.name}-{number}.db"
    began = time.perf_counter()
    migrate(str(database))
    made = time.perf_counter() - began
    config = Config(order=case.order, risk=Risk(stale_book=LONG_NS))  # trades alone leave the book stale

    def look(_decision: str, _order: OrderView, market: MarketView) -> None:
        if len(market.bars):
            features(market.bars, market.delta_ns)

    began, cpu = time.perf_counter(), time.process_time()
    done = replay_session(
        case.path, config, override=True, verify=False, speed=None, shown=look, database=str(database)
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for file in folder.glob(f"{database.name}*"):
        file.unlink()
    (parent,) = done.summary.parents()
    assert done.stored is not None
    found = {name: parent[name] for name in ("state", "filled", "children", "fills", "decisions")}
    times = {"seconds": seconds, "cpu_s": cpu, "database_s": made, "in_replay_s": done.result.seconds}
    return {**times, "stored": done.stored.events, **found}


def passes(
    cases: dict[str, Case], theirs: Theirs, folder: Path, count: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """All sides in turn, ``count`` times after one pass of each that is not counted."""
    for i in range(count + 1):
        found = [(name, ours(case, folder, i)) for name, case in cases.items()]
        found.append(("nautilus", theirs.once(cases["session"].theirs())))
        if i:
            yield from found


def process(folder: Path) -> float:
    """Seconds of a whole process that replays and stores the tests' small session."""
    argv = ["replay", str(SMALL), "--json", "--db", str(folder / "process.db")]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "agent", *argv], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - began


def median(rows: list[dict[str, Any]], what: str) -> float:
    return statistics.median(row[what] for row in rows)


def report(cases: dict[str, Case], found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each side and their ratios, by the clock and by processor time."""
    whole, bare = cases["session"], cases["trades_only"]
    events = {"nautilus": whole.trades, "session": whole.rows, "trades_only": bare.rows}
    sides = {
        name: {
            **found[name][-1],
            **{what: median(found[name], what) for what in ("seconds", "cpu_s")},
            "events": count,
            "events_per_s": round(count / median(found[name], "seconds")),
        }
        for name, count in events.items()
    }
    ratios = {}
    for what in ("seconds", "cpu_s"):
        took = {name: median(rows, what) for name, rows in found.items()}
        rate = {name: count / took[name] for name, count in events.items()}
        ratios[what] = {
            "events": round(rate["session"] / rate["nautilus"], 1),
            "trades_only": round(rate["trades_only"] / rate["nautilus"], 1),
            "time": round(took["nautilus"] / took["session"], 2),
        }
    return {"session": whole.path.name, **sides, "ratios": ratios}


def interpreter() -> Path | None:
    """The Python that has NautilusTrader: ``NAUTILUS_PYTHON``, else what ``make bench-nautilus`` makes."""
    python = Path(os.environ.get("NAUTILUS_PYTHON", ENVIRONMENT / "bin" / "python"))
    if not python.exists():
        return None
    found = subprocess.run([python, "-c", "import nautilus_trader"], capture_output=True, check=False)
    return python if found.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("session", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=5700.0)
    parser.add_argument("--trades-per-s", type=float, default=None, help="of the synthetic market")
    parser.add_argument("--passes", type=int, default=7)
    given = parser.parse_args()
    python = interpreter()
    if python is None:
        print("skipped: NautilusTrader is not here; `make bench-nautilus` installs it beside the product")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.session:
            path = given.session
            instrument, events = SessionReader(path).instruments[0], SessionReader(path).events()
        else:
            instruments, events = synthetic_session(1, given.seconds, trades_per_s=given.trades_per_s)
            instrument, path = (
                instruments[0],
                write_session(folder / "synthetic", instruments[0], events.copy()),
            )
        bare = write_session(folder / "trades-only", instrument, trades_only(events))
        theirs = Theirs(python, folder, events, instrument)
        del events
        cases = {"session": Case.of(path), "trades_only": Case.of(bare)}
        found: dict[str, list[dict[str, Any]]] = {}
        for side, row in passes(cases, theirs, folder, given.passes):
            found.setdefault(side, []).append(row)
        theirs.close()
        starts = statistics.median(process(folder) for _ in range(STARTS))
    print(json.dumps({**report(cases, found), "process_s": round(starts, 2)}, indent=1))


if __name__ == "__main__":
    main()
