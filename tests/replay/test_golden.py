"""What sessions come to is what they came to before: see ``tests.replay.golden``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.replay.golden import CASES, GOLDEN, digests, processor

KNOWN = json.loads(GOLDEN.read_text())


def test_every_case_is_known() -> None:
    """A case without a digest, or a digest without its case, would be a check that never runs."""
    assert list(CASES) == list(KNOWN["cases"])


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_is_what_it_was(name: str, tmp_path: Path) -> None:
    """Every row: by the bits of its floats on the processor that made them, else to nine digits."""
    now, was = digests(CASES[name](tmp_path)), KNOWN["cases"][name]
    assert now["rows"] == was["rows"]
    assert now["near"] == was["near"]
    if processor() == KNOWN["processor"]:
        assert now["exact"] == was["exact"]
