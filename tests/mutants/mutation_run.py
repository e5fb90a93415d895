"""``python -m tests.mutants.mutation_run --count 300 --seed 1``: which planted mistakes the tests notice.

Every mutant is run in a copy of the tree, by the quickest tests that reach its line. Results are kept as they
come, so a run that was ended goes on where it was; ``--again`` tries once more those neither noticed nor
explained. ``--only NAME`` runs one mutant and shows what the tests said. Ends with one line of percentages.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.mutants.drawing import AREAS, Mutant, draw, named
from tests.mutants.line_tests import MOST_S, MOST_TESTS, PASSES, LineTests

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "mutants"
START_S, COMPILE_S, TIMES_SLOWER = 60.0, 150.0, 4.0
"""How long a run may take: what its tests took, times so much, and for the start, and for kernels."""
KERNELS = ("agent/venue/", "agent/core/", "connectors/embedded/synthetic/")
MORE_TESTS, MORE_S = 400, 60.0
"""Tried once the quickest tests of each file have passed: what many tests reach, few look at."""
GOLDEN = "tests/replay/test_golden.py"
NOTICED, SURVIVED, NOT_COVERED, UNCLEAR = "noticed", "survived", "not covered", "unclear"
EXPLAINED = re.compile(r"^- `(?P<path>[^`]+)` `(?P<operator>[^`]+)` `(?P<code>.+?)`: ", re.MULTILINE)
Result = dict[str, Any]


class Trees:
    """The tree as it is, and a copy of it for each worker."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.clean, self._root, self._folder = folder / "tree", root, folder

    def bring_in_line(self) -> None:
        """The clean copy holds what git knows or would; what kernels were compiled to stays."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self._root, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        wanted = {name for name in listed if name and (self._root / name).is_file()}
        for file in [file for file in self.clean.rglob("*") if file.is_file()]:
            if "__pycache__" not in file.parts and str(file.relative_to(self.clean)) not in wanted:
                file.unlink()
        for name in wanted:
            _copy_changed(self._root / name, self.clean / name)

    def log(self, worker: int) -> Path:
        return self._folder / f"tree-{worker}.log"

    def fresh(self, worker: int) -> Path:
        """The worker's copy, without what the last mutant and its tests left."""
        tree = self._folder / f"tree-{worker}"
        wanted = {file.relative_to(self.clean) for file in self.clean.rglob("*") if file.is_file()}
        for file in [file for file in tree.rglob("*") if not file.is_dir()]:
            if file.relative_to(tree) not in wanted:
                file.unlink()
        for name in wanted:
            _copy_changed(self.clean / name, tree / name)
        return tree


def _copy_changed(source: Path, target: Path) -> None:
    seen = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (seen.st_size, seen.st_mtime_ns):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


@dataclass(frozen=True)
class Try:
    """Tests to run, how long they may take, and whether kernels are to run as Python."""

    tests: list[str]
    limit_s: float
    as_python: bool = False


class Runner:
    """Runs mutants, one at a time in each tree."""

    def __init__(self, trees: Trees, lines: LineTests, given: argparse.Namespace) -> None:
        self._trees, self._lines, self._given = trees, lines, given
        self._free: SimpleQueue[int] = SimpleQueue()
        for worker in range(given.workers):
            self._free.put(worker)
        self._forks = {w: Forks(given.python, trees.log(w)) for w in range(given.workers)}
        self.ended = threading.Event()

    def run(self, mutant: Mutant) -> Result | None:
        """None where the whole run was ended meanwhile."""
        tries = [each for each in self._tries(mutant) if each.tests]
        source = (self._trees.clean / mutant.path).read_text()
        result = {
            "name": mutant.name,
            "area": mutant.area,
            "line": source.splitlines()[mutant.line - 1].strip(),
            "diff": self.diff(mutant),
            "tests": sum(len(each.tests) for each in tries),
        }
        if not tries:
            return {**result, "outcome": NOT_COVERED}
        worker = self._free.get()
        try:
            tree = self._trees.fresh(worker)
            (tree / mutant.path).write_text(mutant.code(source))
            for each in tries:
                told = self._forks[worker].pytest(tree, each)
                if told["outcome"] != SURVIVED:
                    break
        finally:
            self._free.put(worker)
        return None if self.ended.is_set() else {**result, **told}

    def diff(self, mutant: Mutant) -> str:
        before = (self._trees.clean / mutant.path).read_text()
        lines = before.splitlines(), mutant.code(before).splitlines()
        return "\n".join(difflib.unified_diff(*lines, mutant.path, mutant.path, n=2, lineterm=""))

    def _tries(self, mutant: Mutant) -> list[Try]:
        """A kernel is run as Python first, which takes no compiling; then compiled, by tests that are too
        slow for that and by the recorded results."""
        if self._given.tests:
            return [Try(self._given.tests, START_S + COMPILE_S + 100.0 * TIMES_SLOWER)]
        reaching = self._lines.reaching(mutant.path, mutant.line)
        if self._given.among:
            reaching = [test for test in reaching if test.startswith(tuple(self._given.among))]
        if self._lines.is_compiled(mutant.path, mutant.line):
            slow = [test for test in reaching if test not in self._lines.as_python]
            recorded = [test for test in self._lines.seconds if test.startswith(GOLDEN)]
            first = self._try(mutant, reaching, as_python=True)
            others = [test for test in reaching if test not in first.tests]
            more = self._try(mutant, others, MORE_TESTS, MORE_S, as_python=True)
            return [first, self._try(mutant, slow + recorded), more]
        first = self._try(mutant, reaching)
        others = [test for test in reaching if test not in first.tests]
        return [first, self._try(mutant, others, MORE_TESTS, MORE_S)]

    def _try(
        self, mutant: Mutant, tests: list[str], most: int = 0, most_s: float = 0.0, *, as_python: bool = False
    ) -> Try:
        given, lines = self._given, self._lines
        compile_s = COMPILE_S if mutant.path.startswith(KERNELS) and not as_python else 0.0
        most, most_s = most or given.most_tests, most_s or given.most_s
        chosen = lines.chosen(tests, most, most_s, as_python=as_python)
        expected_s = lines.expected_s(chosen, as_python=as_python)
        return Try(chosen, START_S + compile_s + TIMES_SLOWER * expected_s, as_python=as_python)

    def end(self) -> None:
        self.ended.set()
        for forks in self._forks.values():
            forks.end()


class Forks:
    """A process that has imported what tests import of others, and runs pytest in forks of itself."""

    def __init__(self, python: str, log: Path) -> None:
        self._python, self._log = python, log
        self._process: subprocess.Popen[str] | None = None
        self._child = 0

    def pytest(self, tree: Path, given: Try) -> Result:
        began_s = time.monotonic()
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
        arguments += ["--basetemp", f"{tree}.tmp", *given.tests]
        ask = {"tree": str(tree), "arguments": arguments, "log": str(self._log), "as_python": given.as_python}
        self._child = int(self._told(ask))
        late = threading.Event()
        timer = threading.Timer(given.limit_s, lambda: (late.set(), self._kill()))
        timer.start()
        code = int(self._told())
        timer.cancel()
        self._kill()  # what its tests left
        took = {"seconds": round(time.monotonic() - began_s, 1)}
        if late.is_set():
            return {**took, "outcome": NOTICED, "by": f"more than {given.limit_s:.0f} s"}
        output = self._log.read_text(errors="replace")
        return {**took, **_outcome(code, output), "output": output[-6000:]}

    def _told(self, ask: Result | None = None) -> str:
        """The next line it says, when asked or by itself."""
        if self._process is None:
            self._process = subprocess.Popen(
                [self._python, str(Path(__file__).with_name("forked_pytest.py"))],
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if ask is not None:
            self._process.stdin.write(json.dumps(ask) + "\n")
            self._process.stdin.flush()
        return self._process.stdout.readline() or "-1"

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child, signal.SIGKILL)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            if self._child > 0:
                self._kill()


def _outcome(code: int, output: str) -> Result:
    if code == 0:
        return {"outcome": SURVIVED}
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if failed and "not found:" not in failed[0]:
        return {"outcome": NOTICED, "by": failed[1]}
    if code == 3 or code < 0:  # what the tests themselves never do
        return {"outcome": NOTICED, "by": "an error of pytest itself" if code > 0 else f"signal {-code}"}
    if "Error" in output and code != 4:
        return {"outcome": NOTICED, "by": "an error before the first test"}
    if code == 4 and "ImportError while loading conftest" in output:
        return {"outcome": NOTICED, "by": "an error before the first test"}
    return {"outcome": UNCLEAR, "by": f"pytest ended with {code}"}


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # a shell's background job ignores the first
    given = _arguments()
    FOLDER.mkdir(parents=True, exist_ok=True)
    trees = Trees(ROOT, FOLDER)
    trees.bring_in_line()
    lines = LineTests(trees.clean, FOLDER, given.python, given.workers)
    lines.record(given.passes)
    runner = Runner(trees, lines, given)
    if given.only:
        try:
            return _one(runner, named(trees.clean, given.only))
        finally:
            runner.end()
    drawn = draw(trees.clean, given.count, given.seed)
    kept = FOLDER / f"results-{given.seed}.jsonl"
    results = _kept_results(kept, {(m.name, runner.diff(m)) for m in drawn})
    left = [m for m in drawn if m.name not in results or (given.again and _is_open(results[m.name]))]
    try:
        for result in _all(runner, left, given.workers):
            results[result["name"]] = result
            with kept.open("a") as file:
                file.write(json.dumps(result) + "\n")
            _say(
                f"{len(results)} of {len(drawn)} {result['outcome']}: {result['name']} {result.get('by', '')}"
            )
    except KeyboardInterrupt:
        return 130
    finally:
        runner.end()
    _report([results[mutant.name] for mutant in drawn if mutant.name in results], given.seed)
    return 0


def _all(runner: Runner, mutants: list[Mutant], workers: int) -> Iterable[Result]:
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(runner.run, mutant) for mutant in mutants]
        try:
            for done in as_completed(waiting):
                if result := done.result():
                    yield result
        except KeyboardInterrupt:
            runner.end()
            pool.shutdown(cancel_futures=True)
            raise


def _one(runner: Runner, mutant: Mutant) -> int:
    result = runner.run(mutant) or {}
    output = result.pop("output", "")
    _say(output, result.pop("diff", ""), json.dumps(result))
    return 0 if result.get("outcome") == NOTICED else 1


def _kept_results(file: Path, drawn: set[tuple[str, str]]) -> dict[str, Result]:
    """The last result of each mutant that still changes the same code."""
    if not file.exists():
        return {}
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return {result["name"]: result for result in found if (result["name"], result["diff"]) in drawn}


def _report(results: list[Result], seed: int) -> None:
    """``report-SEED.json`` and ``survivors-SEED.txt`` beside the results, and a line for each area."""
    for result in results:
        result["explained"] = _is_explained(result)
    (FOLDER / f"report-{seed}.json").write_text(json.dumps(results, indent=1))
    left = [r for r in results if r["outcome"] != NOTICED]
    texts = [
        f"{r['outcome']}{' (explained)' if r['explained'] else ''}: {r['name']}\n{r['diff']}\n" for r in left
    ]
    (FOLDER / f"survivors-{seed}.txt").write_text("\n".join(texts))
    areas = {area: [r for r in results if r["area"] == area] for area in AREAS}
    shares = ", ".join(f"{area} {_share(held)}" for area, held in areas.items() if held)
    counts = Counter(r["outcome"] for r in results)
    explained = sum(r["explained"] for r in left)
    _say(*texts, f"{FOLDER / f'report-{seed}.json'}")
    _say(
        f"mutants: {_share(results)} noticed ({dict(counts)}), {explained} of the others explained in "
        f"survivors.md: {_share([r for r in results if not r['explained']])} without these; {shares}"
    )


def _share(results: list[Result]) -> str:
    noticed = sum(result["outcome"] == NOTICED for result in results)
    return f"{noticed}/{len(results)} = {noticed / max(1, len(results)):.0%}"


def _is_open(result: Result) -> bool:
    return result["outcome"] != NOTICED and not _is_explained(result)


def _is_explained(result: Result) -> bool:
    explained = EXPLAINED.findall((Path(__file__).parent / "survivors.md").read_text())
    key = (result["name"].partition(":")[0], result["name"].split(":")[-1], result["line"])
    return result["outcome"] != NOTICED and key in explained


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=1, help="the same mutants for the same number")
    parser.add_argument("--only", help="one mutant, by its name in the report")
    parser.add_argument("--again", action="store_true", help="also what was not noticed so far")
    parser.add_argument("--passes", nargs="*", default=list(PASSES), choices=PASSES, help="tests to record")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="what runs the tests")
    parser.add_argument("--most-tests", type=int, default=MOST_TESTS, help="for one mutant")
    parser.add_argument("--most-s", type=float, default=MOST_S, help="seconds of tests for one mutant")
    parser.add_argument(
        "--among", nargs="*", default=[], help="tests that may be chosen: these files, folders"
    )
    parser.add_argument("--tests", nargs="*", default=[], help="these, whatever lines they reach")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
