"""Orders on many paths at once: what each strategy makes of the same bars.

Every path works one order for each min period and each scenario (side, target, benchmark).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from agent.core.arrays import FloatArray, IntArray
from agent.core.market.bars import FBarArray
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.network.dataset import Encodable, context_rows, encodable, order_columns
from lem.network.encoding import encode
from lem.network.model import LEM
from lem.network.objective import Orders, Rollout, drift_cost, ending, impact_cost, roll

BPS = 1e4
CHUNK = 250  # paths at once: more would spill out of the processor's caches
IMPACT_STRENGTH = 1.0  # Y of the square-root law
IMPACT_PARTICIPATION = 0.05  # of orders whose spec gives none
TERMS = ("n", "min_rate", "max_rate", "lot_share", "participation", "risk_aversion", "arrival_weight")
"""Fields of a spec that are the same for all its orders."""
OnProgress = Callable[[int, int], None]
"""Called with (orders done, orders in total)."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Windows of bars [N, P + n]; orders start at row P = ``start``; rows before ``known_from`` [N] are void.

    ``curve`` [N, n]: the volume expected in each interval, from days before the order; None: a flat one.
    ``drift`` [N, P + n]: each bar's expected move, where a simulator gives it. The model never sees it.
    """

    bars: FBarArray
    known_from: IntArray
    start: int
    curve: FloatArray | None = None
    drift: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.bars)

    def subset(self, rows: slice | IntArray) -> Paths:
        """Some of the paths."""
        curve = None if self.curve is None else self.curve[rows]
        drift = None if self.drift is None else self.drift[rows]
        return Paths(self.bars[rows], self.known_from[rows], self.start, curve, drift)


class PathSource(Protocol):
    """Paths that are given some at a time."""

    def __len__(self) -> int: ...

    def subset(self, rows: slice) -> Paths: ...


def chunks(paths: PathSource) -> Iterator[Paths]:
    """All paths, CHUNK at a time."""
    return (paths.subset(slice(first, first + CHUNK)) for first in range(0, len(paths), CHUNK))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one strategy's orders came to, [8, N * M] each; all but ``finish`` in bps.

    ``gain``: against the benchmark over the window used; ``impact``: its cost; ``finish``: the interval;
    ``exposure``: side times the sum of traded share times price deviation, less what the drift made of it,
    a control variate of mean 0; ``arrival``: gain against the price before the order.
    """

    gain: FloatArray
    impact: FloatArray
    finish: IntArray
    exposure: FloatArray
    arrival: FloatArray

    @staticmethod
    def join(parts: Sequence[Outcome]) -> Outcome:
        """Outcomes of several chunks of paths, one after another."""
        columns = ("gain", "impact", "finish", "exposure", "arrival")
        return Outcome(*(np.concatenate([getattr(p, c) for p in parts], axis=-1) for c in columns))


def evaluation_inputs(paths: Paths, delta_ns: int, lookback: int) -> tuple[Encodable, int]:
    """Encoder inputs of at most ``lookback`` bars before the start, and the row orders start at.

    The last bar is left out: no decision sees it.
    """
    first = max(0, paths.start - lookback)
    seen = paths.bars[:, : max(1, paths.bars.shape[1] - 1)]
    return encodable(seen, delta_ns, paths.known_from, first), paths.start - first


def make_orders(paths: Paths, spec: EvaluationSpec) -> Orders:
    """Orders [N * M] in float64: every path once for each min period, path-major."""
    count, periods = len(paths.bars), len(spec.min_periods)
    rows = np.arange(count)
    columns = order_columns(paths.bars, paths.known_from, rows, np.full(count, paths.start), spec.n)
    price = columns["price"]
    moves = np.diff(np.concatenate([columns["last"], price[:, -1:]], axis=1), axis=1)
    scale = np.where(columns["sigma"][:, 0] > 0, columns["sigma"][:, 0], np.sqrt((moves**2).mean(1)))
    market = {k: torch.from_numpy(v).repeat_interleave(periods, 0) for k, v in columns.items()}
    terms = {
        name: torch.full((count * periods,), float(getattr(spec, name)), dtype=torch.float64)
        for name in TERMS
    }
    m = torch.tensor(spec.min_periods, dtype=torch.float64).repeat(count)
    drift = np.full(price.shape, math.nan) if paths.drift is None else paths.drift[:, paths.start :]
    market["drift"] = torch.from_numpy(drift).repeat_interleave(periods, 0)
    return Orders(
        **market, **terms, m=m, scale=torch.from_numpy(scale).clamp(min=1e-12).repeat_interleave(periods)
    )


@torch.no_grad()
def path_contexts(model: LEM, paths: Paths, spec: EvaluationSpec) -> torch.Tensor:
    """The encoder's contexts of what is known before each interval of every path, [N, n, d]."""
    inputs, start = evaluation_inputs(paths, spec.delta_ns, model.config.lookback)
    encoded = encode(model.encoder, inputs, max(0, start - 1))
    rows = np.arange(len(paths.bars))
    return context_rows(encoded, model.encoder.void, rows, np.full(len(rows), start), spec.n)


@torch.no_grad()
def policy_paths(model: LEM, paths: Paths, spec: EvaluationSpec) -> tuple[Rollout, Orders]:
    """The model's decisions on every path, as ``Predictor`` would take them one by one."""
    contexts, orders = path_contexts(model, paths, spec), make_orders(paths, spec)
    return roll(model, contexts.repeat_interleave(len(spec.min_periods), 0), orders), orders


def realise(rollout: Rollout, orders: Orders, side: torch.Tensor, participation: float) -> Outcome:
    """The outcome of finishing where the hazard first passes 1/2, with impact at ``participation``."""
    finish = (rollout.hazard > 0.5).to(torch.int64).argmax(-1, keepdim=True)
    charged = replace(orders, participation=torch.full_like(orders.participation, participation))
    impact = impact_cost(rollout, charged, IMPACT_STRENGTH).gather(-1, finish)[..., 0]
    traded = rollout.share * orders.price
    before = traded.cumsum(-1) - traded
    total = (before + ending(orders, rollout.remaining) * orders.price).gather(-1, finish)
    gain = rollout.gain.gather(-1, finish)[..., 0]
    arrival = rollout.arrival_gain.gather(-1, finish)[..., 0]
    exposure = side * total[..., 0] - drift_cost(rollout, orders).gather(-1, finish)[..., 0]
    columns = (BPS * gain, BPS * impact, finish[..., 0], BPS * exposure, BPS * arrival)
    return Outcome(*(c.numpy() for c in columns))
