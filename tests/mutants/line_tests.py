"""Which tests reach which lines: recorded once, and again for test files that changed since.

Lines of compiled kernels are not traced, so the tests that work them run a second time as plain Python
(``NUMBA_DISABLE_JIT``), each for a bounded time. A line outside functions runs at the import: it is
reached by the tests that reach a line which uses a name it defines.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sysconfig
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import coverage

CONTEXT, TIMES, LIMIT_S = "MUTANTS_CONTEXT", "MUTANTS_TIMES", "MUTANTS_LIMIT_S"
"""In the environment: whose lines these are, the folder for seconds, and how long a test may take."""

PACKAGES = ("agent", "connectors", "storage")
LEFT_OUT = (
    "tests/differential",  # another environment
    "tests/fuzz",  # draws its cases
    "tests/unit/docs",  # about files
    "tests/unit/lem",  # about the model
    "tests/unit/pages",  # and what people see
    "tests/unit/report",
    "tests/unit/terminal",
)
SLOW_TOO = (
    "tests/promises",
    "tests/integration/test_cli_run.py",
    "tests/replay/test_cut_off.py",
    "tests/integration/test_session_end.py",
    "tests/integration/test_control.py",
    "tests/integration/test_database_trouble.py",
    "tests/integration/test_halted_market.py",
    "tests/integration/test_scheduled_run.py",
    "tests/integration/test_secrets.py",
    "tests/property/test_measures_on_bad_data.py",
)
"""These take minutes, and hold the promises of control and record."""
KERNEL_TESTS = (
    "tests/unit/venue",
    "tests/unit/core",
    "tests/unit/algos",
    "tests/unit/importers",
    "tests/property",
    "tests/integration/test_venue_in_engine.py",
    "tests/unit/connectors/test_synthetic.py",
)


@dataclass(frozen=True)
class Pass:
    """Test files that are run together. ``as_python_s``: kernels run as Python, a test for so long."""

    folders: tuple[str, ...]
    but: tuple[str, ...] = ()
    marked: str = ""
    as_python_s: int = 0

    def takes(self, path: str) -> bool:
        return path.startswith(self.folders) and not path.startswith(self.but)


PASSES = {
    "quick": Pass(("tests",), (*LEFT_OUT, *SLOW_TOO), "not slow"),
    "slow": Pass(SLOW_TOO),
    "kernels": Pass(KERNEL_TESTS, SLOW_TOO, "not slow", as_python_s=8),
}
MOST_TESTS, MOST_S = 48, 60.0
"""For one mutant: tests, and seconds they took when they were recorded."""

SITE_CUSTOMIZE = f"""
import os, sys
sys.path.append({sysconfig.get_path("purelib")!r})
import coverage
coverage.process_startup()
"""
CONFIGURATION = """
[run]
source = {source}
data_file = {data}
parallel = true
context = ${{{context}-}}
"""


class LineTests:
    """The recording of one tree: data of coverage, seconds by test, digests of what was recorded."""

    def __init__(self, tree: Path, folder: Path, python: str, workers: int) -> None:
        self._tree, self._folder, self._python, self._workers = tree, folder, python, workers
        self._data_file, self._state = folder / "lines.coverage", folder / "recorded.json"
        self.seconds: dict[str, float] = {}
        self.as_python: dict[str, float] = {}  # of tests that pass when kernels run as Python
        self._data = coverage.CoverageData(str(self._data_file))

    def record(self, passes: Collection[str]) -> None:
        """All where the code changed, else the test files that did. Each pass is kept once it is done."""
        tests, code = _digests(self._tree)
        state = json.loads(self._state.read_text()) if self._state.exists() else {}
        if state.get("code") != code:
            self._data.erase()
            state = {"code": code, "seconds": {}, "as_python": {}, **{name: {} for name in PASSES}}
        for kind in ("seconds", "as_python"):
            state[kind] = {t: s for t, s in state[kind].items() if t.partition("::")[0] in tests}
        for name, each in PASSES.items():
            if name not in passes:
                continue
            changed = [path for path in tests if each.takes(path) and state[name].get(path) != tests[path]]
            if changed:
                self._run(each, changed, state["as_python" if each.as_python_s else "seconds"])
                state[name] |= {path: tests[path] for path in changed}
                self._state.write_text(json.dumps(state))
        self.seconds, self.as_python = state["seconds"], state["as_python"]
        self._data.read()

    def _run(self, each: Pass, paths: list[str], seconds: dict[str, float]) -> None:
        self._pytest(paths, each)
        self._combine()
        times = sorted(self._folder.glob("times/*.json"))
        if not times:
            raise SystemExit("the tests could not be collected: see above")
        for file in times:
            seconds |= json.loads(file.read_text())
            file.unlink()

    def _pytest(self, paths: list[str], each: Pass) -> None:
        site, times = self._folder / "site", self._folder / "times"
        site.mkdir(exist_ok=True)
        times.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
        configuration = self._folder / "coveragerc"
        configuration.write_text(
            CONFIGURATION.format(
                source=",".join(str(self._tree / name) for name in PACKAGES),
                data=self._folder / "raw" / "lines",
                context=CONTEXT,
            )
        )
        done = subprocess.run(
            [
                *(
                    self._python,
                    "-m",
                    "pytest",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "tests.mutants.tracing",
                ),
                *(("-p", "tests.mutants.as_python") if each.as_python_s else ()),
                *("--tb=native", "-n", str(self._workers), "--dist", "worksteal", "-m", each.marked, *paths),
            ],
            cwd=self._tree,
            env={
                **os.environ,
                "PYTHONPATH": f"{self._tree}:{site}",
                "COVERAGE_PROCESS_START": str(configuration),
                TIMES: str(times),
                **({"NUMBA_DISABLE_JIT": "1", LIMIT_S: str(each.as_python_s)} if each.as_python_s else {}),
            },
        )
        if done.returncode not in (0, 1):  # tests that fail are left out
            raise SystemExit(f"the tests could not be run: pytest ended with {done.returncode}")

    def _combine(self) -> None:
        self._data.read()  # else the first update begins anew
        for file in sorted((self._folder / "raw").glob("lines.*")):
            part = coverage.CoverageData(str(file))
            with suppress(coverage.exceptions.DataError):  # a test killed its process as it wrote
                part.read()
                self._data.update(part)
            file.unlink()
        self._data.write()

    def reaching(self, path: str, line: int) -> list[str]:
        """Tests that run a line, whole files of tests where a shared fixture does."""
        tree = _tree(self._tree / path)
        scope = _function_around(tree, line)
        head = _statement(tree, line)
        if _builds_code(tree, line):  # run by whichever test compiles first
            return sorted(self._tests_of(path, set(range(1, tree.body[-1].end_lineno or 0))))
        if isinstance(head, ast.FunctionDef | ast.AsyncFunctionDef):  # a default: of every call that runs
            return sorted(self._tests_of(path, set(range(head.body[0].lineno, (head.end_lineno or 0) + 1))))
        if scope is None:
            return sorted(
                self._of_names(_defined_at(tree, line), None if _class_around(tree, line) else path)
            )
        found = self._tests_of(path, _lines_run_with(scope, line))
        if not found and isinstance(_statement(scope, line), ast.Break | ast.Continue | ast.Pass):
            found = self._tests_of(path, {line - 1})  # a jump has no line of its own
        return sorted(found)

    def _tests_of(self, path: str, lines: set[int]) -> set[str]:
        contexts = self._data.contexts_by_lineno(str(self._tree / path))
        found: set[str] = set()
        for line in lines & contexts.keys():
            found.update(context.rpartition("|")[2] for context in contexts[line])
        shared = tuple(context for context in found if context.endswith("::"))
        known = self.seconds.keys() | self.as_python.keys()
        return {test for test in known if test in found or (shared and test.startswith(shared))}

    def _of_names(self, names: set[str], module: str | None) -> set[str]:
        """Of lines in functions that use a name: a module's where it is imported from, a class's anywhere."""
        found: set[str] = set()
        if not names:
            return found
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        for file in (file for package in PACKAGES for file in (self._tree / package).rglob("*.py")):
            if module and file != self._tree / module and _dotted(module) not in file.read_text():
                continue
            lines = {n for n, text in enumerate(file.read_text().splitlines(), 1) if word.search(text)}
            path = str(file.relative_to(self._tree))
            inside = {n for n in lines if _function_around(_tree(file), n)}
            found |= self._tests_of(path, inside) if inside else set()
        return found

    def is_compiled(self, path: str, line: int) -> bool:
        """Whether a line is a kernel's."""
        tree = _tree(self._tree / path)
        return any(
            ast.unparse(decorator).startswith("njit")
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= (node.end_lineno or 0)
            for decorator in node.decorator_list
        )

    def chosen(self, tests: list[str], most: int, most_s: float, *, as_python: bool = False) -> list[str]:
        """The quickest of each file in turn, until there are enough; then the quickest first."""
        seconds = self.as_python if as_python else self.seconds
        tests = [test for test in tests if test in seconds and not test.endswith("::")]
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in sorted(tests, key=seconds.__getitem__):
            by_file[test.partition("::")[0]].append(test)
        taken: list[str] = []
        left_s = most_s
        while by_file and len(taken) < most:
            for file in sorted(by_file, key=lambda file: seconds[by_file[file][0]]):
                test = by_file[file].pop(0)
                if not by_file[file]:
                    del by_file[file]
                if (seconds[test] <= left_s or not taken) and len(taken) < most:
                    left_s -= seconds[test]
                    taken.append(test)
        return sorted(taken, key=seconds.__getitem__)

    def expected_s(self, tests: list[str], *, as_python: bool = False) -> float:
        """With the fixtures that tests of a file share."""
        seconds = self.as_python if as_python else self.seconds
        shared = {test.partition("::")[0] + "::" for test in tests}
        return sum(seconds[test] for test in tests) + sum(seconds.get(s, 0.0) for s in shared)


def _digests(tree: Path) -> tuple[dict[str, str], str]:
    """Of each file of tests, and of the code."""
    code, tests = sha256(), {}
    for path in sorted(tree.rglob("*.py")):
        name = str(path.relative_to(tree))
        if name.startswith("tests/") and path.name.startswith("test_"):
            tests[name] = sha256(path.read_bytes()).hexdigest()
        elif name.startswith(PACKAGES):
            code.update(path.read_bytes())
    return tests, code.hexdigest()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _function_around(tree: ast.Module, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The innermost function whose body holds the line: its own head is run at the import."""
    held = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body[0].lineno <= line <= (node.end_lineno or 0)
    ]
    return max(held, key=lambda node: node.lineno, default=None)


def _builds_code(tree: ast.Module, line: int) -> bool:
    """Whether a line is of a function that emits what Numba compiles."""
    return any(
        "intrinsic" in map(ast.unparse, node.decorator_list)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    )


def _class_around(tree: ast.Module, line: int) -> bool:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return any(node.body[0].lineno <= line <= (node.end_lineno or 0) for node in classes)


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _statement(tree: ast.AST, line: int) -> ast.stmt | None:
    held = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(held, key=lambda node: (node.lineno, node.col_offset), default=None)


def _lines_run_with(scope: ast.AST, line: int) -> set[int]:
    """Those of the statement that holds the line, its body not counted."""
    statement = _statement(scope, line)
    if statement is None:
        return {line}
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    end = (
        body[0].lineno - 1 if isinstance(body, list) and hasattr(body[0], "lineno") else statement.end_lineno
    )
    return set(range(statement.lineno, max(statement.lineno, end or 0) + 1))


def _defined_at(tree: ast.Module, line: int) -> set[str]:
    """Names that a statement outside functions gives a value, or the function whose head it is."""
    statement = _statement(tree, line)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return {
        node.id
        for node in ast.walk(statement or tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
