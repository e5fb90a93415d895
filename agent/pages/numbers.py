"""Numbers as a page prints them: each carries the path of its value in the page's document."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, log10

from markupsafe import Markup

PERCENT = 100.0


def fixed(value: float, decimals: int) -> str:
    """With so many decimals, a true minus sign, and no negative zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "\N{MINUS SIGN}")


def grouped(value: float) -> str:
    """A whole number, with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def decimals_for(sigma_bps: float) -> int:
    """Decimals of basis points that matter where sigma is ``sigma_bps``: 3 at 1, 1 at 100."""
    if not (isfinite(sigma_bps) and sigma_bps > 0):
        return 3
    return min(6, max(1, 3 - floor(log10(sigma_bps) + 1e-9)))


@dataclass(frozen=True, slots=True)
class Number:
    """``text`` shows the document's value at ``path``, times ``scale`` where there is one."""

    text: str
    path: str
    scale: str = ""

    def __html__(self) -> Markup:
        scale = Markup(' data-scale="{}"').format(self.scale) if self.scale else ""
        return Markup('<span data-path="{}"{}>{}</span>').format(self.path, scale, self.text)


@dataclass(frozen=True, slots=True)
class Interval:
    """The two ends of an interval."""

    low: Number
    high: Number

    def __html__(self) -> Markup:
        return Markup("{} to {}").format(self.low, self.high)
