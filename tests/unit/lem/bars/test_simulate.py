"""The simulators follow the laws they state."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.errors import InputError
from agent.core.types import NS_PER_S
from lem.bars.simulate import HALF_LIFE, MARKETS, MOMENTUM, simulate

SIGMA = 1e-3


def parts(market: str, series: int = 400, length: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """(close-to-close log moves, average's distance from the last close), in sigmas."""
    bars = simulate(market, np.random.default_rng(5), series, length, SIGMA, 60 * NS_PER_S)
    closes, averages = np.log(bars["close"]), np.log(bars["vwap"])
    return np.diff(closes, axis=1) / SIGMA, (averages[:, 1:] - closes[:, :-1]) / SIGMA


@pytest.mark.parametrize("market", list(MARKETS))
def test_bars_are_consistent(market: str) -> None:
    """Prices lie within [low, high], volumes are positive, takers buy a part of them, time is even."""
    bars = simulate(market, np.random.default_rng(1), 5, 100, SIGMA, 60 * NS_PER_S)
    for name in ("open", "close", "vwap"):
        assert (bars["low"] <= bars[name] * (1 + 1e-12)).all()
        assert (bars[name] <= bars["high"] * (1 + 1e-12)).all()
    assert (bars["volume"] > 0).all()
    assert (bars["taker_volume"] <= bars["volume"]).all()
    assert (np.diff(bars["start_ns"], axis=1) == 60 * NS_PER_S).all()


def test_the_walk_prints_at_the_end_of_the_interval() -> None:
    """gaussian: the interval's price is its close, moves have variance sigma^2 and no memory."""
    move, average = parts("gaussian")
    assert np.allclose(move, average)
    assert move.var() == pytest.approx(1.0, abs=0.02)
    assert np.mean(move[:, 1:] * move[:, :-1]) == pytest.approx(0.0, abs=0.02)


def test_bars_have_the_average_of_a_path() -> None:
    """gaussian-bars: var(average) = sigma^2 / 3, cov(average, close) = sigma^2 / 2."""
    move, average = parts("gaussian-bars")
    assert move.var() == pytest.approx(1.0, abs=0.02)
    assert average.var() == pytest.approx(1 / 3, abs=0.01)
    assert np.mean(move * average) == pytest.approx(0.5, abs=0.01)


def test_momentum_and_reversion_have_their_stated_strength() -> None:
    """Lag-one autocorrelation of moves; decay of a gap to the slow level."""
    move, _ = parts("momentum")
    assert np.mean(move[:, 1:] * move[:, :-1]) / move.var() == pytest.approx(MOMENTUM, abs=0.02)
    level = np.cumsum(parts("mean-reversion")[0], axis=1)
    level = level - level.mean(1, keepdims=True)
    persistence = np.mean(level[:, 51:] * level[:, 50:-1]) / np.mean(level[:, 50:-1] ** 2)
    assert persistence == pytest.approx(0.5 ** (1 / HALF_LIFE), abs=0.02)


def test_the_same_seed_gives_the_same_market() -> None:
    """Bit for bit, and another seed another one."""
    one, two, other = (
        simulate("regimes", np.random.default_rng(seed), 3, 50, SIGMA, NS_PER_S) for seed in (1, 1, 2)
    )
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_an_unknown_market_is_refused() -> None:
    """The message lists those there are."""
    with pytest.raises(InputError, match="gaussian-bars"):
        simulate("casino", np.random.default_rng(1), 1, 10, SIGMA, NS_PER_S)
