"""Order and market views as the plain numbers that decisions are computed from.

An order is a row of ``POLICY_COLUMNS``, a market a ``MarketInputs``. A market's history is what follows its
last gap: where a bar does not begin where the one before it ended, the bars before are not used, as in
training and evaluation (``lem.bars.contiguous``). Bars without a time (``start_ns`` 0) count as following
each other. What is not finite becomes 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from agent.core.arrays import FloatArray
from agent.core.market.bars import FBarArray
from agent.core.market.features import LONG_SPAN, recent_sigma
from agent.core.types import MarketView, OrderView
from lem.network.model import OrderProgress, OrderTerms
from lem.network.model_config import SCENARIOS
from lem.serving.policy_kernel import POLICY_COLUMNS, VIEW_COLUMNS, elapsed_volume, fill_orders

_view_columns = attrgetter(*VIEW_COLUMNS)


@dataclass(frozen=True, slots=True)
class MarketInputs:
    """One market view's numbers, computed once for all its orders.

    ``bars``: since the last gap; ``gap``: whether there is one; ``sigma``: volatility of an interval as a
    fraction of the price, NaN where not known; ``last``: the last close; ``volume`` [T] by bar, and its
    running sum ``volumes`` [T + 1].
    """

    bars: FBarArray
    gap: bool
    sigma: float
    last: float
    volume: FloatArray
    volumes: FloatArray


def market_inputs(market: MarketView) -> MarketInputs:
    """The numbers of one market view."""
    first = since_gap(market.bars, market.delta_ns)
    bars = market.bars[first:]
    traded = np.ascontiguousarray(bars["volume"])
    volume = np.where(np.isfinite(traded), traded, 0.0)
    sigma = float(recent_sigma(bars[-(LONG_SPAN + 1) :])[-1]) if len(bars) else math.nan
    last = float(bars["close"][-1]) if len(bars) else math.nan
    volumes = np.zeros(len(volume) + 1)
    volume.cumsum(out=volumes[1:])
    return MarketInputs(bars, first > 0, sigma, last, volume, volumes)


def history_words(bars: int, gap: bool) -> str:
    """How many bars a decision rests on."""
    return f"{bars} bars of history" + (" since a gap" if gap else "")


def since_gap(bars: FBarArray, delta_ns: int) -> int:
    """The first row of what follows the last gap; 0 without one.

    A gap is between two dated bars whose starts are not as far apart as their rows: a hole, but also
    bars that overlap, repeat or go back in time.
    """
    start = bars["start_ns"]
    if len(start) < 2 or (start[0] > 0 and bool((np.diff(start) == delta_ns).all())):
        return 0
    dated = np.flatnonzero(start > 0)
    phase = start[dated] - dated * delta_ns
    gaps = np.flatnonzero(np.diff(phase))
    return int(dated[gaps[-1] + 1]) if len(gaps) else 0


def order_view_rows(orders: Sequence[OrderView]) -> FloatArray:
    """The orders' own fields, [N, len(VIEW_COLUMNS)]."""
    flat = chain.from_iterable(map(_view_columns, orders))
    shape = len(orders), len(VIEW_COLUMNS)
    return np.fromiter(flat, np.float64, shape[0] * shape[1]).reshape(shape)


def market_row(order: OrderView, market: MarketInputs) -> tuple[float, float, float]:
    """(sigma, last close, elapsed volume), as the kernels take them."""
    return market.sigma, market.last, elapsed_volume(market.volume, market.volumes, order.t)


def _order_row(order: OrderView, market: MarketView) -> dict[str, float]:
    rows, out = np.array([market_row(order, market_inputs(market))]), np.empty((1, len(POLICY_COLUMNS)))
    fill_orders(order_view_rows([order]), np.zeros(1, np.int64), rows, out)
    return dict(zip(POLICY_COLUMNS, out[0].tolist(), strict=True))


def normalised_prices(order: OrderView, market: MarketView) -> tuple[float, float, bool]:
    """(last price, achieved price) against the running benchmark, times the side, in recent sigmas.

    0 where unknown; the flag says whether volatility is known.
    """
    numbers = _order_row(order, market)
    return numbers["last_z"], numbers["achieved_z"], numbers["sigma_known"] > 0


def order_terms(order: OrderView, market: MarketView, last_z: float, known: bool) -> OrderTerms:
    """What the decision is given, as tensors that broadcast to [8, 1]."""
    numbers = _order_row(order, market)
    tensors = {name: _number(numbers[name]) for name in OrderTerms.__slots__}
    tensors["last_z"] = _number(last_z).expand(len(SCENARIOS), 1)
    tensors["sigma_known"] = torch.tensor([known])
    return OrderTerms(**tensors)


def order_progress(order: OrderView, achieved_z: float) -> OrderProgress:
    """What the order has done, [8, N] each."""
    columns = (order.remaining, achieved_z, order.own_volume_share)
    return OrderProgress(*(_number(x).expand(len(SCENARIOS), 1) for x in columns))


def _number(x: float) -> Tensor:
    return torch.tensor([x if math.isfinite(x) else 0.0], dtype=torch.float64)
