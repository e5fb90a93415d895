"""Lines of Tardis CSV files to columns of integers, compiled; a line that is not plain is only marked.

``exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount`` (incremental_book_L2) and
``exchange,symbol,timestamp,local_timestamp,id,side,price,amount`` (trades). Stamps are in microseconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit
from connectors.importers.decimals import CLIPPED, FINE_SCALE, SCALE

BOOK_COLUMNS = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADE_COLUMNS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"

STATUS, SENT_US, RECV_US, EXTRA, SIDE, PRICE, SIZE, COLUMNS = range(8)
"""Columns of a parsed line. EXTRA: 1 in a snapshot, or the trade's id (a hash where it is no number)."""

OK, OTHER, BAD, FINER = range(4)
"""Status: whole; of another exchange or symbol; not readable; its price has more decimals than are held."""

_COMMA, _NEWLINE, _RETURN, _DOT, _ZERO = 44, 10, 13, 46, 48
_FIELDS = 8
_FIRST_US, _LAST_US, _HOUR_US = 10**15, 4 * 10**15, 3600 * 10**6
_MOST = 1 << 62
_FNV_START, _FNV_PRIME = 2166136261, 16777619

Bytes = npt.NDArray[np.uint8]


def parse(block: bytes, prefix: bytes, *, trades: bool, price_scale: int = SCALE) -> IntArray:
    """Return one row a line, [lines, COLUMNS]; ``prefix`` is ``exchange,symbol,`` of the wanted lines."""
    if not block.endswith(b"\n"):
        block += b"\n"
    text, wanted = np.frombuffer(block, np.uint8), np.frombuffer(prefix, np.uint8)
    out = np.zeros((block.count(b"\n"), COLUMNS), np.int64)
    _parse_lines(text, wanted, trades, price_scale, out)
    return out


@njit
def _parse_lines(text: Bytes, prefix: Bytes, trades: bool, price_scale: int, out: IntArray) -> None:
    line, start, fields = 0, 0, 0
    commas = np.zeros(_FIELDS + 1, np.int64)
    for i in range(len(text)):
        c = text[i]
        if c == _COMMA:
            if fields < _FIELDS:
                commas[fields] = i
            fields += 1
        elif c == _NEWLINE:
            end = i - 1 if i > start and text[i - 1] == _RETURN else i
            commas[_FIELDS - 1] = end
            if not starts_with(text, start, prefix):
                out[line, STATUS] = OTHER if fields == _FIELDS - 1 else BAD
            elif fields != _FIELDS - 1:
                out[line, STATUS] = BAD
            else:
                _parse_fields(text, commas, trades, price_scale, out[line])
            line, start, fields = line + 1, i + 1, 0


@njit
def starts_with(text: Bytes, start: int, prefix: Bytes) -> bool:
    return bool(np.array_equal(text[start : start + len(prefix)], prefix))


@njit
def _parse_fields(text: Bytes, commas: IntArray, trades: bool, price_scale: int, row: IntArray) -> None:
    row[SENT_US] = whole_of(text, commas[1] + 1, commas[2])
    row[RECV_US] = whole_of(text, commas[2] + 1, commas[3])
    row[PRICE] = decimal_of(text, commas[5] + 1, commas[6], -1, price_scale)
    row[SIZE] = decimal_of(text, commas[6] + 1, commas[7], CLIPPED, SCALE)
    side = text[commas[4] + 1]
    if trades:
        row[EXTRA] = _id(text, commas[3] + 1, commas[4])
        named = side == 98 or side == 115 or side == 117  # b(uy), s(ell), u(nknown)
        row[SIDE] = 1 if side == 98 else (-1 if side == 115 else 0)
    else:
        flag = text[commas[3] + 1]
        row[EXTRA] = 1 if flag == 116 else 0  # t(rue), f(alse)
        named = (side == 98 or side == 97) and (flag == 116 or flag == 102)  # b(id), a(sk)
        row[SIDE] = 1 if side == 98 else -1
    timely = in_time(row[SENT_US], row[RECV_US])
    whole = row[PRICE] > 0 and row[SIZE] >= 0 and (row[SIZE] > 0 or not trades)
    row[STATUS] = OK if timely and whole and named else BAD
    unread = row[PRICE] < 0 and timely and named and price_scale < FINE_SCALE
    if unread and decimal_of(text, commas[5] + 1, commas[6], -1, FINE_SCALE) > 0:
        row[STATUS] = FINER


@njit
def in_time(sent_us: int, recv_us: int) -> bool:
    """Whether the stamps are of our days and no more than an hour apart."""
    return bool(_FIRST_US <= recv_us < _LAST_US and abs(recv_us - sent_us) <= _HOUR_US)


@njit
def whole_of(text: Bytes, start: int, end: int) -> int:
    """A number of digits only, -1 where it is not."""
    if end <= start or end - start > 18:
        return -1
    value = 0
    for i in range(start, end):
        c = text[i]
        if c < _ZERO or c > _ZERO + 9:
            return -1
        value = value * 10 + (c - _ZERO)
    return value


@njit
def decimal_of(text: Bytes, start: int, end: int, too_large: int, scale: int) -> int:
    """A decimal number of ``scale`` decimals, exponents included; -1 where it is none, negative or finer.

    ``too_large`` is returned for what cannot be held.
    """
    value, decimals, digits, i = 0, -1, 0, start
    while i < end:
        c = text[i]
        if c == _DOT and decimals < 0:
            decimals = 0
        elif _ZERO <= c <= _ZERO + 9:
            if value >= _MOST // 10:
                return too_large
            value = value * 10 + (c - _ZERO)
            digits += 1
            decimals += 1 if decimals >= 0 else 0
        else:
            break
        i += 1
    if digits == 0:
        return -1
    shift = scale - max(decimals, 0)
    if i < end:  # 1e-07, as some writers put small sizes
        if text[i] != 101 and text[i] != 69:
            return -1
        sign = -1 if i + 1 < end and text[i + 1] == 45 else 1
        exponent = whole_of(text, i + 2 if i + 1 < end and text[i + 1] in (43, 45) else i + 1, end)
        if exponent < 0 or exponent > 18:
            return -1
        shift += sign * exponent
    shifted = _shifted(value, shift, too_large)
    return min(shifted, too_large) if too_large > 0 else shifted


@njit
def _shifted(value: int, places: int, too_large: int) -> int:
    """``value`` x 10^places: -1 if that is no whole number, ``too_large`` from 2^62 on."""
    while places < 0:
        if value % 10:
            return -1
        value //= 10
        places += 1
    while places > 0 and value > 0:
        if value >= _MOST // 10:
            return too_large
        value *= 10
        places -= 1
    return value


@njit
def _id(text: Bytes, start: int, end: int) -> int:
    """A numeric id as it is; of any other text a stable 63-bit hash."""
    number = whole_of(text, start, end)
    if number >= 0:
        return number
    low, high = _FNV_START, 0
    for i in range(start, end):
        low = ((low ^ text[i]) * _FNV_PRIME) & 0xFFFFFFFF
        high = ((high ^ low) * _FNV_PRIME) & 0x7FFFFFFF
    return high << 32 | low
