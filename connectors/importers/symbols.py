"""Unified symbols (as ccxt writes them) to an exchange's own names, and the contracts behind them.

``BTC/USDT`` is spot, ``BTC/USDT:USDT`` a linear contract settled in the quote currency, ``BTC/USD:BTC``
an inverse one settled in the base; ``-241227`` at the end is an expiry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.core.errors import InputError
from agent.core.instrument import Instrument

QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
_UNIFIED = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+)(?::([A-Z0-9]+)(?:-(\d{6}))?)?")


class MarketKind(StrEnum):
    """What is traded."""

    SPOT = "spot"
    LINEAR = "linear"  # contracts settled in the quote currency
    INVERSE = "inverse"  # contracts of a fixed sum in the quote currency, settled in the base


@dataclass(frozen=True, slots=True)
class Symbol:
    """A unified symbol taken apart. ``expiry`` is "" for a perpetual contract and for spot."""

    base: str
    quote: str
    settle: str
    expiry: str
    market: MarketKind

    @property
    def unified(self) -> str:
        end = f"-{self.expiry}" if self.expiry else ""
        return f"{self.base}/{self.quote}" + (
            "" if self.market is MarketKind.SPOT else f":{self.settle}{end}"
        )

    def instrument(self, exchange: str, tick: Decimal, lot: Decimal, multiplier: Decimal) -> Instrument:
        return Instrument(
            number=0,
            exchange=exchange,
            symbol=self.unified,
            base=self.base,
            quote=self.quote,
            settle=self.settle,
            tick=tick,
            lot=lot,
            multiplier=multiplier,
            inverse=self.market is MarketKind.INVERSE,
        )


def parse_symbol(text: str) -> Symbol:
    """Take apart "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC-241227", or "BTCUSDT" (spot).

    Raises InputError.
    """
    match = _UNIFIED.fullmatch(text.upper())
    if match is None:
        base, quote = _split(text)
        return Symbol(base, quote, quote, "", MarketKind.SPOT)
    base, quote, settle, expiry = match.groups()
    if settle is None:
        return Symbol(base, quote, quote, "", MarketKind.SPOT)
    if settle not in (base, quote):
        raise InputError(
            f"symbol {text!r} settles in {settle}: write it as {base}/{quote}:{quote} (linear) or "
            f"{base}/{quote}:{base} (inverse)"
        )
    market = MarketKind.LINEAR if settle == quote else MarketKind.INVERSE
    return Symbol(base, quote, settle, expiry or "", market)


def _split(text: str) -> tuple[str, str]:
    joined = text.upper()
    for known in QUOTES:
        if joined.isalnum() and joined.endswith(known) and len(joined) > len(known):
            return joined.removesuffix(known), known
    raise InputError(
        f"symbol {text!r} is not understood: write it as BASE/QUOTE, like BTC/USDT, BTC/USDT:USDT "
        "(linear contract) or BTC/USD:BTC (inverse contract)"
    )
