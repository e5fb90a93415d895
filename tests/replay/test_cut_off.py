"""Sessions that were cut off, at any write: they verify as far as they go, and not where anything differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agent import app
from agent.app.replay_session import Replayed, replay_session
from agent.app.session_end import _missing, closed_recording
from agent.config import Config, Order
from agent.core.canonical import TapeCheck, canonical_row
from agent.core.events import AbandonParents, AuditEvent
from agent.core.market.tape import Flag
from agent.journal import CLOSING, command_entry
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import S, start, synthetic_tape

pytestmark = pytest.mark.slow

ORDER = Order(
    quantity=Decimal("0.5"),
    min_duration=6 * S,
    max_duration=18 * S,
    interval=3 * S,
    algo="optimal_stopping",
    tactic="peg",
    shadows=("twap",),
)
UPDATES = 40
"""Updates of the exchange that come in as one batch."""
Op = Callable[[SessionWriter], None]


def _batches() -> tuple[object, list[np.ndarray]]:
    """The tape in batches as a run takes them in: each of whole updates, stamped as one."""
    instrument, events = synthetic_tape()
    ends = np.flatnonzero(events["flags"] & Flag.LAST)[UPDATES - 1 :: UPDATES] + 1
    batches = [part for part in np.split(events, ends) if len(part)]
    for part in batches:
        part["recv_ns"] = part["recv_ns"][-1]
    return instrument, batches


def _writes() -> tuple[SessionHeader, list[Op]]:
    """What a live run writes, in order: an input, then what came of it; time goes on between inputs."""
    instrument, batches = _batches()
    events = np.concatenate(batches)
    begin = start(instrument, events, ORDER)  # type: ignore[arg-type]
    book_ns = begin.recv_ns
    config = Config(order=ORDER)
    header = SessionHeader(
        "s",
        (instrument,),  # type: ignore[arg-type]
        int(events["recv_ns"][0]),
        config=config.model_dump(mode="json"),
        fingerprint=app.fingerprint(config, [ORDER.algo, *ORDER.shadows]),
    )
    engine = app.build_engine(config, [instrument], app.inline_policies(config))  # type: ignore[list-item]
    check, ops = TapeCheck(), []

    def results(tape: Sequence[str] = ()) -> None:
        rows = [*map(canonical_row, engine.drain()), *tape]
        if rows:
            ops.append(lambda writer, rows=rows: writer.outcome(rows))

    for i, rows in enumerate(batches):
        ops.append(lambda writer, rows=rows: writer.events(rows))
        engine.advance(rows)
        results(check.add(rows))
        if rows["recv_ns"][-1] == book_ns:
            begin = replace(begin, recv_ns=book_ns + 1, seq=int(rows["seq"][-1]))  # after the whole batch
            ops.append(lambda writer, begin=begin: writer.journal(command_entry(begin)))
            engine.command(begin)
            results()
        after = batches[i + 1]["recv_ns"][0] if i + 1 < len(batches) else rows["recv_ns"][-1] + S
        engine.advance_time(int(rows["recv_ns"][-1] + after) // 2)
        results()
    return header, ops


HEADER, OPS = _writes()
FIRST = next(i for i, op in enumerate(OPS) if "journal" in op.__code__.co_names)
CUTS = sorted({FIRST + 3, *(int(k) for k in np.linspace(FIRST + 2, len(OPS), 40))})


def cut(folder: Path, writes: int) -> Path:
    """The session of a run that died after so many writes."""
    writer = SessionWriter.create(folder / "s", HEADER)
    for op in OPS[:writes]:
        op(writer)
    writer.abandon()
    return folder / "s"


def verify(path: Path) -> Replayed:
    return replay_session(path, None, override=False, verify=True, speed=None)


@pytest.mark.parametrize("writes", CUTS)
def test_a_session_cut_off_anywhere_agrees_and_is_ended(writes: int, tmp_path: Path) -> None:
    """Killed after any write, it verifies; ended, it is whole, its orders are over, and it verifies again."""
    path = cut(tmp_path, writes)
    found = verify(path)
    assert (found.result.match, found.result.cut_off) == (True, True), found.result.difference
    assert found.result.digest == found.result.recorded_digest
    closed_recording(path)
    again = verify(path)
    assert (again.result.match, again.result.cut_off) == (True, False), again.result.difference
    (parent,) = again.summary.parents()
    assert parent["state"] in ("completed", "expired")
    if parent["state"] == "expired":
        assert parent["reason"].endswith("BTC unfilled: the run died")
        assert parent["shortfall"] is not None
    assert [shadow["state"] for shadow in parent["shadows"]] <= ["expired"]


def test_a_last_line_that_was_torn_is_no_difference(tmp_path: Path) -> None:
    """The process died in the middle of a write."""
    path = cut(tmp_path, _after_results())
    outcome = path / "outcome.jsonl"
    outcome.write_bytes(outcome.read_bytes()[:-20])
    assert verify(path).result.match is True


def test_ending_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """It died itself after it had written the orders' end: the next time finishes it, with one end."""
    path = cut(tmp_path, CUTS[len(CUTS) // 2])
    last_ns = int(SessionReader(path).events()["recv_ns"][-1])
    writer = SessionWriter.resume(path)
    writer.journal(command_entry(AbandonParents(last_ns + S, 10**6, "the run died")))
    writer.abandon()
    closed_recording(path)
    kinds = [entry["kind"] for entry in SessionReader(path).journal()]
    assert kinds == ["start", "abandoned", "end"]
    assert verify(path).result.match is True


@pytest.mark.parametrize("rows", [0, 1, None])
def test_a_session_cut_off_as_it_was_closed(rows: int | None, tmp_path: Path) -> None:
    """Its run had begun to measure all to the last, and died before the recording had its end."""
    path = cut(tmp_path, len(OPS))
    last = SessionReader(path).events()[-1]
    end_ns = int(last["recv_ns"]) + 2 * S
    writer = SessionWriter.resume(path)
    writer.journal({"kind": CLOSING, "recv_ns": end_ns, "seq": int(last["seq"])})
    events: list[AuditEvent] = []
    replay_session(path, None, override=False, verify=True, speed=None, watch=events.extend)
    missing = list(_missing(SessionReader(path), events))
    assert len(missing) > 2
    writer.outcome(missing[:rows])
    writer.abandon()
    found = verify(path)
    assert (found.result.match, found.result.cut_off) == (True, True), found.result.difference
    closed_recording(path)
    assert [(e["kind"], e["recv_ns"]) for e in SessionReader(path).journal()][1:] == [
        ("closing", end_ns),
        ("end", end_ns),
    ]
    again = verify(path)
    assert (again.result.match, again.result.cut_off) == (True, False), again.result.difference


@pytest.mark.parametrize("writes", [1, FIRST])
def test_a_session_without_an_order_is_ended_whole(writes: int, tmp_path: Path) -> None:
    """Its process died before the first one: the checks of its tape are there, so that it can be replayed."""
    path = cut(tmp_path, writes)
    assert closed_recording(path)[0] is None
    again = replay_session(path, None, override=False, verify=False, speed=None, as_recorded=True)
    assert (again.result.match, again.result.cut_off) == (True, False), again.result.difference
    assert SessionReader(path).outcome()


def _after_results() -> int:
    """Writes up to one of results, in the middle of the order."""
    return next(i for i in range(CUTS[20], len(OPS)) if "outcome" in OPS[i].__code__.co_names) + 1


def _next_input(writes: int) -> int:
    """Writes up to the next input, after which the results before it are due."""
    return next(i for i in range(writes, len(OPS)) if "events" in OPS[i].__code__.co_names) + 1


TAMPERED = {
    "the last row is missing": lambda rows: rows[:-1],
    "a row in the middle is missing": lambda rows: rows[: len(rows) // 2] + rows[len(rows) // 2 + 1 :],
    "a row too many at the end": lambda rows: [*rows, *rows[-1:]],
    "a row too many in the middle": lambda rows: rows[:9] + rows[8:],
    "a changed row": lambda rows: [*rows[:9], rows[9].replace("=1", "=2", 1), *rows[10:]],
    "two rows exchanged": lambda rows: [*rows[:8], rows[9], rows[8], *rows[10:]],
    "no row": lambda rows: [],
}


@pytest.mark.parametrize("what", TAMPERED)
@pytest.mark.parametrize("whole", [False, True])
def test_whatever_else_differs_is_named(what: str, whole: bool, tmp_path: Path) -> None:
    """Missing, surplus and changed rows of what was recorded, of a session cut off and of a whole one."""
    path = cut(tmp_path, _next_input(_after_results()))
    if whole:
        closed_recording(path)
    outcome = path / "outcome.jsonl"
    rows = [row for row in outcome.read_text().splitlines() if not row.startswith("tape|")]
    tape = [row for row in outcome.read_text().splitlines() if row.startswith("tape|")]
    assert verify(path).result.match is True
    outcome.write_text("".join(f"{row}\n" for row in [*TAMPERED[what](rows), *tape]))
    result = verify(path).result
    assert result.match is False, what
    assert "result row" in str(result.difference)
    assert result.digest != result.recorded_digest


def test_a_lost_check_of_the_tape_is_named(tmp_path: Path) -> None:
    """Checks of the tape are due as results are; a tape shorter than its checks is no session cut off."""
    path = cut(tmp_path, _next_input(_after_results()))
    outcome = path / "outcome.jsonl"
    whole = outcome.read_text()
    tape = [row for row in whole.splitlines() if row.startswith("tape|")]
    assert len(tape) > 2
    outcome.write_text(whole.replace(f"{tape[-1]}\n", ""))
    assert "tape row" in str(verify(path).result.difference)
    outcome.write_text(f"{whole}{tape[-1]}\n")
    assert "tape row" in str(verify(path).result.difference)


def test_a_damaged_journal_is_not_a_session_cut_off(tmp_path: Path) -> None:
    """A flipped byte of the journal's end: its results are compared whole, and its end is missed."""
    path = cut(tmp_path, len(OPS))
    closed_recording(path)
    shutil.copytree(path, tmp_path / "t")
    journal = tmp_path / "t" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:-1], lines[-1].replace('"kind":"end"', '"kind":"and"')]))
    reader = SessionReader(tmp_path / "t")
    assert (reader.end_ns, reader.cut_off) == (None, False)


def test_the_command_line_says_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 and ``cut_off`` where the prefix agrees, 1 where it does not."""
    from agent.cli import main

    path = cut(tmp_path, _next_input(_after_results()))
    with pytest.raises(SystemExit) as left:
        main(["replay", str(path), "--verify", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (left.value.code, document["match"], document["cut_off"]) == (0, True, True)
    with (path / "outcome.jsonl").open("a") as outcome:
        outcome.write("surplus\n")
    with pytest.raises(SystemExit) as left:
        main(["replay", str(path), "--verify", "--json"])
    assert left.value.code == 1
