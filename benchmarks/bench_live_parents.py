"""Many parents at once, live: how late their decisions are, and what a parent takes of memory.

``python benchmarks/bench_live_parents.py [--parents 20 500] [--align none|grid] [--symbols 20]
[--minutes 2] [--interval 10] [--shadows twap]``: ``run --paper --orders`` on the embedded exchange, the whole
product in one process of its own for each number of parents. Their algos are twap, pov and lem in turn, their
symbols go round. Prints for each run, as JSON:

* ``late_share``: of the decisions of parents and shadows, those handed over more than 100 ms after they were
  due on the wall clock, or whose algo was late, so that the rule of last resort acted in its place;
* ``behind_ms``: how long after it was due a decision was handed over, p50, p99 and the most;
* ``answer_ms``: how long lem's answers took, p50 and p99;
* ``rss_mb``: the process at its end, and at its most; ``cpu_share`` of one core, ``load`` of the machine;

and ``per_parent_mb``: by how much the second run's most is above the first's, per parent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ALGOS = ("twap", "pov", "lem")
LATE_MS = 100.0


class Watched:
    """A run's view that notes how far behind its time each decision was seen."""

    def __init__(self) -> None:
        from agent.system_clock import SystemClock

        self._clock = SystemClock()
        self.behind_ms: list[float] = []
        self.answer_ms: list[float] = []
        self.late = 0

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None: ...

    def prepared(self) -> None: ...

    def open(self, session: str, instruments: Sequence[object], title: str) -> None: ...

    def health(self, health: object) -> None: ...

    def add(self, events: Sequence[object]) -> None:
        from agent.core.events import DecisionTaken

        now_ns = self._clock.now_ns()
        for event in events:
            if isinstance(event, DecisionTaken):
                behind_ms = (now_ns - event.at_ns) / 1e6
                self.behind_ms.append(behind_ms)
                self.late += event.overrun or behind_ms > LATE_MS
                if event.algo == "lem" and event.latency_ns is not None:
                    self.answer_ms.append(event.latency_ns / 1e6)


def rows(given: argparse.Namespace, count: int) -> list[dict[str, object]]:
    """The orders, as ``orders:`` has them."""
    from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS

    names = list(SYMBOLS)[: given.symbols]
    order = {
        "notional": 5_000,
        "interval": f"{given.interval}s",
        "min_duration": f"{given.interval * 2}s",
        "max_duration": f"{max(2, round(given.minutes * 60 / given.interval)) * given.interval}s",
        "align": given.align,
        "shadows": list(given.shadows),
    }
    return [
        {
            "id": f"o{n}",
            "symbol": names[n % len(names)],
            "order": {**order, "algo": ALGOS[n // len(names) % 3], "side": ("buy", "sell")[n % 2]},
        }
        for n in range(count)
    ]


def memory_mb() -> tuple[float, float]:
    """(now, the most) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line for line in lines}
    now, most = (int(found[name].split()[1]) / 1024 for name in ("VmRSS", "VmHWM"))
    return round(now, 1), round(most, 1)


def one_run(given: argparse.Namespace, count: int) -> dict[str, object]:
    """Work so many parents, in this process."""
    from agent.app.live_session import prepare, run_paper
    from agent.config import parse_config
    from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS

    coins = {name.partition("/")[0]: 10**12 for name in SYMBOLS}
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config(
            {
                "database": f"sqlite:///{folder}/agent.db",
                "out": f"{folder}/sessions",
                "orders": rows(given, count),
                "venue": {"balances": {**coins, "USDT": 10**12}, "max_open_orders": None},
                "risk": {"max_orders_per_s": None},
            }
        )
        view = Watched()
        prepare(config, view)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        result = asyncio.run(run_paper(config, view, view))
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    states: dict[str, int] = {}
    for record in result.summary.orders():
        states[record.changed.state.value] = states.get(record.changed.state.value, 0) + 1
    now_mb, most_mb = memory_mb()
    behind, answers = np.array(view.behind_ms), np.array(view.answer_ms or [0.0])
    return {
        "parents": count,
        "states": states,
        "not_started": len(result.not_started),
        "decisions": len(behind),
        "late": view.late,
        "late_share": round(view.late / max(1, len(behind)), 5),
        "behind_ms": [round(float(x), 1) for x in (*np.percentile(behind, [50, 99]), behind.max())],
        "answer_ms": [round(float(x), 1) for x in np.percentile(answers, [50, 99])],
        "events": result.events,
        "rss_mb": {"end": now_mb, "most": most_mb},
        "wall_s": round(wall_s, 1),
        "cpu_share": round(cpu_s / wall_s, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parents", nargs="+", type=int, default=[20, 500])
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--align", choices=("none", "grid"), default="grid")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--interval", type=int, default=10, help="seconds")
    parser.add_argument("--shadows", nargs="*", default=[])
    parser.add_argument("--child", type=int, help="work so many in this process")
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(one_run(given, given.child)))
        return
    found = []
    for count in given.parents:
        argv = [sys.executable, __file__, *sys.argv[1:], "--child", str(count)]
        printed = subprocess.check_output(argv, text=True, stderr=subprocess.DEVNULL)
        found.append(json.loads(printed.splitlines()[-1]))
    report: dict[str, object] = {"runs": found}
    if len(found) > 1:
        more_mb = found[-1]["rss_mb"]["most"] - found[0]["rss_mb"]["most"]
        report["per_parent_mb"] = round(more_mb / (found[-1]["parents"] - found[0]["parents"]), 3)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
