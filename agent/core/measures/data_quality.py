"""What each measure of an order stands on: the window it looks at, what was wrong in it, why it is unknown.

Rules kept here:

* a measure's window begins where the order's does: what a hole changed in an early fill is in every later
  number. It ends with the last moment that the measure looks at;
* a measure whose window holds a fault carries it, with the fault's share of the window;
* a measure that is not known says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite

from agent.core.market.mids import MidTrack
from agent.core.measures import tca
from agent.core.measures.data_faults import DataFaults, Fault, LotsIn, Span
from agent.core.measures.traded_volume import Participation
from agent.core.types import NS_PER_S

REVERSION_NS = 60 * NS_PER_S
PARTS = ("delay", "trading", "opportunity", "fees", "total")
OF_FILLS = ("avg_price", "arrival_slippage_bps", "gain_bps", "full_gain_bps", "pwp_slippage_bps")
OF_LIFE = ("effective_spread_bps", "price_improvement_bps", "fill_rate", "maker_share")
_OF_TRADES = (Fault.LATE_TRADES, Fault.IMPOSSIBLE_PRICE)
NOTHING_FILLED = "nothing was filled"

Flags = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class OrderTimes:
    """The moments that an order's windows are made of. ``known_ns``: how far the tape has come."""

    submitted_ns: int
    start_ns: int
    arrival_ns: int  # of the first book at or after the start
    ended_ns: int
    used_end_ns: int
    full_end_ns: int
    known_ns: int
    price_ns: int  # of the trade that prices the first interval, before the start where it had none
    by_quantity: bool = True  # the order's size does not depend on its fills
    last_fill_ns: int | None = None
    participated_ns: int | None = None  # when X / rate had traded

    def windows(self, benchmark: str) -> dict[str, Span]:
        """Measure -> the window that it looks at."""
        life = (self.start_ns, self.ended_ns)
        decided_to = self.arrival_ns if self.by_quantity else self.ended_ns
        first_ns = self.start_ns if benchmark == "twap_mid" else self.price_ns
        used = (first_ns, max(self.used_end_ns, self.ended_ns))
        full = (first_ns, max(self.full_end_ns, self.ended_ns))
        last_ns = self.ended_ns if self.last_fill_ns is None else self.last_fill_ns
        participated_ns = self.known_ns if self.participated_ns is None else self.participated_ns
        return {
            "used_price": used,
            "full_price": full,
            "avg_price": life,
            "arrival_price": (self.start_ns, self.arrival_ns),
            "gain_bps": used,
            "full_gain_bps": full,
            "arrival_slippage_bps": life,
            "participation_rate": (self.start_ns, used[1]),
            **{f"shortfall_{part}": self._of_part(part, life, decided_to) for part in PARTS},
            **{f"shortfall_{part}_bps": self._in_bps(part, life, decided_to) for part in PARTS},
            "pwp_slippage_bps": (self.start_ns, max(participated_ns, self.ended_ns)),
            **dict.fromkeys(OF_LIFE, life),
            "reversion_bps": (self.start_ns, self.ended_ns + REVERSION_NS),
            **{markout_name(tau_ns): (self.start_ns, last_ns + tau_ns) for tau_ns in tca.MARKOUT_NS},
        }

    def _of_part(self, part: str, life: Span, decided_to: int) -> Span:
        if part == "delay":
            return self.submitted_ns, decided_to
        return (self.submitted_ns, self.ended_ns) if part == "total" else life

    def _in_bps(self, part: str, life: Span, decided_to: int) -> Span:
        """Basis points are of the order's worth at the decision."""
        return self.submitted_ns, self._of_part(part, life, decided_to)[1]

    def of_mids(self) -> frozenset[str]:
        """The measures in which no trade counts, no fill either: a late trade is not in them."""
        delay = ("shortfall_delay", "shortfall_delay_bps") if self.by_quantity else ()
        return frozenset(("arrival_price", *delay))


def markout_name(tau_ns: int) -> str:
    return f"markout_{tau_ns // NS_PER_S}s_bps"


@dataclass(frozen=True, slots=True)
class Stand:
    """What a measurement stands on: the order's moments, and the faults of its market's data."""

    times: OrderTimes
    faults: DataFaults
    lots_in: LotsIn
    _found: dict[Span, dict[str, float]] = field(default_factory=dict)  # windows already looked at

    def flags(self, benchmark: str, values: Mapping[str, object]) -> Flags:
        """Measure that is known -> fault -> its share of the measure's window."""
        windows, of_mids = self.times.windows(benchmark), self.times.of_mids()
        measured = [name for name, value in values.items() if name in windows and known(value)]
        found = {name: self._shares(windows[name]) for name in measured}
        for name in of_mids & found.keys():
            found[name] = {fault: n for fault, n in found[name].items() if fault not in _OF_TRADES}
        return {name: shares for name, shares in found.items() if shares}

    def _shares(self, window: Span) -> dict[str, float]:
        if window not in self._found:
            self._found[window] = self._all_shares(*window)
        return self._found[window]

    def _all_shares(self, begin_ns: int, end_ns: int) -> dict[str, float]:
        """The faults', and the gap that the tape leaves where it ends before the window."""
        shares = self.faults.shares(begin_ns, end_ns, self.lots_in)
        unseen_ns = end_ns - max(begin_ns, self.times.known_ns)
        if unseen_ns <= 0:
            return shares
        gap = min(1.0, shares.pop(Fault.GAP.value, 0.0) + unseen_ns / (end_ns - begin_ns))
        return {Fault.GAP.value: gap, **shares}


def known(value: object) -> bool:
    """Whether a measure has a value."""
    return value is not None and not (isinstance(value, float) and not isfinite(value))


def reasons(
    values: Mapping[str, object], times: OrderTimes, mids: MidTrack, fills: Iterable[tca.Fill], benchmark: str
) -> dict[str, str]:
    """Measure that is not known -> why; ``benchmark`` is the row's."""
    found: dict[str, str] = {}
    filled = known(values["avg_price"])
    for name, value in values.items():
        if not known(value):
            found[name] = _why(name, times, mids, list(fills), benchmark, filled=filled)
    return {name: why for name, why in found.items() if why}


def _why(
    name: str, times: OrderTimes, mids: MidTrack, fills: list[tca.Fill], benchmark: str, *, filled: bool
) -> str:
    if name.startswith("full_") and times.known_ns < times.full_end_ns:
        return "the tape has not shown the whole of the allowed window"
    if not filled and (name in (*OF_FILLS, *OF_LIFE, "reversion_bps") or name.startswith("markout_")):
        return "nothing was sent" if name == "fill_rate" else NOTHING_FILLED
    if name == "participation_rate":
        return "the market did not trade in the used window"
    if name in OF_LIFE:
        return "there was no two-sided book when its orders were sent"
    if name == "reversion_bps":
        return _why_moved(mids, times.ended_ns, REVERSION_NS, "the order's end")
    if name.startswith("markout_"):
        return _why_no_markout(name, mids, fills)
    return _why_no_benchmark(name, times, benchmark)


def _why_no_benchmark(name: str, times: OrderTimes, benchmark: str) -> str:
    if benchmark != "twap_mid" or name == "pwp_slippage_bps":
        return ""
    if times.known_ns < times.used_end_ns:
        return "the tape ends before the interval in which the order ended"
    return "no mid is known in its window: the book had a gap, was stale, or not two-sided"


def _why_no_markout(name: str, mids: MidTrack, fills: list[tca.Fill]) -> str:
    tau_ns = next(tau for tau in tca.MARKOUT_NS if markout_name(tau) == name)
    for fill, later in zip(fills, mids.each_at([f.fill_ns + tau_ns for f in fills]), strict=True):
        if later is None:
            return _why_moved(mids, fill.fill_ns, tau_ns, "a fill")
    return ""


def _why_moved(mids: MidTrack, from_ns: int, tau_ns: int, what: str) -> str:
    """Why the mid ``tau_ns`` after ``what`` is of no use."""
    if mids.at(from_ns + tau_ns) is None:
        return f"no mid {tau_ns // NS_PER_S} s after {what}: {mids.why_none(from_ns + tau_ns)}"
    return f"no mid at {what}: {mids.why_none(from_ns)}"


def why_no_participation(found: Participation, rate: Fraction, quantity: str) -> str:
    """The market has not traded enough; ``quantity`` words lots."""
    if not found.need_lots:
        return NOTHING_FILLED
    share = float(found.traded_lots / found.need_lots)
    return (
        f"the tape ends before {quantity}, of which the order would be {float(rate):.0%}, has traded:"
        f" {share:.1%} of it has"
    )
