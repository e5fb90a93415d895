"""The model's kernels that Python calls, in two parts that can be compiled apart, each with a way to call it.

Which model is loaded does not matter: code depends on the types of its weights, not on their number.
"""

from __future__ import annotations

import math

import numpy as np

from agent.core.market.bars import empty_fbars
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.types import MarketView, OrderView
from lem.network.checkpoint import load_checkpoint
from lem.serving import encoder_kernel, flip_kernel, policy_kernel
from lem.serving.encoding_stream import MAIN_BARS, Streams
from lem.serving.predictor import FIRST, Predictor
from lem.serving.weights import CompiledModel

ENCODER = (encoder_kernel.select, encoder_kernel.advance)
DECISIONS = (
    policy_kernel.elapsed_volume,
    policy_kernel.fill_orders,
    policy_kernel.decide_all,
    flip_kernel.flip_moves_bps,
    policy_kernel.project_all,
)


def warm_up_encoder() -> None:
    """Two bars of which nothing is known."""
    model = CompiledModel.of(load_checkpoint().model)
    values = np.zeros((2, len(FEATURE_NAMES)), np.float32)
    chosen, weights = np.empty((2, model.width), np.float32), np.empty_like(values)
    encoder_kernel.select(values, np.zeros(values.shape, np.bool_), model.selection, chosen, weights)
    stream, looked = Streams(model).fresh(2), np.empty((MAIN_BARS, 2), np.float32)
    encoder_kernel.advance(chosen, 0, model.encoder, stream.states, stream.context, looked)


def warm_up_decisions() -> None:
    """One order in a market without a bar, which needs no encoding."""
    side, kind, benchmark = FIRST
    terms = (side, kind, benchmark, 0, 0, 2, 1, 0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0)
    market = MarketView(0, 60_000_000_000, empty_fbars(0), math.nan, math.nan)
    Predictor(load_checkpoint()).decide_many([(OrderView(*terms), market)])
