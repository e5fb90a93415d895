"""Binance's messages as they are captured, and their fields, checked: levels, ids, stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from agent.core.arrays import IntArray
from connectors.importers.decimals import e8_many

MOST_ID = 1 << 62

Levels = list[list[str]]
"""Price and size of each."""


class TradeData(TypedDict):
    """``trade`` (with ``t``) or ``aggTrade`` (with ``a``). Stamps in milliseconds."""

    t: NotRequired[int]
    a: NotRequired[int]
    E: int  # sent
    T: int  # traded
    p: str
    q: str
    m: bool  # the buyer was the maker
    M: NotRequired[bool]  # spot only
    X: NotRequired[str]  # futures only: MARKET where it was made in the book


class TickerData(TypedDict):
    """``bookTicker``: best bid ``b`` of size ``B``, best ask ``a`` of size ``A``."""

    u: int
    b: str
    B: str
    a: str
    A: str
    T: NotRequired[int]  # futures only


class DepthData(TypedDict):
    """``depthUpdate``: ids ``U`` to ``u``; futures also name the update before (``pu``)."""

    E: int
    U: int
    u: int
    b: Levels
    a: Levels
    pu: NotRequired[int]
    ps: NotRequired[str]  # coin-M only: the pair
    T: NotRequired[int]


class SnapshotMessage(TypedDict):
    """A depth snapshot over REST; futures also say when (``T``)."""

    lastUpdateId: int
    bids: Levels
    asks: Levels
    T: NotRequired[int]
    symbol: NotRequired[str]
    pair: NotRequired[str]  # coin-M only


@dataclass(frozen=True, slots=True)
class Diff:
    """``before``: the last update id before it, by its market's rule; prices and sizes bids first."""

    before: int
    last: int
    exch_ns: int
    bids: int
    numbers: IntArray


def levels_of(bids: Levels, asks: Levels) -> IntArray:
    """Prices and sizes in 1e-8, bids first. Raises ValueError when a level is not a price and a size."""
    texts = [text for side in (bids, asks) for level in side for text in level]
    if len(texts) != 2 * (len(bids) + len(asks)):
        raise ValueError("a level is not a price and a size")
    numbers = e8_many(texts)
    if len(numbers) and not numbers[::2].all():
        raise ValueError("a level at price 0")
    return numbers


def id_of(value: int) -> int:
    """An id of the exchange's. Raises ValueError, TypeError."""
    if not 0 <= value < MOST_ID:
        raise ValueError(f"id {value} is out of range")
    return int(value)


def stamp_ns(stamp: int) -> int:
    """Return the exchange's milliseconds (or microseconds, which it sends on request) as nanoseconds."""
    if not 10**12 <= stamp < 4 * 10**15:
        raise ValueError(f"the exchange's stamp {stamp} is not in milliseconds since 1970")
    return stamp * 1_000_000 if stamp < 100_000_000_000_000 else stamp * 1000
