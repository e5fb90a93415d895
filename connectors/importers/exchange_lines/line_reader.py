"""What readers of an exchange's messages share: which are the symbol's, and when they were received."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from connectors.importers.exchange_lines.book_rows import BookRows
from connectors.importers.raw_rows import Delays
from connectors.importers.symbols import Symbol

_HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Head:
    """The first messages of a file, those that could be read. ``first_ns``: its first stamp, 0 without."""

    path: Path
    first_ns: int
    messages: list[Any]


class LineReader(ABC):
    """Each line falls in one category of the report. Subclasses know one exchange's messages."""

    exchange: ClassVar[str]  # ccxt's id

    def __init__(self, symbol: Symbol, rows: BookRows, heads: Sequence[Head]) -> None:
        """``heads``: of all files, for what has to be known before the first message is taken in."""
        self.symbol, self.rows = symbol, rows
        self.delays = Delays()
        self.others: set[str] = set()
        self.left_out: set[str] = set()  # streams that are not read
        self._ours: dict[str, bool] = {}
        self.first = [message for head in heads for message in head.messages]

    @abstractmethod
    def message(self, recv_ns: int | None, message: Any) -> None:
        """Take in one message; ``recv_ns`` None: an archive, which was never received.

        Raises ValueError, KeyError, TypeError, IndexError, AttributeError and OverflowError where it is none,
        FinerPricesError where prices have more decimals, InputError where it is of another market.
        """

    @abstractmethod
    def names(self, name: str) -> bool:
        """Whether the exchange's name is the symbol's."""

    def is_ours(self, name: str) -> bool:
        if name not in self._ours:
            if len(self._ours) > 10_000:
                self._ours.clear()
            self._ours[name] = self.names(name)
        return self._ours[name]

    def other(self, name: str) -> None:
        """A message of another symbol."""
        self.rows.report.other_symbols += 1
        if len(self.others) < 100:
            self.others.add(name)

    def skip(self, stream: str) -> None:
        """A message that is not needed; ``stream`` is named where it is not ""."""
        self.rows.report.other_streams += 1
        if stream and len(self.left_out) < 100:
            self.left_out.add(stream)

    def stamp(self, recv_ns: int | None, sent_ns: int) -> int:
        """When a message was received. Raises ValueError where that is not near its sending."""
        if recv_ns is None:
            return sent_ns
        if abs(recv_ns - sent_ns) > _HOUR_NS:
            raise ValueError(f"received {(recv_ns - sent_ns) / 1e9:.0f} s after it was sent")
        self.delays.add(recv_ns - sent_ns)
        return recv_ns
