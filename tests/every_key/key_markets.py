"""Recorded sessions on which a key's effect can be seen, each with what it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agent.app.replay_session import replay_session
from agent.calibration.measured_files import resolved
from agent.config import Config, load_config
from agent.core.errors import OrderError
from agent.core.events import AuditEvent, Command, CommandKind, ControlParent
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.order_options import Order
from tests import bar_sessions
from tests.fakes import S, order_of_the_model, record, start, synthetic_tape

PLAIN_ORDER = Order(
    quantity=Decimal("0.5"), min_duration=3 * S, max_duration=12 * S, interval=3 * S, algo="twap", shadows=()
)


@dataclass(frozen=True)
class Seen:
    """What a replay did, as a person could look at it."""

    events: list[AuditEvent]
    parents: list[dict[str, Any]]
    refused: str = ""
    """Why the order was not started at all."""

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Markets:
    """Sessions by name, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, dict[str, Path]()

    def path(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = MAKERS[name](self._folder / name)
        return self._made[name]

    def replayed(self, name: str, raw: Mapping[str, Any]) -> Seen:
        """The session under a configuration file that says ``raw``. Recorded commands are given again."""
        file = self._folder / "c.yaml"
        file.write_text(yaml.safe_dump(dict(raw)))
        config = resolved(load_config(file))
        events: list[AuditEvent] = []
        override = name not in WITH_COMMANDS
        try:
            done = replay_session(
                self.path(name),
                config,
                override=override,
                verify=False,
                speed=None,
                watch=events.extend,
            )
        except OrderError as error:
            return Seen(events, [], str(error))
        return Seen(events, list(map(dict, done.summary.parents())))


def _plain(path: Path) -> Path:
    """Half a minute of a synthetic market."""
    instrument, events = synthetic_tape()
    return record(path, instrument, events, [], PLAIN_ORDER)


def _gap(path: Path) -> Path:
    """A gap of the trades, four to five seconds after the start."""
    instrument, events = synthetic_tape()
    start_ns = int(events["recv_ns"][0])
    rows = empty_events(2)
    rows["kind"], rows["flags"] = [Kind.GAP_BEGIN, Kind.GAP_END], Flag.LAST
    rows["recv_ns"] = rows["exch_ns"] = [start_ns + 4 * S, start_ns + 5 * S]
    return record(path, instrument, _in_order(np.concatenate([events, rows])), [], PLAIN_ORDER)


def _old_book(path: Path) -> Path:
    """The book stands still from two seconds after the start on; trades go on."""
    instrument, events = synthetic_tape()
    late = events["recv_ns"] > events["recv_ns"][0] + 2 * S
    kept = events[~late | (events["kind"] == Kind.TRADE)]
    return record(path, instrument, _in_order(kept), [], PLAIN_ORDER)


def _in_order(events: EventArray) -> EventArray:
    events = events[np.argsort(events["recv_ns"], kind="stable")]
    events["seq"] = np.arange(1, len(events) + 1)
    return events


def _two(path: Path) -> Path:
    """Two orders of ours on the two sides of one book, both resting."""
    instrument, events = synthetic_tape()
    buy = replace(PLAIN_ORDER, tactic="peg", quantity=Decimal(5))
    commands: list[Command] = [
        start(instrument, events, buy, "s-P1"),
        start(instrument, events, replace(buy, side="sell", tactic="sweep"), "s-P2"),
    ]
    return record(path, instrument, events, commands, buy)


def _still(path: Path) -> Path:
    """Prices stand still, 1,000 lots a side. Twice a second 40 are sold to the bid; others leave and join."""
    instrument, events = synthetic_tape()
    return record(path, instrument, _still_tape(int(events["recv_ns"][0])), [], PLAIN_ORDER)


BID, ASK, SHOWN = 6_170_000, 6_170_001, 1000


def _through(path: Path) -> Path:
    """The same, and each of the 40 is sold a tick below the bid: through the price of whoever rests there."""
    instrument, events = synthetic_tape()
    return record(path, instrument, _still_tape(int(events["recv_ns"][0]), BID - 1), [], PLAIN_ORDER)


def _still_tape(start_ns: int, traded_at: int = BID) -> EventArray:
    """(after ms, kind, side, price, lots) of each row, as a tape."""
    rows: list[tuple[int, Kind, int, int, int]] = [
        (0, Kind.SNAPSHOT_BEGIN, 0, 0, 0),
        (0, Kind.LEVEL, 1, BID, SHOWN),
        (0, Kind.LEVEL, -1, ASK, SHOWN),
        (0, Kind.SNAPSHOT_END, 0, 0, 0),
    ]
    for ms in range(500, 30_000, 500):
        step = ms // 500 % 10
        left = SHOWN - 90 * min(step, 10 - step)  # some leave, then others join behind
        rows += [(ms, Kind.TRADE, -1, traded_at, 40), (ms + 100, Kind.LEVEL, 1, BID, left)]
    events = empty_events(len(rows))
    for k, name in enumerate(("recv_ns", "kind", "side", "price_ticks", "qty_lots")):
        events[name] = [row[k] for row in rows]
    events["recv_ns"] = events["exch_ns"] = start_ns + events["recv_ns"] * 10**6
    events["flags"], events["ext_id"] = Flag.LAST, np.arange(len(rows))
    events["flags"][:3] = 0
    return _in_order(events)


def _resting(path: Path) -> Path:
    """Two orders of ours that rest on one side."""
    instrument, events = synthetic_tape()
    order = replace(PLAIN_ORDER, tactic="peg", quantity=Decimal(5))
    commands: list[Command] = [start(instrument, events, order, f"s-P{k}") for k in (1, 2)]
    return record(path, instrument, events, commands, order)


def _amended(path: Path) -> Path:
    """A resting order under a cap on the market that stands still; a user lowers the cap while it rests."""
    instrument, events = synthetic_tape()
    events = _still_tape(int(events["recv_ns"][0]))
    order = replace(PLAIN_ORDER, tactic="peg", interval=24 * S, min_duration=24 * S, max_duration=24 * S)
    first = start(instrument, events, replace(order, quantity=Decimal("0.005"), participation_cap=1.0))
    at_ns = first.recv_ns + 9 * S // 2
    seq = int(events["seq"][np.searchsorted(events["recv_ns"], at_ns) - 1])
    amend = ControlParent(at_ns, seq, CommandKind.AMEND, "s-P1", "c1", {"participation_cap": 0.1})
    return record(path, instrument, events, [first, amend], order)


def _later(path: Path) -> Path:
    """An order by the model that starts when twelve seconds have been seen."""
    instrument, events, order, command = order_of_the_model()
    return record(path, instrument, events, [command], order)


def _bars(path: Path) -> Path:
    path.mkdir()
    return bar_sessions.session(path, bar_sessions.hourly([100.0 + k for k in range(12)], volume=10.0))


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "plain": _plain,
    "gap": _gap,
    "old_book": _old_book,
    "still": _still,
    "through": _through,
    "two": _two,
    "resting": _resting,
    "amended": _amended,
    "later": _later,
    "bars": _bars,
}
WITH_COMMANDS = frozenset({"two", "resting", "amended", "later"})
__all__ = ["PLAIN_ORDER", "Config", "Markets", "Seen"]
