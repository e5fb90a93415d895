"""The rules of the house that no other tool holds: few files a room, one file a name, no circles."""

from __future__ import annotations

import ast
import runpy
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.docs.test_docs import ROOT

TOPS = ("agent", "lem", "connectors", "storage")
FILES = [path for top in TOPS for path in (ROOT / top).rglob("*.py") if "versions" not in path.parts]
MOST_FILES = 15
SHARED = {"__init__.py", "__main__.py"}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, modules: set[str]) -> set[str]:
    """Modules of the project that a file imports, anywhere in it but for types alone."""
    found = set()
    tree = ast.parse(path.read_text())
    hidden = {id(inner) for node in ast.walk(tree) if _is_typing_only(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in hidden:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names | {node.module}) & modules
        elif isinstance(node, ast.Import) and id(node) not in hidden:
            found |= {alias.name for alias in node.names} & modules
    return found - {_module(path)}


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_a_room_holds_few_files() -> None:
    """At most fifteen: more wants rooms."""
    assert [room for room, n in Counter(path.parent for path in FILES).items() if n > MOST_FILES] == []


def test_a_file_name_is_used_once() -> None:
    """But for packages' own files, and those of commands, which are named as their command."""
    names = Counter(path.name for path in FILES if path.parent.name != "cli" and path.name not in SHARED)
    assert [name for name, n in names.items() if n > 1] == []


def test_no_file_imports_itself_by_a_detour() -> None:
    """Imports inside functions count: a circle that is hidden is one."""
    modules = {_module(path) for path in FILES}
    left = {_module(path): _imports(path, modules) for path in FILES}
    packages = {_module(path) for path in FILES if path.name == "__init__.py"}
    for name in left:
        left[name] -= packages  # a package's own names lead no further than its modules
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert sorted(left) == []


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_benchmark_finds_what_it_measures(path: Path) -> None:
    """Nothing else runs them, so a name that moved would be met by whoever measures next."""
    runpy.run_path(str(path), run_name="imported")
