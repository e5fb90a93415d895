"""Encodings carried from bar to bar, and shared by every order that sees the same bars from the same start.

A stream is the encoding of one series of bars from a fixed first bar on: ``lookback`` bars before an
order's start (or where the known history begins). A new bar is one row of features and one step. Nothing
depends on how often a stream was asked: rows are taken in one at a time, so a state carried bar to bar and
one rebuilt are the same bits. A bar that is revised later (a late trade) makes its stream start again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBarArray
from agent.core.features import FEATURE_SPAN, features
from lem.compiled import CompiledModel, Float32, Mask, encode

STREAMS = 4_096
ROWS = 512  # feature rows kept: the newest bar of every market
ROOM = 32  # rows a stream grows by


@dataclass(slots=True)
class Stream:
    """One encoding: the bars it has taken in (``raw``, with the memory before them), and its state."""

    h: Float32
    c: Float32
    u: Float32
    context: Float32
    weights: Float32
    keys: Float32
    values: Float32
    raw: bytes = b""
    rows: int = 0
    mask: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))  # of the newest row

    def room_for(self, rows: int) -> None:
        if rows > len(self.keys):
            grown = rows + ROOM
            for name in ("keys", "values"):
                old = getattr(self, name)
                new = np.zeros((grown, old.shape[1]), np.float32)
                new[: len(old)] = old
                setattr(self, name, new)


class Streams:
    """The live streams of one model. Memory is bounded: the streams used longest ago are dropped."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._streams: OrderedDict[bytes, Stream] = OrderedDict()
        self._rows: OrderedDict[bytes, tuple[Float32, Mask]] = OrderedDict()

    def take(self, window: FBarArray, seen: int, delta_ns: int) -> Stream:
        """Return the stream of the last ``seen`` bars of ``window``, up to date.

        Bars before them are memory of the features only.
        """
        raw = window.tobytes()
        key = b"%d.%d." % (delta_ns, len(window) - seen) + window[:1].tobytes()
        stream = self._streams.get(key)
        if stream is None or not raw.startswith(stream.raw):
            stream = self._streams[key] = self._fresh(seen)
        self._streams.move_to_end(key)
        if stream.rows < seen:
            self._advance(stream, window, seen, delta_ns)
            stream.raw = raw
        if len(self._streams) > STREAMS:
            self._streams.popitem(last=False)
        return stream

    def _advance(self, stream: Stream, window: FBarArray, seen: int, delta_ns: int) -> None:
        new = seen - stream.rows
        if new == 1:
            rows, masks = self._newest(window[-(FEATURE_SPAN + 1) :], delta_ns)
        else:
            rows, masks = features(window[-(FEATURE_SPAN + new) :], delta_ns)
            rows, masks = rows[-new:], masks[-new:]
        stream.room_for(seen)
        encode(
            np.ascontiguousarray(rows),
            np.ascontiguousarray(masks),
            stream.rows,
            self._model.encoder,
            stream.h,
            stream.c,
            stream.u,
            stream.keys,
            stream.values,
            stream.context,
            stream.weights,
        )
        stream.rows, stream.mask = seen, masks[-1].copy()

    def _newest(self, bars: FBarArray, delta_ns: int) -> tuple[Float32, Mask]:
        """The newest bar's features [1, F]; many streams of a market ask for the same ones."""
        key = b"%d." % delta_ns + bars.tobytes()
        found = self._rows.get(key)
        if found is None:
            values, mask = features(bars, delta_ns)
            found = self._rows[key] = values[-1:].copy(), mask[-1:].copy()
            if len(self._rows) > ROWS:
                self._rows.popitem(last=False)
        return found

    def _fresh(self, rows: int) -> Stream:
        width = self._model.width
        layers, sub = self._model.encoder.cell.sub_recurrent.shape[:2]
        states: list[npt.NDArray[np.float32]] = [np.zeros(width, np.float32) for _ in range(2)]
        return Stream(
            h=states[0],
            c=states[1],
            u=np.zeros((layers, sub), np.float32),
            context=np.zeros(width, np.float32),
            weights=np.zeros(self._model.encoder.selection.scale.shape[0], np.float32),
            keys=np.zeros((rows + ROOM, width), np.float32),
            values=np.zeros((rows + ROOM, width), np.float32),
        )
