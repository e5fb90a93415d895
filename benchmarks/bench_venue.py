"""Replay through the paper venue against hftbacktest: one tape, one machine, one run, in turns.

``PYTHONPATH=. python benchmarks/bench_venue.py [SESSION] [--events 4000000] [--passes 7]``. The tape mixes
book levels and trades: of SESSION (a directory) if given, else of the seeded synthetic market. On both
sides a strategy cancels its order and rests another at the touch every 10 s of tape time, buying and
selling in turn, under the risk-averse queue and the same constant latencies; what each order had filled
when it was replaced is summed beside the speeds: it must be the same. Compilation and reading are not
timed. hftbacktest has an environment of its own: ``make differential`` makes it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from agent.app.venue_setup import venue_setup
from agent.config import Config
from agent.core.agenda import Agenda, Rank
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Kind
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import NS_PER_MS, NS_PER_S, Side, TimeInForce
from agent.venue.fees import Fees
from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.paper import PaperVenue
from agent.venue.wire.latency import Latencies, Latency
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from storage.recordings.session import SessionReader
from tests.differential.reference import interpreter

ROOT = Path(__file__).resolve().parents[1]

STEP_NS = 10 * NS_PER_S
FIRST_NS = 1_234_567  # off the tape's grid of 100 ms: no book update at the very time of an order
ENTRY_NS, RESPONSE_NS, FEED_NS = 20 * NS_PER_MS, 30 * NS_PER_MS, 10 * NS_PER_MS
BOOKS = ("hashmap", "roi_vector")
KINDS = (Kind.TRADE, Kind.LEVEL, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END)
UNIT = Decimal(1)
INSTRUMENT = Instrument(0, "bench", "A/B", "A", "B", "B", UNIT, UNIT)  # ticks and lots are the units


def synthetic_tape(events: int) -> EventArray:
    """The first ``events`` rows of levels and trades of the synthetic BTC/USDT, seed 1."""
    parts, count = [], 0
    for batch in SyntheticMarket(1, ("BTC/USDT",), past_s=0).batches():
        parts.append(batch[np.isin(batch["kind"], KINDS)])
        count += len(parts[-1])
        if count >= events:
            break
    return np.concatenate(parts)[:events]


def session_tape(path: Path, events: int) -> EventArray:
    """The first ``events`` rows of levels and trades of a session's first instrument, from its first book."""
    parts: list[EventArray] = []
    for batch in SessionReader(path).batches():
        batch = batch[np.isin(batch["kind"], KINDS) & (batch["instrument"] == 0)]
        if not parts:
            batch = batch[np.cumsum(batch["kind"] == Kind.SNAPSHOT_BEGIN) > 0]
        if len(batch):
            parts.append(batch)
        if sum(map(len, parts)) >= events:
            break
    return np.concatenate(parts)[:events]


class Work:
    """The strategy on our venue, as hftbacktest's side has it in ``hbt_venue.work``."""

    def __init__(self, tape: EventArray, lots: int) -> None:
        self._tape, self._lots = tape, lots
        self._step = int(tape["recv_ns"][0]) + FIRST_NS
        self.market, self.agenda = TapeMarket([INSTRUMENT], reach=kernel.WHOLE), Agenda()
        ways = Latencies(Latency(ENTRY_NS), Latency(ENTRY_NS), Latency(RESPONSE_NS), Latency(FEED_NS))
        rules = replace(
            venue_setup(Config()).rules,
            latencies=ways,
            fees=Fees(0, 0),
            balances={"A": Decimal(10) ** 15, "B": Decimal(10) ** 24},
            price_band_bps=1e9,
        )
        self.venue = PaperVenue(self.market, self.agenda, rules)
        self.venue.connect(self._hear)
        self.orders, self.filled_lots, self._alive, self._filled = 0, 0, False, 0
        self._next()

    def run(self) -> dict[str, Any]:
        """Replay the tape. Returns what ``hbt_venue.once`` does."""
        tape, recv_ns, at = self._tape, self._tape["recv_ns"], 0
        began, cpu = time.perf_counter(), time.process_time()
        while at < len(tape):
            at, why = self.market.run(tape, at, self.agenda.next_ns)
            if why == kernel.FILLED:
                self.venue.collect()
            elif why == kernel.DUE:
                self._handle(recv_ns.item(at) - 1)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"seconds": seconds, "cpu_s": cpu, "orders": self.orders, "filled_lots": self.filled_lots}

    def _handle(self, until_ns: int) -> None:
        while (due := self.agenda.pop(until_ns)) is not None:
            due[1](due[0])

    def _next(self) -> None:
        self._step += STEP_NS
        self.agenda.add(self._step, Rank.TIMER, self._quote)

    def _quote(self, now_ns: int) -> None:
        self.filled_lots += self._filled
        self._filled = 0
        if self._alive:
            self.venue.cancel(self._order, now_ns)
        self.orders += 1
        bid, ask = self.market.touch(0)
        side, price = (Side.BUY, bid) if self.orders % 2 else (Side.SELL, ask)
        self._order = VenueOrder(self.orders, 0, 0, side, TimeInForce.POST_ONLY, price, self._lots)
        self.venue.submit(self._order, now_ns)
        self._alive = True
        self._next()

    def _hear(self, report: Report) -> None:
        if report.number != self.orders:
            return  # of the order before: it was cancelled
        if report.kind is ReportKind.FILLED:
            self._filled += report.lots
        self._alive = report.kind is ReportKind.ACKNOWLEDGED or 0 < self._filled < self._lots


class Reference:
    """hftbacktest in its own process, asked for one pass at a time."""

    def __init__(self, python: Path, folder: Path, tape: EventArray, lots: int) -> None:
        np.save(folder / "tape.npy", tape)
        given = {
            "entry_ns": ENTRY_NS,
            "response_ns": RESPONSE_NS,
            "feed_ns": FEED_NS,
            "first_ns": int(tape["recv_ns"][0]) + FIRST_NS,
            "step_ns": STEP_NS,
            "lots": lots,
        }
        (folder / "rules.json").write_text(json.dumps(given))
        files = str(folder / "tape.npy"), str(folder / "rules.json")
        command = [str(python), "-m", "benchmarks.hbt_venue", *files]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def once(self, book: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(book, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


def passes(
    tape: EventArray, lots: int, reference: Reference, count: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Both sides in turn, ``count`` times after one pass of each that is not counted (it compiles)."""
    for i in range(count + 1):
        ours = Work(tape, lots).run()
        for name, done in (("ours", ours), *((book, reference.once(book)) for book in BOOKS)):
            if i:
                yield name, done


def report(events: int, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each side, and ours over the faster book of hftbacktest: by the wall, and by the processor.

    On a machine that does nothing else the two are the same; on a busy one the second tells more.
    """
    sides: dict[str, Any] = {}
    for name, rows in found.items():
        rates = [events / row["seconds"] for row in rows]
        sides[name] = {
            "events_per_s": round(statistics.median(rates)),
            "min": round(min(rates)),
            "max": round(max(rates)),
            "events_per_cpu_s": round(statistics.median(events / row["cpu_s"] for row in rows)),
            "orders": rows[0]["orders"],
            "filled_lots": rows[0]["filled_lots"],
        }
    ratios = {}
    for rate in ("events_per_s", "events_per_cpu_s"):
        ratios[rate] = round(sides["ours"][rate] / max(sides[book][rate] for book in BOOKS), 2)
    return {"events": events, **sides, "ratio": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("session", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--passes", type=int, default=7)
    given = parser.parse_args()
    python = interpreter()
    if python is None:
        print("skipped: hftbacktest is not here; `make differential` installs it beside the product")
        return
    tape = session_tape(given.session, given.events) if given.session else synthetic_tape(given.events)
    tape["qty_lots"] *= 2  # with odd orders: see tests/differential/tapes.py
    lots = 2 * round(float(np.mean(tape["qty_lots"][tape["kind"] == Kind.TRADE])) / 2) + 1
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(python, Path(folder), tape, lots)
        for name, done in passes(tape, lots, reference, given.passes):
            found.setdefault(name, []).append(done)
        reference.close()
    print(json.dumps(report(len(tape), found), indent=1))


if __name__ == "__main__":
    main()
