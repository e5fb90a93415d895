"""The synthetic market's book, compiled: what takers and makers do to it, and the rows made of it."""

from __future__ import annotations

from math import exp, floor

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit_part
from agent.core.market.sorted_levels import set_level
from connectors.embedded.synthetic.synthetic_layout import (
    BBO,
    CAPACITY,
    EFFICIENT,
    FLAGS,
    FRESH_MU,
    FRESH_SIGMA,
    ID,
    KIND,
    LAST,
    LEVEL,
    LEVEL_MU,
    LEVEL_SIGMA,
    LEVELS,
    LOTS,
    MAKER_MU,
    MAKER_SIGMA,
    N_DIRTY,
    NEAR_SHARE,
    NEAR_TICKS,
    NOW,
    PUBLISHED,
    REACH,
    SIDE_COL,
    SIZE_MOST,
    SIZE_MU,
    SIZE_SIGMA,
    T_NS,
    TICKS,
    TOUCH_MU,
    TOUCH_PULL,
    TOUCH_SIGMA,
    TRADE,
    TRADE_ID,
    UPDATE_ID,
)


@njit_part
def _lognormal(rng: np.random.Generator, mu: float, sigma: float) -> int:
    return max(1, int(exp(mu + sigma * rng.standard_normal())))


@njit_part
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
    if counts[s] >= CAPACITY - 1 and q > 0:
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


@njit_part
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


@njit_part
def take(
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


@njit_part
def quote(
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


@njit_part
def touch(
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


@njit_part
def deeper(
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


@njit_part
def publish_best(
    keys: IntArray, lots: IntArray, counts: IntArray, ints: IntArray, out: IntArray, n: int
) -> int:
    """Two BBO rows where the best bid or offer differs from what was last published."""
    if counts[0] == 0 or counts[1] == 0:
        return n
    b, a = counts[0] - 1, counts[1] - 1
    if (
        ints[PUBLISHED] == keys[0, b]
        and ints[PUBLISHED + 1] == lots[0, b]
        and ints[PUBLISHED + 2] == -keys[1, a]
        and ints[PUBLISHED + 3] == lots[1, a]
    ):
        return n
    ints[PUBLISHED] = keys[0, b]
    ints[PUBLISHED + 1] = lots[0, b]
    ints[PUBLISHED + 2] = -keys[1, a]
    ints[PUBLISHED + 3] = lots[1, a]
    n = _emit(out, n, ints[NOW], ints[UPDATE_ID], keys[0, b], lots[0, b], BBO, 1, 0)
    return _emit(out, n, ints[NOW], ints[UPDATE_ID], -keys[1, a], lots[1, a], BBO, -1, LAST)


@njit_part
def flush(
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
