"""The model as an algo: one decision from an order's view and the market's, the same bits every time.

Encodings are carried from bar to bar (``lem.serving.encoding_stream``), decisions run compiled
(``lem.serving.policy_kernel``), each in sums of its own, so neither a neighbour in a batch nor what was
asked before can change a bit. A decision whose inputs or outputs are not finite is left to the optimal
stopping rule, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.algos.optimal_stopping import OptimalStopping
from agent.core.errors import CheckpointError
from agent.core.market.bars import empty_fbars
from agent.core.types import MarketView, OrderView, Slice
from lem.network.checkpoint import Checkpoint, load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.serving.decision_inputs import Look, facts_of, look_at, market_row
from lem.serving.encoding_stream import Selected, Streams
from lem.serving.policy_kernel import ORDER, decide_all, fill_orders, project_all
from lem.serving.turning_kernel import turns_all
from lem.serving.weights import CompiledModel, Float32

FIRST = SCENARIOS[0]
Request = tuple[OrderView, MarketView]


class _Told(NamedTuple):
    """What decisions at one place say of it."""

    history: int  # bars
    words: str  # the same
    importances: Mapping[str, float]  # main features
    attention: Mapping[int, float]  # main bars


@dataclass(slots=True)
class _Places:
    """Where the orders of one call are: a place is a market and how far into it an order is."""

    which: npt.NDArray[np.int64]  # [N] the place of each order
    contexts: Float32  # [P, d]
    market: npt.NDArray[np.float64]  # [P, 3] sigma, last close, elapsed volume
    told: list[_Told]  # [P]


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
        side, kind, benchmark = FIRST
        terms = (side, kind, benchmark, 1, 0, 2, 1, 0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0)
        market = MarketView(0, 60_000_000_000, empty_fbars(2), math.nan, math.nan)
        type(self)(self.checkpoint).decide_many([(OrderView(*terms), market)])

    @property
    def digest(self) -> str:
        return self.checkpoint.digest

    @property
    def bars_needed(self) -> int:
        """Bars before an order's start beyond which more changes nothing."""
        return self.checkpoint.model.config.bars_needed

    def decide_many(self, requests: Sequence[Request]) -> list[Slice]:
        """One slice per request, in order; each is what it would be if asked alone."""
        if not requests:
            return []
        orders = [order for order, _ in requests]
        places, facts = self._places(requests), facts_of(orders)
        scenario = np.fromiter(map(_scenario, orders), np.int64, len(orders))
        numbers, answers = np.empty((len(orders), len(ORDER))), np.empty((len(orders), 2))
        fill_orders(facts, places.which, places.market, numbers)
        decide_all(self._model.policy, scenario, places.contexts, places.which, numbers, answers)
        moves = np.empty(len(orders))
        turns_all(
            self._model.policy,
            scenario,
            places.contexts,
            places.which,
            numbers,
            facts,
            places.market,
            moves,
        )
        shares, finishes = np.empty(len(orders)), np.empty(len(orders), np.bool_)
        project_all(answers, facts, shares, finishes)
        last_z = np.where(numbers[:, 6] > 0, numbers[:, 3], np.nan)
        columns = (shares, finishes, answers[:, 1], last_z, moves.round(4), places.which)
        slices, digest, told = [], self.digest, places.told
        for order, share, finish, chance, z, move, place in zip(
            orders, *(column.tolist() for column in columns), strict=True
        ):
            history, known, importances, attention = told[place]
            reason = _reason(order, share, finish, chance, z, known)
            turns = None if move != move else move
            slices.append(
                Slice(share, finish, chance, reason, digest, history, importances, attention, turns)
            )
        for i in np.flatnonzero(~np.isfinite(answers).all(1)).tolist():
            slices[i] = self._ruled(*requests[i], slices[i])
        return slices

    def _places(self, requests: Sequence[Request]) -> _Places:
        """Encode every market at the intervals asked for, each once."""
        looks: dict[int, tuple[Look, Selected]] = {}
        found: dict[tuple[int, int], int] = {}
        which, rows, told = [], [], []
        contexts: list[Float32] = []
        for order, market in requests:
            place = (id(market), order.t)
            k = found.get(place)
            if k is None:
                k = found[place] = len(contexts)
                if place[0] not in looks:
                    look = look_at(market)
                    looks[place[0]] = look, Selected(self._streams, look.bars, market.delta_ns)
                look, selected = looks[place[0]]
                context, history, features, bars = self._encode(look, selected, order.t, market.delta_ns)
                contexts.append(context)
                rows.append(market_row(order, look))
                words = f"{history} bars of history" + (" since a gap" if look.gap else "")
                told.append(_Told(history, words, features, bars))
            which.append(k)
        return _Places(np.array(which), np.stack(contexts), np.array(rows), told)

    def _encode(
        self, look: Look, selected: Selected, t: int, delta_ns: int
    ) -> tuple[Float32, int, Mapping[str, float], Mapping[int, float]]:
        """(the market's encoding before interval ``t``, bars it rests on, main features, main bars)."""
        own = max(0, t)
        window = look.bars[-(self.bars_needed + own) :]
        seen = min(len(window), self.lookback + own)
        if not seen:
            return self._model.void, 0, {}, {}
        stream = self._streams.take(window, seen, delta_ns, selected)
        context = stream.context.copy()  # a stream may move on
        return context, stream.rows, stream.importances, stream.attention

    def _ruled(self, order: OrderView, market: MarketView, answer: Slice) -> Slice:
        rule = self._fallback.decide(order, market)
        reason = f"lem: its answer is not finite, so the rule decides; {rule.reason}"
        return replace(rule, reason=reason, model=self.digest, history_bars=answer.history_bars)


def _scenario(order: OrderView) -> int:
    """Its place in SCENARIOS."""
    side, kind, benchmark = FIRST
    late = order.side is not side, order.target_kind is not kind, order.benchmark is not benchmark
    return 4 * late[0] + 2 * late[1] + late[2]


def _reason(
    order: OrderView, share: float, finish: bool, probability: float, last_z: float, known: str
) -> str:
    """The decision in plain words; ``last_z`` is NaN where volatility is not known."""
    t, n, m = order.t, order.n, order.m
    if finish:
        pace = " and finish"
    else:
        even = 1.0 / max(1, n - t) * order.remaining
        pace = ", faster than even" if share > 1.2 * even else ", on pace"
        pace = ", slower than even" if share < 0.8 * even else pace
    if t == 0:
        price = "no price against the benchmark yet"
    elif last_z != last_z:
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
    return f"lem: {100 * share:.1f} % of the order{pace}; {price}; {stop}; {known}"


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
