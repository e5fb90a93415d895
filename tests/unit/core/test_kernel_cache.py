"""Machine code on disk: never older than any source in it, and not more and more of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.compile import kernel_cache

ROOT = Path(kernel_cache.__file__).parents[3]
CALLEE = """
from agent.core.compile.jit import njit
FACTOR = {}
@njit
def scaled(x):
    return FACTOR * x
"""
CALLER = """
from agent.core import callee
from agent.core.compile.jit import njit
from agent.core.callee import scaled
@njit
def caller(x):
    return scaled(x) + 1
"""
# Numba is imported once; each word of the command line is then a process that starts afresh: FACTORs, the
# first is in the file as the process starts, the next once it runs but has not imported callee, the last
# as it ends. Prints the result and whether the code came from the disk.
DRIVER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numba
file = Path(sys.argv[1], "agent/core/callee.py")
def write(factor):
    file.write_text(Path(sys.argv[1], "template").read_text().format(factor))
for factors in (word.split(",") for word in sys.argv[2:]):
    write(factors[0])
    if os.fork() == 0:
        from agent.core.compile import jit
        write(factors[len(factors) > 1])
        from agent.core.caller import caller
        print(caller(10), "cached" if sum(caller.stats.cache_hits.values()) else "compiled", flush=True)
        write(factors[-1])
        os._exit(0)
    os.wait()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package like the project's with two small kernels, and the project's own way to compile them."""
    core = tmp_path / "tree" / "agent" / "core"
    (core / "compile").mkdir(parents=True)
    for name in ("jit.py", "kernel_cache.py"):
        shutil.copy(ROOT / "agent" / "core" / "compile" / name, core / "compile")
    for package in (core / "compile", core, core.parent):
        (package / "__init__.py").touch()
    (core / "caller.py").write_text(CALLER)
    (tmp_path / "tree" / "template").write_text(CALLEE)
    return tmp_path / "tree"


def run(tree: Path, *factors: str) -> list[str]:
    """What a process each says for these FACTORs."""
    home = str(tree.parent / "home")
    out = subprocess.check_output(
        [sys.executable, "-B", "-W", "error", "-c", DRIVER, str(tree), *factors],
        env={"HOME": home, "XDG_CACHE_HOME": home},
        text=True,
    )
    return out.splitlines()


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
    saved = sorted(path.name.split("-")[0] for path in (tree / "agent/core/__pycache__").iterdir())
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


def test_a_digest_covers_what_a_module_imports_from_the_project() -> None:
    """Of the policy's kernel: its callees, and the modules whose constants are compiled in."""
    found = kernel_cache.sources(ROOT / "lem" / "serving" / "policy_kernel.py")
    names = {str(path.relative_to(ROOT)) for path in found}
    assert names >= {
        "lem/serving/row_kernels.py",
        "lem/network/model.py",
        "lem/network/layers.py",
        "agent/core/orders/projection.py",
    }
    assert not any(name.startswith("lem/cli") for name in names)
