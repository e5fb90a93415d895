"""A disk that is really full: the database lies on a small file system of its own, which another file fills.

Through the command line, as its users run it. Needs a kernel that gives a user namespaces (``unshare``).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worked_order import in_line

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
SCRIPT = """
set -e
mount -t tmpfs -o size=8m tmpfs "$DISK"
(
  until grep -q -- '-P1/1 ' "$HERE/err"; do sleep 0.1; done
  cat /dev/zero > "$DISK/filler" 2> "$HERE/full" || true
  [ "$ROOM" = no ] || { sleep 4; rm "$DISK/filler"; }
) &
code=0
"$PYTHON" -m agent run --paper --json --db "sqlite:///$DISK/agent.db" --out "$HERE/sessions" --quantity 1 \
  --algo twap --shadow vwap --interval 2s --min-duration 8s --max-duration 8s > "$HERE/out" 2> "$HERE/err" \
  || code=$?
wait
rm -f "$DISK/filler"
[ "$ROOM" = yes ] || "$PYTHON" -m agent sessions sync "$HERE"/sessions/* --db "sqlite:///$DISK/agent.db"
cp "$DISK"/agent.db* "$HERE"
exit $code
"""


def _possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def run(folder: Path, *, room: bool) -> tuple[dict[str, Any], str]:
    """The run's JSON document and what it wrote to stderr; the database is copied beside them."""
    disk = folder / "disk"
    disk.mkdir()
    (folder / "err").touch()
    names = {"DISK": disk, "HERE": folder, "PYTHON": sys.executable, "ROOM": "yes" if room else "no"}
    told = " ".join(f"{name}='{value}'" for name, value in names.items())
    done = subprocess.run(
        [*NAMESPACE, f"export {told}\n{SCRIPT}"], capture_output=True, text=True, timeout=150, check=False
    )
    err = (folder / "err").read_text()
    assert done.returncode == 0, done.stderr + err
    assert "No space left on device" in (folder / "full").read_text()
    return json.loads((folder / "out").read_text()), err


@pytest.mark.slow
@pytest.mark.skipif(not _possible(), reason="this kernel gives no namespace to mount a small disk in")
@pytest.mark.parametrize("room", [True, False])
def test_a_full_disk_harms_no_order(tmp_path: Path, room: bool) -> None:
    """The order completes, its JSON is printed; with room again the rows are there, or by the command."""
    document, err = run(tmp_path, room=room)
    (parent,) = document["parents"]
    assert (parent["state"], parent["filled"]) == ("completed", "1.00000")
    assert err.count("database_behind") == 1
    assert document["database"]["in_line"] is room
    assert ("database_caught_up" in err) is room
    if not room:
        assert "bring the database in line:  python -m agent sessions sync" in err
        assert document["database"]["missing"] > 0
    in_line(Path(document["path"]), str(tmp_path / "agent.db"))
