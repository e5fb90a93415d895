"""No text is read as rich's markup: a path or a name may hold [/red], and styles are given as Text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.unit.docs.test_docs import ROOT

FILES = sorted(path for top in ("agent", "lem") for path in (ROOT / top).rglob("*.py"))
READS_MARKUP = ("Console", "TextColumn")


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def _name(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_would_read_markup_is_told_not_to(path: Path) -> None:
    """Consoles and progress columns, wherever one is made."""
    for call in _calls(path):
        if _name(call) in READS_MARKUP:
            given = {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert given.get("markup") == "False", f"{path.name}:{call.lineno}"
        if _name(call) == "status" and ast.unparse(call.func).startswith("Console"):
            assert "Text(" in ast.unparse(call.args[0]), (
                f"{path.name}:{call.lineno}: a plain text is read too"
            )
        assert _name(call) != "from_markup", f"{path.name}:{call.lineno}"
