"""Replay speed in tape rows per second, compilation left out, over at least 20 passes.

``python benchmarks/bench_replay.py [SESSION]``: a session without an order is worked by one twap parent
with two shadows; without an argument the small session of the tests is used.
"""

from __future__ import annotations

import json
import statistics
import sys
from decimal import Decimal
from pathlib import Path

from agent.app.replay_session import replay_session
from agent.config import Config, Order

PASSES = 20
S = 10**9
SMALL = Path(__file__).parents[1] / "tests" / "data" / "small-session"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SMALL
    order = Order(
        quantity=Decimal(2),
        algo="twap",
        interval=3 * S if path == SMALL else 45 * S,
        min_duration=6 * S if path == SMALL else 180 * S,
        max_duration=18 * S if path == SMALL else 540 * S,
        shadows=("vwap", "pov"),
    )

    def once() -> tuple[int, float]:
        done = replay_session(path, Config(order=order), override=True, verify=False, speed=None)
        return done.result.events, done.result.seconds

    once()  # compiled and warm
    runs = [once() for _ in range(PASSES)]
    rates = [events / seconds for events, seconds in runs]
    print(
        json.dumps(
            {
                "session": path.name,
                "passes": PASSES,
                "events": sum(events for events, _ in runs),
                "events_per_s": {
                    "median": round(statistics.median(rates)),
                    "min": round(min(rates)),
                    "max": round(max(rates)),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
