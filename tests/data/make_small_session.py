"""Make the golden session again, deliberately: ``python tests/data/make_small_session.py``.

It is the project's own synthetic market and belongs to the repository; a change of its digest is a
change of behaviour and wants a line in the changelog.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fakes import small_session

if __name__ == "__main__":
    target = Path(__file__).parent / "small-session"
    shutil.rmtree(target, ignore_errors=True)
    small_session(target)
