"""Fields of Binance's messages, checked: levels, ids, stamps."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.arrays import IntArray
from connectors.importers.decimals import e8_many

MOST_ID = 1 << 62


@dataclass(frozen=True, slots=True)
class Diff:
    """``before``: the last update id before it, as its market tells; prices and sizes bids first."""

    before: int
    last: int
    exch_ns: int
    bids: int
    numbers: IntArray


def levels_of(bids: list[list[str]], asks: list[list[str]]) -> IntArray:
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
