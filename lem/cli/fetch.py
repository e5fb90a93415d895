"""``python -m lem fetch``."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.core.errors import ExchangeError, InputError
from agent.durations import parse_time_ns
from lem.cli.common_options import Json, Report, check_folder, progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from connectors.ccxt_klines import Fetched

EMBEDDED = "embedded"


def fetch(
    symbol: Annotated[list[str], typer.Option(help="unified symbol, as in BTC/USDT; may be repeated")],
    from_: Annotated[str, typer.Option("--from", help="ISO 8601")],
    exchange: Annotated[str, typer.Option(help="ccxt exchange id, or embedded")] = "binance",
    interval: Annotated[str, typer.Option(help="as in 1m, 15m, 4h, 1d")] = "15m",
    to: Annotated[str | None, typer.Option("--to", help="ISO 8601; default: now")] = None,
    out: Annotated[Path, typer.Option(help="directory of the files")] = Path("bars"),
    as_json: Json = False,
) -> None:
    """Download klines to parquet files that train and evaluate read; extends files that are there."""
    span = (_ms(from_, "--from"), None if to is None else _ms(to, "--to"))
    if span[1] is not None and span[1] <= span[0]:
        raise InputError(f"--to {to} is not after --from {from_}")
    check_folder(out, "--out")
    hours = max(1, ((span[1] or _now_ms()) - span[0]) // 3_600_000) * len(symbol)
    with progress("fetching", int(hours)) as bar:
        files = asyncio.run(_fetch(exchange, symbol, interval, span, out, bar))
    if as_json:
        typer.echo(json.dumps({"files": [f.to_json() for f in files]}))
        return
    for f in files:
        missing = f", {f.missing} missing in {f.gaps} gaps" if f.gaps else ""
        bare = "" if "quote_volume" in f.columns else "; no quote volume from this exchange"
        typer.echo(f"{f.path}: {f.bars} bars ({f.new_bars} new){missing}{bare}")


async def _fetch(
    name: str,
    symbols: list[str],
    interval: str,
    span: tuple[int, int | None],
    out: Path,
    bar: Report,
) -> list[Fetched]:
    from connectors.ccxt_klines import check_names, fetch_klines

    files = []
    async with _opened(name) as client:
        check_names(client, symbols, interval)
        now_ms = _now_ms()
        end = span[1] or now_ms
        for k, one in enumerate(symbols):

            def at(now_ms: int, k: int = k, one: str = one) -> None:
                done = (now_ms - span[0] + k * (end - span[0])) // 3_600_000
                bar(int(done), int(len(symbols) * max(1, (end - span[0]) // 3_600_000)), one)

            files.append(await fetch_klines(client, one, interval, (span[0], end), out, now_ms, at))
    return files


@asynccontextmanager
async def _opened(name: str) -> AsyncIterator[Any]:
    """ccxt's client of an exchange (untyped), its markets loaded; the embedded one is served meanwhile."""
    from connectors.ccxt_link import known_exchange, load_ccxt, network_errors

    ccxt = load_ccxt()
    options: dict[str, object] = {"enableRateLimit": True, "options": {"fetchMarkets": {"types": ["spot"]}}}
    async with AsyncExitStack() as closing:
        if name == EMBEDDED:
            options |= {"session": await _served(closing), "enableRateLimit": False}
        client = known_exchange(ccxt, "binance" if name == EMBEDDED else name)(options)
        closing.push_async_callback(client.close)
        try:
            await client.load_markets()
        except network_errors() as error:
            raise ExchangeError(
                f"cannot reach {name}: {error}; check the network, or try --exchange embedded"
            ) from error
        yield client


async def _served(closing: AsyncExitStack) -> ClientSession:
    """A session with the embedded exchange, which is served until ``closing``."""
    from agent.app.embedded_market import embedded_exchange
    from agent.config import Config
    from agent.system_clock import SystemClock
    from connectors.embedded.loopback import loopback_session

    _, endpoint = await closing.enter_async_context(embedded_exchange(Config(), SystemClock()))
    session = loopback_session(endpoint.port, endpoint.ca_file)
    closing.push_async_callback(session.close)
    return session


def _ms(text: str, option: str) -> int:
    return parse_time_ns(text, option) // 1_000_000


def _now_ms() -> int:
    from agent.system_clock import SystemClock

    return SystemClock().now_ns() // 1_000_000
