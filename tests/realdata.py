"""Where the real market data lies: in the repository's sibling folder ``shared/data``, never inside it."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
CAPTURE = "captures/binance-spot-2024-08-08"


def real_data(*parts: str) -> Path:
    """Return the path of a real data file, or skip the test saying which file is missing."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data not here: shared/data/{'/'.join(parts)} beside the repository")
    return path


def capture_files(symbol: str) -> list[Path]:
    """Return the two raw Binance files of ``symbol`` ("btcusdt" or "ethusdt"), in order of time."""
    return [real_data(CAPTURE, f"{symbol}_{day}.gz") for day in ("20240808", "20240809")]
