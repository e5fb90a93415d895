"""Numbers, money, prices, times and durations as a person reads them: the one place that formats them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeGuard

from agent.core.instrument import Instrument
from agent.core.types import NS_PER_S

UNKNOWN = "–"
MONEY_DECIMALS = 4
MOST_DECIMALS = 14


def known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def bps(value: float | None) -> str:
    """+1.23, with a dash for what is not known; never -0.00."""
    return f"{round(value, 2) + 0.0:+.2f}" if known(value) else UNKNOWN


def percent(share: float | None) -> str:
    """12.34%, with a dash for what is not known."""
    return f"{share:.2%}" if known(share) else UNKNOWN


def price(value: float | None, instrument: Instrument) -> str:
    """As many decimals as the tick has, and one more: averages and mids lie between ticks."""
    exponent = instrument.tick.normalize().as_tuple().exponent
    decimals = max(0, -int(exponent)) + 1
    return f"{value:.{decimals}f}" if known(value) else UNKNOWN


def money(amount: Decimal | str, worth: Decimal, least: int = MONEY_DECIMALS) -> str:
    """An amount of an order that is worth so much: rounded to a hundredth of a basis point of it, or finer.

    At no fewer than four decimals, so that what is shown of ordinary orders still adds up.
    """
    return f"{Decimal(amount):.{money_decimals(worth, least)}f}"


def money_decimals(worth: Decimal, least: int = MONEY_DECIMALS) -> int:
    """How many decimals tell a hundredth of a basis point of ``worth``."""
    return max(least, min(MOST_DECIMALS, 6 - worth.adjusted())) if worth else least


def positional(value: float, digits: int = 10) -> str:
    """A number to so many significant digits, in full: never 8.8e-07."""
    return f"{Decimal(f'{value:.{digits}g}'):f}" if math.isfinite(value) else str(value)


def duration(ns: int) -> str:
    """45.0 s, 12m 05s, 3h 07m, 31d 04h."""
    whole = ns // NS_PER_S
    if whole < 120:
        return f"{ns / NS_PER_S:.1f} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes}m {seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours < 48 else f"{hours // 24}d {hours % 24:02}h"


def utc(ns: int) -> str:
    """ISO 8601 to the millisecond."""
    return datetime.fromtimestamp(ns // 10**6 / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def size(count: int) -> str:
    """Bytes, in the unit that fits."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} B"


def rows_held(events: int, bars: int) -> str:
    """What a session holds: 1,234 events + 60 bars."""
    both = ((events, "events"), (bars, "bars"))
    return " + ".join(f"{count:,} {name}" for count, name in both if count) or "nothing"


# --- numbers that stand on faulty data -----------------------------------------------------------------

MARK = "!"
MARK_MEANS = f"{MARK} the data in the measure's window is faulty"


def marked(text: str, flagged: object) -> str:
    """-57.00!: a number whose window holds a fault never appears without the mark."""
    return f"{text}{MARK}" if flagged and text != UNKNOWN else text


def measure_name(measure: str) -> str:
    """markout 10s: as the log and the JSON name it, without its unit."""
    return measure.removesuffix("_bps").replace("_", " ")


def fault_sentences(flags: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What the mark means: each set of faults with its shares, and whose windows hold it."""
    groups: dict[str, list[str]] = {}
    for measure, shares in flags.items():
        groups.setdefault(fault_phrase(shares), []).append(measure_name(measure))
    found = sorted(groups.items(), key=lambda group: len(group[1]))
    names = [", ".join(dict.fromkeys(group)) for _, group in found]
    names[-1:] = ["" if len(found) == 1 else "all others marked"] if found else []
    return [
        f"{MARK_MEANS}: {phrase} of it" + (f" ({whose})" if whose else "")
        for (phrase, _), whose in zip(found, names, strict=True)
    ]


def fault_phrase(shares: Mapping[str, float]) -> str:
    """gap 12.3%, lost trades 12.3%: shares of the window."""
    return ", ".join(f"{fault.replace('_', ' ')} {_share(share)}" for fault, share in shares.items())


def most_of(flags: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each fault with its largest share."""
    found: dict[str, float] = {}
    for shares in flags:
        for fault, share in shares.items():
            found[fault] = max(share, found.get(fault, 0.0))
    return found


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"
