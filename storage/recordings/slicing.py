"""Slices: an extract of a session, from one time to another, as a session of its own that replays alone.

It begins with the book, the open gaps and (on demand) the trades that led up to it, flagged ``CARRIED``;
then the rows of ``[start_ns, end_ns)`` by ``recv_ns`` follow, as they were but for their numbering. A cut by
``recv_ns`` never parts an exchange update. Orders stay behind: half an order has no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agent.core.errors import SessionError
from agent.core.instrument import Instrument
from agent.core.market.tape import BarArray, EventArray, Flag, Kind
from storage.recordings.mapped import Rows
from storage.recordings.opening_rows import Opening
from storage.recordings.session import SessionReader
from storage.recordings.staging import staged


@dataclass(frozen=True, slots=True)
class Cut:
    """What to cut out: ``[start_ns, end_ns)`` by ``recv_ns``, of all symbols or some, with their history."""

    start_ns: int | None = None
    end_ns: int | None = None
    symbols: tuple[str, ...] = ()
    history_ns: int = 0


@dataclass(slots=True)
class Sliced:
    """What a slice holds; ``carried`` rows are its opening."""

    session: str
    start_ns: int
    end_ns: int
    events: int = 0
    carried: int = 0
    bars: int = 0
    symbols: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def slice_session(path: Path, out: Path, cut: Cut) -> Sliced:
    """Write ``cut`` of the session ``path`` as the session ``out``.

    Of a damaged session what can be read is cut, and ``losses`` says what could not. Raises SessionError
    for a cut outside the session or an unknown symbol, RecordingError where ``out`` cannot be written.
    """
    reader = SessionReader(path)
    chosen = chosen_instruments(reader, cut.symbols)
    start_ns, end_ns = _bounds(reader, cut)
    header = reader.header
    origin = {
        "session": header.session,
        "from_ns": start_ns,
        "to_ns": end_ns,
        "symbols": [i.symbol for i in chosen],
    }
    new = replace(
        header,
        session=out.name,
        instruments=tuple(replace(i, number=at) for at, i in enumerate(chosen)),
        created_ns=start_ns,
        origin=origin,
    )
    numbers = {i.number: at for at, i in enumerate(chosen)}
    done = Sliced(str(out), start_ns, end_ns, symbols=[i.symbol for i in chosen])
    with staged(out, new) as writer:
        bars = renumbered(_bars(reader, start_ns - cut.history_ns, end_ns), numbers)
        writer.bars(bars)
        seq = 1
        for rows in cut_rows(reader, [i.number for i in chosen], start_ns, end_ns, cut.history_ns):
            rows = renumbered(rows, numbers)
            rows["seq"] = np.arange(seq, seq + len(rows))
            seq += len(rows)
            writer.events(rows)
            done.carried += int(np.count_nonzero(rows["flags"] & Flag.CARRIED))
        done.events, done.bars, done.losses = seq - 1 - done.carried, len(bars), list(reader.losses)
        if not done.events and not len(bars):
            lost = f" ({'; '.join(done.losses)})" if done.losses else ""
            raise SessionError(
                f"{path} has no events of {_names(chosen)} between these times{lost}: widen the slice"
            )
        writer.close(end_ns - 1)  # its last moment: the end of the session where nothing was cut off there
    return done


def chosen_instruments(reader: SessionReader, symbols: Sequence[str]) -> list[Instrument]:
    """The session's instruments of ``symbols`` (all without any), every precision. Raises SessionError."""
    known = [i.symbol for i in reader.instruments]
    for symbol in symbols:
        if symbol not in known:
            raise SessionError(f"{reader.path} has no {symbol}: it holds {', '.join(known)}")
    return [i for i in reader.instruments if not symbols or i.symbol in symbols]


def span(reader: SessionReader) -> tuple[int, int]:
    """(first, last) ``recv_ns`` of the session, of its bars where it has no events. Raises SessionError.

    A closed session says when it ended; only one that was cut off is read through for it.
    """
    first = next(reader.batches(1), None)
    if first is None:
        bars = reader.bars()
        if not len(bars):
            lost = f" that can be read ({'; '.join(reader.losses)})" if reader.losses else ""
            raise SessionError(f"{reader.path} holds no events{lost}: there is nothing to look at or to cut")
        return int(bars["recv_ns"].min()), int(bars["recv_ns"].max())
    last = reader.end_ns
    if last is None:
        for batch in reader.batches():
            last = int(batch["recv_ns"][-1])
    begin = int(first["recv_ns"][0])
    return begin, max(begin, last or 0)  # a damaged end may say anything


def _bars(reader: SessionReader, since_ns: int, end_ns: int) -> BarArray:
    """The bars known before ``end_ns``: all that a tape was warmed up with; of bars alone the cut's."""
    bars = reader.bars()
    bars = bars[bars["recv_ns"] < end_ns]
    alone = next(reader.batches(1), None) is None
    return bars[bars["recv_ns"] >= since_ns] if alone else bars


def _bounds(reader: SessionReader, cut: Cut) -> tuple[int, int]:
    """The cut's start and end, the session's own where open. Raises SessionError if it lies outside."""
    first, last = span(reader)
    start_ns = first if cut.start_ns is None else cut.start_ns
    end_ns = last + 1 if cut.end_ns is None else cut.end_ns
    if cut.start_ns is not None and cut.end_ns is not None and start_ns >= end_ns:
        raise SessionError(
            f"a slice from {utc(start_ns)} to {utc(end_ns)} is empty: --from comes before --to"
        )
    if end_ns <= first or start_ns > last:
        raise SessionError(
            f"the slice {_named(cut)} lies outside {reader.path}, which holds {utc(first)} to {utc(last)}: "
            "give a time in it, or a duration from its start (15m)"
        )
    return max(start_ns, first), min(end_ns, last + 1)


def _named(cut: Cut) -> str:
    ends = (("from", cut.start_ns), ("to", cut.end_ns))
    return " ".join(f"{end} {utc(ns)}" for end, ns in ends if ns is not None)


def cut_rows(
    reader: SessionReader, numbers: Sequence[int], start_ns: int, end_ns: int, history_ns: int
) -> Iterator[EventArray]:
    """Yield the slice's rows with the session's own numbers: history, opening, then what was recorded."""
    opening = Opening()
    past: list[EventArray] = []
    opened = False
    for batch in reader.batches():
        at, stop = np.searchsorted(batch["recv_ns"], [start_ns, end_ns], side="left").tolist()
        batch, at_end = batch[:stop], stop < len(batch)
        mine = np.isin(batch["instrument"], numbers)
        if at:
            before = batch[:at][mine[:at]]
            opening.add(before)
            past.append(_history(before, start_ns - history_ns))
        if at < len(batch):
            if not opened:
                opened = True
                yield from _opened(past, opening, numbers, start_ns)
            yield batch[at:][mine[at:]]
        if at_end:
            break
    if not opened:
        yield from _opened(past, opening, numbers, start_ns)


def _opened(
    past: list[EventArray], opening: Opening, numbers: Sequence[int], start_ns: int
) -> Iterator[EventArray]:
    yield from past
    for number in numbers:
        yield opening.rows(number, start_ns)


def _history(rows: EventArray, since_ns: int) -> EventArray:
    """The trades since ``since_ns`` in the exchange's time, as history of what follows."""
    trades: EventArray = rows[(rows["kind"] == Kind.TRADE) & (rows["exch_ns"] >= since_ns)]
    trades["flags"] |= np.uint32(Flag.HISTORY | Flag.CARRIED)
    return trades


def renumbered(rows: Rows, numbers: Mapping[int, int]) -> Rows:
    """Copies of the rows of the instruments in ``numbers``, under their new numbers."""
    if not len(rows):
        return rows
    table = np.full(max(int(rows["instrument"].max()), *numbers) + 1, -1, np.int16)
    table[list(numbers)] = list(numbers.values())
    new = table[rows["instrument"]]
    kept: Rows = rows[new >= 0]  # a copy: the caller's rows stay as they are
    kept["instrument"] = new[new >= 0]
    return kept


def _names(instruments: Sequence[Instrument]) -> str:
    return ", ".join(i.symbol for i in instruments)


def utc(ns: int) -> str:
    """A time to the millisecond, as the options take it."""
    return str(np.datetime64(ns // 10**6, "ms")) + "Z"
