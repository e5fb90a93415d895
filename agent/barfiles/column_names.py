"""What people call the columns of bars, brought to one name each.

A name counts without case, blanks and punctuation: ``Open time``, ``open_time`` and ``<OPEN TIME>`` are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAMES: dict[str, tuple[str, ...]] = {
    "open_time": (
        *("opentime", "windowstart", "starttime", "timestart", "unix", "unixtimestamp", "timestamp"),
        *("timestampms", "timestamputc", "datetime", "datetimeutc", "time", "timeutc", "gmttime", "date"),
        *("dateutc", "day", "ts", "tsevent", "bartime", "candletime", "begin", "t"),
    ),
    "close_time": ("closetime", "windowend", "endtime", "timeend", "timeclose", "end"),
    "open": ("open", "openprice", "priceopen", "o"),
    "high": ("high", "highprice", "pricehigh", "max", "h"),
    "low": ("low", "lowprice", "pricelow", "min", "l"),
    "close": ("close", "closeprice", "priceclose", "last", "c"),
    "volume": ("volume", "vol", "basevolume", "volumebase", "volumetraded", "tickvol", "v"),
    "quote_volume": (
        *("quotevolume", "quoteassetvolume", "volumequote", "quotevol", "turnover", "dollarvolume"),
        *("volumeusdt", "volumeusd"),
    ),
    "vwap": ("vwap", "vw", "average", "weightedaverage", "wap", "averageprice", "volumeweighted"),
    "n_trades": (
        *("ntrades", "count", "trades", "tradecount", "tradescount", "numberoftrades", "numtrades"),
        *("barcount", "transactions", "n"),
    ),
    "taker_buy_base": (
        *("takerbuybase", "takerbuyvolume", "takerbuybaseassetvolume", "takerbuybasevolume", "buyvolume"),
    ),
    "symbol": ("symbol", "ticker", "sym", "instrument", "s"),
}
"""By the product's name: other names, the first that a file has is taken."""

HEADERLESS: dict[int, tuple[str, ...]] = {
    6: ("open_time", "open", "high", "low", "close", "volume"),
    7: ("open_time", "open", "high", "low", "close", "volume", "n_trades"),
    12: (
        *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "n_trades"),
        *("taker_buy_base", "taker_buy_quote", "ignore"),
    ),
}
"""Columns of files without a header, by their number: ccxt's candles, Kraken's, Binance's klines."""

JSON_LISTS: dict[int, tuple[str, ...]] = {
    6: HEADERLESS[6],
    7: ("open_time", "open", "high", "low", "close", "volume", "quote_volume"),
    8: ("open_time", "open", "high", "low", "close", "vwap", "volume", "n_trades"),
    9: ("open_time", "open", "high", "low", "close", "volume", "other_volume", "quote_volume", "whole"),
    12: HEADERLESS[12],
}
"""The same of lists in JSON: ccxt's and freqtrade's, Bybit's, Kraken's, OKX's, Binance's answers."""

TIMES_OF_DAY: dict[str, tuple[str, ...]] = {"clock": ("clock", "time", "timeofday"), "hour": ("hour",)}
"""What stands beside a column of dates; of both kinds the first."""

_DATES = ("date", "dateutc", "day")

DATE_AND_CLOCK = ("date", "clock", "open", "high", "low", "close", "volume")
"""Seven columns of which the second is a time of day."""


def plain(name: str) -> str:
    """A name without case, blanks and punctuation."""
    return "".join(c for c in name.casefold() if c.isalnum())


def by_name(columns: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The first of ``columns`` that bears one of the ``names`` of each of our columns."""
    by_plain = _by_plain(columns)
    found = (
        (ours, next((by_plain[t] for t in theirs if t in by_plain), None)) for ours, theirs in names.items()
    )
    return {ours: name for ours, name in found if name is not None}


def recognised(columns: Sequence[str]) -> dict[str, str]:
    """The file's columns by the product's names. ``Volume BTC`` and ``Volume USD`` are settled elsewhere."""
    return by_name_and_clock(columns, NAMES, "open_time")


def by_name_and_clock(
    columns: Sequence[str], names: Mapping[str, Sequence[str]], time: str
) -> dict[str, str]:
    """``by_name``; of a ``time`` that is a date also what TIMES_OF_DAY names beside it."""
    found = by_name(columns, names)
    _settle_clock(found, _by_plain(columns), time)
    return found


def _by_plain(columns: Sequence[str]) -> dict[str, str]:
    return {plain(column): column for column in reversed(columns)}  # of two the first


def _settle_clock(found: dict[str, str], by_plain: dict[str, str], time: str) -> None:
    """A time beside a date is its time of day; beside a stamp it says the same again."""
    date = next((name for name in _DATES if name in by_plain), None)
    if date is None or plain(found.get(time, "")) not in (date, "time"):
        return
    for ours, theirs in TIMES_OF_DAY.items():
        clock = next((by_plain[name] for name in theirs if name in by_plain), None)
        if clock is not None:
            found[time], found[ours] = by_plain[date], clock
            return


def volumes_by_currency(columns: Sequence[str]) -> list[str]:
    """``Volume BTC``, ``Volume USDT``: columns of volume named by a currency."""
    words = [(column, column.split()) for column in columns]
    return [c for c, w in words if len(w) == 2 and w[0].casefold() in ("volume", "vol") and w[1].isalnum()]
