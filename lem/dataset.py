"""From bars to what the model is trained and judged on: encoder inputs and orders inside each series.

A series is one array of bars; the encoder's view of it starts at a *cut*: rows before it are void (state
reset, attention masked), so cuts at random give every history from 0 to ``lookback`` bars. An order that
starts at row k sees, before its interval t, the context of row k + t - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.core.bars import FBarArray, FloatArray
from agent.core.features import FEATURE_GROUPS, FEATURE_NAMES, LONG_SPAN, features, recent_sigma
from agent.core.types import NS_PER_S
from lem.config import ModelConfig, TrainConfig
from lem.model import FORECASTS, LEM
from lem.objective import Orders, loss, roll
from lem.simulate import DRIFTLESS, MARKETS, MARTINGALES, simulate

IntArray = npt.NDArray[np.int64]
MIXTURE = {
    "gaussian": 0.2,
    "gaussian-bars": 0.2,
    "gaussian-volume": 0.1,
    "gaussian-bars-volume": 0.1,
}  # the rest shares what is left
INTERVALS_S = (1, 5, 15, 45, 60, 300, 900, 3_600, 14_400, 86_400)


@dataclass(frozen=True, slots=True)
class Encodable:
    """Encoder inputs: values, mask [B,T,F], valid [B,T]."""

    values: Tensor
    mask: Tensor
    valid: Tensor


def encodable(bars: FBarArray, delta_ns: int, cut: IntArray) -> Encodable:
    """Features of bars [B,T], void before row ``cut`` [B]; features use no bar before the cut either."""
    rows = np.arange(bars.shape[-1])
    valid = rows >= cut[:, None]
    known = bars.copy()
    for name in bars.dtype.names or ():
        if name != "start_ns":
            known[name] = np.where(valid, bars[name], np.nan)
    values, mask = features(known, delta_ns)
    return Encodable(
        torch.from_numpy(values), torch.from_numpy(mask & valid[..., None]), torch.from_numpy(valid)
    )


def order_columns(
    bars: FBarArray, known_from: IntArray, series: IntArray, start: IntArray, length: int
) -> dict[str, FloatArray]:
    """Market columns of orders that start at row ``start`` of ``series``, [N, length] each.

    ``price`` and ``last`` are deviations from the last close before the order (or its first price);
    ``sigma`` is what bars from ``known_from`` [B] on say before each interval, 0 where nothing;
    volumes are in units of the mean of up to LONG_SPAN bars before, so ``usual_volume`` [N] is 1.
    """
    rows = start[:, None] + np.arange(length)
    ahead = series[:, None]
    seen = np.arange(bars.shape[-1]) >= known_from[:, None]
    masked = bars.copy()
    masked["close"] = np.where(seen, bars["close"], np.nan)
    sigma = np.nan_to_num(recent_sigma(masked))
    price, volume, close = bars["vwap"][ahead, rows], bars["volume"][ahead, rows], bars["close"]
    has_past = start > known_from[series]
    last = np.where(rows > 0, close[ahead, np.maximum(rows - 1, 0)], price)
    last[:, 0] = np.where(has_past, last[:, 0], price[:, 0])
    reference = last[:, :1]
    before = np.where(rows > 0, sigma[ahead, np.maximum(rows - 1, 0)], 0.0)
    past = np.maximum(start[:, None] - 1 - np.arange(LONG_SPAN), 0)
    inside = start[:, None] - 1 - np.arange(LONG_SPAN) >= known_from[series][:, None]
    history = np.where(inside, bars["volume"][ahead, past], 0.0).sum(1) / np.maximum(inside.sum(1), 1)
    usual = np.where(inside.any(1), history, volume[:, 0])  # without history the first interval's, once seen
    usual = np.where(usual > 0, usual, 1.0)
    return {
        "price": price / reference - 1.0,
        "last": last / reference - 1.0,
        "volume": volume / usual[:, None],
        "sigma": before,
        "usual_volume": np.ones(len(start)),
    }


def context_rows(contexts: Tensor, void: Tensor, series: IntArray, start: IntArray, length: int) -> Tensor:
    """Contexts known before each interval, [N, length, d], from contexts [B,T,d]."""
    rows = start[:, None] - 1 + np.arange(length)
    padded = torch.cat([void.expand(len(contexts), 1, -1), contexts], dim=1)
    return padded[torch.from_numpy(series)[:, None], torch.from_numpy(rows + 1)]


# --- training batches -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    inputs: Encodable
    series: IntArray
    start: IntArray
    orders: Orders

    def loss(self, model: LEM, train: TrainConfig) -> Tensor:
        """The orders' mean cost, plus the error of the forecasts that contexts must allow."""
        encoded = self.encoded(model)
        contexts = self.contexts(model, encoded)
        cost = loss(roll(model, contexts, self.orders), self.orders, train.impact)
        return cost + train.forecast_weight * self.forecast_error(model, encoded)

    def encoded(self, model: LEM) -> Tensor:
        """A context for every bar, [B, T, d]."""
        contexts: Tensor = model.encoder(self.inputs.values, self.inputs.mask, self.inputs.valid)[0]
        return contexts

    def contexts(self, model: LEM, encoded: Tensor) -> Tensor:
        """What each order knows before each interval, [N, L, d], of contexts [B, T, d]."""
        length = self.orders.price.shape[1]
        return context_rows(encoded, model.encoder.void, self.series, self.start, length)

    def forecast_error(self, model: LEM, encoded: Tensor) -> Tensor:
        """Mean squared error of ``FORECASTS`` over the bars where both ends are known."""
        guess = model.forecast(encoded)
        total = encoded.new_zeros(())
        for k, (name, ahead, weight) in enumerate(FORECASTS):
            column = FEATURE_NAMES.index(name)
            known = self.inputs.mask[:, ahead:, column] & self.inputs.valid[:, :-ahead]
            error = (guess[:, :-ahead, k] - self.inputs.values[:, ahead:, column]).square()
            total = total + weight * (error * known).sum() / known.sum().clamp(min=1)
        return total / len(FORECASTS)


def simulated_batch(rng: np.random.Generator, model: ModelConfig, train: TrainConfig) -> Batch:
    """Draw one market and interval, series with random volatility and history, orders with random terms."""
    names = list(MARTINGALES if train.martingales_only else MARKETS)
    delta_ns = int(rng.choice(INTERVALS_S)) * NS_PER_S
    length = min(train.n_max, int(rng.choice([8, 12, 16, 24, 32], p=[0.15, 0.3, 0.25, 0.15, 0.15])))
    total = model.lookback + length
    sigma = 10.0 ** rng.uniform(-5.0, -1.8, train.series)
    parts = rng.multinomial(train.series, _weights(names))
    edges = np.concatenate([[0], np.cumsum(parts)])
    bars = np.concatenate(
        [
            simulate(name, rng, int(parts[k]), total, sigma[edges[k] : edges[k + 1]], delta_ns)
            for k, name in enumerate(names)
            if parts[k]
        ]
    )
    fair = np.repeat([name in DRIFTLESS for name in names], parts).astype(np.float64)
    cut = np.where(rng.random(train.series) < 0.3, 0, rng.integers(0, model.lookback + 1, train.series))
    inputs = encodable(bars, delta_ns, cut)
    _drop_sources(rng, inputs)
    series = np.repeat(np.arange(train.series), train.starts)
    start = rng.integers(cut[series], model.lookback + 1)
    start[:: train.starts] = cut  # one order a series starts with no history at all
    columns = order_columns(bars, cut, series, start, length)
    closes = np.log(bars["close"])
    scale = np.sqrt(np.mean(np.diff(closes, axis=1) ** 2, axis=1))[series]
    terms = random_terms(rng, len(series), length, train.n_min) | {"martingale": fair[series]}
    tensors = {k: torch.from_numpy(np.asarray(v, np.float64)).float() for k, v in (columns | terms).items()}
    return Batch(inputs, series, start, Orders(scale=torch.from_numpy(scale).float(), **tensors))


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


def random_terms(rng: np.random.Generator, count: int, n_max: int, n_min: int) -> dict[str, FloatArray]:
    """Terms of ``count`` orders as [N] columns: durations, rates, lot, participation, risk aversion."""
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
    arrival = np.where(kind < 0.7, 0.0, np.where(kind < 0.9, 1.0, rng.random(count)))
    return {
        "n": n.astype(np.float64),
        "m": m.astype(np.float64),
        "min_rate": min_rate,
        "max_rate": max_rate,
        "lot_share": np.where(rng.random(count) < 0.5, 1e-4, 0.02 * rng.random(count)),
        "participation": np.where(rng.random(count) < 0.35, 0.0, 0.2 * rng.random(count)),
        "risk_aversion": 10.0 ** rng.uniform(-2.0, 1.0, count),
        "arrival_weight": arrival,
    }
