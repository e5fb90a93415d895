"""From bars to what the model is trained and evaluated on: encoder inputs, and orders inside each series.

A series is one array of bars, known from a row of its own on: rows before it are void (the state is reset,
attention masked). Random first rows give every length of history from 0 to ``lookback`` bars. An order that
starts at row k sees, before its interval t, the context of row k + t - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.core.arrays import FloatArray, IntArray
from agent.core.market.bars import FBarArray
from agent.core.market.features import LONG_SPAN, features, recent_sigma


@dataclass(frozen=True, slots=True)
class Encodable:
    """Encoder inputs: values, mask [B,T,F], valid [B,T]."""

    values: Tensor
    mask: Tensor
    valid: Tensor

    def to(self, device: str) -> Encodable:
        """The same inputs on another device."""
        return Encodable(self.values.to(device), self.mask.to(device), self.valid.to(device))


def encodable(bars: FBarArray, delta_ns: int, known_from: IntArray, first: int = 0) -> Encodable:
    """Features of bars [B,T] from row ``first`` on, void before row ``known_from`` [B].

    They may use bars before ``first``, but none before ``known_from``.
    """
    rows = np.arange(bars.shape[-1])
    valid = rows >= known_from[:, None]
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
    ``sigma`` is the volatility before each interval by the bars from ``known_from`` [B] on, 0 where unknown;
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
