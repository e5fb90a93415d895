"""Training batches: simulated and real bars, orders with random terms, and targets of the forecasts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.market.bars import FBarArray
from agent.core.market.feature_names import FEATURE_GROUPS, FEATURE_NAMES
from agent.core.market.features import FEATURE_SPAN
from agent.core.types import NS_PER_S
from lem.bars.real_bars import BarSource
from lem.bars.simulate import MARKETS, MARTINGALES, simulate_with_drift
from lem.network.dataset import Encodable, context_rows, encodable, order_columns
from lem.network.model import FORECASTS, LEM
from lem.network.model_config import ModelConfig, TrainConfig
from lem.network.objective import Orders, loss, roll

MIXTURE = {
    "gaussian": 0.12,
    "gaussian-bars": 0.13,
    "gaussian-volume": 0.07,
    "gaussian-bars-volume": 0.08,
    "stochastic-vol": 0.12,  # as real bars are
    "seasonal": 0.1,
    "momentum": 0.1,  # this and the next have to be told from a martingale first
    "mean-reversion": 0.1,
}  # the other markets share the rest equally
TINY = 1e-9  # volatility an interval
ARRIVAL_SHARE = {True: 0.75, False: 0.12}
"""Share of the orders with an arrival weight, by whether the market can be predicted. Where it cannot, no
schedule gains or loses against arrival. And orders with a benchmark, which lose by following a false signal,
should not learn to expect signals too easily."""
REALISED = 0.1  # weight of a forecast's error where the target is a realised move
INTERVALS_S = (1, 5, 15, 45, 60, 300, 900, 3_600, 14_400, 86_400)


@dataclass(frozen=True, slots=True)
class Batch:
    """Series to encode, N orders inside them, and targets of the forecasts.

    ``series``, ``start`` [N]: where each order begins; ``ahead`` [B, T, len(FORECASTS)]: targets, NaN where
    unknown; ``sure`` [B, 1, 1]: weight of a series' targets, low where they are realised moves, nearly all
    noise.
    """

    inputs: Encodable
    series: IntArray
    start: IntArray
    orders: Orders
    ahead: Tensor
    sure: Tensor

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            inputs=self.inputs.to(device),
            orders=self.orders.to(device),
            ahead=self.ahead.to(device),
            sure=self.sure.to(device),
        )

    def loss(self, model: LEM, train: TrainConfig) -> Tensor:
        """The orders' mean cost, plus the weighted error of the forecasts."""
        encoded = self.encoded(model)
        return self._cost(model, encoded, train) + train.forecast_weight * self.forecast_error(model, encoded)

    def cost(self, model: LEM, train: TrainConfig) -> Tensor:
        """The orders' mean cost alone, for validation: errors of forecasts are mostly noise."""
        return self._cost(model, self.encoded(model), train)

    def _cost(self, model: LEM, encoded: Tensor, train: TrainConfig) -> Tensor:
        return loss(roll(model, self.contexts(model, encoded), self.orders), self.orders, train.impact)

    def encoded(self, model: LEM) -> Tensor:
        """A context for every bar, [B, T, d]."""
        contexts: Tensor = model.encoder(self.inputs.values, self.inputs.mask, self.inputs.valid)[0]
        return contexts

    def contexts(self, model: LEM, encoded: Tensor) -> Tensor:
        """What each order knows before each interval, [N, L, d], of contexts [B, T, d]."""
        length = self.orders.price.shape[1]
        return context_rows(encoded, model.encoder.void, self.series, self.start, length)

    def forecast_error(self, model: LEM, encoded: Tensor) -> Tensor:
        """Weighted mean squared error of ``FORECASTS`` over the bars where they are known."""
        known = (torch.isfinite(self.ahead) & self.inputs.valid.unsqueeze(-1)) * self.sure
        error = (model.forecast(encoded) - torch.nan_to_num(self.ahead)).square() * known
        each = error.sum((0, 1)) / known.sum((0, 1)).clamp(min=1.0)
        weights = each.new_tensor([weight for _, _, weight in FORECASTS])
        total: Tensor = (weights * each).mean()
        return total


def forecast_targets(inputs: Encodable, drift: FloatArray, scale: FloatArray) -> Tensor:
    """Targets of ``FORECASTS`` at each bar, [B, T, K]; NaN where unknown.

    Where ``drift`` [B, T] is known, the target of a move is without noise: the drift's sum over the bars
    ahead, in units of ``scale`` [B] (volatility an interval) and the root of the horizon, as features are.
    """
    batch, steps, _ = inputs.values.shape
    out = np.full((batch, steps, len(FORECASTS)), np.nan, np.float32)
    values = np.where(inputs.mask.numpy(), inputs.values.numpy(), np.nan)
    total = np.cumsum(drift, axis=1) / scale[:, None]
    for k, (name, ahead, _) in enumerate(FORECASTS):
        seen = values[:, ahead:, FEATURE_NAMES.index(name)]
        meant = (total[:, ahead:] - total[:, :-ahead]) / np.sqrt(ahead)
        out[:, :-ahead, k] = seen if name == "volume" else np.where(np.isfinite(meant), meant, seen)
    return torch.from_numpy(out)


def draw_length(rng: np.random.Generator, train: TrainConfig) -> int:
    """Intervals of the longest order in a batch."""
    return min(train.n_max, int(rng.choice([8, 12, 16, 24, 32], p=[0.15, 0.3, 0.25, 0.15, 0.15])))


def draw_batch(
    rng: np.random.Generator,
    model: ModelConfig,
    train: TrainConfig,
    real: BarSource | None = None,
    length: int | None = None,
) -> Batch:
    """Draw one interval, series with random volatility and history, orders with random terms.

    A share of ``train.bars_share`` of the series comes from ``real``, the rest from the simulators.
    ``length``: intervals of the longest order; None draws it too.
    """
    length = draw_length(rng, train) if length is None else length
    past = model.bars_needed
    bars, drift, delta_ns = _draw_bars(rng, train, real, past + length)
    first = _first_rows(rng, train.series, past)
    inputs = encodable(bars, delta_ns, first, FEATURE_SPAN)
    _drop_sources(rng, inputs)
    series = np.repeat(np.arange(train.series), train.starts)
    earliest = np.maximum(first, FEATURE_SPAN)
    start = rng.integers(earliest[series], past + 1)
    start[:: train.starts] = earliest  # one order of each series has as little history as possible
    columns = order_columns(bars, first, series, start, length)
    scale = np.sqrt(np.mean(np.diff(np.log(bars["close"]), axis=1) ** 2, axis=1))
    scale = np.maximum(scale, TINY)  # where prices do not move
    columns["drift"] = drift[series[:, None], start[:, None] + np.arange(length)]
    predictable = np.nan_to_num(np.abs(drift)).max(axis=1) > 0.0  # real bars count as not predictable
    terms = random_terms(rng, predictable[series], length, train.n_min) | {"scale": scale[series]}
    tensors = {k: torch.from_numpy(np.asarray(v, np.float64)).float() for k, v in (columns | terms).items()}
    sure = np.where(np.isfinite(drift[:, :1, None]), 1.0, REALISED)
    ahead = forecast_targets(inputs, drift[:, FEATURE_SPAN:], scale)
    orders = Orders(**tensors)
    return Batch(inputs, series, start - FEATURE_SPAN, orders, ahead, torch.from_numpy(sure).float())


def bars_needed(model: ModelConfig, train: TrainConfig) -> int:
    """The longest window a batch draws."""
    return model.bars_needed + train.n_max


def _first_rows(rng: np.random.Generator, count: int, past: int) -> IntArray:
    """The first known row of each series: 0, or anywhere in the encoder's window."""
    whole = rng.random(count) < 0.4
    return np.where(whole, 0, rng.integers(FEATURE_SPAN, past + 1, count))


def _draw_bars(
    rng: np.random.Generator, train: TrainConfig, real: BarSource | None, length: int
) -> tuple[FBarArray, FloatArray, int]:
    """(bars [series, length], their drift, NaN where bars are real, the interval)."""
    count = 0 if real is None else int(rng.binomial(train.series, train.bars_share))
    if real is None or not count:
        delta_ns = int(rng.choice(INTERVALS_S)) * NS_PER_S
        return *_simulated(rng, train, train.series, length, delta_ns), delta_ns
    bars, delta_ns = real.draw(rng, count, length)
    drift = np.full(bars.shape, np.nan)
    if count < train.series:
        others = _simulated(rng, train, train.series - count, length, delta_ns)
        bars, drift = np.concatenate([bars, others[0]]), np.concatenate([drift, others[1]])
    return bars, drift, delta_ns


def _simulated(
    rng: np.random.Generator, train: TrainConfig, count: int, length: int, delta_ns: int
) -> tuple[FBarArray, FloatArray]:
    """Bars and drift [count, length] of a mixture of markets."""
    names = list(MARTINGALES if train.martingales_only else MARKETS)
    sigma = 10.0 ** rng.uniform(-5.0, -1.8, count)
    counts = rng.multinomial(count, _weights(names))
    edges = np.concatenate([[0], np.cumsum(counts)])
    drawn = [
        simulate_with_drift(name, rng, int(counts[k]), length, sigma[edges[k] : edges[k + 1]], delta_ns)
        for k, name in enumerate(names)
        if counts[k]
    ]
    bars, drift = zip(*drawn, strict=True)
    return np.concatenate(bars), np.concatenate(drift)


def _weights(names: list[str]) -> FloatArray:
    """Probability of each market."""
    others = [name for name in names if name not in MIXTURE]
    rest = (1.0 - sum(MIXTURE.values())) / max(1, len(others))
    weights = np.array([MIXTURE.get(name, rest) for name in names])
    total: FloatArray = weights / weights.sum()
    return total


def _drop_sources(rng: np.random.Generator, inputs: Encodable) -> None:
    """Make whole sources absent in some series, and the book absent in some rows, in place."""
    mask = inputs.mask.numpy()
    values = inputs.values.numpy()
    count, steps, _ = mask.shape
    for group, names in FEATURE_GROUPS.items():
        columns = [FEATURE_NAMES.index(name) for name in names]
        gone = np.broadcast_to(rng.random((count, 1)) < (0.3 if group == "book" else 0.2), (count, steps))
        if group == "book":  # a book is often seen for the latest bars only
            first = np.where(rng.random((count, 1)) < 0.5, 0, rng.integers(0, steps, (count, 1)))
            gone = gone | (np.arange(steps) < first)
        for column in columns:
            mask[..., column] &= ~gone
    values[~mask] = 0.0


def random_terms(
    rng: np.random.Generator, predictable: BoolArray, n_max: int, n_min: int
) -> dict[str, FloatArray]:
    """Terms of orders as [N] columns: durations, rates, lot, participation, risk aversion, arrival weight.

    ``predictable`` [N]: whether each order's market is.
    """
    count = len(predictable)
    n = rng.integers(min(n_min, n_max), n_max + 1, count)
    n = np.where(rng.random(count) < 0.25, n_max, n)
    m = np.floor(rng.random(count) * (n + 1))
    kind = rng.random(count)
    m = np.where(kind < 0.25, 0, np.where(kind > 0.92, n, m))
    slowest = np.minimum(1.0, 1.1 / n + 0.03)
    limited = rng.random(count) < 0.35
    max_rate = np.where(limited, slowest + (1.0 - slowest) * rng.random(count) ** 2, 1.0)
    min_rate = np.where(rng.random(count) < 0.2, rng.random(count) * 0.8 / n, 0.0)
    kind = rng.random(count)
    share = np.where(predictable, ARRIVAL_SHARE[True], ARRIVAL_SHARE[False])
    arrival = np.where(kind >= share, 0.0, np.where(kind < 0.7 * share, 1.0, rng.random(count)))
    return {
        "n": n.astype(np.float64),
        "m": m.astype(np.float64),
        "min_rate": min_rate,
        "max_rate": max_rate,
        "lot_share": np.where(rng.random(count) < 0.5, 1e-4, 0.02 * rng.random(count)),
        "participation": np.where(rng.random(count) < 0.35, 0.0, 0.2 * rng.random(count)),
        "risk_aversion": 10.0 ** rng.uniform(-2.0, 1.2, count),
        "arrival_weight": arrival,
    }
