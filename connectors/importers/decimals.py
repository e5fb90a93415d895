"""Decimal strings to integers of 1e-8, exactly: what is negative or finer is refused.

A size too large to hold (coins counted by the hundred billion) is clipped at ``CLIPPED``: no order ever
takes so much, and a whole snapshot is not lost for it. A price is refused.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit

SCALE = 8
"""Decimals held: no exchange here quotes more. All is in units of 1e-8 until tick and lot are known."""

FINE_SCALE = 12
"""Decimals of prices that are finer: then none may be above four million."""

CLIPPED = 4 * 10**18
"""Forty billion: below 2^62, and a multiple of every lot that is a power of ten up to ten billion."""

_MOST = 1 << 62
_MANY = 12  # numbers from which the compiled parser pays for its call
_MEMO = 1 << 16
_DOT, _ZERO, _COMMA = 46, 48, 44
_DIGITS = 18  # of which any number is below 2^62


def e8(text: str, *, clip: bool = False) -> int:
    """Return a decimal string in units of 1e-8, clipped if it is a size.

    Raises ValueError when it is negative, finer or too large.
    """
    if text[-9:-8] == ".":
        value = int(text[:-9] + text[-8:])
    else:
        try:
            scaled = Decimal(text).scaleb(SCALE)
        except InvalidOperation as error:
            raise ValueError(f"{text!r} is not a number") from error
        if not scaled.is_finite():
            raise ValueError(f"{text!r} is not a number")
        value = int(scaled)
        if value != scaled:
            raise ValueError(f"{text} has more than {SCALE} decimals")
    if clip and value >= CLIPPED:
        return CLIPPED
    if not 0 <= value < _MOST:
        raise ValueError(f"{text} is out of range: from 0 to below {_MOST // 10**SCALE:,} can be held")
    return value


class Memo(dict[str, int]):
    """``e8`` by text, for prices or sizes that come again and again. Bounded."""

    def __init__(self, *, clip: bool = False) -> None:
        super().__init__()
        self._clip = clip

    def __missing__(self, text: str) -> int:
        value = e8(text, clip=self._clip)
        if len(self) >= _MEMO:
            self.clear()
        self[text] = value
        return value


def e8_many(texts: list[str]) -> IntArray:
    """Return prices and sizes in turn. Raises ValueError as ``e8`` does, TypeError where one is no string."""
    if len(texts) >= _MANY:
        out = np.empty(len(texts), np.int64)
        joined = np.frombuffer((",".join(texts) + ",").encode(), np.uint8)
        if _parse(joined, out) == len(texts):
            np.minimum(out[1::2], CLIPPED, out=out[1::2])
            return out
    return np.array([e8(text, clip=i % 2 == 1) for i, text in enumerate(texts)], np.int64)


@njit
def _parse(text: npt.NDArray[np.uint8], out: IntArray) -> int:
    """Parse numbers, each ended by a comma; returns how many before the first that is not plain."""
    n, value, digits, decimals = 0, 0, 0, -1
    for c in text:
        if c == _COMMA:
            if digits == 0 or digits + SCALE - max(decimals, 0) > _DIGITS or n >= len(out):
                return n
            for _ in range(SCALE - max(decimals, 0)):
                value *= 10
            out[n] = value
            n, value, digits, decimals = n + 1, 0, 0, -1
        elif c == _DOT and decimals < 0 and digits > 0:
            decimals = 0
        elif _ZERO <= c <= _ZERO + 9 and decimals < SCALE and digits < _DIGITS:
            value = value * 10 + (c - _ZERO)
            digits += 1
            if decimals >= 0:
                decimals += 1
        else:
            return n
    return n
