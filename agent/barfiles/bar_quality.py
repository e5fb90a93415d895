"""Bad bars: each kind is either refused with its row, or handled by the rule stated here and counted.

Refused: a price that is not positive, a negative volume, low above high, two different bars of one time.
Counted: rows out of order (sorted), equal copies (dropped), rows with a value that is not finite (dropped,
so a missing bar), zero volume (kept at the close), open or close outside [low, high] (the range is widened),
a VWAP outside it (moved to its edge), gaps and the bars missing in them. On a trading calendar (see
``agent.barfiles.calendars``) bars outside the sessions are dropped and counted, and only what sessions lack
is missing.

Files without notional have (high + low + close) / 3 for the VWAP. One far print, true or false, would move
that by a third of its distance: an extreme beyond FAR from both this close and the last counts there as the
nearer of the two closes (``far_prints``); high and low stay as they are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from agent.barfiles.calendars import Grid, when
from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray
from agent.core.market.features import recent_sigma
from agent.core.types import DAY_NS

PRICES = ("open", "high", "low", "close")
CHECKED = (*PRICES, "volume", "quote_volume", "vwap")
ROUNDING = 1e-9  # relative: a VWAP is a quotient of two rounded numbers
FAR = float(np.log(1.5))
_JUDGED = 2  # bars, from which a file is judged by its money
FAR_SIGMAS = 8.0  # of the closes before, where that is further


QualityRecord = dict[str, bool | int | str | list[str]]
"""The fields of ``Quality`` by name."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found in the bars of one series, in rows; ``missing`` in bars of the native interval.

    ``first_…``: the first three, missing bars by the exchange's clock where there is a calendar, else in UTC;
    the others as the file has them.
    """

    rows: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    not_finite: int = 0
    zero_volume: int = 0
    range_widened: int = 0
    vwap_moved: int = 0
    gaps: int = 0
    missing: int = 0
    first_missing: tuple[str, ...] = ()
    typical_price: int = 0  # rows whose VWAP is (high + low + close) / 3: the file has no notional
    far_prints: int = 0
    first_far: tuple[str, ...] = ()
    clock: str = ""  # with a calendar: how the file's times were read
    stamped_at_end: bool = False  # bars bore the time of their end: moved to their start
    outside: int = 0
    first_outside: tuple[str, ...] = ()
    missing_sessions: int = 0  # of which every bar is missing
    splits: tuple[str, ...] = ()
    windows_across_splits: int = 0

    def record(self) -> QualityRecord:
        """As a JSON document holds it."""
        found = asdict(self)
        return {k: list(value) if isinstance(value, tuple) else value for k, value in found.items()}


def clean(name: str, bars: FBarArray) -> tuple[FBarArray, Quality]:
    """Return the bars in order of time, each time once, and what was found.

    ``bars`` are in the file's order with the VWAP filled in. Raises InputError naming the first bad row.
    """
    finite = np.logical_and.reduce([np.isfinite(bars[c]) for c in CHECKED])
    _refuse_senseless(name, bars)
    late = int((np.diff(bars["start_ns"]) < 0).sum())
    row = np.flatnonzero(finite)
    row = row[np.argsort(bars["start_ns"][row], kind="stable")]
    row, copies = _without_copies(name, bars, row)
    out = bars[row].copy()
    widened = (np.maximum(out["open"], out["close"]) > out["high"]) | (
        np.minimum(out["open"], out["close"]) < out["low"]
    )
    out["high"] = np.maximum(out["high"], np.maximum(out["open"], out["close"]))
    out["low"] = np.minimum(out["low"], np.minimum(out["open"], out["close"]))
    still = out["volume"] == 0
    out["vwap"][still] = out["close"][still]
    inside = np.clip(out["vwap"], out["low"], out["high"])
    moved = np.abs(inside - out["vwap"]) > ROUNDING * inside
    out["vwap"] = inside
    gaps, missing, first_missing = _gaps(out["start_ns"])
    return out, Quality(
        rows=len(bars),
        out_of_order=late,
        duplicates=copies,
        not_finite=int((~finite).sum()),
        zero_volume=int(still.sum()),
        range_widened=int(widened.sum()),
        vwap_moved=int(moved.sum()),
        gaps=gaps,
        missing=missing,
        first_missing=first_missing,
    )


def gaps_on(quality: Quality, grid: Grid, place: IntArray) -> Quality:
    """``quality`` with gaps and missing bars judged by the calendar: ``place`` [T], rising, on ``grid``."""
    expected = np.arange(place[0], place[-1] + 1)
    missing = expected[~np.isin(expected, place)]
    sessions = np.unique(grid.session[missing])
    daily = grid.interval_ns == DAY_NS
    return replace(
        quality,
        gaps=int((np.diff(place) > 1).sum()),
        missing=len(missing),
        first_missing=tuple(when(at, "")[: 10 if daily else 16] for at in grid.wall_ns[missing[:3]]),
        missing_sessions=int((~np.isin(sessions, grid.session[place])).sum()),
    )


def typical_price(bars: FBarArray, quality: Quality) -> tuple[FBarArray, Quality]:
    """``bars`` [T] with (high + low + close) / 3 as VWAP, far prints left out of it and counted."""
    with np.errstate(over="ignore"):  # prices near the largest number there is
        last = np.append(bars["close"][:1], bars["close"][:-1])
        top, bottom = np.maximum(last, bars["close"]), np.minimum(last, bars["close"])
        sigma = np.append(np.zeros(min(1, len(bars))), np.nan_to_num(recent_sigma(bars))[:-1])
        far = np.exp(np.maximum(FAR, FAR_SIGMAS * sigma))
        high = np.where(bars["high"] > top * far, top, bars["high"])
        low = np.where(bars["low"] < bottom / far, bottom, bars["low"])
        changed = (high != bars["high"]) | (low != bars["low"])
        out = bars.copy()
        price = np.clip((high + low + bars["close"]) / 3.0, bars["low"], bars["high"])
        out["vwap"] = np.where(bars["volume"] > 0, price, bars["close"])
        out["quote_volume"] = out["vwap"] * bars["volume"]
    found = replace(
        quality,
        typical_price=len(bars),
        far_prints=int(changed.sum()),
        first_far=tuple(when(at, "") for at in bars["start_ns"][changed][:3]),
    )
    return out, found


def refuse_other_money(name: str, bars: FBarArray) -> None:
    """Refuse a file in which money over volume is far from the price, as with volumes in contracts.

    One bar may be wrong (its VWAP is moved, and counted), not most of them. Raises InputError.
    """
    traded = bars[(bars["volume"] > 0) & (bars["quote_volume"] > 0)]
    far = (traded["vwap"] > 2 * traded["high"]) | (traded["vwap"] < traded["low"] / 2)
    if len(traded) >= _JUDGED and far.mean() > 1 / 2:
        k = int(np.argmax(far))
        raise InputError(
            f"{name}: quote volume / volume is {traded['vwap'][k]:g} where the price is"
            f" {traded['low'][k]:g} to {traded['high'][k]:g}, so they are no money and base volume:"
            " contracts? Give volume in the base currency, or leave the quote volume out"
        )


def _refuse_senseless(name: str, bars: FBarArray) -> None:
    rules = [(bars[c] <= 0, c, "a price is above 0") for c in PRICES]
    rules += [(bars[c] < 0, c, "a volume is not negative") for c in ("volume", "quote_volume")]
    rules += [(bars["low"] > bars["high"], "low", "it may not be above high")]
    for bad, column, allowed in rules:
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{name}: row {k + 1} ({when(bars['start_ns'][k])}) has {column} {bars[column][k]:g}:"
                f" {allowed}; correct the row or remove it"
            )


def _without_copies(name: str, bars: FBarArray, row: IntArray) -> tuple[IntArray, int]:
    """``row`` without those equal to the one before, and how many; two different bars are refused."""
    time = bars["start_ns"][row]
    again = np.flatnonzero(np.diff(time) == 0) + 1
    for k in again:
        one, two = bars[row[k - 1]], bars[row[k]]
        if any(one[c] != two[c] for c in CHECKED):
            raise InputError(
                f"{name}: rows {row[k - 1] + 1} and {row[k] + 1} both start at {when(time[k])} and differ:"
                " a time has one bar; remove one of them"
            )
    return np.delete(row, again), len(again)


def _gaps(start_ns: IntArray) -> tuple[int, int, tuple[str, ...]]:
    """Steps longer than the most frequent one, and the bars that would fill them (a market always open)."""
    if len(start_ns) < 2:
        return 0, 0, ()
    steps = np.diff(start_ns)
    values, counts = np.unique(steps, return_counts=True)
    native = int(values[np.argmax(counts)])
    long = np.flatnonzero(steps > native)
    absent = steps[long] // native - 1
    names = [
        when(start_ns[row] + native * k)
        for row, count in zip(long[:3], absent[:3], strict=True)
        for k in range(1, min(int(count), 3) + 1)
    ]
    return len(long), int(absent.sum()), tuple(names[:3])
