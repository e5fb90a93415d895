"""Plays seeds until each planted mistake is found: ``make simulate-planted``; ends with one JSON line.

A seed that fails without a mistake proves nothing of one, so those that fail as it is are left out.
"""

from __future__ import annotations

from tests.simulation import campaign  # first: it sets the clocks

import argparse  # isort: skip
import json  # isort: skip
import os  # isort: skip
import sys  # isort: skip

from tests.simulation.planted import PLANTED  # isort: skip
from tests.simulation.scenario import scenario  # isort: skip
from tests.simulation.seed_process import Played, play, warm_up  # isort: skip


def main() -> int:
    given = _arguments()
    warm_up()
    names = [given.only] if given.only else list(PLANTED)
    found: dict[str, int | None] = {}
    for name in names:
        found[name] = _seeds_until_found(name, given.most, given.workers)
    missed = [name for name, seeds in found.items() if seeds is None]
    counts = {"planted": len(found), "found": len(found) - len(missed), "not_found": missed}
    campaign.say(json.dumps({**counts, "most_seeds": max(n for n in found.values() if n), "seeds": found}))
    return 1 if missed else 0


def _seeds_until_found(name: str, most: int, workers: int) -> int | None:
    """How many seeds it takes; None: not found in ``most``."""
    for first in range(1, most + 1, workers):
        for each in sorted(campaign.played(range(first, first + workers), workers, PLANTED[name]), key=_seed):
            if each.violations and not play(scenario(each.seed)).violations:
                kind, what = each.violations[0]
                campaign.say(f"{name}: found by seed {each.seed} ({kind}: {what[:110]})")
                return each.seed
    campaign.say(f"{name}: NOT FOUND in {most} seeds")
    return None


def _seed(each: Played) -> int:
    return each.seed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(PLANTED), metavar="NAME", help="this mistake alone")
    parser.add_argument("--most", type=int, default=200, help="seeds tried for each")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
