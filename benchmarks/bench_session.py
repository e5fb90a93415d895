"""Speed of recorded sessions: appending small batches live, compacting at close, reading back.

Run: ``python benchmarks/bench_session.py [ROWS]``; prints one JSON document. With a session's directory
instead of ROWS: what compaction makes of a copy of it, and how fast either form is read (medians of five).
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from agent.core.market.tape import EVENT
from storage.recordings.compaction import compact_session
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter

LIVE_BATCH = 4
LIVE_CALLS = 20_000


def main(rows: int) -> dict[str, float]:
    """Return seconds and rows per second of each phase."""
    tape = np.zeros(rows, EVENT)
    tape["seq"] = np.arange(rows)
    tape["price_ticks"] = np.random.default_rng(1).integers(1, 1 << 40, rows)
    figures: dict[str, float] = {"rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        writer = SessionWriter.create(Path(folder) / "s", SessionHeader("bench", (), created_ns=0))
        start = time.perf_counter()
        for i in range(0, LIVE_BATCH * LIVE_CALLS, LIVE_BATCH):
            writer.events(tape[i : i + LIVE_BATCH])
        figures["append_us_per_call"] = (time.perf_counter() - start) / LIVE_CALLS * 1e6
        start = time.perf_counter()
        for i in range(LIVE_BATCH * LIVE_CALLS, rows, 65536):
            writer.events(tape[i : i + 65536])
        figures["append_large_rows_per_s"] = rows / (time.perf_counter() - start)
        start = time.perf_counter()
        figures["read_small_rows_per_s"] = LIVE_BATCH * LIVE_CALLS / _first(folder, start)
        start = time.perf_counter()
        writer.close(end_ns=0)
        figures["close_s"] = time.perf_counter() - start
        for name in ("read_cold_rows_per_s", "read_rows_per_s"):
            start = time.perf_counter()
            read = sum(len(batch) for batch in SessionReader(Path(folder) / "s").batches())
            figures[name] = read / (time.perf_counter() - start)
            if read != rows:
                raise SystemExit(f"read {read} of {rows} rows")
    return figures


def _first(folder: str, start: float) -> float:
    next(SessionReader(Path(folder) / "s").batches(LIVE_BATCH * LIVE_CALLS))
    return time.perf_counter() - start


def compaction(session: Path) -> dict[str, float]:
    """Sizes, ratio and speeds in rows per second before and after; ``session`` itself is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copytree(session, Path(folder) / "s"))
        before = _read_rows_per_s(path)
        start = time.perf_counter()
        done = compact_session(path)
        seconds = time.perf_counter() - start
        if done.ratio is None:
            raise SystemExit(f"{session} is compact already")
        return {
            "rows": done.rows,
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
            "ratio": round(done.ratio, 2),
            "compact_rows_per_s": round(done.rows / seconds),
            "read_arrow_rows_per_s": before,
            "read_parquet_rows_per_s": _read_rows_per_s(path),
        }


def _read_rows_per_s(path: Path) -> int:
    speeds = []
    for _ in range(5):
        start = time.perf_counter()
        rows = sum(len(batch) for batch in SessionReader(path).batches())
        speeds.append(rows / (time.perf_counter() - start))
    return round(statistics.median(speeds))


if __name__ == "__main__":
    if len(sys.argv) > 1 and Path(sys.argv[1]).is_dir():
        print(json.dumps(compaction(Path(sys.argv[1])), indent=1))
        sys.exit()
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000), indent=1))
