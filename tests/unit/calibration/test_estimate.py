"""Calibration: a tape made by a known law gives that law back, within the errors that are stated."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.calibration.estimate import DAY_S, T_95, Estimates, Sampled, estimate, volatility
from agent.core.errors import InputError

SIGMA = 0.03  # a day
SECONDS = 7200


def tape(seed: int, y: float, half_life_s: float, seconds: int = SECONDS) -> tuple[Sampled, float]:
    """Two trades a second of random size and side, a mid that they displace and noise: (tape, lots a day)."""
    rng = np.random.default_rng(seed)
    count = 2 * seconds
    at_s = np.sort(rng.random(count) * seconds)
    lots = np.sign(rng.standard_normal(count)) * np.exp(rng.normal(0.0, 1.0, count)) * 100
    volume = float(np.abs(lots).sum()) / seconds * DAY_S
    flow, k, last_s, displaced = 0.0, 0, 0.0, []
    for now_s in np.arange(seconds + 1.0):
        while k < count and at_s[k] <= now_s:
            flow = flow * 4 ** ((last_s - at_s[k]) / half_life_s) + lots[k]
            last_s, k = at_s[k], k + 1
        flow, last_s = flow * 4 ** ((last_s - now_s) / half_life_s), now_s
        displaced.append(math.copysign(y * SIGMA * math.sqrt(abs(flow) / volume), flow))
    noise = np.concatenate([[0.0], rng.normal(0.0, SIGMA / math.sqrt(DAY_S), seconds)]).cumsum()
    mid = 10_000 * np.exp(noise + np.array(displaced))
    return Sampled(1.0, mid, np.full(seconds + 1, 0.5), at_s, lots), volume


def size(found: Estimates) -> float:
    """What the law says of one lot: the product that Y, sigma and volume come in."""
    return found.fading.y.value * found.sigma_bps.value * 1e-4 / math.sqrt(found.volume_lots.value)


@pytest.mark.parametrize(("seed", "half_life_s"), [(1, 5.0), (2, 30.0), (0, 120.0)])
def test_a_known_law_is_found_again(seed: int, half_life_s: float) -> None:
    """Coefficient and half-life within three stated errors, and those are below 5 and 10 percent."""
    made, volume = tape(seed, 0.8, half_life_s)
    found = estimate(made, "X")
    fading = found.fading
    assert fading.identified
    off = size(found) / (0.8 * SIGMA / math.sqrt(volume)) - 1
    error = fading.y.error / fading.y.value
    assert abs(off) < 3 * error
    assert error < 0.05
    log_error = math.log(fading.high_s / fading.low_s) / 2 / T_95
    assert abs(math.log(fading.half_life_s / half_life_s)) < 3 * log_error
    assert log_error < 0.1
    assert found.volume_lots.value == pytest.approx(volume)


def test_plain_windows_see_less_where_the_flow_fades() -> None:
    """They do not know of the fading: at a second and at five minutes Y comes out far below the true one."""
    made, _ = tape(1, 0.8, 30.0)
    windows = {w.horizon_s: w.y.value for w in estimate(made, "X").windows}
    assert windows[1.0] < 0.6
    assert windows[300.0] < 0.6


def test_the_move_after_a_trade_fades() -> None:
    """Sides are independent here, so the mean move after a trade is its own displacement, and dies out."""
    made, _ = tape(3, 0.8, 5.0)
    moves = dict(estimate(made, "X").response_bps)
    assert moves[1.0].value > 10 * moves[1.0].error
    assert abs(moves[60.0].value) < 3 * moves[60.0].error
    assert moves[1.0].value > 3 * abs(moves[60.0].value)


def test_noise_is_not_called_impact() -> None:
    """Without any: the coefficient is within three errors of 0, or nothing is said to be identified."""
    for seed in range(4):
        made, _ = tape(seed, 0.0, 30.0, 1800)
        fading = estimate(made, "X").fading
        assert not fading.identified or fading.y.value < 3 * fading.y.error
        assert fading.r2 < 0.02


def test_volatility_is_a_day_s() -> None:
    """A walk of 3 % a day: within three stated errors, in tapes of ten minutes and of two hours."""
    for seconds in (600, 7200):
        rng = np.random.default_rng(seconds)
        walk = rng.normal(0.0, SIGMA / math.sqrt(DAY_S), seconds).cumsum()
        found = volatility(walk, 1.0)
        assert abs(found.value - 300) < 3 * found.error
        assert found.error < 300 / math.sqrt(found.observations)


def test_a_hole_in_the_book_is_left_out() -> None:
    """Ten minutes without a book, and a step of the price behind them: nothing of it is a return."""
    made, volume = tape(2, 0.8, 5.0)
    mid = made.mid.copy()
    mid[3000:3600] = np.nan
    mid[3600:] *= 1.5
    found = estimate(replace(made, mid=mid), "X")
    assert found.fading.y.observations == SECONDS - 601
    assert found.sigma_bps.value < 400
    assert size(found) == pytest.approx(0.8 * SIGMA / math.sqrt(volume), rel=0.1)


@pytest.mark.parametrize(
    ("seconds", "trades", "words"),
    [
        (299, None, "299 s with a two-sided book and 598 trades are too little"),
        (600, 199, "199 trades are too little.*at least 300 s and 200 trades"),
    ],
)
def test_too_little_is_refused(seconds: int, trades: int | None, words: str) -> None:
    """What there is, what is needed and what to do."""
    made, _ = tape(1, 0.8, 5.0, seconds)
    made = replace(made, trade_s=made.trade_s[:trades], trade_lots=made.trade_lots[:trades])
    with pytest.raises(InputError, match=words):
        estimate(made, "X")


def test_a_mid_that_never_moves_is_refused() -> None:
    """There is nothing to regress."""
    made, _ = tape(1, 0.8, 5.0, 400)
    with pytest.raises(InputError, match="never moves"):
        estimate(replace(made, mid=np.full(401, 100.0)), "X")
