"""Encodings carried from bar to bar, and shared by every order that sees the same bars from the same start.

A stream is the encoding of one series of bars from a fixed first bar on: ``lookback`` bars before an
order's start (or where the known history begins). A new bar is one row of features and one step. Nothing
depends on how often a stream was asked: rows are taken in one at a time, so a state carried bar to bar and
one rebuilt are the same bits. The state before every bar is kept: where a bar is revised later (a late
trade), the stream goes back to the first bar that differs and takes in the rest anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBarArray
from agent.core.features import FEATURE_NAMES, FEATURE_SPAN, features
from lem.compiled import CompiledModel, Float32, Mask
from lem.encoder_kernel import States, advance, select

STREAMS = 4_096  # of some 100 kB each at the default lookback
NEWEST = 512  # selections kept: the newest bar of every market
ROOM = 32  # rows a stream grows by
MAIN_FEATURES = 5


class Chosen(NamedTuple):
    """What the selection makes of some bars; it depends on them only, not on the stream."""

    variables: Float32  # [N, d]
    importances: Mapping[str, float]  # of the newest one: the main features that are known, and their weights


@dataclass(slots=True)
class Stream:
    """One encoding: the bars it has taken in (``raw``, with the memory before them), and its states."""

    states: States
    context: Float32
    raw: bytes = b""
    rows: int = 0
    importances: Mapping[str, float] = field(default_factory=dict)  # of the newest row

    def room_for(self, rows: int) -> None:
        if rows > len(self.states.keys):
            self.states = States(*(_grown(old, ROOM + rows - len(self.states.keys)) for old in self.states))

    def same(self, raw: bytes, size: int) -> int:
        """How many bars of ``raw``, each of ``size`` bytes, are those taken in, from the first one on."""
        if raw.startswith(self.raw):
            return len(self.raw) // size
        length = min(len(raw), len(self.raw))
        ours, theirs = (np.frombuffer(x, np.uint8, length) for x in (self.raw, raw))
        differing = np.flatnonzero(ours != theirs)
        return int(differing[0] if len(differing) else length) // size


class Streams:
    """The live streams of one model. Memory is bounded: the streams used longest ago are dropped."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self.taken = 0  # bars taken in so far, again where they were revised: the work done
        self._streams: OrderedDict[bytes, Stream] = OrderedDict()
        self._newest: OrderedDict[bytes, Chosen] = OrderedDict()

    def take(self, window: FBarArray, seen: int, delta_ns: int) -> Stream:
        """Return the stream of the last ``seen`` bars of ``window``, up to date.

        Bars before them are memory of the features only.
        """
        raw, memory = window.tobytes(), len(window) - seen
        key = b"%d.%d." % (delta_ns, memory) + window[:1].tobytes()
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self._fresh(seen)
        self._streams.move_to_end(key)
        if raw != stream.raw:
            # A context is the last row's: where that row is known already, it alone is taken in again.
            known = max(0, min(stream.same(raw, window.itemsize) - memory, seen - 1))
            self._advance(stream, window, known, seen, delta_ns)
            stream.raw = raw
        if len(self._streams) > STREAMS:
            self._streams.popitem(last=False)
        return stream

    def _advance(self, stream: Stream, window: FBarArray, known: int, seen: int, delta_ns: int) -> None:
        """Take in the bars after the first ``known``."""
        new = seen - known
        bars = window[-(FEATURE_SPAN + new) :]
        chosen = self._newest_of(bars, delta_ns) if new == 1 else self._choose(bars, delta_ns, new)
        stream.room_for(seen)
        advance(chosen.variables, known, self._model.encoder, stream.states, stream.context)
        stream.rows, stream.importances = seen, chosen.importances
        self.taken += new

    def _newest_of(self, bars: FBarArray, delta_ns: int) -> Chosen:
        """What is chosen of the newest bar; many streams of a market ask for the same."""
        key = b"%d." % delta_ns + bars.tobytes()
        found = self._newest.get(key)
        if found is None:
            found = self._newest[key] = self._choose(bars, delta_ns, 1)
            if len(self._newest) > NEWEST:
                self._newest.popitem(last=False)
        return found

    def _choose(self, bars: FBarArray, delta_ns: int, new: int) -> Chosen:
        values, masks = features(bars, delta_ns, new)
        chosen, weights = np.empty((new, self._model.width), np.float32), np.empty_like(values)
        select(values, masks, self._model.selection, chosen, weights)
        return Chosen(chosen, _importances(weights[-1], masks[-1]))

    def _fresh(self, rows: int) -> Stream:
        width, rows = self._model.width, rows + ROOM
        layers, sub = self._model.encoder.cell.sub_recurrent.shape[:2]
        shapes = ((rows + 1, width), (rows + 1, width), (rows + 1, layers, sub), (rows, width), (rows, width))
        return Stream(
            states=States(*(np.zeros(shape, np.float32) for shape in shapes)),
            context=np.zeros(width, np.float32),
        )


def _grown(old: npt.NDArray[np.float32], more: int) -> npt.NDArray[np.float32]:
    """``old`` with ``more`` rows of zeros after it."""
    new = np.zeros((len(old) + more, *old.shape[1:]), np.float32)
    new[: len(old)] = old
    return new


def _importances(weights: Float32, mask: Mask) -> Mapping[str, float]:
    ranked = np.argsort(-weights, kind="stable")
    main = [int(f) for f in ranked if mask[f]][:MAIN_FEATURES]
    return {FEATURE_NAMES[f]: round(float(weights[f]), 6) for f in main}
