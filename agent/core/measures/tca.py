"""Transaction cost analysis: the formulae.

``s`` is +1 for a buy, -1 for a sell. X lots were executed of a parent of S lots (notional orders: S is X
plus the unfilled notional at the arrival mid). Money is exact: half ticks x lots, as integers or
Fractions, so the components of a shortfall sum to it to the last digit; basis points are floats.

What a lot is worth falls with the price for inverse contracts: averages are harmonic then, and costs are
counted in the base currency (``agent.core.money``).

Shortfalls and slippages are positive when they cost; gains, improvements and markouts when they are good.

Sources: Perold, "The implementation shortfall: paper versus reality" (1988), split as in Wagner &
Edwards (1993); Almgren et al. for arrival slippage; the rest are the desk's usual definitions.
``agent.core.measures.tca_report`` makes the whole scorecard of one order of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.core.money import PPM, average_ticks, cost_of_half_ticks
from agent.core.types import NS_PER_S, Side, TargetKind

BPS = 10_000
MARKOUT_NS = (1 * NS_PER_S, 10 * NS_PER_S, 60 * NS_PER_S)

MidsAt = Callable[[Sequence[int]], Sequence[int | None]]
"""Times in nanoseconds, and the mid of each in half ticks, None where the tape has not shown it
(``MidTrack.each_at``)."""


@dataclass(frozen=True, slots=True)
class IntervalTrades:
    """The market's trades of one interval, bucketed by exchange time, our own left out."""

    quote_tl: int
    base_lots: int
    last_ticks: int  # the last price known at the interval's end
    inverse: bool = False

    @property
    def price_ticks(self) -> Fraction:
        """The interval's price: its VWAP; without trades, the last price."""
        if not self.base_lots:
            return Fraction(self.last_ticks)
        return average_ticks(self.quote_tl, self.base_lots, inverse=self.inverse)


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill with what the market showed when its child order was sent."""

    price_ticks: int
    qty_lots: int
    maker: bool
    fill_ns: int
    sent_mid_half_ticks: int
    far_touch_ticks: int  # best price a marketable order would have met when sent


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The components of implementation shortfall in half ticks x lots. Positive is cost."""

    delay: Fraction  # from the decision to the arrival
    trading: Fraction  # fills against the arrival mid
    opportunity: Fraction  # what was not filled, at the end
    fees: Fraction

    @property
    def total(self) -> Fraction:
        return self.delay + self.trading + self.opportunity + self.fees


def parent_lots(kind: TargetKind, target: int, filled_lots: int, filled_tl: int, arrival: int) -> Fraction:
    """Return S, the parent's size in lots, with ``arrival`` the arrival mid in half ticks."""
    if kind is TargetKind.QUANTITY:
        return Fraction(target)
    return filled_lots + Fraction(2 * (target - filled_tl), arrival)


def shortfall(
    side: Side,
    size_lots: Fraction,
    filled_lots: int,
    filled_tl: int,
    fee_tlp: int,
    *,
    decision: int,
    arrival: int,
    end: int,
    inverse: bool = False,
) -> Shortfall:
    """Split Perold's shortfall into delay, trading, opportunity and fees. Mids are in half ticks."""
    s, filled = int(side), _filled(filled_tl, inverse)
    at_decision, at_arrival, at_end = (
        cost_of_half_ticks(mid, inverse=inverse) for mid in (decision, arrival, end)
    )
    return Shortfall(
        delay=s * size_lots * (at_arrival - at_decision),
        trading=s * (filled - filled_lots * at_arrival),
        opportunity=s * (size_lots - filled_lots) * (at_end - at_arrival),
        fees=Fraction(2 * fee_tlp, PPM),
    )


def _filled(filled_tl: int, inverse: bool) -> Fraction:
    """Fills on the scale of ``cost_of_half_ticks``."""
    return Fraction(-2 * filled_tl if inverse else 2 * filled_tl)


def cost_bps(side: Side, price: Fraction, reference: Fraction) -> float:
    """Return s (price / reference - 1) in basis points: positive is cost. Any one unit of price."""
    return float(side * (price - reference) / reference * BPS)


def vwap(trades: Sequence[IntervalTrades]) -> Fraction | None:
    """Return the volume-weighted price in ticks; None when nothing traded."""
    lots = sum(t.base_lots for t in trades)
    if not lots:
        return None
    return average_ticks(sum(t.quote_tl for t in trades), lots, inverse=trades[0].inverse)


def twap(trades: Sequence[IntervalTrades]) -> Fraction | None:
    """Return the mean of the intervals' prices in ticks; None without intervals."""
    if not trades:
        return None
    return _sum([t.price_ticks for t in trades]) / len(trades)


def _sum(terms: list[Fraction]) -> Fraction:
    """The exact sum, by halves: one after another, each term would be brought to all denominators before."""
    while len(terms) > 1:
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]


def effective_spread_bps(side: Side, fills: Iterable[Fill]) -> float | None:
    """Return 2 s (fill - mid at send) / mid, quantity-weighted. Positive is cost."""
    return _weighted_bps(
        (f.qty_lots, 2 * side * (2 * f.price_ticks - f.sent_mid_half_ticks), f.sent_mid_half_ticks)
        for f in fills
    )


def price_improvement_bps(side: Side, fills: Iterable[Fill]) -> float | None:
    """Return s (far touch - fill) / far touch, quantity-weighted. Positive is good."""
    return _weighted_bps(
        (f.qty_lots, side * (f.far_touch_ticks - f.price_ticks), f.far_touch_ticks) for f in fills
    )


def markout_bps(side: Side, fills: Sequence[Fill], mids_at: MidsAt, tau_ns: int) -> float | None:
    """Return s (mid at fill + tau - fill) / fill, quantity-weighted. Positive is good.

    None as soon as one fill's later mid is not known: a mean over the others would be of another order.
    """
    rows: list[tuple[int, int, int]] = []
    for f, later in zip(fills, mids_at([f.fill_ns + tau_ns for f in fills]), strict=True):
        if later is None:
            return None
        rows.append((f.qty_lots, side * (later - 2 * f.price_ticks), 2 * f.price_ticks))
    return _weighted_bps(rows)


def reversion_bps(side: Side, end: int | None, later: int | None) -> float | None:
    """Return s (P_n - mid at end + tau) / P_n: how far the price came back once the order was gone."""
    if end is None or later is None:
        return None
    return float(Fraction(side * (end - later) * BPS, end))


def maker_share(fills: Iterable[Fill]) -> float | None:
    """Return the quantity filled at rest over the quantity filled; None without fills."""
    maker = total = 0
    for f in fills:
        total += f.qty_lots
        maker += f.qty_lots if f.maker else 0
    return maker / total if total else None


def _weighted_bps(rows: Iterable[tuple[int, int, int]]) -> float | None:
    """Return the mean of numerator / denominator in bps over ``(lots, numerator, denominator)`` rows.

    Rows whose denominator is not positive (no book when sent) do not count; None when none does.
    """
    total, lots = 0.0, 0
    for qty, numerator, denominator in rows:
        if denominator > 0:
            total += qty * (numerator / denominator)
            lots += qty
    return total / lots * BPS if lots else None
