"""``python -m tests.fuzz.campaign --count N --seed S``: many cases, and each failure with what repeats it.

``--only KIND:NUMBER`` runs one case again and shows where its error comes from. Ends with one JSON line, and
with exit code 1 where a case failed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.fuzz import (
    command_lines,
    configurations,
    control_rows,
    damaged_sessions,
    import_files,
    odd_checkpoints,
    odd_frames,
    odd_messages,
    odd_rows,
)
from tests.fuzz.trial import DEBUG_ARGUMENT, Case, fault_of, limit_memory, run_as_process, run_here
from tests.fuzz.world import World, make_world

KINDS: dict[str, Callable[[random.Random, World], Case]] = {
    "command_lines": command_lines.make_case,
    "configurations": configurations.make_case,
    "sessions": damaged_sessions.make_case,
    "rows": odd_rows.make_case,
    "checkpoints": odd_checkpoints.make_case,
    "control_rows": control_rows.make_case,
    "frames": odd_frames.make_case,
    "messages": odd_messages.make_case,
    "imports": import_files.make_case,
}
SHARES = {
    "command_lines": 6,
    "configurations": 5,
    "sessions": 4,
    "rows": 3,
    "checkpoints": 1,
    "control_rows": 1,
    "frames": 1,
    "messages": 2,
    "imports": 4,
}
AS_PROCESS = 0.003
"""Of all cases: a process takes seconds."""


def case_of(kind: str, number: int, seed: int, world: World) -> Case:
    """The case of a number: the same for the same seed."""
    return KINDS[kind](random.Random(f"{seed}/{kind}/{number}"), world)


def kinds_of(count: int) -> list[str]:
    """The kind of each case, in turn by its share."""
    cycle = [kind for kind, share in SHARES.items() for _ in range(share)]
    return [cycle[n % len(cycle)] for n in range(count)]


def fault_in(kind: str, number: int, seed: int, world: World, *, process: bool = False) -> str | None:
    """Run a case; what is wrong with how it ended, None when nothing is."""
    case = case_of(kind, number, seed, world)
    ended = run_as_process(case, world.scratch) if process and case.argv else run_here(case, world.scratch)
    fault = fault_of(case, ended)
    return None if fault is None else f"{fault}\n    {case.program} {case.argv}\n    {case.about}"


def main() -> int:
    given = _arguments()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        limit_memory(6 << 30)
        if given.only:
            return _again(given.only, given.seed, world)
        faults, processes = _campaign(given, world)
    took = {"wall_s": round(time.monotonic() - started_s)}
    told = {"cases": given.count, "seed": given.seed, "as_processes": processes, **took, "faults": faults}
    _say(json.dumps(told))
    return 1 if faults else 0


def _campaign(given: argparse.Namespace, world: World) -> tuple[dict[str, int], int]:
    faults: Counter[str] = Counter()
    processes = 0
    for n, kind in enumerate(kinds_of(given.first + given.count)):
        if n < given.first or (given.kind and kind != given.kind):
            continue
        process = random.Random(f"{given.seed}/process/{n}").random() < AS_PROCESS
        processes += process
        fault = fault_in(kind, n, given.seed, world, process=process)
        if fault is not None:
            faults[kind] += 1
            _say(f"{kind}:{n} {fault}\n    again: --seed {given.seed} --only {kind}:{n}")
        if n % 1000 == 999:
            _say(f"{n + 1} cases, {sum(faults.values())} faults")
    return dict(faults), processes


def _again(name: str, seed: int, world: World) -> int:
    kind, _, number = name.partition(":")
    case = case_of(kind, int(number), seed, world)
    _say(f"{case.program} {case.argv} {case.about}")
    ended = run_here(replace(case, argv=[*case.argv, DEBUG_ARGUMENT]), world.scratch)
    _say(f"{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}\nexit code {ended.code}, {ended.seconds:.1f} s")
    if ended.error is not None:
        traceback.print_exception(ended.error)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n".encode("utf-8", "backslashreplace").decode())
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to share the work")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--only", metavar="KIND:NUMBER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
