"""Numbers of a page come from its document by path, and carry the path: what is printed can be checked.

A path is the keys and list positions down to a value, joined by "/": ``rows/3/gain_bps/mean``. What is
missing gives an empty cell, so a page shows what its document has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

from agent.durations import format_duration
from agent.pages.markup import Markup, join, tag

PERCENT = 100.0


def fixed(value: float, decimals: int) -> str:
    """With so many decimals, a true minus sign, and no negative zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "\N{MINUS SIGN}")


def decimals_for(sigma_bps: float) -> int:
    """Decimals of basis points that matter where sigma is ``sigma_bps``: 3 at 1, 1 at 100."""
    if not (isfinite(sigma_bps) and sigma_bps > 0):
        return 3
    return min(6, max(1, 3 - floor(log10(sigma_bps) + 1e-9)))


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a document: ``root`` is the whole, ``at`` the path of the part."""

    root: dict[str, Any]
    at: str = ""

    def path(self, below: str) -> str:
        return "/".join(p for p in (self.at, below) if p)

    def find(self, below: str = "") -> Any:
        """The value at a path below this part, or None."""
        here: Any = self.root
        for key in self.path(below).split("/") if self.path(below) else ():
            if isinstance(here, dict):
                here = here.get(key)
            elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
                here = here[int(key)]
            else:
                return None
        return here

    def real(self, below: str) -> float | None:
        """The finite number at a path, or None."""
        value = self.find(below)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            return None
        return float(value)

    def duration(self, below: str) -> str:
        """The duration in ns at a path as in 15m, "" where there is none."""
        value = self.real(below)
        return format_duration(int(value)) if value else ""

    def part(self, below: str) -> Source:
        return Source(self.root, self.path(below))

    def parts(self, below: str) -> list[Source]:
        """Every entry of a list or mapping at a path."""
        value = self.find(below)
        keys = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        return [self.part(f"{below}/{key}" if below else str(key)) for key in keys]

    @property
    def name(self) -> str:
        """The last key of its path."""
        return self.at.rsplit("/", 1)[-1]

    def number(self, below: str, decimals: int, scale: float = 1.0) -> Markup:
        """The number at a path, times ``scale``, as text that carries the path; "" where there is none."""
        value = self.real(below)
        if value is None:
            return Markup()
        told = None if scale == 1.0 else f"{scale:g}"
        return tag("span", fixed(scale * value, decimals), data_path=self.path(below), data_scale=told)

    def count(self, below: str) -> Markup:
        """An integer, with thin spaces between thousands."""
        value = self.real(below)
        if value is None:
            return Markup()
        return tag(
            "span", f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"), data_path=self.path(below)
        )

    def interval(self, below: str, decimals: int, scale: float = 1.0) -> Markup:
        """Both ends of an interval."""
        low, high = self.number(f"{below}/0", decimals, scale), self.number(f"{below}/1", decimals, scale)
        return join(low, " to ", high) if low and high else Markup()


def walk(value: Any) -> Iterator[Any]:
    """``value`` and all that is in it."""
    yield value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in below:
        yield from walk(one)
