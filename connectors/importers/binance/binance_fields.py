"""Binance's messages as they are captured, and their fields, checked: levels, ids, stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

from agent.core.arrays import IntArray
from connectors.importers.decimals import e8_many

MOST_ID = 1 << 62
_FIRST_NS, _LAST_NS = 10**18, 4 * 10**18  # receive stamps from 2001 to 2096
_UNITS_NS = (1, 1000, 1_000_000)

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


class Receipts:
    """The recorder's stamps of one file: nano-, micro- or milliseconds, by the size of the first."""

    def __init__(self) -> None:
        self._unit_ns = 0

    def ns(self, stamp: int) -> int:
        """Raises ValueError where a stamp is of another size than the file's first."""
        for unit in (self._unit_ns,) if self._unit_ns else _UNITS_NS:
            if _FIRST_NS < stamp * unit < _LAST_NS:
                self._unit_ns = unit
                return stamp * unit
        known = {1: "nanoseconds", 1000: "microseconds", 1_000_000: "milliseconds"}
        name = known.get(self._unit_ns, "nanoseconds, microseconds or milliseconds")
        raise ValueError(f"receive stamp {stamp} is not in {name} since 1970")


EVENT_STREAMS = {"depthUpdate": "depth", "markPriceUpdate": "markPrice"}
"""Streams by the event in their messages, where they are called otherwise."""


def stream_of(message: dict[str, Any]) -> tuple[str, str] | None:
    """(symbol in small letters, stream) of a message without the combined stream's frame, if it is one."""
    event = message.get("e")
    if event is None and {"u", "s", "B", "A"} <= message.keys():
        event = "bookTicker"  # of spot: it has no event
    if event is None:
        return None
    symbol = message.get("s") or message.get("o", {}).get("s", "")
    return str(symbol).lower(), EVENT_STREAMS.get(event, str(event))


def is_partial(stream: str) -> bool:
    """Whether a stream sends the best levels whole (depth5, depth10, depth20), not what changed."""
    return stream.partition("@")[0] in ("depth5", "depth10", "depth20")


def as_snapshot(data: Any) -> SnapshotMessage:
    """A partial book as a snapshot: futures send it under the names of a change."""
    if "lastUpdateId" in data:
        return cast(SnapshotMessage, data)
    return cast(SnapshotMessage, {"lastUpdateId": data["u"], "bids": data["b"], "asks": data["a"]})


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
