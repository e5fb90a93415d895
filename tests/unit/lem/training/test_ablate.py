"""Ablations: paired on the same paths, every variant in every exam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lem.network.model_config import PRESETS
from lem.training.ablate import VARIANTS, ablate, row


@pytest.mark.slow
def test_every_variant_sits_every_exam() -> None:
    """One tiny training each: the full model differs from itself by nothing, the others by something."""
    document = ablate(replace(PRESETS["tiny"], iterations=2, series=2, starts=2), 40, (1,))
    exams = {r["exam"] for r in document["rows"]}
    assert len(document["rows"]) == len(exams) * len(VARIANTS)
    assert all(r["difference"] == 0.0 for r in document["rows"] if r["variant"] == "full")
    assert all(r["difference"] != 0.0 for r in document["rows"] if r["variant"] == "without TKAN (LSTM)")
    assert all(r["ci95"][0] <= r["difference"] <= r["ci95"][1] for r in document["rows"])


def test_differences_are_paired() -> None:
    """Noise that both share cancels: the interval is that of the differences, not of the scores."""
    noise = np.random.default_rng(1).normal(0.0, 10.0, (1, 1_000))
    wiggle = np.random.default_rng(2).normal(0.0, 0.1, (1, 1_000))
    found = row("variant", "exam", noise + 1.0 + wiggle, noise)
    assert found["difference"] == pytest.approx(1.0, abs=0.02)
    assert found["ci95"][1] - found["ci95"][0] < 0.02
