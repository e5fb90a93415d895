"""The model as an algo: one decision from an order's view and the market's, the same bits every time.

Each request is computed by itself in tensors of one fixed shape, on one thread, so a neighbour in a batch
cannot change a bit. Requests that see the same bars from the same start (shadows, the other side) share
one encoding, kept for a few markets.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent.core.errors import CheckpointError
from agent.core.features import FEATURE_NAMES, FEATURE_SPAN, features, recent_sigma
from agent.core.projection import project
from agent.core.types import MarketView, OrderView, Slice
from lem.checkpoint import Checkpoint, load_checkpoint
from lem.config import SCENARIOS
from lem.layers import TKAN
from lem.model import OrderProgress, OrderTerms
from lem.scan import CompiledTKAN

CACHED_ENCODINGS = 64
ROOM = 32  # an order's own intervals are padded to a multiple of this
MAIN_FEATURES = 5


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a decision needs of the market: its context [1,d], weights of the known features."""

    context: Tensor
    importances: Mapping[str, float]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inference on one thread, then as it was (training in the same process may use more)."""
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


class Predictor:
    """Answers requests with a loaded checkpoint. Not thread-safe: one instance, one thread."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.lookback = checkpoint.model.config.lookback
        cell = checkpoint.model.encoder.tkan
        if not isinstance(cell, TKAN):
            raise CheckpointError(f"{checkpoint.path} is an ablation without TKAN: it can be evaluated only")
        self._tkan = CompiledTKAN(cell)
        self._encodings: OrderedDict[bytes, Encoding] = OrderedDict()

    @classmethod
    def load(cls, path: Path | None = None) -> Predictor:
        """Load a model (the one shipped by default) and compile its kernel. Raises CheckpointError."""
        predictor = cls(load_checkpoint(path))
        predictor.warm_up()
        return predictor

    def warm_up(self) -> None:
        """Compile (or load from the cache) and run once, so that no decision pays for it."""
        width = self.checkpoint.model.config.features
        values = np.zeros((1, self.lookback + ROOM, width), np.float32)
        with torch.inference_mode(), _one_thread():
            self._encode_rows(values, np.zeros(values.shape, np.bool_), 1, self.lookback)

    @property
    def digest(self) -> str:
        return self.checkpoint.digest

    @property
    def bars_needed(self) -> int:
        """Bars before an order's start beyond which more changes nothing."""
        return self.lookback + FEATURE_SPAN

    def decide_many(self, requests: Sequence[tuple[OrderView, MarketView]]) -> list[Slice]:
        """One slice per request, in order; each is what it would be if asked alone."""
        with torch.inference_mode(), _one_thread():
            return [self._decide(order, market) for order, market in requests]

    def _decide(self, order: OrderView, market: MarketView) -> Slice:
        encoding, history = self._encode(order, market)
        last_z, achieved_z, known = normalised_prices(order, market)
        terms = order_terms(order, market, last_z, known)
        progress = order_progress(order, achieved_z)
        own = progress.inputs(terms.t, terms.n, terms.max_rate)
        left = terms.n - terms.t
        fractions, finishes = self.checkpoint.model.policy(encoding.context, terms.inputs(), own, left)
        scenario = SCENARIOS.index((order.side, order.target_kind, order.benchmark))
        fraction, probability = float(fractions[scenario, 0]), float(finishes[scenario, 0])
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
        return Slice(
            share=share,
            finish=finishing,
            finish_probability=probability,
            reason=_reason(order, share, finishing, probability, last_z if known else None, history),
            model=self.digest,
            history_bars=history,
            importances=encoding.importances,
        )

    def _encode(self, order: OrderView, market: MarketView) -> tuple[Encoding, int]:
        """The market's encoding before interval t, and the bars of history it rests on."""
        own = max(0, order.t)
        window = market.bars[-(self.lookback + FEATURE_SPAN + own) :]
        values, mask = features(window, market.delta_ns)
        seen = min(len(window), self.lookback + own)
        room = ROOM * max(1, -(-order.n // ROOM), -(-own // ROOM))
        end = self.lookback + own  # rows from here on have not happened yet
        padded = np.zeros((1, self.lookback + room, values.shape[-1]), np.float32)
        known = np.zeros(padded.shape, np.bool_)
        if seen:
            padded[0, end - seen : end] = values[-seen:]
            known[0, end - seen : end] = mask[-seen:]
        key = hashlib.blake2b(b"%d.%d.%d" % (own, seen, room), digest_size=16)
        key.update(padded.tobytes())
        key.update(known.tobytes())
        encoding = self._encodings.get(key.digest())
        if encoding is None:
            encoding = self._encode_rows(padded, known, seen, end)
            self._encodings[key.digest()] = encoding
            if len(self._encodings) > CACHED_ENCODINGS:
                self._encodings.popitem(last=False)
        return encoding, seen

    def _encode_rows(
        self,
        values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
        seen: int,
        end: int,
    ) -> Encoding:
        model = self.checkpoint.model
        valid = torch.zeros(values.shape[:2], dtype=torch.bool)
        valid[0, end - seen : end] = True
        chosen, weights = model.encoder.select(torch.from_numpy(values), torch.from_numpy(mask))
        contexts = model.encoder.finish(chosen, self._tkan(chosen, end - seen, end), valid)
        context = contexts[0, end - 1] if seen else model.encoder.void
        importances: dict[str, float] = {}
        if seen:
            row = weights[0, end - 1].numpy()
            order = np.argsort(-row, kind="stable")
            main = [f for f in order if mask[0, end - 1, f]][:MAIN_FEATURES]
            importances = {FEATURE_NAMES[f]: round(float(row[f]), 6) for f in main}
        return Encoding(context.unsqueeze(0), importances)


def normalised_prices(order: OrderView, market: MarketView) -> tuple[float, float, bool]:
    """(last price, achieved price) against the running benchmark, times the side, in recent sigmas.

    0 where unknown; the flag says whether volatility is known.
    """
    sigma = _sigma(market)
    if not sigma > 0:
        return 0.0, 0.0, False
    last = float(market.bars["close"][-1])

    def against_benchmark(price: float) -> float:
        value = float(order.side) * (price / order.benchmark_price - 1.0) / sigma
        return value if math.isfinite(value) else 0.0

    if order.t == 0 or not order.benchmark_price > 0:
        return 0.0, 0.0, True
    return against_benchmark(last), against_benchmark(order.achieved_price), True


def _sigma(market: MarketView) -> float:
    bars = market.bars[-(FEATURE_SPAN + 1) :]
    return float(recent_sigma(bars)[-1]) if len(bars) else math.nan


def elapsed_volume(order: OrderView, market: MarketView) -> float:
    """The market's volume since the order's start, in units of an interval's usual one before it."""
    volume = np.nan_to_num(market.bars["volume"])
    own = min(max(order.t, 0), len(volume))
    if not own:
        return 0.0
    before = volume[: len(volume) - own][-FEATURE_SPAN:]
    usual = float(before.mean()) if len(before) else float(volume[-own])
    return float(volume[-own:].sum()) / usual if usual > 0 else float(volume[-own:].sum())


def order_terms(order: OrderView, market: MarketView, last_z: float, known: bool) -> OrderTerms:
    """What the decision is given, as tensors that broadcast to [8, 1]."""
    sigma = _sigma(market)
    arrival_z = 0.0
    if order.t > 0 and known and order.arrival_price > 0 and len(market.bars):
        last = float(market.bars["close"][-1])
        arrival_z = float(order.side) * (last / order.arrival_price - 1.0) / sigma
    return OrderTerms(
        t=_number(order.t),
        n=_number(max(order.n, order.t + 1)),
        m=_number(order.m),
        last_z=_number(last_z).expand(len(SCENARIOS), 1),
        arrival_z=_number(arrival_z),
        elapsed_volume=_number(elapsed_volume(order, market)),
        sigma_known=torch.tensor([known]),
        participation=_number(order.expected_participation),
        min_rate=_number(order.min_rate),
        max_rate=_number(order.max_rate),
        risk_aversion=_number(order.risk_aversion),
        arrival_weight=_number(0.0),
    )


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
