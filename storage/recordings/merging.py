"""Merges: several sessions as one, one after another or of different symbols at once.

The total order is ``recv_ns``, then the order in which the sessions were given, then each one's own; rows are
numbered anew. A symbol may be in several sessions only if their times do not overlap. Where one follows
another and was not cut off right there, the tape says that data is missing between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from agent.core.errors import SessionError
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject, int_in
from agent.core.market.tape import BarArray, EventArray, Flag, Kind, empty_events
from storage.recordings.segments import rechunk
from storage.recordings.session import SessionHeader, SessionReader
from storage.recordings.slicing import renumbered, utc
from storage.recordings.staging import staged

SOURCE = "merge"  # of sessions from different sources
_ROWS = 65536
Symbol = tuple[str, str]  # exchange and symbol


@dataclass(slots=True)
class Merged:
    """What a merge made; ``joins`` says where a symbol goes on from one session to the next."""

    session: str
    events: int = 0
    bars: int = 0
    symbols: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Input:
    """One session on its way in."""

    reader: SessionReader
    spans: dict[Symbol, tuple[int, int]] = field(default_factory=dict)  # first and last recv_ns
    numbers: dict[int, int] = field(default_factory=dict)  # its instrument numbers to the new ones
    keeps_opening: dict[int, bool] = field(default_factory=dict)  # by new number, where others know it too
    rows: int = 0

    @property
    def name(self) -> str:
        return str(self.reader.path)


def merge_sessions(paths: Sequence[Path], out: Path) -> Merged:
    """Write the sessions of ``paths`` as the session ``out``.

    Of a damaged session what can be read is taken, and ``losses`` says what could not. Raises SessionError
    where sessions overlap in a symbol or one is given twice, RecordingError where ``out`` cannot be written.
    """
    _check_distinct(paths)
    inputs = [_look(path) for path in paths]
    instruments = _number(inputs)
    done = Merged(str(out), symbols=[i.symbol for i in instruments])
    begun, ended = _join(inputs, done.joins)
    with staged(out, _header(out, inputs, instruments)) as writer:
        bars = _bars(inputs)
        writer.bars(bars)
        streams = [iter([ended]), *map(_rows, inputs), iter([begun])]
        end_ns = 0
        for batch in rechunk(in_order(streams), _ROWS):
            batch["seq"] = np.arange(done.events + 1, done.events + len(batch) + 1)
            done.events += len(batch)
            end_ns = int(batch["recv_ns"][-1])
            writer.events(batch)
        done.bars = len(bars)
        done.losses = [f"{one.name}: {loss}" for one in inputs for loss in one.reader.losses]
        writer.close(max([end_ns, *(one.reader.end_ns or 0 for one in inputs)]))
    return done


def _check_distinct(paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        raise SessionError("a merge needs two sessions or more: give their directories")
    seen: dict[Path, Path] = {}
    for path in paths:
        if (real := path.resolve()) in seen:
            raise SessionError(f"{path} is given twice: a session cannot be merged with itself")
        seen[real] = path


def _look(path: Path) -> _Input:
    """Read a session through once: when it holds each symbol. A slice holds them from cut to cut."""
    one = _Input(SessionReader(path))
    by_number = {i.number: (i.exchange, i.symbol) for i in one.reader.instruments}
    for batch in one.reader.batches():
        one.rows += len(batch)
        received = batch[batch["flags"] & Flag.CARRIED == 0]
        for number in np.unique(received["instrument"]).tolist():
            at = received["recv_ns"][received["instrument"] == number]
            key = by_number[number]
            first, last = one.spans.get(key, (int(at[0]), 0))
            one.spans[key] = (min(first, int(at[0])), max(last, int(at[-1])))
    origin = one.reader.header.origin
    if "to_ns" in origin:
        covered = int_in(origin, "from_ns"), int_in(origin, "to_ns") - 1
        one.spans = dict.fromkeys(by_number.values(), covered)
    return one


def _number(inputs: Sequence[_Input]) -> list[Instrument]:
    """Give every instrument a new number; the same symbol at the same precision is one. Returns them."""
    found: dict[Instrument, Instrument] = {}
    for one in inputs:
        for instrument in one.reader.instruments:
            key = replace(instrument, number=-1)
            found.setdefault(key, replace(instrument, number=len(found)))
            one.numbers[instrument.number] = found[key].number
    return list(found.values())


def _join(inputs: Sequence[_Input], joins: list[str]) -> tuple[EventArray, EventArray]:
    """Find where symbols go on from one session to the next; returns the gaps' begins and their ends.

    Raises SessionError for an overlap.
    """
    begun, ended = [empty_events()], [empty_events()]
    for symbol in sorted({key for one in inputs for key in one.spans}):
        line = sorted((p for p in inputs if symbol in p.spans), key=lambda p: p.spans[symbol])
        for before, after in pairwise(line):
            last, first = before.spans[symbol][1], after.spans[symbol][0]
            if first <= last:
                raise SessionError(
                    f"{symbol[1]} is in {before.name} until {utc(last)} and in {after.name} from "
                    f"{utc(first)}: sessions that overlap in a symbol cannot be merged; cut one with "
                    "`agent sessions slice`"
                )
            goes_on = _goes_on(before, after)
            after.keeps_opening.update(dict.fromkeys(_numbers(after, symbol), not goes_on))
            if not goes_on:
                begun.append(_mark(Kind.GAP_BEGIN, _numbers(before, symbol)[-1], last))
                ended.append(_mark(Kind.GAP_END, _numbers(before, symbol)[-1], first))
            how = "without a gap" if goes_on else f"after a gap of {(first - last) / 1e9:.1f} s"
            joins.append(f"{symbol[1]}: {after.name} follows {before.name} {how}")
        for silent in (p for p in inputs if symbol not in p.spans):  # the others know its book better
            silent.keeps_opening.update(dict.fromkeys(_numbers(silent, symbol), False))
    return _sorted(np.concatenate(begun)), _sorted(np.concatenate(ended))


def _sorted(rows: EventArray) -> EventArray:
    return rows[np.argsort(rows["recv_ns"], kind="stable")]


def _numbers(one: _Input, symbol: Symbol) -> list[int]:
    """New numbers of a symbol in one session: one for every precision it had there."""
    return [one.numbers[i.number] for i in one.reader.instruments if (i.exchange, i.symbol) == symbol]


def _goes_on(before: _Input, after: _Input) -> bool:
    """Whether two slices of one session touch: then nothing is missing between them."""
    a, b = (p.reader.header.origin for p in (before, after))
    return "to_ns" in a and (a["session"], a["to_ns"]) == (b.get("session"), b.get("from_ns"))


def _mark(kind: Kind, number: int, recv_ns: int) -> EventArray:
    row = empty_events(1)
    row["recv_ns"] = row["exch_ns"] = recv_ns
    row["instrument"], row["kind"], row["flags"] = number, kind, Flag.LAST
    return row


def _rows(one: _Input) -> Iterator[EventArray]:
    """A session's rows under their new numbers, without the openings that earlier sessions replace."""
    known = list(one.keeps_opening)  # instruments with a past: it is their history
    gone = [number for number, stays in one.keeps_opening.items() if not stays]
    for batch in one.reader.batches():
        rows = renumbered(batch, one.numbers)
        carried = rows["flags"] & Flag.CARRIED != 0
        if carried.any():
            history = (rows["kind"] == Kind.TRADE) & np.isin(rows["instrument"], known)
            rows = rows[~(carried & (history | np.isin(rows["instrument"], gone)))]
        if len(rows):
            yield rows


def in_order(streams: Sequence[Iterator[EventArray]]) -> Iterator[EventArray]:
    """Merge streams that are each in order of ``recv_ns``; at one time the earlier stream goes first.

    Holds about a batch of each.
    """
    streams = [filter(len, stream) for stream in streams]
    held = {at: batch for at, stream in enumerate(streams) if (batch := next(stream, None)) is not None}
    while held:
        horizon = min(int(batch["recv_ns"][-1]) for batch in held.values())
        for at in [at for at, batch in held.items() if int(batch["recv_ns"][-1]) == horizon]:
            _read_beyond(held, streams, at, horizon)
        pieces = []
        for at in sorted(held):
            cut = int(np.searchsorted(held[at]["recv_ns"], horizon, side="right"))
            pieces.append(held[at][:cut])
            held[at] = held[at][cut:]
            if not len(held[at]):
                del held[at]
        merged = np.concatenate(pieces)
        yield _sorted(merged)


def _read_beyond(
    held: dict[int, EventArray], streams: Sequence[Iterator[EventArray]], at: int, horizon: int
) -> None:
    """Read a stream on until it has passed ``horizon`` or ended: all its rows of that moment are there."""
    while int(held[at]["recv_ns"][-1]) == horizon:
        more = next(streams[at], None)
        if more is None:
            return
        held[at] = np.concatenate([held[at], more])


def _bars(inputs: Sequence[_Input]) -> BarArray:
    """All bars in order of ``recv_ns``, each once, numbered anew."""
    found = np.concatenate([renumbered(p.reader.bars(), p.numbers) for p in inputs])
    found = found[np.argsort(found["recv_ns"], kind="stable")]
    _, first = np.unique(found[["instrument", "delta_ns", "open_ns"]], return_index=True)
    kept: BarArray = found[np.sort(first)]
    kept["seq"] = np.arange(1, len(kept) + 1)
    return kept


def _header(out: Path, inputs: Sequence[_Input], instruments: Sequence[Instrument]) -> SessionHeader:
    headers = [one.reader.header for one in inputs]
    sources = {header.source for header in headers}
    offsets: dict[str, int] = {}
    for header in reversed(headers):
        offsets |= header.clock_offsets
    first = headers[0]
    return SessionHeader(
        session=out.name,
        instruments=tuple(instruments),
        created_ns=min(h.created_ns for h in headers),
        seed=first.seed,
        config=first.config,
        fingerprint=first.fingerprint,
        clock_offsets=offsets,
        source=sources.pop() if len(sources) == 1 else SOURCE,
        origin={"merged": [_source(one) for one in inputs]},
    )


def _source(one: _Input) -> JsonObject:
    """What the merged session's header says of one it was made of."""
    header = one.reader.header
    members = {"session": header.session, "source": header.source, "origin": header.origin}
    return {name: value for name, value in members.items() if value} | {"events": one.rows}
