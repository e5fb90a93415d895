"""``python -m lem fetch``: history through the real ccxt client into files that train and evaluate read."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import InputError
from lem.cli.options import Json, progress, time_ns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from connectors.ccxt_klines import Fetched
    from connectors.ccxt_link import CcxtLink

EMBEDDED = "embedded"


def fetch(
    symbol: Annotated[list[str], typer.Option(help="unified symbol, as in BTC/USDT; may be repeated")],
    from_: Annotated[str, typer.Option("--from", help="ISO 8601, UTC unless it says otherwise")],
    exchange: Annotated[str, typer.Option(help="ccxt exchange id, or embedded")] = "binance",
    interval: Annotated[str, typer.Option(help="as in 1m, 15m, 4h, 1d")] = "15m",
    to: Annotated[str | None, typer.Option("--to", help="ISO 8601; default: now")] = None,
    out: Annotated[Path, typer.Option(help="directory of the files")] = Path("bars"),
    as_json: Json = False,
) -> None:
    """Download klines to one parquet file a symbol; a file that is there is extended.

    Whole bars only. Exit codes: 0 done, 1 a symbol without any bar, 2 bad input, 3 no answer.
    """
    span = (_ms(from_), None if to is None else _ms(to))
    if span[1] is not None and span[1] <= span[0]:
        raise InputError(f"--to {to} is not after --from {from_}: give a later --to")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a directory")
    with progress("fetching", 1) as bar:
        files = asyncio.run(_fetch(exchange, list(dict.fromkeys(symbol)), interval, span, out, bar))
    if as_json:
        typer.echo(json.dumps({"files": [f.to_json() for f in files]}))
    else:
        for f in files:
            typer.echo(_line(f, span[0]))
    if not all(f.bars for f in files):
        raise typer.Exit(1)


async def _fetch(
    name: str,
    symbols: list[str],
    interval: str,
    span: tuple[int, int | None],
    out: Path,
    bar: Callable[[int, int, str], None],
) -> list[Fetched]:
    from connectors.ccxt_klines import KlineFetcher

    shown = (0, 1)  # bars done and to do, of the symbol at work
    files: list[Fetched] = []
    async with _link(name, symbols) as link:
        fetcher = KlineFetcher(link, name, say=lambda note: bar(*shown, note))
        await fetcher.connect(symbols, interval)
        end = min(await fetcher.now_ms(), span[1] or _FAR_MS)
        if end <= span[0]:
            raise InputError(f"--from {_iso(span[0])} is in the future: give a time that is past")
        for number, one in enumerate(symbols, 1):

            def at(done: int, total: int, note: str = f"bars of {one} ({number}/{len(symbols)})") -> None:
                nonlocal shown
                shown = done, total
                bar(done, total, note)

            files.append(await fetcher.fetch(one, interval, (span[0], end), out, at))
    return files


@asynccontextmanager
async def _link(name: str, symbols: list[str]) -> AsyncIterator[CcxtLink]:
    """The real ccxt client of an exchange; the embedded one is served meanwhile."""
    from connectors.ccxt_link import CcxtLink, with_market_types

    async with AsyncExitStack() as stack:
        session: Callable[[], Any] | None = None
        config: dict[str, Any] = {}
        kind = name
        if name == EMBEDDED:
            from agent.app.markets import embedded_exchange
            from agent.config import Config
            from connectors.embedded.loopback import loopback_session

            _, endpoint = await stack.enter_async_context(embedded_exchange(Config()))
            session = partial(loopback_session, endpoint.port, endpoint.ca_file)
            config, kind = {"enableRateLimit": False}, "binance"
        link = CcxtLink(kind, with_market_types(config, kind, symbols), session)
        stack.push_async_callback(link.close)
        yield link


def _line(f: Fetched, from_ms: int) -> str:
    if f.path is None or f.from_ms is None or f.to_ms is None:
        return f"{f.source.symbol}: {f.source.exchange} has no bars in this time; no file written"
    parts = [f"{f.path}: {f.bars} bars ({f.new_bars} new), {_iso(f.from_ms)} to {_iso(f.to_ms)}"]
    if f.from_ms - from_ms >= f.source.step_ms:
        parts.append(f"nothing between {_iso(from_ms)} and its first bar")
    if f.longest is not None:
        bars, at_ms = f.longest
        parts.append(f"{f.missing} bars missing in {f.gaps} gaps, the longest {bars} from {_iso(at_ms)}")
    if "quote_volume" not in f.source.columns:
        parts.append(f"{f.source.exchange} gives no quote volume, trade count or taker volume: left out")
    return "; ".join(parts)


_FAR_MS = 1 << 53


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(text: str) -> int:
    return (time_ns(text) or 0) // 1_000_000
