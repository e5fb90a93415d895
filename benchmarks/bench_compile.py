"""First use and cached start: what a new process waits for before it can connect.

``python benchmarks/bench_compile.py``: processes of their own build an engine and warm it up as a run does,
the first with an empty cache of compiled code, the others with what it left. Seconds on the wall and of the
processor, for the venue's kernels alone and for all that is compiled (venue, checks of the tape, features and
the fallback's programme); imports are counted apart.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CACHED_STARTS = 5
ROOT = Path(__file__).parents[1]
CHILD = """
import json, time
def now():
    return time.perf_counter(), time.process_time()
began = now()
from decimal import Decimal
from agent.app.build import build_engine, inline_policies
from agent.config import Config
from agent.core.instrument import Instrument
from agent.venue.kernel.tape_market import TapeMarket
imported = now()
btc = Instrument(0, "bench", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"))
TapeMarket([btc]).warm_up()
venue = now()
build_engine(Config(), [btc], inline_policies(Config()))
engine = now()
spans = {"imports": (began, imported), "venue": (imported, venue), "all": (imported, engine)}
print(json.dumps({k: {"wall_s": b[0] - a[0], "cpu_s": b[1] - a[1]} for k, (a, b) in spans.items()}))
"""


def start(cache: str) -> dict[str, dict[str, float]]:
    env = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=ROOT, env=env, capture_output=True, check=True)
    times: dict[str, dict[str, float]] = json.loads(done.stdout)
    return times


def median_of(starts: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        what: {clock: round(statistics.median(s[what][clock] for s in starts), 2) for clock in clocks}
        for what, clocks in starts[0].items()
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        first = start(cache)
        cached = [start(cache) for _ in range(CACHED_STARTS)]
    print(json.dumps({"first": median_of([first]), "cached": median_of(cached)}, indent=1))


if __name__ == "__main__":
    main()
