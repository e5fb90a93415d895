"""The encodings of orders that have ended go; those in use stay, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.types import NS_PER_S
from lem.bars.simulate import simulate
from lem.network.checkpoint import load_checkpoint
from lem.serving import encoding_stream
from lem.serving.encoding_stream import IDLE_INTERVALS, Streams
from lem.serving.weights import CompiledModel

DELTA_NS = 60 * NS_PER_S
START_NS = 1_700_000_000 * NS_PER_S


def test_an_ended_orders_stream_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while its market is near, nor while few passed it over; made again it has the same bits."""
    monkeypatch.setattr(encoding_stream, "IDLE_TAKES", 20)
    bars = simulate("seasonal", np.random.default_rng(3), 2, 30 + 2 * IDLE_INTERVALS, 5e-4, DELTA_NS)
    bars["start_ns"] = START_NS + np.arange(bars.shape[1]) * DELTA_NS
    ended, goes_on = bars
    streams = Streams(CompiledModel.of(load_checkpoint(None).model))
    before = streams.take(ended[:30], 30, DELTA_NS).context.copy()
    for more in range(IDLE_INTERVALS + 1):
        streams.take(goes_on[: 30 + more], 30 + more, DELTA_NS)
        assert len(streams._streams) == 2
    streams.take(goes_on[: 31 + IDLE_INTERVALS], 31 + IDLE_INTERVALS, DELTA_NS)
    assert len(streams._streams) == 1
    assert np.array_equal(streams.take(ended[:30], 30, DELTA_NS).context, before)
    monkeypatch.setattr(encoding_stream, "IDLE_TAKES", 10_000)
    streams.take(goes_on[: 40 + IDLE_INTERVALS], 40 + IDLE_INTERVALS, DELTA_NS)
    assert len(streams._streams) == 2
