"""A day of a whole agent in virtual time, under faults: does it grow? Ends with one JSON line.

``python -m tests.simulation.soak --hours 24 --symbols 5 --orders 200 --seed 1``
"""

from __future__ import annotations

from tests.simulation import virtual_time

virtual_time.install()  # before anything reads the time

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from dataclasses import asdict  # noqa: E402

from agent.app.world.garbage import collect_often  # noqa: E402
from tests.simulation.campaign import say  # noqa: E402
from tests.simulation.resources import Held  # noqa: E402
from tests.simulation.seed_process import warm_up  # noqa: E402
from tests.simulation.soak_day import day, make_quick  # noqa: E402
from tests.simulation.soak_run import Soak  # noqa: E402
from tests.simulation.virtual_loop import VirtualLoop  # noqa: E402
from tests.simulation.virtual_time import REAL_S  # noqa: E402


def main() -> int:
    given = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("start it with PYTHONHASHSEED=0: the order of a set is drawn for each process otherwise")
    warm_up()
    make_quick()
    collect_often()
    began_s = REAL_S()
    every_s = given.every * 60.0
    scenario = day(given.seed, given.hours, given.symbols, given.orders, given.faults, every_s)
    loop = VirtualLoop(given.seed)
    virtual_time.begin(loop, given.seed)
    asyncio.set_event_loop(loop)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.chdir(folder)
        soak = Soak(scenario, loop, every_s, _tell, trace=given.trace)
        soak.play()
        os.chdir("/")
    say(json.dumps(soak.document(REAL_S() - began_s)))
    return 0 if soak.well else 1


def _tell(hour: float, held: Held, grown: list[str]) -> None:
    numbers = ", ".join(f"{name} {value:,}" for name, value in asdict(held).items())
    say(f"{hour:.4g} h: {numbers}")
    for line in grown:
        say(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of virtual time")
    parser.add_argument("--symbols", type=int, default=5, help="1 to 5")
    parser.add_argument("--orders", type=int, default=200, help="over the whole of it")
    parser.add_argument("--every", type=float, default=60.0, help="minutes between two measurements")
    parser.add_argument("--faults", type=int, default=12, help="between two measurements")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="say each time which types have grown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
