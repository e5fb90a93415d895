"""`lem fetch` through the real ccxt client over TLS to the embedded exchange."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.core.errors import ExchangeError
from connectors.ccxt_klines import KlineFetcher, Patience
from connectors.ccxt_link import CcxtLink, Quirks, with_market_types
from connectors.embedded.faults import RestFault
from connectors.embedded.loopback import loopback_session
from connectors.embedded.server import EmbeddedExchange
from connectors.embedded.synthetic import SyntheticMarket
from connectors.kline_file import FULL, PLAIN
from lem.cli import main
from lem.klines import read_bars

NOW = datetime.now(UTC)
SYMBOL = "BTC/USDT"
MINUTE = 60_000
QUICK = Patience(tries=4, first_pause_s=0.02, page=10, save_pages=1)


def arguments(out: Path, *more: str, hours: float = 2) -> list[str]:
    since = (NOW - timedelta(hours=hours)).isoformat()
    return ["fetch", "--exchange", "embedded", "--interval", "1m", "--from", since, "--out", str(out), *more]


def fetch(
    capsys: pytest.CaptureFixture[str], out: Path, *more: str, hours: float = 2
) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments(out, "--json", *more, hours=hours))
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, json.loads(captured.out) if captured.out else None, captured.err


def test_it_downloads_whole_bars_with_every_column(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two symbols, one file each, which ``read_bars`` reads; the bar still forming is left out."""
    code, document, _ = fetch(capsys, tmp_path, "--symbol", SYMBOL, "--symbol", "ETH/USDT")
    assert code == 0
    assert [file["symbol"] for file in document["files"]] == [SYMBOL, "ETH/USDT"]
    for file in document["files"]:
        path = Path(file["path"])
        assert pq.read_table(path).column_names == list(FULL) == file["columns"]
        (series,) = read_bars(path)
        bars = series.bars
        assert file["bars"] == file["new_bars"] == len(bars) >= 119
        assert (file["from_ns"], file["gaps"], file["missing"]) == (bars["start_ns"][0], 0, 0)
        assert file["to_ns"] == bars["start_ns"][-1] + MINUTE * 1_000_000 <= time.time_ns()
        assert (np.diff(bars["start_ns"]) == MINUTE * 1_000_000).all()
        traded = bars["volume"] > 0
        assert (bars["vwap"] >= bars["low"] * (1 - 1e-9))[traded].all()
        assert (bars["vwap"] <= bars["high"] * (1 + 1e-9))[traded].all()


def test_a_file_is_extended_at_either_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file cut short gets what was cut; an earlier --from gets what lies before; the rest stays."""
    code, document, _ = fetch(capsys, tmp_path, "--symbol", SYMBOL, hours=1)
    assert code == 0
    path = Path(document["files"][0]["path"])
    table = pq.read_table(path)
    kept = table.slice(0, len(table) - 20)
    pq.write_table(kept, path)
    code, document, _ = fetch(capsys, tmp_path, "--symbol", SYMBOL, hours=2)
    assert code == 0
    (file,) = document["files"]
    assert 80 <= file["new_bars"] <= 84
    assert (file["bars"], file["gaps"]) == (len(kept) + file["new_bars"], 0)
    after = pq.read_table(path)
    assert after.slice(60, len(kept)).equals(kept)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--symbol", "BTX/USDT"), "did you mean BTC/USDT"),
        (("--symbol", "btcusdt"), "did you mean BTC/USDT"),
        (("--symbol", SYMBOL, "--interval", "7m"), "no klines of '7m': choose --interval from 1s, 1m"),
        (("--symbol", SYMBOL, "--interval", "1M"), "no klines of '1M'"),
        (("--symbol", SYMBOL, "--exchange", "binnance"), "did you mean binance"),
        (("--symbol", SYMBOL, "--from", "yesterday"), "not ISO 8601"),
        (("--symbol", SYMBOL, "--from", "2199-01-01"), "is in the future"),
        (("--symbol", SYMBOL, "--to", "2001-01-01"), "is not after"),
    ],
)
def test_bad_names_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    """Exit code 2, one message with the nearest right names, and no file."""
    code, document, error = fetch(capsys, tmp_path, *more)
    assert (code, document) == (2, None)
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_time_without_bars_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 1, no path, and no empty file that later reads would choke on."""
    code, document, _ = fetch(
        capsys, tmp_path, "--symbol", SYMBOL, "--from", "2020-01-01", "--to", "2020-01-02"
    )
    assert code == 1
    assert (document["files"][0]["path"], document["files"][0]["bars"]) == (None, 0)
    assert not list(tmp_path.iterdir())


def test_gaps_are_counted_and_not_asked_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Bars missing inside a file are counted in JSON and in words."""
    _, document, _ = fetch(capsys, tmp_path, "--symbol", SYMBOL)
    path = Path(document["files"][0]["path"])
    table = pq.read_table(path)
    holed = table.take([i for i in range(len(table)) if i != 30 and not 50 <= i < 57])
    pq.write_table(holed.replace_schema_metadata(table.schema.metadata), path)
    code, document, _ = fetch(capsys, tmp_path, "--symbol", SYMBOL)
    assert code == 0
    assert (document["files"][0]["gaps"], document["files"][0]["missing"]) == (2, 8)
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, "--symbol", SYMBOL, hours=3.5))  # before all that the exchange knows
    words = capsys.readouterr().out
    assert "8 bars missing in 2 gaps, the longest 7 from 20" in words
    assert "nothing between" in words


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    """On a terminal stderr shows bars done of bars to do; stdout stays the JSON document alone."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lem", *arguments(tmp_path, "--symbol", SYMBOL, "--json")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert list(json.loads(done.stdout)) == ["files"]
    assert "bars of BTC/USDT (1/1)" in shown


# --- faults: the same fetcher, against an exchange that can be told to fail ---------------------------


@asynccontextmanager
async def fetching(
    say: Callable[[str], None] = lambda note: None, quirks: Quirks | None = None
) -> AsyncIterator[tuple[EmbeddedExchange, Callable[..., Any]]]:
    """An exchange that remembers 100 minutes, and ``get(folder, progress)`` of its last 90."""
    exchange = EmbeddedExchange(SyntheticMarket(3, (SYMBOL,), past_s=6_000))
    endpoint = await exchange.start()
    config = with_market_types({"enableRateLimit": False}, "binance", [SYMBOL])
    link = CcxtLink("binance", config, partial(loopback_session, endpoint.port, endpoint.ca_file))
    if quirks is not None:
        link.quirks = quirks
    fetcher = KlineFetcher(link, "embedded", QUICK, say)
    try:
        await fetcher.connect([SYMBOL], "1m")
        end = await fetcher.now_ms() // MINUTE * MINUTE
        yield exchange, partial(fetcher.fetch, SYMBOL, "1m", (end - 90 * MINUTE, end))
    finally:
        await link.close()
        await exchange.stop()


def table(folder: Path) -> Any:
    return pq.read_table(folder / "BTCUSDT-1m.parquet")


async def test_a_passing_failure_is_waited_out(tmp_path: Path) -> None:
    """503, 429, and a web page with status 200 are asked again; not a bar is lost."""
    waits: list[str] = []
    async with fetching(waits.append) as (exchange, get):
        for fault in (RestFault.unavailable(2), RestFault.too_many(), RestFault.html()):
            fault.path = "/api/v3/klines"
            await get(tmp_path / "a") if not waits else None
            exchange.fail_rest(fault)
            await get(tmp_path / fault.body[:3])
            assert len(table(tmp_path / fault.body[:3])) == 90
        assert len(waits) == 4
        assert waits[:2] == ["no answer, try 2 of 4 in 0.02 s", "no answer, try 3 of 4 in 0.04 s"]


async def test_dropped_connections_are_made_anew(tmp_path: Path) -> None:
    """An exchange that cuts every connection half-way and is back later costs a retry and no bar."""
    tasks: list[asyncio.Task[None]] = []

    def back(note: str) -> None:
        tasks.append(asyncio.create_task(exchange.accept()))

    def cut(done: int, total: int) -> None:
        if done == 40:
            tasks.append(asyncio.create_task(exchange.refuse()))

    async with fetching(back) as (exchange, get):
        got = await get(tmp_path, cut)
        assert (got.bars, got.gaps) == (90, 0)
        assert len(tasks) >= 2  # cut, and waited at least once
        await asyncio.gather(*tasks)


async def test_what_was_read_is_kept_when_the_exchange_stays_away(tmp_path: Path) -> None:
    """The error counts the bars kept, exit code 3; the same call goes on from there, to the same file."""

    def fail(done: int, total: int) -> None:
        if done == 40:
            exchange.fail_rest(RestFault.unavailable(QUICK.tries, "/api/v3/klines"))

    async with fetching() as (exchange, get):
        with pytest.raises(
            ExchangeError, match="did not give klines of BTC/USDT in 4 tries.*; 40 bars are"
        ) as e:
            await get(tmp_path / "a", fail)
        assert e.value.exit_code == 3
        assert len(table(tmp_path / "a")) == 40
        asked = exchange.requests if hasattr(exchange, "requests") else None
        got = await get(tmp_path / "a")
        assert (got.bars, got.new_bars, asked) == (90, 50, asked)
        await get(tmp_path / "b")
        assert table(tmp_path / "a").equals(table(tmp_path / "b"))


async def test_an_interruption_loses_a_batch_at_most(tmp_path: Path) -> None:
    """Every batch is on disk before the next is asked for; cancelled, the rest is saved too."""
    on_disk: list[int] = []

    def look(done: int, total: int) -> None:
        on_disk.append(len(table(tmp_path)) if done else 0)
        if done == 60:
            task.cancel()

    async with fetching() as (_, get):
        task = asyncio.ensure_future(get(tmp_path, look))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert on_disk == [0, 10, 20, 30, 40, 50, 60]
        assert len(table(tmp_path)) == 60
        assert (await get(tmp_path)).new_bars == 30


async def test_an_exchange_without_money_columns(tmp_path: Path) -> None:
    """Through ccxt's unified candles only the six columns are written, and nothing is invented."""
    async with fetching(quirks=Quirks()) as (_, get):
        got = await get(tmp_path)
    assert table(tmp_path).column_names == list(PLAIN)
    (series,) = read_bars(got.path)
    assert got.bars == len(series.bars) == 90
