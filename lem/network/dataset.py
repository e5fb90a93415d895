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

from agent.core.market.bars import FBarArray, FloatArray
from agent.core.market.features import LONG_SPAN, features, recent_sigma

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encodable:
    """Encoder inputs: values, mask [B,T,F], valid [B,T]."""

    values: Tensor
    mask: Tensor
    valid: Tensor

    def to(self, device: str) -> Encodable:
        """The same inputs on another device."""
        return Encodable(self.values.to(device), self.mask.to(device), self.valid.to(device))


def encodable(bars: FBarArray, delta_ns: int, cut: IntArray, first: int = 0) -> Encodable:
    """Features of bars [B,T] from row ``first`` on, void before row ``cut`` [B].

    They may know bars before ``first``, but none before the cut.
    """
    rows = np.arange(bars.shape[-1])
    valid = rows >= cut[:, None]
    known = bars.copy()
    for name in bars.dtype.names or ():
        if name != "start_ns":
            known[name] = np.where(valid, bars[name], np.nan)
    values, mask = features(known, delta_ns, newest=len(rows) - first)
    valid = valid[:, first:]
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
