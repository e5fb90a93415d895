"""The features: causal, of finite memory, scale-free, and absent where a source is missing."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.market.feature_names import FEATURE_GROUPS, FEATURE_NAMES
from agent.core.market.features import FEATURE_SPAN, LIMIT, LONG_SPAN, features, recent_sigma
from agent.core.types import NS_PER_S
from lem.bars.simulate import simulate_with_drift
from tests.unit.core import features_reference as reference

DELTA_NS = 45 * NS_PER_S
GARBAGE = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300)


def random_bars(count: int, seed: int = 0) -> FBarArray:
    """A walk with every source present."""
    rng = np.random.default_rng(seed)
    bars = empty_fbars(count)
    close = 60_000.0 * np.exp(np.cumsum(1e-3 * rng.standard_normal(count)))
    bars["start_ns"] = 1_700_000_000 * NS_PER_S + DELTA_NS * np.arange(count)
    bars["close"], bars["open"] = close, np.roll(close, 1)
    bars["high"], bars["low"] = close * 1.001, close * 0.999
    bars["vwap"] = close * (1.0 + 2e-4 * rng.standard_normal(count))
    bars["volume"] = rng.lognormal(1.0, 0.5, count)
    bars["quote_volume"] = bars["volume"] * bars["vwap"]
    bars["trades"] = rng.integers(1, 500, count)
    bars["taker_volume"] = bars["volume"] * rng.random(count)
    bars["spread_bps"] = rng.lognormal(0.0, 0.3, count)
    bars["touch_imbalance"] = rng.uniform(-1, 1, count)
    bars["microprice_bps"] = 0.3 * rng.standard_normal(count)
    bars["bid_depth"], bars["ask_depth"] = rng.lognormal(2.0, 0.5, (2, count))
    return bars


def column(bars: FBarArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    values, mask = features(bars, DELTA_NS)
    k = FEATURE_NAMES.index(name)
    return values[:, k], mask[:, k]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_rows_before_garbage_do_not_change_by_a_bit(garbage: float) -> None:
    """Row i depends on bars up to i only, whatever comes after."""
    bars = random_bars(80)
    before, mask_before = features(bars, DELTA_NS)
    for t in range(0, 80, 7):
        spoilt = bars.copy()
        for name in bars.dtype.names or ():
            spoilt[name][t:] = -1 if name == "start_ns" else garbage
        after, mask_after = features(spoilt, DELTA_NS)
        assert np.array_equal(before[:t], after[:t])
        assert np.array_equal(mask_before[:t], mask_after[:t])


@pytest.mark.parametrize("garbage", GARBAGE)
def test_values_are_finite_and_bounded_on_garbage(garbage: float) -> None:
    """Non-finite or senseless inputs become absent features, never NaN."""
    bars = random_bars(50)
    rng = np.random.default_rng(1)
    for name in bars.dtype.names or ():
        if name != "start_ns":
            bars[name][rng.random(50) < 0.3] = garbage
    values, mask = features(bars, DELTA_NS)
    assert np.isfinite(values).all()
    assert (np.abs(values) <= LIMIT).all()
    assert (values[~mask] == 0).all()


def test_a_live_window_gives_the_rows_of_the_long_series() -> None:
    """FEATURE_SPAN bars before a row are all its memory, bit for bit."""
    bars = random_bars(400)
    values, mask = features(bars, DELTA_NS)
    for end in (300, 361, 400):
        window, window_mask = features(bars[end - 40 - FEATURE_SPAN : end], DELTA_NS)
        assert np.array_equal(window[-40:], values[end - 40 : end])
        assert np.array_equal(window_mask[-40:], mask[end - 40 : end])


def test_a_batch_of_series_is_each_series_by_itself() -> None:
    """Leading axes are independent series."""
    one, two = random_bars(60, 1), random_bars(60, 2)
    values, mask = features(np.stack([one, two]), DELTA_NS)
    assert np.array_equal(values[1], features(two, DELTA_NS)[0])
    assert np.array_equal(mask[0], features(one, DELTA_NS)[1])


def test_features_do_not_know_the_units_of_price_and_volume() -> None:
    """Another currency and another contract size give the same features."""
    bars = random_bars(100)
    other = bars.copy()
    for name in ("open", "high", "low", "close", "vwap"):
        other[name] = bars[name] * 0.001
    for name in ("volume", "taker_volume", "bid_depth", "ask_depth"):
        other[name] = bars[name] * 5_000.0
    np.testing.assert_allclose(features(bars, DELTA_NS)[0], features(other, DELTA_NS)[0], atol=1e-4)


def test_a_missing_book_is_absent_and_changes_nothing_else() -> None:
    """Plain OHLCV bars leave the book's features masked and the others as they were."""
    bars = random_bars(60)
    plain = bars.copy()
    for name in ("spread_bps", "touch_imbalance", "microprice_bps", "bid_depth", "ask_depth"):
        plain[name] = np.nan
    full, plain_values = features(bars, DELTA_NS), features(plain, DELTA_NS)
    book = [FEATURE_NAMES.index(name) for name in FEATURE_GROUPS["book"]]
    rest = [k for k in range(len(FEATURE_NAMES)) if k not in book]
    assert not plain_values[1][:, book].any()
    assert full[1][-1, book].all()
    assert np.array_equal(full[0][:, rest], plain_values[0][:, rest])


def test_values_by_hand() -> None:
    """Returns are in recent sigmas, taker imbalance and momentum as their formulae say."""
    bars = random_bars(60)
    returns = np.diff(np.log(bars["close"]))
    sigma = np.sqrt(np.mean(returns[-LONG_SPAN:] ** 2))
    assert recent_sigma(bars)[-1] == pytest.approx(sigma)
    assert column(bars, "return_close")[0][-1] == pytest.approx(returns[-1] / sigma, rel=1e-5)
    momentum = np.log(bars["close"][-1] / bars["close"][-9]) / (sigma * np.sqrt(8))
    assert column(bars, "momentum_8")[0][-1] == pytest.approx(momentum, rel=1e-5)
    taker = 2 * bars["taker_volume"][-1] / bars["volume"][-1] - 1
    assert column(bars, "taker")[0][-1] == pytest.approx(taker, rel=1e-5)
    distance = (np.log(bars["close"][-1]) - np.log(bars["vwap"][-32:]).mean()) / (sigma * np.sqrt(32))
    assert column(bars, "distance_32")[0][-1] == pytest.approx(distance, rel=1e-4)


def test_no_bars_and_one_bar() -> None:
    """Nothing known is not an error."""
    values, mask = features(empty_fbars(0), DELTA_NS)
    assert values.shape == mask.shape == (0, len(FEATURE_NAMES))
    assert np.isnan(recent_sigma(random_bars(1))[0])
    assert not features(empty_fbars(3), DELTA_NS)[1][:, : FEATURE_NAMES.index("log_delta")].any()


def test_persistence_tells_trending_from_returning_moves() -> None:
    """Alternating moves: an autocorrelation of -1 (times 3), a low variance ratio; equal moves: high ones."""
    for pattern, lag_one, ratio in (((1.0, -1.0), -3.0, -1.0), ((1.0, 1.0), 3.0, 1.0)):
        bars = random_bars(80)
        bars["close"] = 100.0 * np.exp(1e-4 * np.cumsum(np.resize(pattern, 80)))
        values, mask = features(bars, DELTA_NS)
        row = {name: float(values[-1, k]) for k, name in enumerate(FEATURE_NAMES) if mask[-1, k]}
        assert row["autocorrelation"] == pytest.approx(lag_one, abs=0.05)
        assert row.get("variance_ratio", -8.0) * ratio > 1.0


@pytest.mark.parametrize(
    ("market", "name"),
    [
        ("momentum", "momentum"),
        ("mean-reversion", "reversion"),
        ("flow-signal", "taker"),
        ("book-signal", "book"),
    ],
)
def test_a_signal_with_a_record_calls_the_next_move(market: str, name: str) -> None:
    """On a market with that signal the call goes with the drift that comes, and its edge stands out."""
    calls, drifts, edges = [], [], {}
    for where in (market, "gaussian-bars"):
        bars, drift = simulate_with_drift(where, np.random.default_rng(1), 300, 200, 1e-3, DELTA_NS)
        values, mask = features(bars, DELTA_NS)
        edge = values[:, 150, FEATURE_NAMES.index(f"{name}_edge")]
        edges[where] = edge
        if where == market:
            column = FEATURE_NAMES.index(f"{name}_call")
            assert mask[:, 150:, column].all()
            calls, drifts = values[:, 150:-1, column], drift[:, 151:]
    assert np.corrcoef(np.ravel(calls), np.ravel(drifts))[0, 1] > 0.75
    apart = abs(edges[market].mean() - edges["gaussian-bars"].mean())
    assert apart > 0.8 * edges["gaussian-bars"].std()


def test_a_call_by_hand() -> None:
    """Moves that follow the touch imbalance twofold: the record says so, and calls for it again."""
    bars = random_bars(200)
    touch = np.random.default_rng(3).uniform(-1, 1, 200)
    moves = np.concatenate([[0.0], 2e-4 * touch[:-1]])
    bars["touch_imbalance"], bars["close"] = touch, 100.0 * np.exp(np.cumsum(moves))
    sigma = np.sqrt(np.mean(moves[-LONG_SPAN:] ** 2))
    assert column(bars, "book_call")[0][-1] == pytest.approx(5 * 2e-4 * touch[-1] / sigma, rel=1e-5)
    rms = np.sqrt(np.mean(touch[-129:-1] ** 2))
    assert column(bars, "book_edge")[0][-1] == pytest.approx(5 * 2e-4 * rms / sigma, rel=1e-5)


def spoilt(bars: FBarArray, seed: int) -> FBarArray:
    """A fifth of all values replaced by garbage of every kind."""
    rng, out = np.random.default_rng(seed), bars.copy()
    for name in bars.dtype.names or ():
        if name != "start_ns":
            where = rng.random(len(bars)) < 0.2
            out[name][where] = rng.choice(np.array([*GARBAGE, 1e308, -0.0, 5e-324]), where.sum())
    return out


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(8))
def test_the_compiled_features_are_the_definition_in_numpy(seed: int) -> None:
    """Every value, mask and sigma equals the plain NumPy definition, bit for bit; on garbage too."""
    count = int(np.random.default_rng(seed).integers(1, 250))
    for bars in (random_bars(count, seed), spoilt(random_bars(count, seed), seed)):
        values, mask = features(bars, DELTA_NS)
        expected, expected_mask = reference.features(bars, DELTA_NS)
        assert values.tobytes() == expected.tobytes()
        assert np.array_equal(mask, expected_mask)
        assert np.array_equal(recent_sigma(bars), reference.recent_sigma(bars), equal_nan=True)


@pytest.mark.parametrize("newest", [1, 2, 40])
def test_the_newest_rows_alone_are_those_of_all(newest: int) -> None:
    """Asked for a few rows of a window: the last rows of the long series, bit for bit."""
    bars = spoilt(random_bars(200), 3)
    values, mask = features(bars, DELTA_NS)
    few, few_mask = features(bars[-(newest + FEATURE_SPAN) :], DELTA_NS, newest)
    assert np.array_equal(few, values[-newest:])
    assert np.array_equal(few_mask, mask[-newest:])
    two = features(np.stack([bars, bars[::-1]]), DELTA_NS, newest)[0]
    assert np.array_equal(two[0], values[-newest:])
