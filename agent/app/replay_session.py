"""Replays: the same engine over a recorded session, with its own orders or another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.app.build import (
    PolicyFactory,
    build_engine,
    check_algos,
    engine_settings,
    fingerprint,
    inline_policies,
    recorded_policies,
    watched,
)
from agent.app.checks.fill_check import NOT_ASKED, FillCheck, with_check
from agent.app.checks.start_orders import check_replayed
from agent.app.venue_setup import venue_setup
from agent.bar_session import BarSession, is_bars_only
from agent.config import Config, parse_config
from agent.core.errors import InputError, NoOrderError, SessionError
from agent.core.events import AuditEvent, Command, StartParent
from agent.core.instrument import Instrument
from agent.core.json_types import object_in
from agent.core.secret_url import DatabaseUrl
from agent.core.types import MarketView, OrderView
from agent.engine.engine import Engine
from agent.entry.hints import replay_command
from agent.journal import RESUMED, commands, overruns, recorded_decisions
from agent.orders import build_spec
from agent.replay import BATCH_ROWS, ReplayResult, first_book, replay
from agent.shadow import shadow_specs
from agent.summary import Summary
from agent.system_clock import SystemClock
from agent.venue.outside import OutsideVenue
from storage.recordings.session import SessionReader

if TYPE_CHECKING:
    from storage.log.stored_replay import Stored, StoredEvents

log = structlog.get_logger("replay")
PACED_ROWS = 64
Watch = Callable[[list[AuditEvent]], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    result: ReplayResult
    summary: Summary
    session: str
    stored: Stored | None = None  # where its rows are, if it was stored
    notes: tuple[str, ...] = ()  # what a reader has to know of the result
    within_tape: bool | None = (
        None  # its fills are no more than the tape showed and traded; None: not checked
    )

    def to_json(self) -> dict[str, object]:
        r = self.result
        return {
            "session": self.session,
            "events": r.events,
            "seconds": r.seconds,
            "events_per_s": r.events_per_s,
            "digest": r.digest,
            "recorded_digest": r.recorded_digest,
            "match": r.match,
            "cut_off": r.cut_off,
            "first_difference": r.difference,
            "fills_within_tape": self.within_tape,
            "losses": list(r.losses),
            "parents": self.summary.parents(),
            **({"stored": self.stored.to_json()} if self.stored else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }


def replay_session(
    path: Path,
    config: Config | None,
    *,
    override: bool,
    verify: bool,
    speed: float | None,
    watch: Callable[[list[AuditEvent]], None] | None = None,
    rows: int | None = None,
    shown: Callable[[str, OrderView, MarketView], None] | None = None,
    database: DatabaseUrl | None = None,
    start_ns: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    as_recorded: bool = False,
) -> Replayed:
    """Replay ``path``. ``config`` None uses the session's own; ``override`` replaces its orders.

    ``speed`` paces the tape (1.0: as it was); None runs as fast as it can. ``rows`` is the batch size,
    which changes nothing but the speed. ``shown`` gets what every algo is shown. ``database`` (a URL) is
    where all of it is stored, as a live run stores it (``storage.log.stored_replay``). ``start_ns`` is when
    the order starts in a session of bars. ``progress`` gets the rows done and the rows there are.
    ``as_recorded`` starts no order where none was recorded.
    """
    reader = SessionReader(path)
    config = config or recorded_config(reader)
    recorded: list[Command] = [] if override else commands(reader.journal(), reader.instruments)
    _check_verify(path, verify, override, recorded)
    if start_ns is not None and not is_bars_only(reader):
        raise InputError(
            "--start is for sessions of bars or of trades alone: with a book an order starts with the first"
        )
    if not (recorded or as_recorded):
        _check_order_given(path, reader, config)
    bars = _of_bars(reader, config, start_ns)
    compare = bool(recorded) or as_recorded
    pending: list[Command] = recorded
    if not compare:
        pending = [bars.start() if bars else _ordered(reader, config)]
    doubts: list[str] = []
    policies = policies_of(reader, config, pending, doubts, compare=compare)
    if not compare:
        check_replayed(reader, config, bars, pending)
    engine = _engine(reader, config, bars, watched(policies, shown) if shown else policies, recorded)
    summary = Summary(reader.instruments)
    outside = bool(_route(reader, recorded))
    fills = FillCheck(reader, whole=config.venue.reach == "whole", outside=outside)
    watchers = [summary.add, *([watch] if watch else []), *([fills.watch] if verify else [])]
    with _storing(database, path, reader, config, pending) as log:
        watching = _all_of([*watchers, log.add] if log else watchers)
        result = replay(
            bars or reader,
            engine,
            pending,
            clock=SystemClock(),
            compare=compare,
            rows=rows or (BATCH_ROWS if speed is None else PACED_ROWS),
            pace=_pace(speed),
            watch=bars.in_wall_time(watching) if bars else watching,
            progress=progress,
        )
        end_ns = bars.clock.ended(engine.now_ns) if bars else engine.now_ns
        stored = log.finish(end_ns, engine.seq) if log else None
    checked = fills.check() if verify else NOT_ASKED
    result = with_check(_doubted(result, doubts), checked)
    notes = bars.notes() if bars else checked.notes
    return Replayed(result, summary, reader.header.session, stored, notes, checked.within_tape)


def _check_verify(path: Path, verify: bool, override: bool, recorded: Sequence[Command]) -> None:
    if verify and override:
        raise InputError("--verify is refused with another order: nothing recorded to compare it with")
    if verify and not recorded:
        raise InputError(f"--verify is refused: {path} was recorded without an order to compare with")


def _check_order_given(path: Path, reader: SessionReader, config: Config) -> None:
    """Where nothing was recorded an order of one's own has to have a size. Raises NoOrderError."""
    if config.order.has_size:
        return
    lengths_ns = reader.bars()["delta_ns"][:1].tolist() if is_bars_only(reader) else []
    raise NoOrderError(
        f"{path} holds no order to replay, and none was given: give one of your own, as in:"
        f" {replay_command(path, *lengths_ns)}"
    )


def policies_of(
    reader: SessionReader, config: Config, pending: Sequence[Command], doubts: list[str], *, compare: bool
) -> PolicyFactory:
    """Every algo answers at once. Recorded elsewhere: those answers, doubted where ours differ."""
    names = {spec.algo for c in pending if isinstance(c, StartParent) for spec in (c.spec, *c.shadows)}
    check_algos(sorted(names), config)
    late = overruns(reader.journal())
    if compare and (differing := other_fingerprint(reader, fingerprint(config, names))):
        log.warning("fingerprint_differs", **differing)
        return recorded_policies(config, recorded_decisions(reader.outcome()), late, doubts)
    return inline_policies(config, late)


def _engine(
    reader: SessionReader,
    config: Config,
    bars: BarSession | None,
    policies: PolicyFactory,
    recorded: Sequence[Command],
) -> Engine:
    """The session's engine. Reports of a venue outside come from the journal, with the recorded commands."""
    settings, venue = engine_settings(config), venue_setup(config)
    if bars:
        policies, settings, venue = bars.policies(policies), bars.settings(settings), bars.venue(venue)
    route = _route(reader, recorded)
    outside = OutsideVenue.recorded(route) if route else None
    return build_engine(config, reader.instruments, policies, settings, venue, outside)


def _route(reader: SessionReader, recorded: Sequence[Command]) -> Mapping[str, object] | None:
    """The venue outside that real orders went to, where they are replayed as they were."""
    return reader.header.route if recorded else None


def _doubted(result: ReplayResult, doubts: Sequence[str]) -> ReplayResult:
    """No match where a decision, computed again, differs from the recorded one."""
    if not doubts:
        return result
    difference = "; ".join(found for found in (doubts[0], result.difference) if found)
    return replace(result, match=False, difference=difference)


def _storing(
    database: DatabaseUrl | None, path: Path, reader: SessionReader, config: Config, pending: list[Command]
) -> AbstractContextManager[StoredEvents | None]:
    if not database:
        return nullcontext()
    from storage.log.stored_replay import stored_replay  # SQLAlchemy is loaded where it is wanted

    algos = {spec.algo for c in pending if isinstance(c, StartParent) for spec in (c.spec, *c.shadows)}
    return stored_replay(database, path, reader, config, pending, fingerprint(config, algos))


def _all_of(watchers: list[Watch]) -> Watch:
    def watch(events: list[AuditEvent]) -> None:
        for each in watchers:
            each(events)

    return watch


def recorded_config(reader: SessionReader) -> Config:
    """What the session ran with; the defaults for an imported one.

    One that was recorded before ``venue.reach`` was a key ran by the reference's rule, and noted no share.
    """
    raw = dict(reader.header.config)
    venue = raw.get("venue")
    if isinstance(venue, Mapping):
        raw["venue"] = {"reach": "whole", "noted_share": None, **venue}
    return parse_config(raw, "the session's configuration")


def _ordered(reader: SessionReader, config: Config) -> StartParent:
    """The configured order, started at the session's first whole book."""
    recv_ns, seq = first_book(reader)
    instrument = _instrument(reader, config.symbol)
    spec = build_spec(config.order, instrument, f"{reader.header.session}-P1", None)
    return StartParent(recv_ns, seq, spec, tuple(shadow_specs(spec, config.order.shadows)))


def _of_bars(reader: SessionReader, config: Config, start_ns: int | None) -> BarSession | None:
    """The session as one of bars; None when it holds a tape."""
    if is_bars_only(reader):
        return BarSession(reader, _instrument(reader, config.symbol), config, start_ns)
    return None


def _instrument(reader: SessionReader, symbol: str) -> Instrument:
    """The symbol's instrument; of a session with one symbol, that one."""
    for instrument in reader.instruments:
        if instrument.symbol == symbol or len(reader.instruments) == 1:
            return instrument
    known = ", ".join(i.symbol for i in reader.instruments)
    raise SessionError(f"the session has no {symbol}: it holds {known}")


def other_fingerprint(reader: SessionReader, now: Mapping[str, str]) -> dict[str, str]:
    """How the machines, models or versions that recorded a session differ from this one; {}: not at all.

    A session that was gone on with has several. Then the recorded decisions are applied, all else must be
    identical, and what recomputing them here gives must agree to ``TOLERANCE``.
    """
    lives = [reader.header.fingerprint]
    lives += [
        object_in(e, "fingerprint")
        for e in reader.journal()
        if e.get("kind") == RESUMED and "fingerprint" in e
    ]
    return {k: f"{was.get(k)} then, {v} now" for was in lives for k, v in now.items() if was.get(k) != v}


def _pace(speed: float | None) -> Callable[[int], None] | None:
    if speed is None:
        return None
    started = time.monotonic()
    first_ns: list[int] = []

    def wait(recv_ns: int) -> None:
        first_ns[:] = first_ns or [recv_ns]
        ahead = (recv_ns - first_ns[0]) / 1e9 / speed - (time.monotonic() - started)
        if ahead > 0:
            time.sleep(ahead)

    return wait
