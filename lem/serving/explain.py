"""Why a decision was what it was: where the model looked, its forecasts, and what would have changed it.

Three views of one decision, all computed from the model itself:

* selection weights of the variables (at the newest bar, and their mean over the window), and attention over
  past bars;
* forecasts made from the context (trained beside the policy): the next moves and the next volume;
* **flips**: for the order's terms and state, and for each market feature of the newest bar, the nearest value
  at which the decision would change between "go on" and "finish"; else how far the share moves.

Weights say where the model looks, not what is true; flips are exact statements about the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agent.core.events import history_clause
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.market.features import LIMIT, features
from agent.core.types import MarketView, OrderView
from lem.network.dataset import Encodable
from lem.network.model import FORECASTS, LEM, Z_LIMIT
from lem.network.model_config import SCENARIOS
from lem.serving.decision_inputs import (
    history_words,
    normalised_prices,
    order_progress,
    order_terms,
    since_gap,
)

STEPS = 161  # of a scan for a flip
FEATURE_STEPS = 17
DIGITS = 6  # of a selection weight by age
REFINE = 24  # bisections of the interval that holds the flip


@dataclass(frozen=True, slots=True)
class Feature:
    """A variable at the newest bar; ``weight``: its selection weight there, ``mean_weight`` in the window.

    ``weights``: its weight at each bar of the window by age, 0 the newest, to six digits.
    """

    name: str
    value: float | None
    weight: float
    mean_weight: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Flip:
    """The effect of one input alone. ``flips_at``: the nearest value that changes the decision, or None.

    Searched from ``low`` to ``high``; ``shares``: the smallest and largest share of the order traded there.
    """

    name: str
    value: float
    low: float
    high: float
    flips_at: float | None
    shares: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision. Shares are of the whole order; attention and closes are by age in bars, 0 the newest.

    ``history``: how many bars it rests on, in words.
    """

    history: str
    share: float
    finish_probability: float
    may_finish: bool
    features: tuple[Feature, ...]
    attention: tuple[float, ...]
    closes: tuple[float | None, ...]
    forecasts: dict[str, float]
    flips: tuple[Flip, ...]

    def to_json(self) -> dict[str, object]:
        """Every field by name, as ``lem explain --json`` prints them."""
        return asdict(self)


@torch.no_grad()
def explain(model: LEM, order: OrderView, market: MarketView) -> Explanation:
    """Explain what ``model`` decides for ``order`` seeing ``market``. Raises ValueError without bars."""
    if not len(market.bars):
        raise ValueError("no bars: nothing to explain")
    first = since_gap(market.bars, market.delta_ns)
    market = replace(market, bars=market.bars[first:])  # as decisions do
    window = _window(model, order, market)
    context, weights, attention = _encode(model, window)
    fraction, chance = _outputs(model, context, order, market)
    closes = market.bars["close"][::-1][: len(attention)]
    may = order.t + 1 >= order.m and order.remaining <= order.max_rate
    bars = window.values.shape[1]
    seen = min(len(market.bars), model.config.bars_needed + max(0, order.t))
    return Explanation(
        history=history_words(bars, first > 0) + history_clause(bars, seen),
        share=float(fraction[0]) * order.remaining,
        finish_probability=float(chance[0]),
        may_finish=may,
        features=_features(window, weights[0]),
        attention=tuple(float(x) for x in attention),
        closes=tuple(float(x) if math.isfinite(x) else None for x in closes),
        forecasts=_forecasts(model, context),
        flips=(*_order_flips(model, context, order, market), *_feature_flips(model, window, order, market)),
    )


def _features(window: Encodable, weights: Tensor) -> tuple[Feature, ...]:
    """Every variable with its selection ``weights`` [T, F], the most weighty at the newest bar first."""
    known, values = window.mask[0, -1].tolist(), window.values[0, -1].tolist()
    now, mean = weights[-1].tolist(), weights.mean(0).tolist()
    past = weights.flip(0).double().numpy().round(DIGITS).T.tolist()
    listed = [
        Feature(name, values[k] if known[k] else None, now[k], mean[k], tuple(past[k]))
        for k, name in enumerate(FEATURE_NAMES)
    ]
    return tuple(sorted(listed, key=lambda f: -f.weight))


def _window(model: LEM, order: OrderView, market: MarketView) -> Encodable:
    """Encoder inputs of one decision, [1, T, F] and [1, T]."""
    bars = market.bars[-(model.config.bars_needed + max(0, order.t)) :]
    values, mask = features(bars, market.delta_ns)
    keep = slice(-(model.config.lookback + max(0, order.t)), None)
    known = torch.from_numpy(mask[keep]).unsqueeze(0)
    return Encodable(torch.from_numpy(values[keep]).unsqueeze(0), known, torch.ones(known.shape[:2]).bool())


def _encode(model: LEM, window: Encodable) -> tuple[Tensor, Tensor, Tensor]:
    """(context [1,d] of the newest bar, selection weights [1,T,F], attention by age [T])."""
    encoder = model.encoder
    chosen, weights = encoder.select(window.values, window.mask)
    recurrent = encoder.tkan(chosen, window.valid)
    context = encoder.finish(chosen, recurrent, window.valid)[:, -1]
    attention = torch.zeros(window.values.shape[1])
    if encoder.attends:
        x = encoder.grn(encoder.tkan_add(recurrent, chosen))
        attention = encoder.attention.weights(x, window.valid)[0][0, :, -1].mean(0).flip(0)
    return context, weights, attention


def _forecasts(model: LEM, context: Tensor) -> dict[str, float]:
    guess = model.forecast(context)[0]
    return {f"{name}_{ahead}_ahead": float(guess[k]) for k, (name, ahead, _) in enumerate(FORECASTS)}


def _outputs(model: LEM, contexts: Tensor, order: OrderView, market: MarketView) -> tuple[Tensor, Tensor]:
    """(fraction of the remainder, chance of finishing) for each context [N, d]."""
    last_z, achieved_z, known = normalised_prices(order, market)
    return _policy(model, contexts, order, market, last_z, achieved_z, known)


def _policy(
    model: LEM,
    contexts: Tensor,
    order: OrderView,
    market: MarketView,
    last_z: float,
    achieved_z: float,
    known: bool,
) -> tuple[Tensor, Tensor]:
    terms = order_terms(order, market, last_z, known)
    own = order_progress(order, achieved_z).inputs(terms.t, terms.n, terms.max_rate)
    count = len(contexts)
    given = terms.inputs().expand(-1, count, -1)
    fraction, chance = model.policy(contexts, given, own.expand(-1, count, -1), terms.n - terms.t)
    row = SCENARIOS.index((order.side, order.target_kind, order.benchmark))
    return fraction[row], chance[row]


def _order_flips(model: LEM, context: Tensor, order: OrderView, market: MarketView) -> Iterable[Flip]:
    """Scan the order's own inputs, one at a time."""
    last_z, achieved_z, known = normalised_prices(order, market)

    def of_price(z: float) -> tuple[float, float]:
        fraction, chance = _policy(model, context, order, market, z, achieved_z, known)
        return float(fraction[0]) * order.remaining, float(chance[0])

    def of(change: Callable[[float], OrderView]) -> Callable[[float], tuple[float, float]]:
        def answer(x: float) -> tuple[float, float]:
            other = change(x)
            fraction, chance = _policy(model, context, other, market, last_z, achieved_z, known)
            return float(fraction[0]) * other.remaining, float(chance[0])

        return answer

    if known and order.t > 0:
        yield _scan("last price against the benchmark, sigmas", last_z, -Z_LIMIT, Z_LIMIT, of_price)
    averse = of(lambda x: replace(order, risk_aversion=x))
    larger = of(lambda x: replace(order, expected_participation=x))
    further = of(lambda x: replace(order, remaining=x))
    yield _scan("risk aversion", order.risk_aversion, 0.01, 10.0, averse)
    yield _scan("expected participation", order.expected_participation, 0.0, 0.5, larger)
    yield _scan("remaining share", order.remaining, order.least_share, 1.0, further)


def _scan(
    name: str, value: float, low: float, high: float, answer: Callable[[float], tuple[float, float]]
) -> Flip:
    """Evaluate over [low, high] and refine the flip that is nearest to ``value``."""
    low, high = min(low, value), max(high, value)
    grid = np.unique(np.append(np.linspace(low, high, STEPS), value))
    answers = [answer(float(x)) for x in grid]
    finishing = np.array([chance > 0.5 for _, chance in answers])
    shares = [share for share, _ in answers]
    edges = np.flatnonzero(finishing[1:] != finishing[:-1])
    flip: float | None = None
    if len(edges):
        nearest = edges[np.argmin(np.abs(0.5 * (grid[edges] + grid[edges + 1]) - value))]
        a, b = float(grid[nearest]), float(grid[nearest + 1])
        for _ in range(REFINE):
            middle = 0.5 * (a + b)
            a, b = (middle, b) if (answer(middle)[1] > 0.5) == finishing[nearest] else (a, middle)
        flip = 0.5 * (a + b)
    return Flip(name, value, low, high, flip, (min(shares), max(shares)))


def _feature_flips(model: LEM, window: Encodable, order: OrderView, market: MarketView) -> Iterable[Flip]:
    """Scan every known feature of the newest bar over its whole range; all scans in one batch."""
    known = [k for k in range(len(FEATURE_NAMES)) if bool(window.mask[0, -1, k])]
    grid = torch.linspace(-LIMIT, LIMIT, FEATURE_STEPS)
    count = len(known) * FEATURE_STEPS
    if not count:
        return
    values = window.values[:, -1:].expand(count, -1, -1).clone()  # only the newest bar differs
    for i, k in enumerate(known):
        values[i * FEATURE_STEPS : (i + 1) * FEATURE_STEPS, 0, k] = grid
    contexts = _newest_contexts(model, window, values)
    fraction, chance = _outputs(model, contexts, order, market)
    present = float(_outputs(model, _encode(model, window)[0], order, market)[1][0]) > 0.5
    for i, k in enumerate(known):
        rows = slice(i * FEATURE_STEPS, (i + 1) * FEATURE_STEPS)
        shares = fraction[rows] * order.remaining
        value = float(window.values[0, -1, k])
        changed = grid[(chance[rows] > 0.5) != present]
        flip = float(changed[(changed - value).abs().argmin()]) if len(changed) else math.nan
        yield Flip(
            FEATURE_NAMES[k],
            value,
            -LIMIT,
            LIMIT,
            None if math.isnan(flip) else flip,
            (float(shares.min()), float(shares.max())),
        )


def _newest_contexts(model: LEM, window: Encodable, newest: Tensor) -> Tensor:
    """Contexts [N, d] of a window whose newest bar is each of ``newest`` [N, 1, F]."""
    encoder, count = model.encoder, len(newest)
    before, _ = encoder.select(window.values[:, :-1], window.mask[:, :-1])
    last, _ = encoder.select(newest, window.mask[:, -1:].expand(count, -1, -1))
    chosen = torch.cat([before.expand(count, -1, -1), last], dim=1)
    valid = window.valid.expand(count, -1)
    return encoder.finish(chosen, encoder.tkan(chosen, valid), valid)[:, -1]
