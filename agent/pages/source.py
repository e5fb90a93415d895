"""What a page shows comes from its document by path, and numbers carry the path, so each can be checked.

A path is the keys and list positions down to a value, joined by "/": ``rows/3/gain_bps/mean``. In a key that
has them, "~" is written "~0" and "/" is written "~1", as in a JSON pointer. What is missing gives nothing to
show, so a page shows what its document has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from agent.durations import format_duration
from agent.pages.numbers import Interval, Number, fixed, grouped


@dataclass(frozen=True, slots=True)
class Source:
    """What a document holds at one place: ``root`` is the whole document, ``at`` the path of the place."""

    root: Mapping[str, object]
    at: str = ""

    @property
    def name(self) -> str:
        """The last key of its path."""
        return self.at.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")

    def path(self, below: str) -> str:
        return "/".join(p for p in (self.at, below) if p)

    def find(self, below: str = "") -> object:
        """The value at a path below this place, or None."""
        here: object = self.root
        for key in self.path(below).split("/") if self.path(below) else ():
            if isinstance(here, Mapping):
                here = here.get(key.replace("~1", "/").replace("~0", "~"))
            elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
                here = here[int(key)]
            else:
                return None
        return here

    def within(self, below: str) -> Source:
        return Source(self.root, self.path(below))

    def keys(self, below: str = "") -> list[str]:
        """The keys of a mapping, or the positions of a list, at a path."""
        value = self.find(below)
        if isinstance(value, list):
            return [str(k) for k in range(len(value))]
        return list(value) if isinstance(value, Mapping) else []

    def entry(self, below: str, key: str) -> Source:
        """The entry ``key`` of what is at a path, whatever the key holds."""
        escaped = key.replace("~", "~0").replace("/", "~1")
        return self.within(f"{below}/{escaped}" if below else escaped)

    def entries(self, below: str) -> list[Source]:
        """Every entry of a list or mapping at a path."""
        return [self.entry(below, key) for key in self.keys(below)]

    def text(self, below: str = "") -> str:
        """The value at a path as text, "" where there is none."""
        value = self.find(below)
        return "" if value is None else str(value)

    def texts(self, below: str) -> list[str]:
        """The entries of a list at a path as texts."""
        return [entry.text() for entry in self.entries(below)]

    def real(self, below: str = "") -> float | None:
        """The finite number at a path, or None."""
        value = self.find(below)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            return None
        return float(value)

    def reals(self, below: str) -> list[float | None]:
        """The entries of a list at a path as numbers."""
        value = self.find(below)
        return [entry.real() for entry in self.entries(below)] if isinstance(value, list) else []

    def whole(self, below: str) -> int:
        """The whole number at a path (a time in ns, say), exact; 0 where there is none."""
        value = self.find(below)
        return value if isinstance(value, int) else 0

    def ends(self, below: str) -> tuple[float, float] | None:
        """The two ends of an interval at a path, or None."""
        low, high = self.real(f"{below}/0"), self.real(f"{below}/1")
        return None if low is None or high is None else (low, high)

    def duration(self, below: str) -> str:
        """The duration in ns at a path as in 15m, "" where there is none."""
        value = self.real(below)
        return format_duration(int(value)) if value else ""

    def number(self, below: str, decimals: int, scale: float = 1.0) -> Number | None:
        """The number at a path, times ``scale``; None where there is none."""
        value = self.real(below)
        if value is None:
            return None
        return Number(fixed(scale * value, decimals), self.path(below), "" if scale == 1.0 else f"{scale:g}")

    def count(self, below: str) -> Number | None:
        """The whole number at a path."""
        value = self.real(below)
        return None if value is None else Number(grouped(value), self.path(below))

    def interval(self, below: str, decimals: int, scale: float = 1.0) -> Interval | None:
        """Both ends of an interval."""
        low, high = self.number(f"{below}/0", decimals, scale), self.number(f"{below}/1", decimals, scale)
        return Interval(low, high) if low and high else None
