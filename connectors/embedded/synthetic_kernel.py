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
from agent.core.compile.jit import njit
from agent.core.market.book import set_level

# Places in the parameter vector (float64); see synthetic.SymbolParams for what they mean.
P_NAMES = (
    "base_rate",  # events/s without their own echo
    "echo_fast",  # children an event has by the fast kernel
    "echo_slow",
    "fast_per_s",  # 1 / time constant
    "slow_per_s",
    "regime_sigma",
    "regime_per_s",
    "informed",  # share of events
    "quote_moves",  # share of events
    "jump_ticks",  # mean of the exponential jump of the efficient price
    "keep_side",  # chance that an uninformed taker takes the last one's side
    "size_mu",  # of ln(lots)
    "size_sigma",
    "size_most",
    "maker_mu",  # of ln(lots) of one resting order
    "maker_sigma",
    "walk_ticks",  # how far an uninformed taker walks
    "requote_per_s",  # 1 / mean delay until makers quote again
    "fresh_mu",  # of ln(lots) of a new touch
    "fresh_sigma",
    "touch_mu",  # of ln(lots) a touch is drawn to
    "touch_sigma",
    "touch_pull",  # share of the way at each touch event
    "touch_per_s",
    "level_per_s",  # deeper levels changed
    "level_mu",
    "level_sigma",
    "levels",  # wanted a side
    "reach_ticks",  # deeper levels lie within this of the touch
    "near_share",  # of new levels
    "near_ticks",  # their mean distance
)
(
    BASE_RATE,
    ECHO_FAST,
    ECHO_SLOW,
    FAST,
    SLOW,
    REGIME_SIGMA,
    REGIME_PER_S,
    INFORMED,
    QUOTE_MOVES,
    JUMP,
    KEEP_SIDE,
    SIZE_MU,
    SIZE_SIGMA,
    SIZE_MOST,
    MAKER_MU,
    MAKER_SIGMA,
    WALK,
    REQUOTE,
    FRESH_MU,
    FRESH_SIGMA,
    TOUCH_MU,
    TOUCH_SIGMA,
    TOUCH_PULL,
    TOUCH_PER_S,
    LEVEL_PER_S,
    LEVEL_MU,
    LEVEL_SIGMA,
    LEVELS,
    REACH,
    NEAR_SHARE,
    NEAR_TICKS,
) = range(len(P_NAMES))

# Places in the float state.
EFFICIENT, HEAT_FAST, HEAT_SLOW, REGIME = range(4)
F_SIZE = 4
# Places in the integer state; best prices and sizes are those last told.
NOW, FLUSH, REQUOTE_AT, TRADE_ID, UPDATE_ID, SIDE, N_DIRTY, TOLD = range(8)
I_SIZE = 12  # TOLD .. TOLD + 3: bid ticks, bid lots, ask ticks, ask lots
NEVER = 1 << 62
FLUSH_NS = 100_000_000
ROOM = 4096  # levels a side

# Columns of the output.
T_NS, ID, TICKS, LOTS, KIND, SIDE_COL, FLAGS = range(7)
COLUMNS = 7
TRADE, LEVEL, BBO, LAST = 1, 2, 5, 1  # as agent.core.market.tape has them


@njit
def _lognormal(rng: np.random.Generator, mu: float, sigma: float) -> int:
    return max(1, int(exp(mu + sigma * rng.standard_normal())))


@njit
def _put(
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    s: int,
    key: int,
    q: int,
    dirty: IntArray,
    ints: IntArray,
) -> None:
    """Set level ``key`` of side ``s`` (0 bids, 1 asks) and note it for the next depth update."""
    if counts[s] >= ROOM - 1 and q > 0:
        return
    n, before = set_level(keys[s], lots[s], counts[s], key, q)
    counts[s] = n
    if before == q:
        return
    ints[UPDATE_ID] += 1
    if ints[N_DIRTY] < len(dirty):
        dirty[ints[N_DIRTY], 0] = s
        dirty[ints[N_DIRTY], 1] = key
        ints[N_DIRTY] += 1


@njit
def _emit(
    out: IntArray, n: int, now: int, ext: int, ticks: int, q: int, kind: int, side: int, last: int
) -> int:
    out[n, T_NS] = now
    out[n, ID] = ext
    out[n, TICKS] = ticks
    out[n, LOTS] = q
    out[n, KIND] = kind
    out[n, SIDE_COL] = side
    out[n, FLAGS] = last
    return n + 1


@njit
def _take(
    p: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
    out: IntArray,
    n: int,
    side: int,
    limit: int,
) -> int:
    """One taker: walks the far side up to ``limit`` ticks. Returns the rows written so far."""
    left = int(min(p[SIZE_MOST], _lognormal(rng, p[SIZE_MU], p[SIZE_SIGMA])))
    s = 1 if side > 0 else 0
    sign = -1 if side > 0 else 1  # key = sign x ticks on the side that is taken
    while left > 0 and counts[s] > 0 and n < len(out) - 64:
        key = keys[s, counts[s] - 1]
        ticks = sign * key
        if side * (ticks - limit) > 0:
            break
        here = lots[s, counts[s] - 1]
        rest = here
        while left > 0 and rest > 0 and n < len(out) - 64:
            fill = min(left, rest, _lognormal(rng, p[MAKER_MU], p[MAKER_SIGMA]))
            n = _emit(out, n, ints[NOW], ints[TRADE_ID], ticks, fill, TRADE, side, LAST)
            ints[TRADE_ID] += 1
            left -= fill
            rest -= fill
        _put(keys, lots, counts, s, key, rest, dirty, ints)
    return n


@njit
def _quote(
    p: FloatArray,
    floats: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
    renew: bool,
) -> None:
    """Makers pull what the efficient price has run over; with ``renew`` they also quote around it."""
    bid = floor(floats[EFFICIENT])
    for s in range(2):
        best = bid if s == 0 else -(bid + 1)
        while counts[s] > 0 and keys[s, counts[s] - 1] > best:
            _put(keys, lots, counts, s, keys[s, counts[s] - 1], 0, dirty, ints)
        if renew and (counts[s] == 0 or keys[s, counts[s] - 1] < best):
            _put(keys, lots, counts, s, best, _lognormal(rng, p[FRESH_MU], p[FRESH_SIGMA]), dirty, ints)


@njit
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
            n = _take(p, rng, keys, lots, counts, dirty, ints, out, n, side, limit)
        _quote(p, floats, rng, keys, lots, counts, dirty, ints, False)
    else:
        if rng.random() > p[KEEP_SIDE]:
            ints[SIDE] = -ints[SIDE]
        side = ints[SIDE]
        touch = bid + 1 if side > 0 else bid
        limit = max(1, touch + side * int(p[WALK]))
        n = _take(p, rng, keys, lots, counts, dirty, ints, out, n, side, limit)
    if counts[0] == 0 or counts[1] == 0 or keys[0, counts[0] - 1] + keys[1, counts[1] - 1] != -1:
        delay = int(rng.standard_exponential() / p[REQUOTE] * 1e9) + 1
        ints[REQUOTE_AT] = min(ints[REQUOTE_AT], ints[NOW] + delay)
    return n


@njit
def _touch(
    p: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
) -> None:
    """The size at one touch moves some way towards a fresh draw."""
    s = 0 if rng.random() < 0.5 else 1
    if counts[s] == 0:
        return
    here = lots[s, counts[s] - 1]
    goal = _lognormal(rng, p[TOUCH_MU], p[TOUCH_SIGMA])
    q = max(1, here + int(p[TOUCH_PULL] * (goal - here)))
    _put(keys, lots, counts, s, keys[s, counts[s] - 1], q, dirty, ints)


@njit
def _deeper(
    p: FloatArray,
    floats: FloatArray,
    rng: np.random.Generator,
    keys: IntArray,
    lots: IntArray,
    counts: IntArray,
    dirty: IntArray,
    ints: IntArray,
) -> None:
    """One level behind the touch comes, goes or changes."""
    s = 0 if rng.random() < 0.5 else 1
    n = counts[s]
    bid = floor(floats[EFFICIENT])
    best = bid if s == 0 else -(bid + 1)
    if n > 1 and best - keys[s, 0] > 1.5 * p[REACH]:
        _put(keys, lots, counts, s, keys[s, 0], 0, dirty, ints)  # forgotten by the price
        return
    if rng.random() * (p[LEVELS] + n) < p[LEVELS]:
        if rng.random() < p[NEAR_SHARE]:
            away = 1 + int(p[NEAR_TICKS] * rng.standard_exponential())
        else:
            away = 1 + int(p[REACH] * rng.random())
        if s == 0 and away >= best:
            return  # no bid at or below nothing
        _put(keys, lots, counts, s, best - away, _lognormal(rng, p[LEVEL_MU], p[LEVEL_SIGMA]), dirty, ints)
    elif n > 1:
        i = int(rng.random() * (n - 1))  # never the touch, which stands last
        _put(keys, lots, counts, s, keys[s, i], 0, dirty, ints)


@njit
def _tell_best(
    keys: IntArray, lots: IntArray, counts: IntArray, ints: IntArray, out: IntArray, n: int
) -> int:
    """Two BBO rows where the best bid or offer differs from what was last told."""
    if counts[0] == 0 or counts[1] == 0:
        return n
    b, a = counts[0] - 1, counts[1] - 1
    if (
        ints[TOLD] == keys[0, b]
        and ints[TOLD + 1] == lots[0, b]
        and ints[TOLD + 2] == -keys[1, a]
        and ints[TOLD + 3] == lots[1, a]
    ):
        return n
    ints[TOLD] = keys[0, b]
    ints[TOLD + 1] = lots[0, b]
    ints[TOLD + 2] = -keys[1, a]
    ints[TOLD + 3] = lots[1, a]
    n = _emit(out, n, ints[NOW], ints[UPDATE_ID], keys[0, b], lots[0, b], BBO, 1, 0)
    return _emit(out, n, ints[NOW], ints[UPDATE_ID], -keys[1, a], lots[1, a], BBO, -1, LAST)


@njit
def _flush(
    keys: IntArray, lots: IntArray, counts: IntArray, dirty: IntArray, ints: IntArray, out: IntArray, n: int
) -> int:
    """One depth update: each level touched since the last one, once, at its present size."""
    count = ints[N_DIRTY]
    ints[N_DIRTY] = 0
    start = n
    order = np.argsort(dirty[:count, 0] * (1 << 50) + dirty[:count, 1], kind="mergesort")
    for j in range(count):
        s, key = dirty[order[j], 0], dirty[order[j], 1]
        if j + 1 < count and dirty[order[j + 1], 0] == s and dirty[order[j + 1], 1] == key:
            continue
        i = np.searchsorted(keys[s, : counts[s]], key)
        q = lots[s, i] if i < counts[s] and keys[s, i] == key else 0
        n = _emit(
            out, n, ints[NOW], ints[UPDATE_ID], key if s == 0 else -key, q, LEVEL, 1 if s == 0 else -1, 0
        )
    if n > start:
        out[n - 1, FLAGS] = LAST
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

    Returns the rows written. ``keys, lots`` are (2, ROOM), ``dirty`` (k, 2), ``out`` (rows, COLUMNS).
    """
    n = 0
    room = len(out) - len(dirty) - 4096
    noise = 0.0 if trades_only else p[TOUCH_PER_S] + p[LEVEL_PER_S]
    while n < room:
        # The intensity only falls until the next event, so its present value bounds it.
        calm = p[BASE_RATE] * floats[REGIME]
        bound = calm + floats[HEAT_FAST] + floats[HEAT_SLOW] + noise
        wait = rng.standard_exponential() / bound
        soon = ints[NOW] + max(1, int(wait * 1e9))
        stop = min(ints[FLUSH], ints[REQUOTE_AT], until_ns)
        then = min(soon, stop)
        dt = (then - ints[NOW]) * 1e-9
        floats[HEAT_FAST] *= exp(-p[FAST] * dt)
        floats[HEAT_SLOW] *= exp(-p[SLOW] * dt)
        ints[NOW] = then
        if then < soon:
            if then == until_ns and then < min(ints[FLUSH], ints[REQUOTE_AT]):
                return n
            if then == ints[REQUOTE_AT]:
                ints[REQUOTE_AT] = NEVER
                _quote(p, floats, rng, keys, lots, counts, dirty, ints, True)
                if not trades_only:
                    n = _tell_best(keys, lots, counts, ints, out, n)
            if then == ints[FLUSH]:
                ints[FLUSH] += FLUSH_NS
                keep = exp(-p[REGIME_PER_S] * FLUSH_NS * 1e-9)
                drift = 0.5 * p[REGIME_SIGMA] ** 2  # so that the mean of the factor is 1
                x = keep * (log(floats[REGIME]) + drift)
                x += p[REGIME_SIGMA] * sqrt(1.0 - keep * keep) * rng.standard_normal()
                floats[REGIME] = exp(x - drift)
                if trades_only:
                    ints[N_DIRTY] = 0
                else:
                    n = _flush(keys, lots, counts, dirty, ints, out, n)
            continue
        pick = rng.random() * bound
        active = calm + floats[HEAT_FAST] + floats[HEAT_SLOW]
        if pick < active:
            floats[HEAT_FAST] += p[ECHO_FAST] * p[FAST]
            floats[HEAT_SLOW] += p[ECHO_SLOW] * p[SLOW]
            n = _event(p, floats, rng, keys, lots, counts, dirty, ints, out, n)
        elif pick < active + noise:
            if rng.random() * noise < p[TOUCH_PER_S]:
                _touch(p, rng, keys, lots, counts, dirty, ints)
            else:
                _deeper(p, floats, rng, keys, lots, counts, dirty, ints)
        if not trades_only:
            n = _tell_best(keys, lots, counts, ints, out, n)
    return n
