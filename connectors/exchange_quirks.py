"""What is particular to one exchange. A quirk is declared here, and whoever obeys it calls
``quirks_of`` or reads a link's ``quirks``: ``ccxt_link`` (ccxt's options, pages of trades),
``ccxt_books`` (levels), ``ccxt_trades``, ``ccxt_feed`` and ``ccxt_history`` (what trade ids tell),
``ccxt_history`` and ``ccxt_klines`` (klines with every column).

Binance's are also: ``connectors.backfill.RangeCoverage`` (the raw ids that its aggregates name) and
``connectors.kline_rows.binance_bar_rows`` (the columns of its klines).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Quirks:
    """What has to be known of an exchange beyond its ``has``."""

    aggregates: bool = False  # Binance: stream and REST both speak of aggregate trades
    book_limit: int | None = None  # levels that watch_order_book is to keep; None: the exchange's default
    page: int | None = None  # trades per REST page; None: the exchange's default
    klines: str | None = None  # implicit method that gives klines with every column
    spot_only: JsonObject = field(default_factory=dict)  # options that list spot markets only

    def options(self, *, contracts: bool) -> dict[str, object]:
        """ccxt's options for it; ``contracts``: whether symbols of contracts are wanted."""
        options: dict[str, object] = {} if contracts else dict(self.spot_only)
        if self.aggregates:
            options["watchTrades"] = {"name": "aggTrade"}
        return options


_FUTURES = Quirks(aggregates=True, book_limit=1000, page=1000)
QUIRKS: Mapping[str, Quirks] = {
    "binance": Quirks(
        aggregates=True,
        book_limit=1000,
        page=1000,
        klines="publicGetKlines",
        spot_only={"fetchMarkets": {"types": ["spot"]}},  # saves two requests
    ),
    "binanceus": Quirks(aggregates=True, book_limit=1000, page=1000, klines="publicGetKlines"),
    "binanceusdm": _FUTURES,
    "binancecoinm": _FUTURES,
    "kraken": Quirks(book_limit=100, page=1000),
}


def quirks_of(exchange_id: str) -> Quirks:
    """The quirks of an exchange by ccxt's id; those of one that has none known are the defaults."""
    return QUIRKS.get(exchange_id, Quirks())
