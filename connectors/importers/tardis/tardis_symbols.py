"""Which of an exchange's names, as Tardis writes them, is a unified symbol's: told by equality.

Grouped files (SPOT, FUTURES, PERPETUALS) hold many: BTC-USD beside BTC-USDT, BTC_USDC-PERPETUAL beside
BTC-PERPETUAL. A name is taken apart from its punctuation and compared with every name that the symbol can
have on an exchange of its kind, never with the beginning of one.
"""

from __future__ import annotations

from datetime import date

from connectors.importers.symbols import MarketKind, Symbol

_MARKETS = {
    "binance": MarketKind.SPOT,
    "binance-us": MarketKind.SPOT,
    "binance-futures": MarketKind.LINEAR,
    "binance-delivery": MarketKind.INVERSE,
    "bitfinex": MarketKind.SPOT,
    "bitget": MarketKind.SPOT,
    "bitstamp": MarketKind.SPOT,
    "bybit-spot": MarketKind.SPOT,
    "coinbase": MarketKind.SPOT,
    "gate-io": MarketKind.SPOT,
    "gemini": MarketKind.SPOT,
    "huobi": MarketKind.SPOT,
    "huobi-dm": MarketKind.INVERSE,
    "huobi-dm-linear-swap": MarketKind.LINEAR,
    "huobi-dm-swap": MarketKind.INVERSE,
    "hyperliquid": MarketKind.LINEAR,
    "kraken": MarketKind.SPOT,
    "kucoin": MarketKind.SPOT,
    "okex": MarketKind.SPOT,
}
"""What an exchange's files hold where that is one kind of market."""

_NEVER_SPOT = (
    *("bybit", "okex-swap", "okex-futures", "cryptofacilities", "bitget-futures", "gate-io-futures"),
    *("bitfinex-derivatives", "kucoin-futures", "dydx", "ftx"),
)
_DOLLARS_ARE_INVERSE = ("bitmex", "deribit", "bybit", "okex-swap", "okex-futures", "bitget-futures")
"""Where a contract quoted in USD is settled in coins."""

_PERPETUAL = ("", "SWAP", "PERP", "PERPETUAL", "UMCBL", "DMCBL", "CMCBL", "M")
_MONTHS = "FGHJKMNQUVXZ"


def is_of(exchange: str, name: str, symbol: Symbol) -> bool:
    """Whether ``name`` on ``exchange`` is the symbol."""
    market = _MARKETS.get(exchange)
    if market is not None and market is not symbol.market:
        return False
    if symbol.market is MarketKind.SPOT and exchange in _NEVER_SPOT:
        return False
    if exchange in _DOLLARS_ARE_INVERSE and not _settles_so(exchange, symbol):
        return False
    if exchange == "bitmex" and symbol.market is MarketKind.SPOT and "_" not in name:
        return False  # XBTUSD is a contract, XBT_USDT are coins
    plain = "".join(c for c in name.upper() if c.isalnum()).replace("XBT", "BTC")
    return plain in _names(exchange, symbol)


def _settles_so(exchange: str, symbol: Symbol) -> bool:
    if symbol.market is MarketKind.INVERSE:
        return symbol.quote == "USD" and (exchange != "bitmex" or symbol.base == "BTC")  # others are quantos
    return symbol.quote != "USD"


def _names(exchange: str, symbol: Symbol) -> set[str]:
    """Every name the symbol can have, without punctuation."""
    pair = f"{symbol.base}{symbol.quote}"
    if symbol.market is MarketKind.SPOT:
        ust = f"{symbol.base}UST" if symbol.quote == "USDT" else pair  # bitfinex
        return {pair, ust} if exchange == "bitfinex" else {pair, f"SPOT{pair}"}
    inverse = symbol.market is MarketKind.INVERSE
    if symbol.expiry:
        marks = _expiries(symbol.expiry)
        named = {pair, symbol.base} if inverse else {pair}
        future = "FI" if inverse else "FF"
        return {n + m for n in named for m in marks} | {f"{future}{pair}{symbol.expiry}"}
    found = {pair + end for end in _PERPETUAL} | {f"PERP{pair}", ("PI" if inverse else "PF") + pair}
    if inverse:
        found.add(f"{symbol.base}PERPETUAL")  # deribit
    if exchange == "hyperliquid":
        found.add(symbol.base)
    if exchange == "bitfinex-derivatives" and symbol.quote == "USDT":
        found.add(f"{symbol.base}F0USTF0")
    return found


def _expiries(expiry: str) -> set[str]:
    """241227 as exchanges write it: 241227, 27DEC24, Z24."""
    year, month, day = expiry[:2], int(expiry[2:4]), expiry[4:]
    if not 1 <= month <= 12:
        return {expiry}
    name = date(2000, month, 1).strftime("%b").upper()
    days = {f"{d}{name}{year}" for d in (day, day.lstrip("0"))}
    return {expiry, f"20{expiry}", f"{_MONTHS[month - 1]}{year}", *days}
