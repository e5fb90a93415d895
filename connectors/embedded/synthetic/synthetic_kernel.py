"""The synthetic market's mechanics, compiled: one symbol, event by event.

The mid follows an efficient price that is a martingale *by construction*: it jumps by symmetric amounts,
drawn independently of everything before, so interval returns are uncorrelated. Everything that clusters
(activity, and with it volume and volatility; the side of uninformed takers) leaves its direction alone.

    activity    Hawkes process, a fast and a slow exponential kernel, times a lognormal regime (OU)
    at an event an informed taker (the efficient price jumps his way), an uninformed one, or makers
                who move the price without a trade
    takers      sizes lognormal; they walk the book up to their limit, each fill against one maker order
    makers      pull what the price has run over and, milliseconds later, quote one tick around it; deeper
                levels come and go at random, uniformly in price plus a share near the touch
"""

from __future__ import annotations

from math import exp, floor, log, sqrt

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit, njit_part
from connectors.embedded.synthetic.synthetic_book import deeper, flush, publish_best, quote, take, touch
from connectors.embedded.synthetic.synthetic_layout import (
    BASE_RATE,
    ECHO_FAST,
    ECHO_SLOW,
    EFFICIENT,
    FAST,
    FLUSH,
    FLUSH_NS,
    HEAT_FAST,
    HEAT_SLOW,
    INFORMED,
    JUMP,
    KEEP_SIDE,
    LEVEL_PER_S,
    N_DIRTY,
    NEVER,
    NOW,
    QUOTE_MOVES,
    REGIME,
    REGIME_PER_S,
    REGIME_SIGMA,
    REQUOTE,
    REQUOTE_AT,
    SIDE,
    SLOW,
    TOUCH_PER_S,
    WALK,
)


@njit_part
def _event(
    p: FloatArray,
    floats: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
    out: IntArray,
    n: int,
) -> int:
    """What happens at one event of the activity process. Returns the rows written so far."""
    what = rng.random()
    bid = floor(floats[EFFICIENT])
    if what < p[INFORMED] + p[QUOTE_MOVES]:
        side = 1 if rng.random() < 0.5 else -1
        moved = floats[EFFICIENT] + side * p[JUMP] * rng.standard_exponential()
        floats[EFFICIENT] = max(moved, 1000.5)  # a price stays a price
        if what < p[INFORMED]:
            ints[SIDE] = side
            # He takes all that the new price makes cheap; the last level he takes may be the touch itself.
            reach = floor(floats[EFFICIENT]) + (0 if side > 0 else 1)
            limit = max(reach, bid + 1) if side > 0 else min(reach, bid)
            n = take(p, rng, keys, lots, counts, dirty, ints, out, n, side, limit)
        quote(p, floats, rng, keys, lots, counts, dirty, ints, False)
    else:
        if rng.random() > p[KEEP_SIDE]:
            ints[SIDE] = -ints[SIDE]
        side = ints[SIDE]
        touch = bid + 1 if side > 0 else bid
        limit = max(1, touch + side * int(p[WALK]))
        n = take(p, rng, keys, lots, counts, dirty, ints, out, n, side, limit)
    if counts[0] == 0 or counts[1] == 0 or keys[0, counts[0] - 1] + keys[1, counts[1] - 1] != -1:
        delay = int(rng.standard_exponential() / p[REQUOTE] * 1e9) + 1
        ints[REQUOTE_AT] = min(ints[REQUOTE_AT], ints[NOW] + delay)
    return n


@njit_part
def _next_regime(p: FloatArray, rng: np.random.Generator, regime: float) -> float:
    """The factor of activity one flush later: its logarithm is an Ornstein-Uhlenbeck process."""
    keep = exp(-p[REGIME_PER_S] * FLUSH_NS * 1e-9)
    drift = 0.5 * p[REGIME_SIGMA] ** 2  # so that the mean of the factor is 1
    x = keep * (log(regime) + drift)
    x += p[REGIME_SIGMA] * sqrt(1.0 - keep * keep) * rng.standard_normal()
    return exp(x - drift)


@njit_part
def _due(
    p: FloatArray,
    floats: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
    trades_only: bool,
    out: IntArray,
    n: int,
) -> int:
    """What is due now: makers quote again, a depth update goes out. Returns the rows written so far."""
    if ints[NOW] == ints[REQUOTE_AT]:
        ints[REQUOTE_AT] = NEVER
        quote(p, floats, rng, keys, lots, counts, dirty, ints, True)
        if not trades_only:
            n = publish_best(keys, lots, counts, ints, out, n)
    if ints[NOW] == ints[FLUSH]:
        ints[FLUSH] += FLUSH_NS
        floats[REGIME] = _next_regime(p, rng, floats[REGIME])
        if trades_only:
            ints[N_DIRTY] = 0
        else:
            n = flush(keys, lots, counts, dirty, ints, out, n)
    return n


@njit
def run(
    until_ns: int,
    p: FloatArray,
    floats: FloatArray,
    ints: IntArray,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    rng: np.random.Generator,
    out: IntArray,
    trades_only: bool,
) -> int:
    """Advance to ``until_ns`` or until ``out`` is nearly full (then NOW is short of it).

    Returns the rows written. ``keys, lots`` are (2, CAPACITY), ``dirty`` (k, 2), ``out`` (rows, COLUMNS).
    """
    n = 0
    most = len(out) - len(dirty) - 4096
    noise = 0.0 if trades_only else p[TOUCH_PER_S] + p[LEVEL_PER_S]
    while n < most:
        # The intensity only falls until the next event, so its present value bounds it.
        calm = p[BASE_RATE] * floats[REGIME]
        bound = calm + floats[HEAT_FAST] + floats[HEAT_SLOW] + noise
        wait = rng.standard_exponential() / bound
        soon = ints[NOW] + max(1, int(wait * 1e9))
        then = min(soon, ints[FLUSH], ints[REQUOTE_AT], until_ns)
        dt = (then - ints[NOW]) * 1e-9
        floats[HEAT_FAST] *= exp(-p[FAST] * dt)
        floats[HEAT_SLOW] *= exp(-p[SLOW] * dt)
        ints[NOW] = then
        if then < soon:
            if then == until_ns and then < min(ints[FLUSH], ints[REQUOTE_AT]):
                return n
            n = _due(p, floats, rng, keys, lots, counts, dirty, ints, trades_only, out, n)
            continue
        pick = rng.random() * bound
        active = calm + floats[HEAT_FAST] + floats[HEAT_SLOW]
        if pick < active:
            floats[HEAT_FAST] += p[ECHO_FAST] * p[FAST]
            floats[HEAT_SLOW] += p[ECHO_SLOW] * p[SLOW]
            n = _event(p, floats, rng, keys, lots, counts, dirty, ints, out, n)
        elif pick < active + noise:
            if rng.random() * noise < p[TOUCH_PER_S]:
                touch(p, rng, keys, lots, counts, dirty, ints)
            else:
                deeper(p, floats, rng, keys, lots, counts, dirty, ints)
        if not trades_only:
            n = publish_best(keys, lots, counts, ints, out, n)
    return n
