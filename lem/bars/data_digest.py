"""Digests of an evaluation's data, in sixteen digits: the same data gives the same digest on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from agent.core.market.bars import FBarArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def bars_digest(series: Sequence[tuple[str, FBarArray]], delta_ns: int) -> str:
    """Digest of the bars of named series, each column's values in order of time, at their interval.

    Taken after cleaning and adding up, so that parquet and CSV of the same bars agree.
    """
    sha = hashlib.sha256(json.dumps([delta_ns, [(name, len(bars)) for name, bars in series]]).encode())
    for _, bars in series:
        for column in bars.dtype.names or ():
            values = bars[column]
            if values.dtype.kind == "f":
                values = np.where(np.isnan(values), np.nan, values) + 0.0  # one NaN, one zero
            sha.update(
                column.encode() + np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
            )
    return sha.hexdigest()[:16]


def market_digest(market: str, spec: DataclassInstance) -> str:
    """Digest of a simulated market and of the evaluation's spec: its bars follow from them."""
    return hashlib.sha256(json.dumps([market, asdict(spec)], sort_keys=True).encode()).hexdigest()[:16]
