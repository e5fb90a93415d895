"""A live order by the model, and the page of why its last decision was what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.page_checks import check_numbers, check_page
from tests.patience import PATIENCE_S

SHORT = ["--interval", "1s", "--min-duration", "2s", "--max-duration", "4s", "--quantity", "0.5"]


def run(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *argv], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_explain_writes_the_page_it_prints(tmp_path: Path) -> None:
    """A session is recorded, replayed and explained; the page carries the very document printed."""
    db, out = f"sqlite:///{tmp_path / 'agent.db'}", tmp_path / "page.html"
    where = ["--db", db, "--out", str(tmp_path / "sessions")]
    session = json.loads(run("agent", "run", "--paper", "--json", *where, *SHORT, "--algo", "lem"))
    printed = json.loads(run("lem", "explain", session["path"], "--json", "--html", str(out)))
    assert f"--decision {printed['decision']}" in printed["reproduce"]
    root = check_page(out.read_text(encoding="utf-8"), printed)
    assert check_numbers(root, printed) > 100
    assert "selection weights of features over time" in "".join(root.itertext())
    table = run("lem", "explain", session["path"])
    assert "what would change its mind" in table
