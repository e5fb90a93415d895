"""Encodings carried from bar to bar, and shared by all orders that see the same bars from the same start.

A stream is the encoding of one series of bars from a fixed first bar on: ``lookback`` bars before an order's
start, or where the known history begins. A new bar costs one row of features and one step of the recurrence.
The state before every bar is kept, so where a bar is revised later (by a late trade) the stream goes back to
the first bar that differs and takes in the rest again. How it fits together: ``lem.serving.weights``.

Invariant: a carried state and a rebuilt one are the same bits. Example: a stream of 60 bars takes in 60. One
more bar takes 1. If then bar 50 of the 61 (from 0) is revised, it takes in 50 to 60 again: 11, so 72 in all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.market.bars import FBarArray
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.market.features import BAR_COLUMNS, FEATURE_SPAN, features
from lem.serving.encoder_kernel import States, advance, select
from lem.serving.weights import CompiledModel, Float32

STREAMS = 4_096  # of some 100 kB each at the default lookback
IDLE_TAKES, IDLE_INTERVALS = 1_024, 64
"""A stream that so many takes passed over, its market so many intervals further, is an ended order's."""
NEWEST = 512  # selections kept: the newest bar of every market
SPARE_ROWS = 32  # that a stream grows by
MAIN_FEATURES = 5
MAIN_BARS = 3


class SelectedBars(NamedTuple):
    """Some bars after the selection of variables, which depends on them only, not on the stream."""

    variables: Float32  # [N, d]
    importances: Mapping[str, float]  # of the newest bar: its main known features and their weights


@dataclass(slots=True)
class Stream:
    """One encoding: the bars it has taken in (``raw``, with those before that features need), and its states.

    They are held against the bars of the next call bit by bit, as integers.

    ``context`` [d], ``importances`` and ``attention`` (age in bars -> weight, the largest) are the newest
    bar's.
    """

    states: States
    context: Float32
    raw: IntArray = field(default_factory=lambda: np.empty((0, BAR_COLUMNS), np.int64))
    taken: int = 0  # rows of ``raw`` that are in
    used: int = 0  # the number of the take that it was last used in
    idle_ns: int = 0  # the start of a bar from which on it is too old
    rows: int = 0
    importances: Mapping[str, float] = field(default_factory=dict)
    attention: Mapping[int, float] = field(default_factory=dict)

    def reserve(self, rows: int) -> None:
        """Make the states at least ``rows`` long."""
        if rows > len(self.states.values):
            more = max(SPARE_ROWS, rows // 4) + rows - len(self.states.values)
            h, c, u, values, keys = self.states
            columns = np.ascontiguousarray(_grown(keys.T, more).T)
            self.states = States(
                _grown(h, more), _grown(c, more), _grown(u, more), _grown(values, more), columns
            )

    def unchanged(self, raw: IntArray) -> int:
        """How many bars of ``raw`` [N, BAR_COLUMNS], from the first on, are those taken in."""
        length = min(len(raw), self.taken)
        differs = self.raw[:length].reshape(-1) != raw[:length].reshape(-1)
        first = int(differs.argmax()) if length else 0
        return first // raw.shape[1] if length and differs[first] else length

    def keep(self, raw: IntArray, known: int) -> None:
        """Remember that all of ``raw`` is taken in; ``known`` bars of it were."""
        if len(raw) > len(self.raw):
            grown = np.empty((len(raw) + max(SPARE_ROWS, len(raw) // 4), raw.shape[1]), np.int64)
            grown[:known] = self.raw[:known]
            self.raw = grown
        self.raw[known : len(raw)] = raw[known:]
        self.taken = len(raw)


class SharedSelection:
    """The selection of a market's newest bars, made once for all the streams that take them in."""

    def __init__(self, streams: Streams, bars: FBarArray, delta_ns: int) -> None:
        self._streams, self._bars, self._delta_ns = streams, bars, delta_ns
        self._chosen: SelectedBars | None = None

    def last(self, count: int) -> SelectedBars:
        """The last ``count`` bars after the selection; a row does not depend on ``count``."""
        chosen = self._chosen
        if chosen is None or len(chosen.variables) < count:
            bars = self._bars[-(FEATURE_SPAN + count) :]
            chosen = self._chosen = self._streams.choose(bars, self._delta_ns, count)
        return SelectedBars(chosen.variables[-count:], chosen.importances)


class Streams:
    """The live streams of one model. Memory is bounded: the streams used longest ago are dropped."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._takes = 0
        self.taken = 0  # bars taken in so far, counted again where they were revised
        self._streams: OrderedDict[bytes, Stream] = OrderedDict()
        self._newest: OrderedDict[bytes, SelectedBars] = OrderedDict()

    def take(
        self, window: FBarArray, seen: int, delta_ns: int, selected: SharedSelection | None = None
    ) -> Stream:
        """Return the stream of the last ``seen`` bars of ``window``, up to date.

        Bars before them are memory of the features only. ``selected``: of bars that end with ``window``.
        """
        raw, memory = _as_integers(window), len(window) - seen
        key = b"%d.%d." % (delta_ns, memory) + raw[:1].tobytes()
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self.fresh(seen)
        self._streams.move_to_end(key)
        self._takes += 1
        start_ns = int(window["start_ns"][-1])
        stream.used, stream.idle_ns = self._takes, start_ns + IDLE_INTERVALS * delta_ns
        self._drop_idle(start_ns)
        unchanged = stream.unchanged(raw)
        if unchanged < len(raw) or len(raw) < stream.taken:
            # The context is the last row's. Where that row is known already, it is taken in again.
            known = max(0, min(unchanged - memory, seen - 1))
            chosen = (selected or SharedSelection(self, window, delta_ns)).last(seen - known)
            stream.reserve(seen)
            attention = np.empty((MAIN_BARS, 2), np.float32)
            advance(chosen.variables, known, self._model.encoder, stream.states, stream.context, attention)
            stream.keep(raw, unchanged)
            stream.rows, stream.importances = seen, chosen.importances
            stream.attention = {int(age): round(weight, 6) for age, weight in attention.tolist() if age >= 0}
            self.taken += seen - known
        if len(self._streams) > STREAMS:
            self._streams.popitem(last=False)
        return stream

    def _drop_idle(self, now_ns: int) -> None:
        """Drop the stream used longest ago, where its order has ended."""
        oldest = next(iter(self._streams.values()))
        if self._takes - oldest.used > IDLE_TAKES and now_ns > oldest.idle_ns:
            self._streams.popitem(last=False)

    def choose(self, bars: FBarArray, delta_ns: int, count: int) -> SelectedBars:
        """Select the last ``count`` bars' variables; a single bar's, the newest of a market, are cached."""
        key = b"%d." % delta_ns + bars.tobytes() if count == 1 else b""
        found = self._newest.get(key)
        if found is None:
            values, masks = features(bars, delta_ns, count)
            variables, weights = np.empty((count, self._model.width), np.float32), np.empty_like(values)
            select(values, masks, self._model.selection, variables, weights)
            found = SelectedBars(variables, _importances(weights[-1], masks[-1]))
            if key:
                self._newest[key] = found
            if len(self._newest) > NEWEST:
                self._newest.popitem(last=False)
        return found

    def fresh(self, rows: int) -> Stream:
        """An encoding that has taken in nothing, with space for ``rows`` bars."""
        width, rows = self._model.width, rows + SPARE_ROWS
        layers, sub = self._model.encoder.cell.sub_recurrent.shape[:2]
        shapes = ((rows + 1, width), (rows + 1, width), (rows + 1, layers, sub), (rows, width), (width, rows))
        return Stream(
            states=States(*(np.zeros(shape, np.float32) for shape in shapes)),
            context=np.zeros(width, np.float32),
        )


def _as_integers(bars: FBarArray) -> IntArray:
    """The bits of bars as rows [N, BAR_COLUMNS]; a view where they lie in order."""
    return np.ascontiguousarray(bars).view(np.int64).reshape(len(bars), BAR_COLUMNS)


def _grown(old: Float32, more: int) -> Float32:
    """``old`` with ``more`` rows of zeros after it."""
    new = np.zeros((len(old) + more, *old.shape[1:]), np.float32)
    new[: len(old)] = old
    return new


def _importances(weights: Float32, mask: BoolArray) -> Mapping[str, float]:
    ranked = np.argsort(-weights, kind="stable")
    main = [int(f) for f in ranked if mask[f]][:MAIN_FEATURES]
    return {FEATURE_NAMES[f]: round(float(weights[f]), 6) for f in main}
