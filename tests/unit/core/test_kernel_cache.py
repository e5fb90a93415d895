"""Machine code on disk: never older than any source in it, and not more and more of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.core.compile import kernel_cache
from agent.core.compile.kernel_digest import kernel_digest, kernels_below
from lem.serving import policy_kernel, row_kernels

ROOT = Path(kernel_cache.__file__).parents[3]
CALLEE = """
from agent.core.compile.jit import njit
FACTOR = {}
@njit
def scaled(x):
    return FACTOR * x
"""
CALLER = """
from typing import NamedTuple
import numpy as np
from agent.core import callee, constants
from agent.core.compile.jit import njit
from agent.core.callee import scaled
class Pair(NamedTuple):
    a: float
    b: float
OFFSETS = np.array([1, 2])
@njit
def caller(x):
    return scaled(x) + OFFSETS[0]
@njit
def through_module(x):
    return scaled(x) + constants.OFFSET
@njit
def of_pair(pair):
    return pair.a
"""
CONSTANTS = """
OFFSET = 7
UNUSED = 1
"""
# Numba is imported once; then each step is a process that starts afresh: what to call, and three states of
# files: as the process starts, once it runs but has imported none of them, and as it ends. Prints the result
# and whether the code came from the disk.
DRIVER = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numba
def write(files):
    for name, text in files.items():
        Path(sys.argv[1], "agent/core", name).write_text(text)
for call, start, running, end in json.loads(sys.argv[2]):
    write(start)
    if os.fork() == 0:
        from agent.core.compile import jit
        write(running)
        from agent.core import caller
        kernel = getattr(caller, call)
        result = kernel(caller.Pair(3, 4) if call == "of_pair" else 10)
        print(result, "cached" if sum(kernel.stats.cache_hits.values()) else "compiled", flush=True)
        write(end)
        os._exit(0)
    os.wait()
"""
Files = dict[str, str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package like the project's with small kernels, and the project's own way to compile them."""
    core = tmp_path / "tree" / "agent" / "core"
    (core / "compile").mkdir(parents=True)
    for name in ("jit.py", "kernel_cache.py", "kernel_digest.py"):
        shutil.copy(ROOT / "agent" / "core" / "compile" / name, core / "compile")
    for package in (core / "compile", core, core.parent):
        (package / "__init__.py").touch()
    (core / "caller.py").write_text(CALLER)
    (core / "constants.py").write_text(CONSTANTS)
    (core / "callee.py").write_text(CALLEE.format(2))
    return tmp_path / "tree"


def drive(tree: Path, steps: Sequence[tuple[str, Files, Files, Files]]) -> list[str]:
    home = str(tree.parent / "home")
    out = subprocess.check_output(
        [sys.executable, "-B", "-W", "error", "-c", DRIVER, str(tree), json.dumps(steps)],
        env={"HOME": home, "XDG_CACHE_HOME": home},
        text=True,
    )
    return out.splitlines()


def run(tree: Path, *factors: str) -> list[str]:
    """What a process each says for these FACTORs of the callee, up to three while it runs."""
    steps = []
    for each in factors:
        states = [{"callee.py": CALLEE.format(factor)} for factor in each.split(",")]
        steps.append(("caller", states[0], states[len(states) > 1], states[-1]))
    return drive(tree, steps)


def edited(tree: Path, call: str, *edits: Files) -> list[str]:
    """What a process each says of ``call``, after each of these edits."""
    return drive(tree, [(call, edit, {}, {}) for edit in edits])


def test_an_edit_of_a_callee_reaches_its_callers(tree: Path) -> None:
    """Code of a caller is used again while its callee's file is as it was, and not after an edit of it."""
    said = run(tree, "2", "2", "3", "2", "3")
    assert said == ["21 compiled", "21 cached", "31 compiled", "21 cached", "31 cached"]


def test_an_edit_while_a_process_runs_is_not_taken_for_the_state_before(tree: Path) -> None:
    """A module edited before a running process imports it, and put back: the next one sees the old."""
    assert run(tree, "2,3,2", "2", "3") == ["31 compiled", "21 compiled", "31 cached"]


def test_code_of_old_states_goes(tree: Path) -> None:
    """After many edits the disk holds the code of the latest three states of each kernel."""
    run(tree, "1", "2", "3", "4", "5", "6")
    saved = sorted(path.name.split("-")[0] for path in (tree / "agent/core/__pycache__").glob("*.nb*"))
    assert saved == ["callee.scaled"] * 6 + ["caller.caller"] * 6  # an index and the code
    assert run(tree, "6", "4", "3") == ["61 cached", "41 cached", "31 compiled"]


def test_a_tree_that_cannot_be_written_to_is_cached_for_the_user(tree: Path) -> None:
    """The code lies in the user's cache directory, in a folder for each path; two trees do not meet."""
    other = tree.parent / "other"
    (tree / "agent/core/__pycache__").touch()  # no directory can be made there
    shutil.copytree(tree, other)
    assert run(tree, "2", "2", "3") == ["21 compiled", "21 cached", "31 compiled"]
    assert run(other, "2") == ["21 compiled"]
    assert len(list((tree.parent / "home").glob("**/core_*"))) == 2


def test_without_any_directory_to_write_to_kernels_still_compile(tree: Path) -> None:
    """Each process then compiles for itself."""
    (tree / "agent/core/__pycache__").touch()
    (tree.parent / "home").touch()
    assert run(tree, "2", "2") == ["21 compiled", "21 compiled"]


def test_an_edit_of_what_is_not_compiled_in_changes_nothing(tree: Path) -> None:
    """Of a module that is imported only, of comments, neighbours, docstrings, annotations: code stays."""
    edits: list[Files] = [
        {"constants.py": "UNUSED = 2\n"},
        {"caller.py": "# a comment more\n" + CALLER},
        {"caller.py": CALLER + "@njit\ndef another(x):\n    return x\n"},
        {"caller.py": CALLER.replace("def caller(x):", 'def caller(x: int) -> int:\n    """Says so."""')},
    ]
    assert edited(tree, "caller", {}, *edits) == ["21 compiled"] + ["21 cached"] * 4


def test_an_edit_of_a_constant_reaches_who_uses_it(tree: Path) -> None:
    """A number taken from another module, an array: code is made anew, and the old serves its old state."""
    edit = {"constants.py": CONSTANTS.replace("7", "8")}
    back = {"constants.py": CONSTANTS}
    said = edited(tree, "through_module", {}, edit, back)
    assert said == ["27 compiled", "28 compiled", "27 cached"]
    unused = {"constants.py": CONSTANTS.replace("UNUSED = 1", "UNUSED = 2")}
    assert edited(tree, "through_module", unused) == ["27 cached"]
    array = {"caller.py": CALLER.replace("[1, 2]", "[5, 2]")}
    assert edited(tree, "caller", {"caller.py": CALLER}, array) == ["21 compiled", "25 compiled"]


def test_fields_of_a_named_tuple_that_change_places_are_seen(tree: Path) -> None:
    """Code takes a field by its place, and Numba's own key has the class's name and the fields' types."""
    swapped = {"caller.py": CALLER.replace("    a: float\n    b: float\n", "    b: float\n    a: float\n")}
    said = edited(tree, "of_pair", {}, {}, swapped)
    assert said == ["3 compiled", "3 cached", "4 compiled"]


def test_a_kernel_is_compiled_by_one_process_while_others_wait(tree: Path) -> None:
    """Four that start together: one compiles each of the two kernels, and all have the result."""
    home = str(tree.parent / "home")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from agent.core.caller import caller
from agent.core.callee import scaled
sys.stdin.readline()
print(caller(10), sum(k.stats.cache_misses[s] for k in (caller, scaled) for s in k.stats.cache_misses))
"""
    together = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", code, str(tree)],
            env={"HOME": home, "XDG_CACHE_HOME": home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in together:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0] for process in together)
    assert said == ["21 0\n"] * 3 + ["21 2\n"]


def test_a_digest_covers_callees_and_constants_of_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the policy's kernel: its callees' code, and a number of another module."""
    before = kernel_digest(policy_kernel.decide_all)
    assert before == kernel_digest(policy_kernel.decide_all)
    names = {kernel.py_func.__name__ for kernel in kernels_below([policy_kernel.decide_all])}
    assert names >= {"decide", "first_layer", "linear"}
    with monkeypatch.context() as patch:
        patch.setattr(policy_kernel, "decide", policy_kernel.elapsed_volume)
        assert kernel_digest(policy_kernel.decide_all) != before
    with monkeypatch.context() as patch:
        patch.setattr(row_kernels, "ONE", np.float32(2))
        assert kernel_digest(policy_kernel.decide_all) != before
    assert before == kernel_digest(policy_kernel.decide_all)


def test_kernels_run_as_plain_python_where_compiling_is_off() -> None:
    """NUMBA_DISABLE_JIT, to debug or to see which lines tests reach: kernels import, and one is called."""
    code = "import agent.venue.kernel.tape_market, lem.serving.predictor"
    code += "; from agent.core.money import inverse_value; assert inverse_value(3, 3) == 10**15"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=ROOT)


def test_a_folder_without_locks_is_no_hindrance(tmp_path: Path) -> None:
    """Where no lock can be made, two processes may compile the same: nothing fails."""
    ran = []
    with kernel_cache._locked(tmp_path / "missing", "kernel"):
        ran.append(1)
    assert ran == [1]


def test_the_oldest_kernels_of_a_function_go(tmp_path: Path) -> None:
    """With all their files; those of other functions, and the newest of this one, stay."""
    ages = range(kernel_cache.KEPT + 3)
    for age in ages:
        for name in (f"run-{age}.nbi", f"run-{age}.1.nbc", f"rest-{age}.nbi"):
            (tmp_path / name).write_bytes(b"")
            os.utime(tmp_path / name, (1000 + age, 1000 + age))
    kernel_cache._drop_old(tmp_path, "run")
    left = {f"run-{age}{end}" for age in list(ages)[3:] for end in (".nbi", ".1.nbc")}
    assert {file.name for file in tmp_path.iterdir() if file.name.startswith("run")} == left
    assert len(list(tmp_path.glob("rest-*"))) == len(ages)
