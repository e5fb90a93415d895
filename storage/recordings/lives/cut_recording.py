"""A recording that a power cut left uneven: its inputs up to the first that is missing.

A process that is killed loses nothing that it had handed to the system. A computer that loses its power may
lose the end of each file, and of one more than of another. Inputs are numbered through, whatever file they
are in, so the first number missing says how far they are whole; what comes after it describes a market, and
commands, that cannot be put in order with what is lost.

Worked example. Tape rows 1 to 90 and 92 to 100, a command with number 91. The journal lost its end: 91 is
missing, the tape is cut after row 90, and results that name an input from 91 on are cut away too.
"""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from agent.core.arrays import IntArray
from agent.core.canonical import TapeCheck, parted
from agent.core.errors import SessionError
from agent.core.json_types import int_in
from agent.core.market.tape import BAR, EVENT
from agent.core.types import NS_PER_S
from storage.recordings.numbered_segments import segment_paths, segment_rows
from storage.recordings.segments import SegmentDamageError, compact, write_atomically
from storage.recordings.session import END_KIND, JOURNAL, OUTCOME, SessionReader

_SEQ = re.compile(r"\|seq=(\d{1,19})(?:\||$)")
POWER_CUT_NS = 120 * NS_PER_S
"""So much of the end of a recording may be lost with the power; more is damage that no power cut does."""
KEPT = ".before-cut"
"""What a file is called with from which something was cut; after another cut, with a number besides."""


class Inputs(NamedTuple):
    """Of a session: the first number that no input has, the last that one has, and the last moment of one."""

    first_missing: int
    last_seq: int
    last_ns: int


def inputs_of(reader: SessionReader) -> Inputs:
    """What inputs a live session has: one pass where none is missing, as nearly always."""
    placed = [(int_in(e, "seq"), int_in(e, "recv_ns")) for e in reader.journal() if e.get("kind") != END_KIND]
    seqs, moments = [seq for seq, _ in placed], [at_ns for _, at_ns in placed]
    count, bars = len(placed), reader.bars()
    for rows in (bars, *reader.batches()):
        if len(rows):
            count += len(rows)
            seqs.append(int(rows["seq"][-1]))
            moments.append(int(rows["recv_ns"][-1]))
    last_seq, last_ns = max(seqs, default=0), max(moments, default=0)
    return Inputs(last_seq + 1 if count == last_seq else _first_missing(reader), last_seq, last_ns)


def _first_missing(reader: SessionReader) -> int:
    seqs = [batch["seq"].copy() for batch in reader.batches()]
    seqs.append(reader.bars()["seq"].copy())
    seqs.append(np.array([int_in(e, "seq") for e in reader.journal() if e.get("kind") != END_KIND], np.int64))
    every: IntArray = np.sort(np.concatenate(seqs))
    there = every[np.diff(every, prepend=0) > 0]  # a hash takes twenty times as long
    gaps = np.flatnonzero(there != np.arange(1, len(there) + 1))
    return int(gaps[0]) + 1 if len(gaps) else len(there) + 1


def results_before(recorded: list[str], seq: int) -> list[str]:
    """Results up to the first that an input from ``seq`` on has caused; checks of the tape as they are."""
    results, checks = parted(recorded)
    for at, row in enumerate(results):
        found = _SEQ.search(row)
        if found and int(found[1]) >= seq:
            results = results[:at]
            break
    return results + checks


def whole_inputs(path: Path) -> tuple[SessionReader, Inputs, bool]:
    """The session up to the first input that is missing, what it has, and whether later ones are there.

    Raises SessionError where more is missing than the end that a power cut takes.
    """
    reader = SessionReader(path)
    found = inputs_of(reader)
    if any("missing" in loss or "after it" in loss for loss in reader.losses):
        raise SessionError(f"{path} cannot go on: {'; '.join(reader.losses)}")
    if found.last_seq < found.first_missing:
        return reader, found, False
    reader = SessionReader(path, found.first_missing)
    whole = inputs_of(reader)
    lost_ns = found.last_ns - max(whole.last_ns, reader.header.created_ns)
    if lost_ns > POWER_CUT_NS:
        raise SessionError(
            f"{path} cannot go on: input {found.first_missing:,} is missing, and {lost_ns / NS_PER_S:.0f} s"
            " are recorded after it: a power cut takes the end of a recording, and at most"
            f" {POWER_CUT_NS // NS_PER_S} s of it"
        )
    return reader, whole, True


def even_out(path: Path) -> bool:
    """Cut away what a power cut left uneven, if it did: inputs after one that is missing, and their results.

    Returns whether anything was cut. Raises SessionError, RecordingError.
    """
    reader, found, uneven = whole_inputs(path)
    recorded, check = list(reader.outcome()), TapeCheck()
    lines = sum(len(check.add(batch)) for batch in reader.batches())
    results, checks = parted(results_before(recorded, found.first_missing))
    kept = results + checks[:lines]
    if not uneven and len(kept) == len(recorded):
        return False
    cut(path, found.first_missing, kept)
    return True


def cut(path: Path, seq: int, outcome: list[str]) -> None:
    """Take inputs from ``seq`` on out of a recording, and leave it these results. What was stays beside.

    Raises RecordingError.
    """
    for stem, dtype in (("tape", EVENT), ("bars", BAR)):
        for segment in segment_paths(path, stem):
            _cut_segment(segment, dtype, seq)
    journal = [line for line in _lines(path / JOURNAL) if int(orjson.loads(line)["seq"]) < seq]
    _rewrite(path / JOURNAL, journal)
    _rewrite(path / OUTCOME, [row.encode() for row in outcome])


def _cut_segment(path: Path, dtype: np.dtype[np.void], seq: int) -> None:
    try:
        whole = all(int(rows["seq"][-1]) < seq for rows in segment_rows(path, dtype))
    except SegmentDamageError:
        whole = False
    if not whole:
        _keep(path)
        compact(path, dtype, before_seq=seq)


def _keep(path: Path) -> None:
    """What an earlier cut has kept stays too."""
    names = (path.name + KEPT + (f"-{number}" if number > 1 else "") for number in itertools.count(1))
    shutil.copyfile(path, next(path.with_name(name) for name in names if not path.with_name(name).exists()))


def _lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()


def _rewrite(path: Path, lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    if path.exists() and path.read_bytes() == data:
        return
    if path.exists():
        _keep(path)
    write_atomically(path, data)
