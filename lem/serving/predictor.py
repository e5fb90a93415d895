"""The model as an algo: one decision from an order's view and the market's, the same bits every time.

Encodings are carried from bar to bar (``lem.serving.encoding_stream``) and decisions run compiled
(``lem.serving.policy_kernel``), each with sums of its own, so neither the other requests of a call nor
earlier calls can change a bit. A decision whose inputs or outputs are not finite is left to the optimal
stopping rule, and its reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.algos.optimal_stopping import OptimalStopping
from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import CheckpointError
from agent.core.market.bars import empty_fbars
from agent.core.types import MarketView, OrderView, Slice
from lem.network.checkpoint import Checkpoint, load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.serving.decision_inputs import (
    MarketInputs,
    history_words,
    market_inputs,
    market_row,
    order_view_rows,
)
from lem.serving.encoding_stream import SharedSelection, Streams
from lem.serving.flip_kernel import flip_moves_bps
from lem.serving.policy_kernel import POLICY_COLUMNS, decide_all, fill_orders, project_all
from lem.serving.weights import CompiledModel, Float32

FIRST = SCENARIOS[0]
Request = tuple[OrderView, MarketView]


class _ContextInfo(NamedTuple):
    """What the decisions taken from one context report of it."""

    history_bars: int
    bars_seen: int  # the same, and those before that their features look back on
    history: str  # for the reason
    importances: Mapping[str, float]  # main features
    attention: Mapping[int, float]  # main bars by age


@dataclass(slots=True)
class _Contexts:
    """The C contexts of one call, one for each market and how far into it an order is.

    ``which`` [N]: each order's; ``vectors`` [C, d]; ``market`` [C, 3]: sigma, last close, elapsed volume;
    ``infos`` [C].
    """

    which: IntArray
    vectors: Float32
    market: FloatArray
    infos: list[_ContextInfo]


_SameBars = tuple[int, int, int, int]
"""Where bars lie, how far apart, how many there are, their interval: views of one series share them."""


def _same_bars(market: MarketView) -> _SameBars:
    """What two views of the same bars have in common, while both live: what was shown never changes."""
    return market.bars.ctypes.data, market.bars.strides[0], len(market.bars), market.delta_ns


class Predictor:
    """Decides with a loaded checkpoint. Not thread-safe: one instance, one thread."""

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
        side, kind, benchmark = FIRST
        terms = (side, kind, benchmark, 1, 0, 2, 1, 0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0)
        market = MarketView(0, 60_000_000_000, empty_fbars(2), math.nan, math.nan)
        type(self)(self.checkpoint).decide_many([(OrderView(*terms), market)])

    @property
    def digest(self) -> str:
        """Digest of the checkpoint file."""
        return self.checkpoint.digest

    @property
    def bars_needed(self) -> int:
        """Bars before an order's start beyond which more changes nothing."""
        return self.checkpoint.model.config.bars_needed

    def decide_many(self, requests: Sequence[Request]) -> list[Slice]:
        """One slice per request, in order; each is what it would be in a call of its own."""
        if not requests:
            return []
        orders = [order for order, _ in requests]
        contexts, views = self._contexts(requests), order_view_rows(orders)
        scenario = np.fromiter(map(_scenario, orders), np.int64, len(orders))
        numbers, outputs = np.empty((len(orders), len(POLICY_COLUMNS))), np.empty((len(orders), 2))
        fill_orders(views, contexts.which, contexts.market, numbers)
        encoded = contexts.vectors, contexts.which
        decide_all(self._model.policy, scenario, *encoded, numbers, outputs)
        moves = np.empty(len(orders))
        flip_moves_bps(self._model.policy, scenario, *encoded, numbers, views, contexts.market, moves)
        shares, finishes = np.empty(len(orders)), np.empty(len(orders), np.bool_)
        project_all(outputs, views, shares, finishes)
        last_z = np.where(numbers[:, 6] > 0, numbers[:, 3], np.nan)
        columns = (shares, finishes, outputs[:, 1], last_z, moves.round(4), contexts.which)
        slices, digest, infos = [], self.digest, contexts.infos
        for order, share, finish, chance, z, move, k in zip(
            orders, *(column.tolist() for column in columns), strict=True
        ):
            bars, seen, history, importances, attention = infos[k]
            reason = _reason(order, share, finish, chance, z, history)
            flip = None if math.isnan(move) else move
            rests_on = (digest, bars, importances, attention, flip, None, seen)
            slices.append(Slice(share, finish, chance, reason, *rests_on))
        for i in np.flatnonzero(~np.isfinite(outputs).all(1)).tolist():
            slices[i] = self._ruled(*requests[i], slices[i])
        return slices

    def _contexts(self, requests: Sequence[Request]) -> _Contexts:
        """Encode every market at the intervals requested, each once."""
        markets: dict[_SameBars, tuple[MarketInputs, SharedSelection]] = {}
        found: dict[tuple[_SameBars, int], int] = {}
        which, rows, infos = [], [], []
        vectors: list[Float32] = []
        for order, market in requests:
            key = (_same_bars(market), order.t)
            k = found.get(key)
            if k is None:
                k = found[key] = len(vectors)
                if key[0] not in markets:
                    inputs = market_inputs(market)
                    markets[key[0]] = inputs, SharedSelection(self._streams, inputs.bars, market.delta_ns)
                inputs, selection = markets[key[0]]
                vector, bars, features, ages = self._encode(inputs, selection, order.t, market.delta_ns)
                vectors.append(vector)
                rows.append(market_row(order, inputs))
                history = history_words(bars, inputs.gap)
                seen = min(len(inputs.bars), self.bars_needed + max(0, order.t))
                infos.append(_ContextInfo(bars, max(bars, seen), history, features, ages))
            which.append(k)
        return _Contexts(np.array(which), np.stack(vectors), np.array(rows), infos)

    def _encode(
        self, market: MarketInputs, selection: SharedSelection, t: int, delta_ns: int
    ) -> tuple[Float32, int, Mapping[str, float], Mapping[int, float]]:
        """(context before interval ``t``, bars it rests on, main features, main bars by age)."""
        own = max(0, t)
        window = market.bars[-(self.bars_needed + own) :]
        seen = min(len(window), self.lookback + own)
        if not seen:
            return self._model.void, 0, {}, {}
        stream = self._streams.take(window, seen, delta_ns, selection)
        context = stream.context.copy()  # a stream may move on
        return context, stream.rows, stream.importances, stream.attention

    def _ruled(self, order: OrderView, market: MarketView, answer: Slice) -> Slice:
        rule = self._fallback.decide(order, market)
        reason = f"lem: its answer is not finite, so the rule decides; {rule.reason}"
        return replace(rule, reason=reason, model=self.digest, history_bars=answer.history_bars)


def _scenario(order: OrderView) -> int:
    """The order's place in SCENARIOS, of which each of three choices of two changes half."""
    side, kind, benchmark = FIRST
    bits = order.side is not side, order.target_kind is not kind, order.benchmark is not benchmark
    return 4 * bits[0] + 2 * bits[1] + bits[2]


def _reason(
    order: OrderView, share: float, finish: bool, probability: float, last_z: float, history: str
) -> str:
    """The decision for people; ``last_z`` is NaN where volatility is not known."""
    t, n, m = order.t, order.n, order.m
    if finish:
        pace = " and finish"
    else:
        even = 1.0 / max(1, n - t) * order.remaining
        pace = ", faster than even" if share > 1.2 * even else ", on pace"
        pace = ", slower than even" if share < 0.8 * even else pace
    if t == 0:
        price = "no price against the benchmark yet"
    elif math.isnan(last_z):
        price = "volatility not known yet"
    else:
        word = "better" if last_z < 0 else "worse"
        price = f"last price {abs(last_z):.2f} sigma {word} than the running {order.benchmark}"
    if finish and t >= n - 1:
        stop = "last interval"
    elif t + 1 < m:
        stop = f"min duration {m} intervals not reached"
    else:
        stop = f"finish probability {probability:.2f}"
    return f"lem: {100 * share:.1f} % of the order{pace}; {price}; {stop}; {history}"


class LemAlgo:
    """The model behind the protocol that all schedules share."""

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
        """One decision: see ``Predictor.decide_many``."""
        return self.predictor.decide_many([(order, market)])[0]

    def decide_many(self, requests: Sequence[Request]) -> list[Slice]:
        """One slice per request, in order; each is what it would be in a call of its own."""
        return self.predictor.decide_many(requests)
