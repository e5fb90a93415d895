"""The model as an algo: one decision from an order's view and the market's, the same bits every time.

Encodings are carried from bar to bar (``lem.stream``), decisions run compiled (``lem.compiled``), each in
sums of its own, so neither a neighbour in a batch nor what was asked before can change a bit. A decision
whose inputs or outputs are not finite is left to the optimal stopping rule, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.algos.optimal_stopping import OptimalStopping
from agent.core.errors import CheckpointError
from agent.core.features import FEATURE_NAMES, FEATURE_SPAN, LONG_SPAN, recent_sigma
from agent.core.projection import project
from agent.core.types import MarketView, OrderView, Slice
from lem.checkpoint import Checkpoint, load_checkpoint
from lem.compiled import CompiledModel, Float32
from lem.config import SCENARIOS
from lem.model import OrderProgress, OrderTerms
from lem.policy_kernel import ORDER, decide_all
from lem.stream import Stream, Streams

MAIN_FEATURES = 5
ROW = {scenario: k for k, scenario in enumerate(SCENARIOS)}
Answer = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Market:
    """What decisions need of one market view, worked out once."""

    sigma: float
    last: float
    volume: npt.NDArray[np.float64]
    volumes: npt.NDArray[np.float64]  # running sum of ``volume``, 0 first


class Predictor:
    """Answers requests with a loaded checkpoint. Not thread-safe: one instance, one thread."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.lookback = checkpoint.model.config.lookback
        try:
            self._model = CompiledModel.of(checkpoint.model)
        except TypeError as error:
            raise CheckpointError(f"{checkpoint.path}: {error}: it can be evaluated only") from error
        self._streams = Streams(self._model)
        self._fallback = OptimalStopping()

    @classmethod
    def load(cls, path: Path | None = None) -> Predictor:
        """Load a model (the one shipped by default) and compile its kernels. Raises CheckpointError."""
        predictor = cls(load_checkpoint(path))
        predictor.warm_up()
        return predictor

    def warm_up(self) -> None:
        """Compile (or load from the cache) and run once, so that no decision pays for it."""
        from agent.core.bars import empty_fbars

        Streams(self._model).take(empty_fbars(2), 2, 60_000_000_000)
        recent_sigma(empty_fbars(2))
        contexts, orders = self._model.void[None], np.ones((1, len(ORDER)))
        which = np.zeros(1, np.int64)
        decide_all(self._model.policy, which, contexts, which, orders, np.empty((1, 2)))

    @property
    def digest(self) -> str:
        return self.checkpoint.digest

    @property
    def bars_needed(self) -> int:
        """Bars before an order's start beyond which more changes nothing."""
        return self.lookback + FEATURE_SPAN

    def decide_many(self, requests: Sequence[tuple[OrderView, MarketView]]) -> list[Slice]:
        """One slice per request, in order; each is what it would be if asked alone."""
        if not requests:
            return []
        orders = np.empty((len(requests), len(ORDER)))
        scenario = np.empty(len(requests), np.int64)
        which = np.empty(len(requests), np.int64)
        contexts: list[Float32] = []
        told: list[tuple[int, Mapping[str, float]]] = []  # a stream may move on below
        encoded: dict[tuple[int, int], int] = {}
        markets: dict[int, _Market] = {}
        for i, (order, market) in enumerate(requests):
            name = id(market)
            if name not in markets:
                markets[name] = _look_at(market)
            place = (name, max(0, order.t))
            if place not in encoded:
                encoded[place] = len(contexts)
                stream = self._encode(order, market)
                told.append((stream.rows if stream is not None else 0, _importances(stream)))
                contexts.append(self._model.void if stream is None else stream.context.copy())
            orders[i] = _numbers(order, markets[name])
            scenario[i] = ROW[order.side, order.target_kind, order.benchmark]
            which[i] = encoded[place]
        answers = np.empty((len(requests), 2))
        decide_all(self._model.policy, scenario, np.stack(contexts), which, orders, answers)
        return [
            self._slice(order, market, orders[i], (answers[i, 0], answers[i, 1]), *told[k])
            for i, ((order, market), k) in enumerate(zip(requests, which.tolist(), strict=True))
        ]

    def _encode(self, order: OrderView, market: MarketView) -> Stream | None:
        """The market's encoding before interval t; None where no bar is known."""
        own = max(0, order.t)
        window = market.bars[-(self.lookback + FEATURE_SPAN + own) :]
        seen = min(len(window), self.lookback + own)
        return self._streams.take(window, seen, market.delta_ns) if seen else None

    def _slice(
        self,
        order: OrderView,
        market: MarketView,
        numbers: npt.NDArray[np.float64],
        answer: Answer,
        history: int,
        importances: Mapping[str, float],
    ) -> Slice:
        fraction, probability = answer
        if not (math.isfinite(fraction) and math.isfinite(probability)):
            rule = self._fallback.decide(order, market)
            reason = f"lem: its answer is not finite, so the rule decides; {rule.reason}"
            return replace(rule, reason=reason, model=self.digest, history_bars=history)
        share, finishing = project(
            fraction * order.remaining,
            order.finishing or probability > 0.5,
            order.remaining,
            order.n - 1 - order.t,
            order.m,
            order.t,
            order.min_rate,
            order.max_rate,
            order.lot_share,
        )
        last_z = float(numbers[3]) if numbers[6] > 0 else None
        return Slice(
            share=share,
            finish=finishing,
            finish_probability=probability,
            reason=_reason(order, share, finishing, probability, last_z, history),
            model=self.digest,
            history_bars=history,
            importances=importances,
        )


def _look_at(market: MarketView) -> _Market:
    volume = np.nan_to_num(market.bars["volume"], posinf=0.0, neginf=0.0)
    last = float(market.bars["close"][-1]) if len(market.bars) else math.nan
    return _Market(_sigma(market), last, volume, np.concatenate([[0.0], volume.cumsum()]))


def _numbers(order: OrderView, market: _Market) -> tuple[float, ...]:
    """The order as ``lem.compiled.ORDER`` has it; what is not finite is 0."""
    sigma, known = market.sigma, market.sigma > 0
    last_z = achieved_z = arrival_z = 0.0
    if order.t > 0 and known:
        if order.benchmark_price > 0:
            last_z = _against(order, market.last, order.benchmark_price, sigma)
            achieved_z = _against(order, order.achieved_price, order.benchmark_price, sigma)
        if order.arrival_price > 0:
            arrival_z = _against(order, market.last, order.arrival_price, sigma)
    return (
        float(order.t),
        float(max(order.n, order.t + 1)),
        float(order.m),
        last_z,
        arrival_z,
        _elapsed(order.t, market),
        1.0 if known else 0.0,
        _finite(order.expected_participation),
        _finite(order.min_rate),
        _finite(order.max_rate),
        _finite(order.risk_aversion),
        0.0,
        _finite(order.remaining),
        achieved_z,
        _finite(order.own_volume_share),
    )


def _against(order: OrderView, price: float, reference: float, sigma: float) -> float:
    return _finite(float(order.side) * (price / reference - 1.0) / sigma)


def _finite(x: float) -> float:
    return x if math.isfinite(x) else 0.0


def _elapsed(t: int, market: _Market) -> float:
    """The market's volume since the order's start, in units of an interval's usual one before it."""
    count = len(market.volume)
    own = min(max(t, 0), count)
    if not own:
        return 0.0
    total = float(market.volumes[count] - market.volumes[count - own])
    before = market.volume[max(0, count - own - LONG_SPAN) : count - own]
    usual = float(before.mean()) if len(before) else float(market.volume[-own])
    return total / usual if usual > 0 else total


def _importances(stream: Stream | None) -> Mapping[str, float]:
    if stream is None:
        return {}
    ranked = np.argsort(-stream.weights, kind="stable")
    main = [int(f) for f in ranked if stream.mask[f]][:MAIN_FEATURES]
    return {FEATURE_NAMES[f]: round(float(stream.weights[f]), 6) for f in main}


def _sigma(market: MarketView) -> float:
    bars = market.bars[-(LONG_SPAN + 1) :]
    return float(recent_sigma(bars)[-1]) if len(bars) else math.nan


def normalised_prices(order: OrderView, market: MarketView) -> tuple[float, float, bool]:
    """(last price, achieved price) against the running benchmark, times the side, in recent sigmas.

    0 where unknown; the flag says whether volatility is known.
    """
    numbers = _numbers(order, _look_at(market))
    return numbers[3], numbers[13], numbers[6] > 0


def order_terms(order: OrderView, market: MarketView, last_z: float, known: bool) -> OrderTerms:
    """What the decision is given, as tensors that broadcast to [8, 1]."""
    numbers = dict(zip(ORDER, _numbers(order, _look_at(market)), strict=True))
    tensors = {name: _number(numbers[name]) for name in OrderTerms.__slots__}
    tensors["last_z"] = _number(last_z).expand(len(SCENARIOS), 1)
    tensors["sigma_known"] = torch.tensor([known])
    return OrderTerms(**tensors)


def order_progress(order: OrderView, achieved_z: float) -> OrderProgress:
    """What the order has done, [8, 1] each."""
    columns = (order.remaining, achieved_z, order.own_volume_share)
    return OrderProgress(*(_number(x).expand(len(SCENARIOS), 1) for x in columns))


def _number(x: float) -> Tensor:
    return torch.tensor([x if math.isfinite(x) else 0.0], dtype=torch.float64)


def _reason(
    order: OrderView, share: float, finish: bool, probability: float, last_z: float | None, history: int
) -> str:
    """The decision in plain words."""
    what = f"{100 * share:.1f} % of the order" + (" and finish" if finish else "")
    even = 1.0 / max(1, order.n - order.t) * order.remaining
    pace = "" if finish else ", faster than even" if share > 1.2 * even else ", on pace"
    if not finish and share < 0.8 * even:
        pace = ", slower than even"
    if order.t == 0:
        price = "no price against the benchmark yet"
    elif last_z is None:
        price = "volatility not known yet"
    else:
        word = "better" if last_z < 0 else "worse"
        price = f"last price {abs(last_z):.2f} sigma {word} than the running {order.benchmark.value}"
    if finish and order.t >= order.n - 1:
        stop = "last interval"
    elif order.t + 1 < order.m:
        stop = f"min duration {order.m} intervals not reached"
    else:
        stop = f"finish probability {probability:.2f}"
    return f"lem: {what}{pace}; {price}; {stop}; {history} bars of history"


class LemAlgo:
    """The model behind the schedules' one protocol."""

    name = "lem"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @classmethod
    def load(cls, path: Path | None = None) -> LemAlgo:
        """Load a model (the one shipped by default). Raises CheckpointError."""
        return cls(Predictor.load(path))

    @property
    def digest(self) -> str:
        """Which checkpoint this is."""
        return self.predictor.digest

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        return self.predictor.decide_many([(order, market)])[0]
