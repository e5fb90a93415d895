"""Calibrates the paper venue from a recorded session: impact by symbol, and what latencies were measured."""

from __future__ import annotations

import csv
import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from agent.calibration.estimate import Sampled, estimate
from agent.calibration.impact_laws import CalibratedLaw, calibrated_law
from agent.calibration.measured_files import ONE_WAY, ROUND_TRIP
from agent.core.arrays import IntArray
from agent.core.errors import AgentError, InputError, RecordingError, SessionError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.ports import SessionReader
from agent.core.types import NS_PER_S
from agent.journal import round_trips
from agent.venue.kernel import loop as k
from agent.venue.kernel.tape_market import TapeMarket

STEP_NS = NS_PER_S
QUANTILES = (50, 90, 99)
MOST_LATENCIES = 10_000
"""Rows of a latency file: more are thinned evenly, since sessions hold them in their headers."""
BOOK_ARCHIVE = "book-archive"
"""The source of books that nobody received: what lies between a row's two times is the exchange's own."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a session gives. ``refused`` names the symbols it gives too little for, and why."""

    session: str
    laws: Mapping[str, CalibratedLaw]
    refused: Mapping[str, str]
    latencies: Mapping[str, IntArray]  # name -> [row, (at_ns, ns)]

    def require_laws(self) -> None:
        """Raise InputError, saying why, when no symbol could be calibrated."""
        if not self.laws:
            raise InputError("; ".join(self.refused.values()) or f"session {self.session} has no instrument")

    def latency_quantiles(self) -> dict[str, LatencyQuantiles]:
        return {name: LatencyQuantiles.of(rows) for name, rows in self.latencies.items()}

    def to_json(self) -> dict[str, object]:
        return {
            "session": self.session,
            "symbols": {symbol: law.to_json() for symbol, law in self.laws.items()},
            "refused": dict(self.refused),
            "latency": {name: found.to_json() for name, found in self.latency_quantiles().items()},
        }


@dataclass(frozen=True, slots=True)
class LatencyQuantiles:
    """Quantiles of measured latencies, in ns by percent; empty without measurements."""

    count: int
    ns: Mapping[int, int]

    @classmethod
    def of(cls, rows: IntArray) -> LatencyQuantiles:
        if not len(rows):
            return cls(0, {})
        found = np.percentile(rows[:, 1], QUANTILES)
        return cls(len(rows), {q: round(ns) for q, ns in zip(QUANTILES, found, strict=True)})

    def to_json(self) -> dict[str, int]:
        return {"count": self.count} | {f"p{q}_ns": ns for q, ns in self.ns.items()}


def calibrate_session(reader: SessionReader) -> Calibration:
    """Estimate everything from a session. Raises SessionError; symbols with too little are ``refused``."""
    sampler = _Sampler(reader.instruments)
    for batch in reader.batches():
        sampler.add(batch)
    laws, refused = {}, {}
    for instrument in reader.instruments:
        try:
            estimates = estimate(sampler.sampled(instrument.number), instrument.symbol)
            laws[instrument.symbol] = calibrated_law(estimates, instrument)
        except InputError as error:
            refused[instrument.symbol] = str(error)
    late = sampler.latencies()
    if reader.header.source == BOOK_ARCHIVE:
        late = {name: rows[:0] for name, rows in late.items()}
    trips = np.array(round_trips(reader.journal()), np.int64).reshape(-1, 2)
    return Calibration(
        session=reader.header.session,
        laws=laws,
        refused=refused,
        latencies={**late, "round_trip": trips},
    )


class _Sampler:
    """Runs the kernel over the tape and looks at every book each ``STEP_NS``."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._market = TapeMarket(instruments)
        self._first_ns = self._next_ns = 0
        count = len(instruments)
        self._mids: list[list[float]] = [[] for _ in range(count)]
        self._spreads: list[list[float]] = [[] for _ in range(count)]
        self._trades: list[EventArray] = []
        self._book: list[EventArray] = []
        self._keep(empty_events())

    def add(self, batch: EventArray) -> None:
        live = batch[batch["flags"] & Flag.HISTORY == 0]
        if not self._first_ns and len(live):
            self._first_ns = self._next_ns = int(live["recv_ns"][0])
        self._keep(live)
        at = 0
        while at < len(batch):
            due_ns = self._next_ns or int(batch["recv_ns"][-1])
            at, why = self._market.run(batch, at, due_ns)
            if why == k.DUE:
                self._look()

    def _keep(self, live: EventArray) -> None:
        names = ["recv_ns", "exch_ns", "qty_lots", "instrument", "side", "flags"]
        counts = (live["kind"] == Kind.TRADE) & (live["flags"] & Flag.IMPOSSIBLE == 0)
        self._trades.append(live[counts][names].copy())
        updates = (live["kind"] == Kind.LEVEL) & (live["flags"] & Flag.LAST != 0)
        self._book.append(live[updates][["recv_ns", "exch_ns", "flags"]].copy())

    def _look(self) -> None:
        for number, mids in enumerate(self._mids):
            book = self._market.book(number)
            mid = (book.bid_ticks + book.ask_ticks) / 2
            mids.append(mid or np.nan)
            self._spreads[number].append((book.ask_ticks - book.bid_ticks) / 2 / mid * 1e4 if mid else np.nan)
        self._next_ns += STEP_NS

    def sampled(self, number: int) -> Sampled:
        """One instrument on the grid. Raises InputError where the tape has no time or no book."""
        mids = np.array(self._mids[number])
        if len(mids) < 2 or not np.isfinite(mids).any():
            symbol = self._market.instruments[number].symbol
            raise InputError(
                f"{symbol}: the session has no order book to calibrate from: record or import one with books"
            )
        rows = np.concatenate(self._trades)
        fetched = rows["flags"] & Flag.BACKFILL != 0  # came late: its own time is when it moved the mid
        seconds = (np.where(fetched, rows["exch_ns"], rows["recv_ns"]) - self._first_ns) / NS_PER_S
        end_s = (len(mids) - 1) * STEP_NS / NS_PER_S
        mine = (rows["instrument"] == number) & (seconds >= 0) & (seconds < end_s) & (rows["side"] != 0)
        signed = rows["qty_lots"][mine] * rows["side"][mine].astype(np.float64)
        return Sampled(STEP_NS / NS_PER_S, mids, np.array(self._spreads[number]), seconds[mine], signed)

    def latencies(self) -> dict[str, IntArray]:
        """Market data's, as seen here: our stamp less the exchange's, the clocks' offset removed."""
        return {
            "market_data_trades": _late(np.concatenate(self._trades)),
            "market_data_book": _late(np.concatenate(self._book)),
        }


def _late(rows: EventArray) -> IntArray:
    """[row, (at_ns, ns)]; rows fetched later, or stamped by us for want of a better, are left out."""
    known = (rows["exch_ns"] != rows["recv_ns"]) & (rows["flags"] & Flag.BACKFILL == 0)
    at_ns = rows["recv_ns"][known]
    return np.column_stack([at_ns, at_ns - rows["exch_ns"][known]])


# --- files -----------------------------------------------------------------------------------------


def write_calibration(found: Calibration, path: Path) -> None:
    """Write the YAML file that ``venue.calibration`` names. Raises InputError, RecordingError."""
    head = (
        "# Made by `python -m agent calibrate` from the session below; name this file in venue.calibration\n"
        "# and set venue.impact to sqrt. Only `impact` is read back; the rest is where it comes from.\n"
    )
    body = yaml.safe_dump(_plain(found.to_json()), sort_keys=False, default_flow_style=None, width=110)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + body, encoding="utf-8")
    except OSError as error:
        raise _unwritten(path, "--out", error) from error


def _unwritten(path: Path, option: str, error: OSError) -> AgentError:
    """A full disk is the world's fault; a path that cannot be a file is the user's."""
    kind = RecordingError if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT) else InputError
    return kind(f"cannot write {path}: {error.strerror}; choose another {option}")


def _plain(value: object) -> object:
    """What YAML knows: lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def write_latencies(found: Calibration, folder: Path) -> list[Path]:
    """Write one CSV file a kind of latency that was measured, as ``venue.*.measured`` takes it.

    Raises SessionError when none was, InputError, RecordingError.
    """
    written = []
    for name, rows in found.latencies.items():
        rows = rows[rows[:, 1] >= 0] if len(rows) else rows  # a stamp ahead of ours is the offset's error
        if not len(rows):
            continue
        column = ROUND_TRIP if name == "round_trip" else ONE_WAY
        thinned = rows[:: -(-len(rows) // MOST_LATENCIES)]
        path = folder / f"{name}.csv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("at_ns", column), *thinned.tolist()])
        except OSError as error:
            raise _unwritten(path, "--latencies", error) from error
        written.append(path)
    if not written:
        raise SessionError(f"session {found.session} holds no measured latency: calibrate a live run's")
    return written
