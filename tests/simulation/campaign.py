"""Plays seeds, shrinks what fails, and ends with one JSON line: ``make simulate``."""

from __future__ import annotations

from tests.simulation import virtual_time

virtual_time.install()  # before anything reads the time

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import selectors  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

from tests.simulation.planted import PLANTED  # noqa: E402
from tests.simulation.scenario import Fault, Scenario, scenario  # noqa: E402
from tests.simulation.seed_process import LOG, Played, finish, play, start, warm_up  # noqa: E402
from tests.simulation.violation import Kind  # noqa: E402
from tests.simulation.virtual_time import REAL_S  # noqa: E402

AGAIN_EVERY = 25
"""One seed of so many is played twice: the same seed must give the same bytes."""
TELL_EVERY = 50
"""Seeds between two lines on stderr."""
SHRUNK_MOST = 3
"""Failing seeds that are made small; more are only named."""
Change = Callable[[], None]


def main() -> int:
    given = _arguments()
    if sys.flags.hash_randomization and os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("start it with PYTHONHASHSEED=0: the order of a set is drawn for each process otherwise")
    warm_up()
    if given.seed is not None:
        return _one(given.seed, given.faults)
    change = PLANTED[given.planted] if given.planted else None
    began_s = REAL_S()
    total = Total()
    for each in played(range(given.first, given.first + given.seeds), given.workers, change):
        total.add(each)
        if each.violations:
            _tell(each)
        if total.seeds % TELL_EVERY == 0:
            sys.stderr.write(f"{total.seeds} of {given.seeds} seeds, {len(total.failed)} failed\n")
    shrunk = [_shrink(each, change) for each in total.failed[:SHRUNK_MOST]]
    for text in shrunk:
        say(text)
    say(json.dumps(total.document(REAL_S() - began_s)))
    return 1 if total.failed else 0


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


class Total:
    """What all seeds came to."""

    def __init__(self) -> None:
        self.seeds = self.kills = self.resumes = self.faults = 0
        self.virtual_s = self.core_s = 0.0
        self.failed: list[Played] = []
        self.counts = dict.fromkeys([kind.value for kind in Kind], 0)

    def add(self, each: Played) -> None:
        self.seeds += 1
        self.kills += each.kills
        self.resumes += each.resumes
        self.faults += each.faults
        self.virtual_s += each.virtual_s
        self.core_s += each.core_s
        if each.violations:
            self.failed.append(each)
        for kind, _ in each.violations:
            self.counts[kind] += 1

    def document(self, wall_s: float) -> dict[str, object]:
        return {
            "seeds": self.seeds,
            "virtual_s": round(self.virtual_s, 1),
            "wall_s": round(wall_s, 1),
            "speed": round(self.virtual_s / self.core_s, 1) if self.core_s else 0.0,
            "kills": self.kills,
            "resumes": self.resumes,
            "faults": self.faults,
            **self.counts,
            "failed_seeds": [each.seed for each in self.failed],
        }


def played(seeds: Sequence[int], workers: int, change: Change | None = None) -> Iterator[Played]:
    """Each seed's outcome, ``workers`` at a time; some are played twice."""
    waiting = list(seeds)[::-1]
    with selectors.DefaultSelector() as running:
        while waiting or running.get_map():
            while waiting and len(running.get_map()) < workers:
                given, folder = scenario(waiting.pop()), Path(tempfile.mkdtemp(prefix="simulated-"))
                child, read = start(given, folder, change)
                running.register(read, selectors.EVENT_READ, (given, folder, child))
            for key, _ in running.select():
                given, folder, child = key.data
                running.unregister(key.fd)
                each = finish(given, child, key.fd)
                shutil.rmtree(folder, ignore_errors=True)
                if change is None and each.seed % AGAIN_EVERY == 0 and not each.violations:
                    _compare(each, play(given))
                yield each


def _compare(first: Played, second: Played) -> None:
    if first.digest != second.digest:
        first.violations.append((Kind.OTHER.value, "played again, the same seed gave other bytes"))


# --- one seed again --------------------------------------------------------------------------------


def _one(seed: int, numbers: str | None) -> int:
    """With its full log."""
    given = _with(scenario(seed), numbers)
    folder = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-"))
    say("\n".join(given.told()))
    each = play(given, keep=folder)
    shutil.copyfileobj((folder / LOG).open(), sys.stdout)
    _tell(each)
    say(f"digest {each.digest}")
    total = Total()
    total.add(each)
    say(f"its sessions, database and log: {folder}")
    say(json.dumps(total.document(each.core_s)))
    return 1 if each.violations else 0


def _with(given: Scenario, numbers: str | None) -> Scenario:
    if numbers is None:
        return given
    return given.with_faults([given.faults[int(n)] for n in numbers.split(",") if n])


def _tell(each: Played) -> None:
    say(f"seed {each.seed}: {each.virtual_s:g} virtual s in {each.core_s:g} s, {each.kills} kills")
    for kind, what in each.violations[:12]:
        say(f"  {kind}: {what[:400]}")
    say(f"  again:  make simulate SEED={each.seed}")


def _shrink(failed: Played, change: Change | None) -> str:
    """Leave out one fault after another while it still fails in the same way."""
    given = scenario(failed.seed)
    kept = list(range(len(given.faults)))
    for number in list(kept):
        fewer = [n for n in kept if n != number]
        if play(given.with_faults([given.faults[n] for n in fewer]), change).kinds & failed.kinds:
            kept = fewer
    faults: list[Fault] = [given.faults[n] for n in kept]
    told = "; ".join(map(str, faults)) or "no fault at all"
    numbers = ",".join(map(str, kept))
    return f"seed {failed.seed} still fails with {told}:  make simulate SEED={failed.seed} FAULTS={numbers}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one alone, with its log")
    parser.add_argument("--faults", help="numbers of its faults, from 0: only those")
    parser.add_argument("--planted", choices=list(PLANTED), metavar="NAME", help="with this mistake")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
