"""Transient impact: what our own flow does to our own fills, and to nothing else.

The law. A lane's signed volume in one instrument, decayed, is E. The mid it trades at is displaced by

    I(E) = Y * sigma * sign(E) * sqrt(|E| / V)        (a share of the price; sigma and V of one day)

and E fades so that I halves in every ``half_life``. A fill of q lots moves E to E + q and is displaced
by the mean of I on its way, so that how the book cuts an order into fills cannot matter, and an order
worked within a half-life pays about two thirds of the displacement it ends with.

The rules:

* it is the *total* effect: a taker pays the worse of the book's price and the displaced mid, so the
  cost of walking the book is part of it, never added to it, and no price ever gets better by it;
* prices are whole ticks, rounded against us; nothing is filled once the displaced mid is beyond the
  order's limit, and a bound on an order's money holds at the prices it really pays;
* a resting fill has its own price, as on an exchange, but its lots count into E: the square root is of
  the whole of what a parent takes out of the market, whoever crossed the spread;
* the tape, features and benchmarks never see it.

Sources: the square root of the total effect, Almgren, Thum, Hauptmann and Li (2005), "Direct estimation
of equity market impact"; Toth et al. (2011), Phys. Rev. X 1, 021006; Donier and Bonart (2015), "A million
metaorder analysis of market impact on the Bitcoin". That volume fades inside the root (and not the
displacement of each fill by itself) is the volume-recovery model of Alfonsi, Fruth and Schied (2010),
Quantitative Finance 10(2), of which Obizhaeva and Wang (2013) is the linear case: with an exponential
fading no round trip earns money there (Alfonsi and Schied, 2010, SIAM J. Financial Math. 1), whereas
Gatheral (2010), Quantitative Finance 10(7), shows that adding up concave displacements which fade
exponentially lets one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.core.errors import ConfigError
from agent.core.instrument import Instrument

LotsByPrice = Sequence[tuple[int, int]]
"""(price ticks, lots) of each fill of a walk, in order."""


@dataclass(frozen=True, slots=True)
class ImpactLaw:
    """The square-root law of one symbol. ``volume_per_day`` is in the instrument's own quantity unit."""

    y: float
    sigma_bps_per_day: float
    volume_per_day: float
    half_life_ns: int  # of the displacement, once we stop


@dataclass(frozen=True, slots=True)
class Priced:
    """A fill's price in ticks, and how much of it the model added to the book's."""

    price_ticks: int
    impact_ticks: int  # >= 0: against us
    displacement_half_ticks: int  # of the mid, against us when positive


@dataclass(slots=True)
class _Flow:
    """A lane's decayed signed volume in one instrument, in lots, as it was at ``at_ns``."""

    lots: float = 0.0
    at_ns: int = 0


class Impact:
    """The state of every lane and instrument. Only ``fill`` changes it; times never step back."""

    def __init__(self, laws: Mapping[str, ImpactLaw], instruments: Sequence[Instrument]) -> None:
        """Raises ConfigError when an instrument has no law."""
        self._laws = laws
        self._instruments = instruments
        self._flows: dict[tuple[int, int], _Flow] = {}
        for instrument in instruments:
            law_of(laws, instrument)

    def forget_lane(self, lane: int) -> None:
        """Nothing is filled in it any more."""
        self._flows = {key: flow for key, flow in self._flows.items() if key[0] != lane}

    def flow_lots(self, lane: int, instrument: int, now_ns: int) -> float:
        """The lane's signed volume, decayed to ``now_ns``: above 0 when it has bought."""
        flow = self._flows.get((lane, instrument))
        if flow is None:
            return 0.0
        law = law_of(self._laws, self._instruments[instrument])
        # The displacement is a root: it halves when the volume is down to a quarter.
        return flow.lots * math.exp2(-2.0 * (now_ns - flow.at_ns) / law.half_life_ns)

    def fill(
        self, lane: int, instrument: int, side: int, row: tuple[int, int], mid: int, maker: bool, now_ns: int
    ) -> Priced:
        """Price a fill that the book gave as ``row`` (price ticks, lots) at ``mid`` half ticks; count it in.

        ``side`` is +1 for a buy, -1 for a sale.
        """
        price, lots = row
        flow = self.flow_lots(lane, instrument, now_ns)
        displacement = self._displacement(instrument, side * flow, lots, mid)
        self._flows[lane, instrument] = _Flow(flow + side * lots, now_ns)
        worse = price if maker else worse_price(side, price, mid, displacement)
        return Priced(worse, side * (worse - price), displacement)

    def displacement(self, lane: int, instrument: int, side: int, lots: int, mid: int, now_ns: int) -> int:
        """Half ticks, against us, that a fill of ``lots`` would be displaced by now."""
        return self._displacement(instrument, side * self.flow_lots(lane, instrument, now_ns), lots, mid)

    def most_lots(
        self, lane: int, instrument: int, side: int, limit_ticks: int, lots: int, mid: int, now_ns: int
    ) -> int:
        """How many of ``lots`` may be filled before the displaced mid is beyond the limit.

        Without a mid (0: the book is not two-sided) the law says nothing, and the kernel fills nothing.
        """
        if mid == 0:
            return lots
        most = side * (2 * limit_ticks - mid)  # half ticks of displacement that the limit stands
        flow = side * self.flow_lots(lane, instrument, now_ns)
        scale = self._scale(instrument, mid)
        reach = math.copysign((most / scale) ** 2, most)  # where I(E) is just that
        found = int(max(0.0, min(float(lots), reach - flow)))
        while found > 0 and scale * _root(flow + found) > most:
            found -= 1  # the square was rounded
        return found

    def affordable(
        self, lane: int, instrument: int, side: int, walk: LotsByPrice, cap_tl: int, mid: int, now_ns: int
    ) -> int:
        """How many lots of ``walk`` ``cap_tl`` (ticks x lots) pays for, at what they really cost."""
        flow = side * self.flow_lots(lane, instrument, now_ns)
        done = spent = 0
        for price, lots in walk:

            def cost(q: int, price: int = price, before: float = flow + done) -> int:
                moved = self._displacement(instrument, before, q, mid)
                return q * worse_price(side, price, mid, moved)

            fits = largest(lots, cost, cap_tl - spent)
            if not fits:
                break
            done += fits
            spent += cost(fits)
            if fits < lots or cap_tl - spent < cost(fits) // fits:  # as the kernel: no lot is passed by
                break
        return done

    def _displacement(self, instrument: int, before: float, lots: int, mid: int) -> int:
        """Half ticks, rounded against us, that a fill of ``lots`` is displaced; ``before`` is on its side."""
        return math.ceil(self._scale(instrument, mid) * mean_root(before, before + lots))

    def _scale(self, instrument: int, mid: int) -> float:
        """Half ticks of displacement by one lot."""
        on = self._instruments[instrument]
        law = law_of(self._laws, on)
        volume_lots = law.volume_per_day / float(on.lot)
        return mid * law.y * law.sigma_bps_per_day * 1e-4 / math.sqrt(volume_lots)


def law_of(laws: Mapping[str, ImpactLaw], instrument: Instrument) -> ImpactLaw:
    """The law of an instrument's symbol. Raises ConfigError when there is none."""
    law = laws.get(instrument.symbol)
    if law is None:
        known = ", ".join(sorted(laws)) or "none"
        raise ConfigError(
            f"venue.impact is on and has no parameters for {instrument.symbol} (given: {known}): name them in"
            " venue.impact_laws, or name a file made by `python -m agent calibrate` in venue.calibration"
        )
    return law


def worse_price(side: int, price_ticks: int, mid_half_ticks: int, displacement: int) -> int:
    """The worse, for ``side``, of the book's price and the displaced mid in whole ticks against us."""
    if side > 0:
        return max(price_ticks, -(-(mid_half_ticks + displacement) // 2))
    return min(price_ticks, (mid_half_ticks - displacement) // 2)


def mean_root(a: float, b: float) -> float:
    """Mean of sign(x) sqrt(|x|) over [a, b], a < b: (2/3) (|b|^1.5 - |a|^1.5) / (b - a), no cancellation.

    Never above the root at ``b``, in spite of rounding.
    """
    u, v = math.sqrt(abs(b)), math.sqrt(abs(a))
    if a < 0.0 < b:
        return min((u - v) * (u * u + u * v + v * v) / (u * u + v * v) / 1.5, u)
    mean = (u * u + u * v + v * v) / (u + v) / 1.5
    return min(mean, u) if b > 0.0 else min(-mean, -u)


def _root(x: float) -> float:
    return math.copysign(math.sqrt(abs(x)), x)


def largest(most: int, cost: Callable[[int], int], bound: int) -> int:
    """The largest q in 0..most with ``cost(q) <= bound``; ``cost`` rises with q."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(middle) <= bound else (low, middle - 1)
    return low
