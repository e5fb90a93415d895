"""Sessions whose outcome is known to the last bit: every algo and tactic, books, bars, symbols, cuts.

``python -m tests.replay.golden`` makes ``tests/data/golden.json`` anew: only where behaviour was meant to
change, and then the change log says so. A digest is of the canonical rows, floats by their bits. What numpy
and the compiler make of a float may depend on the processor, so beside it stands a digest of the same rows
with nine significant digits, which holds on any.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np

from agent.app.replay_session import replay_session
from agent.config import ImpactParameters, LatencyMs, Order, RehearsalSection, Tactics, Venue
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, Command, CommandKind, ControlParent, StartParent
from agent.core.market.tape import EventArray
from storage.recordings.session import SessionWriter
from tests import bar_sessions as bars
from tests.fakes import S, record, start, synthetic_tape
from tests.replay.test_batches import PEGGED, SOLD, begin, place, tape

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"
ALGOS = ("immediate", "twap", "vwap", "vwap_dynamic", "pov", "almgren_chriss", "optimal_stopping", "lem")
TACTICS = ("twap_micro", "peg", "sweep")
Rows = list[str]

ORDER = Order(quantity=Decimal("0.8"), interval=3 * S, min_duration=9 * S, max_duration=24 * S, shadows=())

LAW = ImpactParameters(sigma_bps_per_day=300, volume_per_day=900)


def _replayed(path: Path) -> Rows:
    """The rows that replaying a session gives, which must be those it was recorded with."""
    happened: list[AuditEvent] = []
    done = replay_session(path, None, override=False, verify=True, speed=None, watch=happened.extend)
    assert done.result.match is True, done.result.difference
    return [canonical_row(event) for event in happened]


def _one_order(
    folder: Path, order: Order, venue: Venue | None = None, tactics: Tactics | None = None
) -> Rows:
    instrument, events = synthetic_tape(40.0, seed=5)
    path = record(
        folder / "s",
        instrument,
        events,
        [_later(start(instrument, events, order), events)],
        order,
        venue,
        tactics,
    )
    return _replayed(path)


def _later(command: StartParent, events: EventArray) -> StartParent:
    """The same start after six seconds of history."""
    recv_ns, seq = place(events, 6.0)
    return replace(command, recv_ns=recv_ns, seq=seq)


def _algo_by_tactic(algo: str, tactic: str) -> Callable[[Path], Rows]:
    return lambda folder: _one_order(folder, replace(ORDER, **{"algo": algo, "tactic": tactic}))


def _terms(**terms: object) -> Callable[[Path], Rows]:
    order = replace(ORDER, **{"algo": "optimal_stopping", "shadows": ("twap", "pov"), **terms})
    return lambda folder: _one_order(folder, order)


def _venue(venue: Venue, tactics: Tactics | None = None, tactic: str = "peg") -> Callable[[Path], Rows]:
    order = replace(ORDER, **{"algo": "twap", "tactic": tactic, "side": "sell", "shadows": ("vwap",)})
    return lambda folder: _one_order(folder, order, venue, tactics)


def _two_symbols(repeg_by: str) -> Callable[[Path], Rows]:
    def rows(folder: Path) -> Rows:
        instruments, events = tape()
        commands: list[Command] = [
            begin(instruments[0], PEGGED, "s-P1", place(events, 3.0)),
            begin(instruments[1], SOLD, "s-P2", place(events, 5.0)),
            ControlParent(*place(events, 9.0), CommandKind.PAUSE, "s-P2", "c1"),
            ControlParent(*place(events, 12.5), CommandKind.RESUME, "s-P2", "c2"),
        ]
        tactics = Tactics(repeg=S // 4, repeg_by=repeg_by)  # type: ignore[arg-type]
        return _replayed(record(folder / "s", instruments, events, commands, PEGGED, tactics=tactics))

    return rows


def _commanded(*commands: tuple[float, CommandKind, dict[str, float]]) -> Callable[[Path], Rows]:
    def rows(folder: Path) -> Rows:
        instrument, events = synthetic_tape()
        order = replace(ORDER, **{"algo": "vwap", "shadows": ("twap",)})
        given: list[Command] = [start(instrument, events, order)]
        given += [
            ControlParent(*place(events, at), kind, "s-P1", f"c{at}", amend) for at, kind, amend in commands
        ]
        return _replayed(record(folder / "s", instrument, events, given, order))

    return rows


def _cut_off(folder: Path) -> Rows:
    """A session that lost its end: two thirds of its tape, its journal without the closing entry."""
    instrument, events = synthetic_tape()
    order = replace(ORDER, **{"algo": "optimal_stopping", "shadows": ("twap",)})
    path = record(folder / "s", instrument, events, [start(instrument, events, order)], order)
    for file in path.glob("tape-*"):
        file.unlink()
    again = SessionWriter(path)
    for part in np.array_split(events, 40):
        again.events(part)
    (file,) = path.glob("tape-*")
    file.write_bytes(file.read_bytes()[: 2 * file.stat().st_size // 3])
    journal = path / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    happened: list[AuditEvent] = []
    done = replay_session(path, None, override=False, verify=False, speed=None, watch=happened.extend)
    assert done.result.losses
    assert 0 < done.result.events < len(events)
    return [canonical_row(event) for event in happened]


def _bars(algo: str, **terms: object) -> Callable[[Path], Rows]:
    def rows(folder: Path) -> Rows:
        prices = [1000 + 7 * ((5 * k * k + 3 * k) % 11) for k in range(60)]
        path = bars.session(folder, bars.hourly(prices), lot=Decimal("0.001"), tick=Decimal("0.01"))
        hour = bars.HOUR
        order = Order(
            quantity=Decimal(40),
            interval=hour,
            min_duration=4 * hour,
            max_duration=12 * hour,
            algo=algo,
            shadows=(),
        )
        order = replace(order, **terms)
        _, events = bars.run(path, bars.config(order), start=bars.MIDNIGHT + timedelta(hours=30))
        return [canonical_row(event) for event in events]

    return rows


CASES: dict[str, Callable[[Path], Rows]] = {
    **{f"{algo} by {tactic}": _algo_by_tactic(algo, tactic) for algo, tactic in product(ALGOS, TACTICS)},
    **{f"bars {algo}": _bars(algo) for algo in ALGOS},
    "bars twap sells notional": _bars("twap", side="sell", quantity=None, notional=Decimal(40_000)),
    "two symbols, repeg by cancel": _two_symbols("cancel"),
    "two symbols, repeg by amend": _two_symbols("amend"),
    "notional sell": _terms(side="sell", quantity=None, notional=Decimal(40_000)),
    "limit price": _terms(limit_price=Decimal(59_990)),
    "participation cap": _terms(participation_cap=0.1),
    "rates": _terms(min_rate=0.05, max_rate=0.2, benchmark="twap", risk_aversion=3.0),
    "grid": _terms(align="grid"),
    "impact": _venue(
        Venue(
            impact="sqrt",
            impact_laws={"BTC/USDT": ImpactParameters(sigma_bps_per_day=300, volume_per_day=900)},
        ),
        tactic="twap_micro",
    ),
    "lognormal latencies": _venue(
        Venue(entry=LatencyMs(median_ms=40, sigma=0.8), acknowledgement=LatencyMs(median_ms=90, sigma=0.5))
    ),
    "rehearsal": _venue(
        Venue(rehearsal=RehearsalSection(reject_ppm=200_000, timeout_ppm=200_000, timeout=S // 2)),
        tactic="twap_micro",
    ),
    "power queue": _venue(Venue(queue="power_probability"), Tactics(repeg=S // 2)),
    "price protection": _venue(Venue(price_protection_bps=0.5), tactic="sweep"),
    "paused and amended": _commanded(
        (2.0, CommandKind.PAUSE, {}),
        (5.5, CommandKind.RESUME, {}),
        (7.0, CommandKind.AMEND, {"risk_aversion": 2.0, "participation_cap": 0.3}),
    ),
    "cancelled": _commanded((10.0, CommandKind.CANCEL, {})),
    "killed": _commanded((8.0, CommandKind.KILL, {})),
    "cut off": _cut_off,
}

_REAL = re.compile(r"-?0x[01]\.[0-9a-f]+p[+-]\d+")


def digests(rows: Rows) -> dict[str, str | int]:
    """The number of rows, their digest, and that with nine significant digits of each float."""
    near = [_REAL.sub(lambda m: f"{float.fromhex(m[0]):.9g}", row) for row in rows]
    return {"rows": len(rows), "exact": _digest(rows), "near": _digest(near)}


def _digest(rows: Rows) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def processor() -> str:
    """What the last bits of floats may depend on."""
    import torch

    found = np._core._multiarray_umath.__cpu_features__
    able = sum(1 << i for i, on in enumerate(found.values()) if on)
    return f"{torch.backends.cpu.get_cpu_capability()} {able:x}"


def make() -> None:
    made = {}
    for name, rows in CASES.items():
        folder = Path(tempfile.mkdtemp())
        made[name] = digests(rows(folder))
        shutil.rmtree(folder)
        print(name, made[name], flush=True)  # noqa: T201 - a tool for people
    GOLDEN.write_text(json.dumps({"processor": processor(), "cases": made}, indent=1) + "\n")


if __name__ == "__main__":
    make()
