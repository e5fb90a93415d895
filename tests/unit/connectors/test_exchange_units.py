"""Amounts, steps, minimums, ids and sides of exchanges, read by the real ccxt classes from raw answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest

from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from connectors.ccxt_markets import check_traded, instrument_of
from connectors.kline_rows import bar_rows
from connectors.normalise import Scale, trade_columns, usable
from connectors.units.exchange_units import UNITS, unverified
from tests.unit.connectors.raw_answers import CASES as FIRST
from tests.unit.connectors.raw_answers import Case
from tests.unit.connectors.raw_answers_more import CASES as MORE

_OPTIONS = {
    "fetchCurrencies": False,
    "fetchMargins": False,
    "crossMarginPairsData": [],
    "isolatedMarginPairsData": [],
}


def _client(exchange: str, answers: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """The real class; its requests are answered from a table."""
    client = getattr(ccxt.pro, exchange)({"options": {**_OPTIONS, **options}})

    async def request(path: str, _api: str, _method: str, params: Any, *_: Any, **__: Any) -> Any:
        answer = answers.get(path, {"data": [], "result": []})
        return answer(params) if callable(answer) else answer

    client.request = request
    return client


async def _market(case: Case) -> tuple[Any, Any]:
    client = _client(case.exchange, case.answers, case.options)
    if case.parser:
        arguments = {"parse_contract_market": ["usdt"], "parse_spot_market": [{}]}.get(case.parser, [])
        found = [getattr(client, case.parser)(case.raw, *arguments)]
    else:
        found = await client.fetch_markets()
    client.set_markets(found)
    return client, client.market(case.symbol)


def _instrument(case: Case, client: Any, market: Any) -> Instrument:
    return instrument_of(market, 0, case.exchange, client.precisionMode, case.price)


CASES = [*FIRST, *MORE]
NAMES = [f"{c.exchange} {c.symbol}" for c in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_a_market_is_what_its_exchange_means(case: Case) -> None:
    """Steps, minimums and what one unit is worth in money."""
    client, market = await _market(case)
    on, right = _instrument(case, client, market), case.expected
    ticks = int(Decimal(str(case.price)) / on.tick)
    got = (
        on.tick,
        on.lot,
        on.lot * on.min_lots,
        on.min_notional,
        on.quote_notional(ticks, 1) / on.lot,
        on.inverse,
    )
    names = (right.tick, right.lot, right.least, right.least_value, right.worth)
    assert got == (*map(Decimal, names), right.inverse)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.trades], ids=[n for n, c in zip(NAMES, CASES, strict=True) if c.trades]
)
async def test_a_trade_is_the_same_by_request_and_by_stream(case: Case) -> None:
    """Price, amount, the taker's side, one id and one time for both."""
    client, market = await _market(case)
    said, scale = case.trades, Scale.of(_instrument(case, client, market))
    assert said is not None
    asked = client.parse_trade(said.asked, market)
    streamed = getattr(client, said.stream_parser)(said.streamed, market)
    columns = [trade_columns(usable([trade]), scale) for trade in (asked, streamed)]
    price, amount, side = said.right
    for read in columns:
        assert scale.tick.size * int(read.ticks[0]) == Decimal(price)
        assert scale.lot.size * int(read.lots[0]) == Decimal(amount)
        assert read.side[0] == (1 if side == "buy" else -1)
        assert not read.off_tick
    assert columns[0].ids[0] == columns[1].ids[0]
    assert columns[0].stamp_ns[0] == columns[1].stamp_ns[0]


def test_every_exchange_called_verified_is_read_here() -> None:
    """And one that is not says so, once and in plain words."""
    assert {case.exchange for case in CASES} == set(UNITS)
    assert unverified("okx") == unverified("embedded") == ""
    assert unverified("luno").startswith("units of luno are not verified")


async def test_what_cannot_be_valued_is_refused_with_its_reason() -> None:
    """Options, contracts settled in a third coin, inverse ones counted in coins; and what trades no more."""
    case = next(c for c in CASES if c.exchange == "binancecoinm")
    client, market = await _market(case)
    for changes, exchange, reason in (
        ({"type": "option", "option": True}, "deribit", "it is an option"),
        ({"inverse": False, "linear": False, "settle": "ETH"}, "deribit", "settled in ETH, .* quanto"),
        ({}, "bitget", "its amounts are BTC and it is settled in BTC"),
    ):
        with pytest.raises(OrderError, match=f"BTC/USD:BTC on {exchange} is not taken: .*{reason}"):
            instrument_of({**market, **changes}, 0, exchange, client.precisionMode, 1.0)
    with pytest.raises(OrderError, match="halted or delisted"):
        instrument_of({**market, "active": False}, 0, "binancecoinm", client.precisionMode, 1.0)
    dated = {**market, "expiry": 2_000, "expiryDatetime": "1970-01-01T00:00:02Z"}
    with pytest.raises(OrderError, match="expired on binancecoinm at 1970-01-01T00:00:02Z"):
        check_traded(dated, "binancecoinm", 2_000 * 10**6)
    check_traded(dated, "binancecoinm", 1_999 * 10**6)


@pytest.mark.parametrize(
    ("exchange", "symbol", "coins", "contracts"),
    [
        ("okx", "BTC/USDT:USDT", 0.5, "50"),  # of 0.01 BTC
        ("htx", "DOGE/USDT:USDT", 700.0, "7"),  # of 100 DOGE
        ("binancecoinm", "BTC/USD:BTC", 2.0, "1220"),  # of 100 USD, at 61,000
        ("deribit", "BTC/USD:BTC", 2.0, "122000"),  # dollars
        ("deribit", "ETH/USDC:USDC", 2.5, "2.5"),
        ("binance", "BTC/USDT", 2.5, "2.5"),
    ],
)
async def test_klines_in_coins_become_the_markets_quantity(
    exchange: str, symbol: str, coins: float, contracts: str
) -> None:
    """The volume that an order is held against is in the unit of the order."""
    case = next(c for c in CASES if (c.exchange, c.symbol) == (exchange, symbol))
    on = _instrument(case, *await _market(case))
    candle = [60_000, case.price, case.price, case.price, case.price, coins]
    (row,) = bar_rows([candle], Scale.of(on), 60 * 10**9, 0)
    assert on.quantity(int(row["base_lots"])) == Decimal(contracts)
