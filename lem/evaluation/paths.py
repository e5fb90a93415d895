"""Orders on many paths at once: what the model, the optimal rule and TWAP each do with the same bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, FloatArray
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from agent.core.orders.projection import check_rates
from agent.core.types import NS_PER_S
from lem.network.dataset import Encodable, context_rows, encodable, order_columns
from lem.network.encoding import encode
from lem.network.model import LEM
from lem.network.objective import Orders, Rollout, drift_cost, ending, impact_cost, roll

BPS = 1e4
CHUNK = 250  # paths at once: larger spills the caches
IMPACT = 1.0  # Y of the square-root law
IMPACT_PARTICIPATION = 0.05  # where the orders themselves are given none
MAX_ORDERS = 5_000_000
TERMS = ("n", "min_rate", "max_rate", "lot_share", "participation", "risk_aversion", "arrival_weight")
"""Of a question, the same for all its orders."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every path. ``history``: bars a simulated order has seen before it starts;
    ``every``: on real bars an order starts every so many bars, 0 for every ``n``: then none overlaps.
    """

    n: int = 12
    min_periods: tuple[int, ...] = (0, 4, 8, 12)
    orders: int = 20_000
    seed: int = 1
    sigma: float = 1e-4
    history: int = 32
    delta_ns: int = 60 * NS_PER_S
    risk_aversion: float = 1.0
    participation: float = 0.0
    arrival_weight: float = 0.0
    min_rate: float = DEFAULT_MIN_RATE
    max_rate: float = DEFAULT_MAX_RATE
    lot_share: float = 1e-6
    every: int = 0

    def checked(self) -> Question:
        """Return itself. Raises InputError on values that make no sense."""
        if not 1 <= self.n <= 200:
            raise InputError(f"n is {self.n} intervals: give 1 to 200")
        if not 1 <= self.orders <= MAX_ORDERS:
            raise InputError(f"orders is {self.orders}: give 1 to {MAX_ORDERS}")
        if not all(0 <= m <= self.n for m in self.min_periods) or not self.min_periods:
            raise InputError(
                f"min periods are {list(self.min_periods)}: give integers from 0 to n = {self.n}"
            )
        if not 0.0 < self.sigma <= 0.1:
            raise InputError(f"sigma is {self.sigma:g} an interval: give a fraction above 0, up to 0.1")
        if self.every < 0:
            raise InputError(f"an order every {self.every} bars: give 1 or more, or 0 for every n = {self.n}")
        averse = math.isfinite(self.risk_aversion) and self.risk_aversion >= 0.0
        if not 0.0 <= self.participation <= 1.0 or not averse or self.history < 0:
            raise InputError(
                f"participation {self.participation:g}, risk aversion {self.risk_aversion:g},"
                f" history {self.history}: participation is in [0, 1], the others are finite, not negative"
            )
        for m in self.min_periods:
            check_rates(self.n, m, self.min_rate, self.max_rate)
        return self


def default_min_periods(n: int) -> tuple[int, ...]:
    return tuple(sorted({0, n // 3, 2 * n // 3, n}))


@dataclass(frozen=True, slots=True)
class Paths:
    """Windows of bars [N, P + n]; orders start at row P; rows before ``cut`` [N] are unknown.

    ``curve`` [N, n]: the volume expected in each interval, from days before the order; None: a flat one.
    ``drift`` [N, P + n]: each bar's expected move where a simulator tells it; the model is never shown it.
    """

    bars: FBarArray
    cut: npt.NDArray[np.int64]
    start: int
    curve: FloatArray | None = None
    drift: FloatArray | None = None

    def part(self, rows: slice | npt.NDArray[np.int64]) -> Paths:
        curve = None if self.curve is None else self.curve[rows]
        drift = None if self.drift is None else self.drift[rows]
        return Paths(self.bars[rows], self.cut[rows], self.start, curve, drift)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Per order and strategy: gains and cost of impact (bps), when it finished, and a control variate."""

    gain: FloatArray
    impact: FloatArray
    finish: npt.NDArray[np.int64]
    exposure: (
        FloatArray  # side * sum of traded share * price deviation, less what the drift made of it: mean 0
    )
    arrival: FloatArray  # gain against the price before the order

    @staticmethod
    def join(parts: Sequence[Outcome]) -> Outcome:
        columns = ("gain", "impact", "finish", "exposure", "arrival")
        return Outcome(*(np.concatenate([getattr(p, c) for p in parts], axis=-1) for c in columns))


def evaluation_inputs(paths: Paths, delta_ns: int, lookback: int) -> tuple[Encodable, int]:
    """Encoder inputs of at most ``lookback`` bars before the start, and the row orders start at.

    The last bar is left out: no decision sees it.
    """
    first = max(0, paths.start - lookback)
    seen = paths.bars[:, : max(1, paths.bars.shape[1] - 1)]
    return encodable(seen, delta_ns, paths.cut, first), paths.start - first


def make_orders(paths: Paths, question: Question) -> Orders:
    """Orders [N * M] in float64: every path once for each min period, path-major."""
    count, periods = len(paths.bars), len(question.min_periods)
    rows = np.arange(count)
    columns = order_columns(paths.bars, paths.cut, rows, np.full(count, paths.start), question.n)
    price = columns["price"]
    moves = np.diff(np.concatenate([columns["last"], price[:, -1:]], axis=1), axis=1)
    scale = np.where(columns["sigma"][:, 0] > 0, columns["sigma"][:, 0], np.sqrt((moves**2).mean(1)))
    market = {k: torch.from_numpy(v).repeat_interleave(periods, 0) for k, v in columns.items()}
    terms = {
        name: torch.full((count * periods,), float(getattr(question, name)), dtype=torch.float64)
        for name in TERMS
    }
    m = torch.tensor(question.min_periods, dtype=torch.float64).repeat(count)
    drift = np.full(price.shape, math.nan) if paths.drift is None else paths.drift[:, paths.start :]
    market["drift"] = torch.from_numpy(drift).repeat_interleave(periods, 0)
    return Orders(
        **market, **terms, m=m, scale=torch.from_numpy(scale).clamp(min=1e-12).repeat_interleave(periods)
    )


@torch.no_grad()
def contexts_of(model: LEM, paths: Paths, question: Question) -> torch.Tensor:
    """What the model's encoder makes of what is known before each interval of every path, [N, n, d]."""
    inputs, start = evaluation_inputs(paths, question.delta_ns, model.config.lookback)
    encoded = encode(model.encoder, inputs, max(0, start - 1))
    rows = np.arange(len(paths.bars))
    return context_rows(encoded, model.encoder.void, rows, np.full(len(rows), start), question.n)


@torch.no_grad()
def policy_paths(model: LEM, paths: Paths, question: Question) -> tuple[Rollout, Orders]:
    """The model's decisions on every path, as ``Predictor`` would take them one by one."""
    contexts, orders = contexts_of(model, paths, question), make_orders(paths, question)
    return roll(model, contexts.repeat_interleave(len(question.min_periods), 0), orders), orders


def realise(rollout: Rollout, orders: Orders, side: torch.Tensor, participation: float) -> Outcome:
    """Finish where the hazard first passes 1/2; [8, N] each."""
    finish = (rollout.hazard > 0.5).to(torch.int64).argmax(-1, keepdim=True)
    priced = replace(orders, participation=torch.full_like(orders.participation, participation))
    impact = impact_cost(rollout, priced, IMPACT).gather(-1, finish)[..., 0]
    traded = rollout.share * orders.price
    before = traded.cumsum(-1) - traded
    total = (before + ending(orders, rollout.remaining) * orders.price).gather(-1, finish)
    gain = rollout.gain.gather(-1, finish)[..., 0]
    arrival = rollout.arrival_gain.gather(-1, finish)[..., 0]
    exposure = side * total[..., 0] - drift_cost(rollout, orders).gather(-1, finish)[..., 0]
    columns = (BPS * gain, BPS * impact, finish[..., 0], BPS * exposure, BPS * arrival)
    return Outcome(*(c.numpy() for c in columns))
