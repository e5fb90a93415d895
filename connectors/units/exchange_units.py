"""What the exchanges' numbers mean where ccxt's own market does not tell it, or tells it wrong.

One line an exchange that was gone through: its parsers in the pinned ccxt were read, and its raw answers are
read in ``tests/unit/connectors/test_exchange_units.py``. What was looked at: units (base coin, contracts or
money), steps, minimums, ids (the same by stream and by request), sides (the taker's). An exchange that is
not here is taken as ccxt tells it, and a run says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from connectors.units.price_steps import DigitSteps, LadderSteps, ladder

Steps = DigitSteps | LadderSteps


@dataclass(frozen=True, slots=True)
class ExchangeUnits:
    """Facts of one exchange. The defaults say: as ccxt's market and trades have it."""

    uncounted_contracts: bool = (
        False  # amounts are coins, or money where inverse; contractSize is no part of them
    )
    inverse_in_coins: bool = False  # amounts of inverse contracts are base coin
    least_in_coins: bool = (
        False  # the least amount of a linear contract is in base coin, its sizes in contracts
    )
    least_value: tuple[str, ...] = ()  # members of the raw market that state the least value of an order
    least_value_by_quote: Mapping[str, Decimal] | None = None  # where no market states it
    decimal_lot: Decimal | None = None  # of contracts that are not whole, where no step is stated
    price_steps: Mapping[str, Steps] | Steps | None = None  # that move with the price; by quote, or for all
    price_decimals: int | None = None  # Hyperliquid: at most these, less those of the amount (spot: 2 more)
    maker_side: bool = False  # a trade's side is the maker's
    size_at_end: bool = (
        False  # Phemex: inverse sizes are the raw row's last number, which ccxt scales wrongly
    )
    ids: tuple[str, ...] = ()  # raw members with the id that stream and request share, where ccxt's differ
    stamp: str = ""  # raw member with the trade's own time in ms, where ccxt takes that of sending
    klines_in_coins: tuple[str, ...] = ()  # of which contracts klines count coins: linear, inverse
    unshared_ids: bool = False  # stream and request share none: a trade is known by what it is

    def steps(self, quote: str) -> Steps | None:
        found = self.price_steps
        return found.get(quote) if isinstance(found, Mapping) else found


_AS_CCXT_HAS_IT = ExchangeUnits()
_KLINES_IN_COINS = ExchangeUnits(klines_in_coins=("linear", "inverse"))
_INVERSE_KLINES_IN_COINS = ExchangeUnits(klines_in_coins=("inverse",))

_UPBIT_KRW = ladder(
    ("1000000", "1000"),
    ("500000", "500"),
    ("100000", "100"),
    ("50000", "50"),
    ("10000", "10"),
    ("5000", "5"),
    ("100", "1"),
    ("10", "0.1"),
    ("1", "0.01"),
    ("0.1", "0.001"),
    ("0.01", "0.0001"),
    ("0.001", "0.00001"),
    ("0.0001", "0.000001"),
    ("0.00001", "0.0000001"),
    ("0", "0.00000001"),
)
_UPBIT_USDT = ladder(
    ("10", "0.01"),
    ("1", "0.001"),
    ("0.1", "0.0001"),
    ("0.01", "0.00001"),
    ("0.001", "0.000001"),
    ("0.0001", "0.0000001"),
    ("0", "0.00000001"),
)
_BITHUMB_KRW = ladder(
    ("1000000", "1000"),
    ("500000", "500"),
    ("100000", "100"),
    ("50000", "50"),
    ("10000", "10"),
    ("5000", "5"),
    ("1000", "1"),
    ("100", "0.1"),
    ("10", "0.01"),
    ("1", "0.001"),
    ("0", "0.0001"),
)

_COINS = ExchangeUnits(uncounted_contracts=True)
_GATE = ExchangeUnits(decimal_lot=Decimal("0.0001"))
_HTX_IDS = ("tradeId", "trade-id")
_KUCOIN = ExchangeUnits(least_value=("minFunds",), ids=("sequence",))

UNITS: Mapping[str, ExchangeUnits] = {
    "apex": _COINS,  # its contractSize is the least amount
    "backpack": _AS_CCXT_HAS_IT,
    "bequant": _AS_CCXT_HAS_IT,
    "binance": _INVERSE_KLINES_IN_COINS,
    "binancecoinm": _INVERSE_KLINES_IN_COINS,
    "binanceus": _INVERSE_KLINES_IN_COINS,
    "binanceusdm": _INVERSE_KLINES_IN_COINS,
    "bitfinex": ExchangeUnits(price_steps=DigitSteps(5)),
    "bitget": ExchangeUnits(inverse_in_coins=True),
    "bithumb": ExchangeUnits(price_steps={"KRW": _BITHUMB_KRW}, least_value_by_quote={"KRW": Decimal(5000)}),
    "bitstamp": _AS_CCXT_HAS_IT,
    "bittrade": ExchangeUnits(ids=_HTX_IDS),
    "bitvavo": _AS_CCXT_HAS_IT,
    "blofin": _KLINES_IN_COINS,
    "bybit": _INVERSE_KLINES_IN_COINS,
    "bybiteu": _INVERSE_KLINES_IN_COINS,
    "bybitid": _INVERSE_KLINES_IN_COINS,
    "coinbase": ExchangeUnits(maker_side=True),
    "coinbaseexchange": _AS_CCXT_HAS_IT,
    "cryptocom": _AS_CCXT_HAS_IT,
    "deribit": ExchangeUnits(uncounted_contracts=True, klines_in_coins=("inverse",)),
    "derive": _AS_CCXT_HAS_IT,
    "dydx": _AS_CCXT_HAS_IT,
    "extended": _AS_CCXT_HAS_IT,
    "gate": _GATE,
    "gateeu": _GATE,
    "hitbtc": _AS_CCXT_HAS_IT,
    "htx": ExchangeUnits(least_in_coins=True, klines_in_coins=("linear", "inverse"), ids=_HTX_IDS),
    "hyperliquid": ExchangeUnits(price_steps=DigitSteps(5, whole_allowed=True), price_decimals=6),
    "kraken": _AS_CCXT_HAS_IT,
    "krakenfutures": _AS_CCXT_HAS_IT,
    "kucoin": _KUCOIN,
    "kucoinfutures": _KUCOIN,
    "mexc": ExchangeUnits(unshared_ids=True),
    "myokx": _KLINES_IN_COINS,
    "okx": _KLINES_IN_COINS,
    "okxus": _KLINES_IN_COINS,
    "paradex": _AS_CCXT_HAS_IT,
    "phemex": ExchangeUnits(least_value=("minOrderValueRv",), size_at_end=True, unshared_ids=True),
    "poloniex": _AS_CCXT_HAS_IT,
    "upbit": ExchangeUnits(
        price_steps={"KRW": _UPBIT_KRW, "USDT": _UPBIT_USDT, "BTC": ladder(("0", "0.00000001"))},
        least_value_by_quote={"KRW": Decimal(5000), "BTC": Decimal("0.00005"), "USDT": Decimal("0.5")},
        stamp="trade_timestamp",
    ),
}

EMBEDDED = "embedded"


def units_of(exchange_id: str) -> ExchangeUnits:
    """The facts of an exchange by ccxt's id; of one that was not gone through, what ccxt says stands."""
    return UNITS.get(exchange_id, _AS_CCXT_HAS_IT)


def unverified(exchange_id: str) -> str:
    """What a run says at its start of an exchange that was not gone through; nothing of the others."""
    if exchange_id in UNITS or exchange_id == EMBEDDED:
        return ""
    return (
        f"units of {exchange_id} are not verified: amounts, steps and minimums are taken as ccxt tells them;"
        " compare a small order with the exchange's own page before you trust a result"
    )
