"""Times as files have them, to nanoseconds UTC: numbers are read by their size, texts by their form.

A number is whatever it can be from 1980 to 2100: seconds, milliseconds, microseconds or nanoseconds since
1970, ``yyyymmdd``, or ``yyyymmddhhmm`` and ``yyyymmddhhmmss``. Their ranges do not overlap, so each row is
read by itself: files that change from milliseconds to microseconds are whole. A number that is none of
them is refused, never taken for a time near 1970. Texts may be of any year from 1970 on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.types import DAY_NS, NS_PER_S

FIRST_S, LAST_S = 315_532_800, 4_102_444_800  # 1980, 2100
NO_TIME = -1
_UNITS_NS = (NS_PER_S, 1_000_000, 1000, 1)  # of s, ms, us, ns
_FORMS = (
    "%Y.%m.%d %H:%M:%S",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %I-%p",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H%M%S",
    "%Y%m%d %H%M",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
)
_OF_DAY_OR_MONTH = tuple(  # 3/4/2024 may be in March or in April
    f"{date}{clock}"
    for clock in (" %H:%M:%S", " %H:%M", "")
    for date in ("%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y")
)
_NUMBERS = (pa.int64(), pa.float64())
_ISO = (pa.timestamp("ns", tz="UTC"), pa.timestamp("ns"))
EXAMPLES = "seconds, ms, us or ns since 1970, yyyymmdd, or ISO 8601 as in 2024-01-31T15:30:00Z"


def to_ns(name: str, column: pa.ChunkedArray) -> IntArray:
    """A column of times. Raises InputError on what is no time, with its row."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        out = _of_numbers(name, column)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        out = _of_texts(name, column)
    elif pa.types.is_dictionary(kind):
        return to_ns(name, column.cast(pa.string()))
    else:
        out = _of_stamps(name, column)
    if (out < 0).any():
        row = int(np.flatnonzero(out < 0)[0])
        value = column[row].as_py()
        what = "" if value is None else f": {value} is no time between 1970 and 2262"
        raise InputError(
            f"{name}: row {row + 1} has no time from 1970 on{what}; correct the row or remove it"
        )
    return out


def _of_stamps(name: str, column: pa.ChunkedArray) -> IntArray:
    try:
        times = column.cast(pa.timestamp("ns", tz=getattr(column.type, "tz", None))).cast(pa.int64())
    except pa.ArrowException as error:
        raise InputError(
            f"{name}: times are {column.type}: give {EXAMPLES} ({str(error).splitlines()[0]})"
        ) from error
    out: IntArray = times.fill_null(NO_TIME).to_numpy().astype(np.int64)
    return out


def _of_numbers(name: str, column: pa.ChunkedArray) -> IntArray:
    if pa.types.is_integer(column.type):
        try:
            whole = column.cast(pa.int64()).fill_null(NO_TIME).to_numpy().astype(np.int64)
        except pa.ArrowException:
            whole = np.full(len(column), NO_TIME, np.int64)
        return numbers_to_ns(name, whole, np.zeros(len(whole)))
    values: FloatArray = column.cast(pa.float64()).fill_null(NO_TIME).to_numpy().astype(np.float64)
    values = np.where(np.isfinite(values) & (np.abs(values) < 2.0**62), values, NO_TIME)
    whole = np.floor(values).astype(np.int64)
    return numbers_to_ns(name, whole, values - whole)


def numbers_to_ns(name: str, whole: IntArray, rest: FloatArray) -> IntArray:
    """Each number by its own size; ``rest`` is what a float holds beyond the whole."""
    out = np.full(len(whole), NO_TIME, np.int64)
    for unit in _UNITS_NS:
        per_s = NS_PER_S // unit
        fits = (whole >= FIRST_S * per_s) & (whole < LAST_S * per_s)
        beyond_us = np.rint(rest[fits] * unit / 1000).astype(np.int64) * 1000  # as fine as a float tells
        out[fits] = whole[fits] * unit + beyond_us
    for digits in (8, 12, 14):
        scale = 10 ** (digits - 8)
        dated = (whole >= 19800101 * scale) & (whole < 21000101 * scale)
        if dated.any():
            out[dated] = _of_dates(name, whole[dated], digits)
    wrong = (out == NO_TIME) & (whole > 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{name}: row {row + 1} has the time {whole[row]}, which is no time from 1980 to 2100:"
            f" give {EXAMPLES}"
        )
    return out


def _of_dates(name: str, numbers: IntArray, digits: int) -> IntArray:
    """``yyyymmdd``, with ``hhmm`` or ``hhmmss`` behind it."""
    day, clock = np.divmod(numbers, 10 ** (digits - 8))
    clock = clock * 100 if digits == 12 else clock
    year, month, of_month = day // 10_000, day // 100 % 100, day % 100
    first, until = (_first_day(year, number) for number in (month, month + 1))
    days = first + of_month - 1
    hours, minutes, seconds = clock // 10_000, clock // 100 % 100, clock % 100
    wrong = (month < 1) | (month > 12) | (of_month < 1) | (days >= until)
    wrong |= (hours > 23) | (minutes > 59) | (seconds > 59)
    if wrong.any():
        raise InputError(f"{name}: {numbers[np.argmax(wrong)]} is no date: give yyyymmdd, or {EXAMPLES}")
    out: IntArray = days * DAY_NS + (hours * 3600 + minutes * 60 + seconds) * NS_PER_S
    return out


def _first_day(year: IntArray, month: IntArray) -> IntArray:
    """Of a month, 13 being the next year's first, in days since 1970."""
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)


def parsed(column: pa.ChunkedArray, form: str) -> IntArray:
    """Texts of one form; NO_TIME where one is not of it, or is no time of the calendar, as 30 February."""
    times = pc.strptime(column, format=form, unit="s", error_is_null=True)
    if times.null_count < len(times):
        same = pc.equal(_comparable(pc.strftime(times, format=form)), _comparable(column))
        times = pc.if_else(same, times, None)
    seconds: IntArray = times.cast(pa.int64()).fill_null(NO_TIME).to_numpy().astype(np.int64)
    return np.where(seconds >= 0, seconds * NS_PER_S, NO_TIME)


def _comparable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times without leading zeros, blanks and case."""
    short = pc.replace_substring_regex(texts, r"(^|[^0-9])0+([0-9])", r"\1\2")
    return pc.utf8_upper(pc.replace_substring_regex(short, r"\s+", ""))


def _of_texts(name: str, column: pa.ChunkedArray) -> IntArray:
    """One form for the whole column. Raises InputError where none fits."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    texts = pc.replace_substring_regex(texts, r"\.0+( (GMT|UTC))?([+-]0000)?$|( (GMT|UTC))([+-]0000)?$", "")
    numbers = _as_numbers(texts)
    if numbers is not None:
        return _of_numbers(name, numbers)
    found = _readings(texts)
    if not found:
        raise _not_understood(name, texts)
    spans = [int(out.max() - out.min()) if len(out) else 0 for out in found]
    if len(found) > 1 and spans[0] == spans[1] and not np.array_equal(found[0], found[1]):
        raise InputError(f"{name}: {texts[0].as_py()!r} may have day or month first: write times in ISO 8601")
    return found[int(np.argmin(spans))]


def _as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Whole where they all are: a float does not hold the 19 digits of nanoseconds."""
    found = (_cast(texts, kind) for kind in _NUMBERS)
    return next((numbers for numbers in found if numbers is not None), None)


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """None where one of them is not of the kind."""
    try:
        return texts.cast(kind)
    except pa.ArrowException:
        return None


def _readings(texts: pa.ChunkedArray) -> list[IntArray]:
    """The times that texts of one form are: none where no form fits them all, several of 3/4/2024.

    There the month may stand first, or the day. Where both fit, the reading with the shorter span is right:
    a day taken for a month makes days into months.
    """
    for kind in _ISO:
        times = _cast(texts, kind)
        if times is not None:
            return [np.array(times.cast(pa.int64()).fill_null(NO_TIME).to_numpy(), np.int64)]
    for form in _FORMS:
        out = parsed(texts, form)
        if (out >= 0).all():
            return [out]
    tried = (parsed(texts, form) for form in _OF_DAY_OR_MONTH)
    return [out for out in tried if (out >= 0).all()]


def _not_understood(name: str, texts: pa.ChunkedArray) -> InputError:
    """Names the first text that is not of the form which fits the most before it."""
    fits = max(_fits_cast(texts, kind) for kind in (*_NUMBERS, *_ISO))
    for form in (*_FORMS, *_OF_DAY_OR_MONTH):
        if parsed(texts.slice(0, 1), form)[0] >= 0:
            fits = max(fits, int(np.argmax(parsed(texts, form) < 0)))
    text = texts[fits].as_py() or "nothing"
    if not fits:
        return InputError(f"{name}: times like {text!r} are not understood: give {EXAMPLES}")
    return InputError(
        f"{name}: row {fits + 1} has the time {text!r}, which is none, or not written as those above it:"
        f" correct the row, or give {EXAMPLES}"
    )


def _fits_cast(texts: pa.ChunkedArray, kind: pa.DataType) -> int:
    """How many from the first on are of the kind, where not all are."""
    fits, odd = 0, len(texts)
    while odd - fits > 1:
        middle = (fits + odd) // 2
        if _cast(texts.slice(fits, middle - fits), kind) is None:
            odd = middle
        else:
            fits = middle
    return fits


def with_clock(
    name: str, dates: pa.ChunkedArray, clocks: pa.ChunkedArray, *, of_hours: bool = False
) -> IntArray:
    """Dates in one column and the time of day in another, as 20240131 and 93000 or 09:30.

    ``of_hours``: the column is called so, and 9 in it is nine o'clock.
    """
    if pa.types.is_timestamp(clocks.type):
        return to_ns(name, clocks)
    if pa.types.is_integer(clocks.type) and (pc.min(clocks).as_py() or 0) > 240_000:
        return to_ns(name, clocks)  # a stamp of its own
    days_ns = to_ns(name, dates)
    if (days_ns % DAY_NS).any():
        return days_ns
    out: IntArray = days_ns + _clock_ns(name, clocks, of_hours)
    return out


def _clock_ns(name: str, clocks: pa.ChunkedArray, of_hours: bool) -> IntArray:
    if pa.types.is_time(clocks.type):
        clocks = clocks.cast(pa.string())
    parted = [str(value).partition(".") for value in clocks.to_pylist()]
    if of_hours and all(len(text) <= 2 for text, _, _ in parted):
        parted = [(f"{text}:00", "", "") for text, _, _ in parted]
    values = [_seconds(text) if not rest or rest.isdigit() else None for text, _, rest in parted]
    wrong: BoolArray = np.array([value is None for value in values], np.bool_)
    if wrong.any():
        row = int(np.argmax(wrong))
        said = "".join(parted[row])
        raise InputError(f"{name}: row {row + 1} has the time of day {said!r}: give hh:mm:ss or hhmmss")
    seconds: npt.NDArray[np.int64] = np.array([value or 0 for value in values], np.int64)
    return seconds * NS_PER_S + np.array([int(rest[:9].ljust(9, "0")) for _, _, rest in parted], np.int64)


def _seconds(text: str) -> int | None:
    """``09:30``, ``09:30:00``, ``93000`` or ``093000``; ``930`` and ``0930`` are hours and minutes."""
    if ":" in text:
        parts = text.split(":")
    elif text.isdigit():
        plain = text.zfill(6) if len(text) > 4 or text == "0" else text.zfill(4) + "00"
        parts = [plain[:2], plain[2:4], plain[4:]]
    else:
        return None
    if not all(part.isdigit() for part in parts) or len(parts) > 3:
        return None
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    fits = hours < 24 and minutes < 60 and seconds < 60
    return hours * 3600 + minutes * 60 + seconds if fits else None
