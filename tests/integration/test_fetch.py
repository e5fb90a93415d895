"""`lem fetch` through the real ccxt client over TLS to the embedded exchange."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.barfiles.read_bars import read_bars
from lem.cli import main

NOW = datetime.now(UTC)


def fetch(capsys: pytest.CaptureFixture[str], out: Path, *more: str) -> tuple[int, Any, str]:
    since = (NOW - timedelta(hours=2)).isoformat()
    arguments = ["fetch", "--exchange", "embedded", "--interval", "1m", "--from", since, "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--json", *more])
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, json.loads(captured.out) if captured.out else None, captured.err


def test_it_downloads_and_extends(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Whole bars with every column; a shortened file is extended by exactly what was cut off."""
    code, document, _ = fetch(capsys, tmp_path, "--symbol", "BTC/USDT")
    assert code == 0
    (file,) = document["files"]
    path = Path(file["path"])
    table = pq.read_table(path)
    assert file["bars"] == len(table) > 30
    assert {"open_time", "quote_volume", "n_trades", "taker_buy_base"} <= set(table.column_names)
    (series,) = read_bars(path)
    inside = (series.bars["vwap"] >= series.bars["low"] * (1 - 1e-9)) & (
        series.bars["vwap"] <= series.bars["high"] * (1 + 1e-9)
    )
    traded = series.bars["volume"] > 0
    assert inside[traded].all()
    assert (np.diff(series.bars["start_ns"]) > 0).all()
    pq.write_table(table.slice(0, len(table) - 20), path)
    code, again, _ = fetch(capsys, tmp_path, "--symbol", "BTC/USDT")
    assert code == 0
    assert 20 <= again["files"][0]["new_bars"] <= 24
    assert pq.read_table(path).slice(0, len(table) - 20).equals(table.slice(0, len(table) - 20))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--symbol", "BTX/USDT"), "did you mean BTC/USDT"),
        (("--symbol", "BTC/USDT", "--interval", "7m"), "no klines of '7m'"),
        (("--symbol", "BTC/USDT", "--exchange", "binnance"), "did you mean binance"),
        (("--symbol", "BTC/USDT", "--from", "yesterday"), "is not understood: write it as in 2025"),
        (("--symbol", "BTC/USDT", "--to", "2001-01-01"), "is not after"),
    ],
)
def test_bad_names_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    """Exit code 2, one message with the nearest right names, and no file."""
    code, _, error = fetch(capsys, tmp_path, *more)
    assert code == 2
    assert message in error
    assert not list(tmp_path.iterdir())
