"""These tests skip, before they build anything, where the reference venue is not installed."""

from __future__ import annotations

import pytest

from tests.differential.reference import interpreter


@pytest.fixture(autouse=True)
def _needs_the_reference() -> None:
    if interpreter() is None:
        pytest.skip("hftbacktest is not here: `make differential` installs it beside the product")
