"""Peak memory of a replay: an hour of ten symbols, one order with three shadows, in a process of its own.

``python benchmarks/bench_memory.py [SESSION] [--seconds N] [--symbols N] [--compact]``: without a SESSION
one is made first, of seeded synthetic markets at their natural pace (about 680 rows a second a symbol, 24 of
them trades), and thrown away afterwards. ``--compact`` rewrites it into Parquet before the replay. The
replay is the ordinary one; its process prints the most memory it reached.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray
from connectors.embedded.synthetic.synthetic_market import START_NS, SyntheticMarket
from storage.recordings.compaction import compact_session
from storage.recordings.session import SessionHeader, SessionWriter

S = 10**9
PAIR = ("BTC/USDT", "ETH/USDT")


def markets(symbols: int, seconds: float) -> tuple[list[Instrument], Iterator[EventArray]]:
    """Independent markets under names of their own, and their rows second by second in order of time."""
    pairs = [SyntheticMarket(seed, PAIR, seconds=seconds, past_s=0.0) for seed in range(1, symbols // 2 + 1)]
    instruments = [
        replace(i, number=2 * at + i.number, base=f"{i.base}{at}", symbol=f"{i.base}{at}/USDT")
        for at, pair in enumerate(pairs)
        for i in pair.instruments
    ]

    def rows() -> Iterator[EventArray]:
        seq = 1
        for parts in zip(*(pair.batches() for pair in pairs), strict=True):
            for at, part in enumerate(parts):
                part["instrument"] += 2 * at
            merged = np.concatenate(parts)
            merged = merged[np.argsort(merged["recv_ns"], kind="stable")]
            merged["seq"] = np.arange(seq, seq + len(merged))
            seq += len(merged)
            yield merged

    return instruments, rows()


def make(path: Path, symbols: int, seconds: float) -> None:
    """Write the session."""
    instruments, rows = markets(symbols, seconds)
    writer = SessionWriter.create(path, SessionHeader(path.name, tuple(instruments), START_NS))
    end_ns = START_NS
    for batch in rows:
        writer.events(batch)
        end_ns = int(batch["recv_ns"][-1])
    writer.close(end_ns)


def replay(path: Path) -> dict[str, float]:
    """Replay ``path`` with an order that works for most of its length; what it took."""
    from agent.app.replay_session import replay_session
    from agent.config import Config, Order
    from storage.recordings.session import SessionReader

    reader = SessionReader(path)
    first = next(reader.batches(1))
    length_ns = (reader.end_ns or 0) - int(first["recv_ns"][0])
    interval = max(S, length_ns // 100 // S * S)
    order = Order(
        quantity=Decimal(20),
        algo="twap",
        interval=interval,
        min_duration=40 * interval,
        max_duration=80 * interval,
        shadows=("twap", "vwap", "pov"),
    )
    config = Config(order=order, symbol=reader.instruments[0].symbol)
    imported = peak_mb()
    done = replay_session(path, config, override=True, verify=False, speed=None)
    (parent,) = done.summary.parents()
    return {
        "events": done.result.events,
        "instruments": len(reader.instruments),
        "span_s": length_ns / S,
        "state": parent["state"],
        "digest": done.result.digest,
        "events_per_s": round(done.result.events_per_s),
        "seconds": round(done.result.seconds, 2),
        "before_replay_mb": imported,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> int:
    """Most memory this process has had. On Linux ``getrusage`` begins with what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def in_a_process(path: Path) -> dict[str, float]:
    """The same in a fresh interpreter: the making of the session must not count."""
    done = subprocess.run(
        [sys.executable, __file__, str(path), "--here"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def size_mb(path: Path) -> float:
    return round(sum(f.stat().st_size for f in path.iterdir()) / 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--symbols", type=int, default=10, help="an even number")
    parser.add_argument("--compact", action="store_true", help="what was made here, into Parquet")
    parser.add_argument("--here", action="store_true", help="replay in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(replay(given.session)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.session or Path(folder) / "hour"
        started = time.perf_counter()
        if given.session is None:
            make(path, given.symbols, given.seconds)
            if given.compact:
                compact_session(path)
        figures = {"made_s": round(time.perf_counter() - started, 1), "size_mb": size_mb(path)}
        print(json.dumps({**figures, **in_a_process(path)}, indent=1))


if __name__ == "__main__":
    main()
