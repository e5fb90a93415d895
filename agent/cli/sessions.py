"""``agent sessions``: list recorded sessions, inspect one, slice, merge and compact them.

What goes wrong with one session of many is named and the others are done; the exit code is 1 then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import AgentError, InputError
from agent.durations import parse_duration_ns, parse_time_ns
from agent.entry import log_lines
from agent.entry.hints import replay_command

if TYPE_CHECKING:
    from storage.recordings.compaction import Compaction

app = typer.Typer(no_args_is_help=True, help="List, inspect, slice, merge and compact recorded sessions.")
Out = Annotated[Path, typer.Option(help="Directory of the session to make.")]


@app.command("list")
def list_(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of sessions; `out` of the configuration if left out.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read every row and compare its checksum.")] = False,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """List every session of a folder: when, how long, how large, how its orders ended, whether it is whole.

    Exit code 1 if one is damaged or cannot be read.
    """
    from agent.terminal.session_tables import render_sessions
    from storage.recordings.catalogue import CUT_OFF, WHOLE, list_sessions

    where = folder or o.configuration(config).out
    with output.spinner(f"{'checking every row in' if check else 'looking through'} {where}"):
        found = list_sessions(where, check=check) if folder or where.exists() else []  # nothing was run yet
    if as_json:
        output.emit({"sessions": [s.to_json() for s in found]})
    else:
        render_sessions(found, output.console_of(output.ROWS_WIDTH))
    return 0 if all(s.state in (WHOLE, CUT_OFF) for s in found) else 1


@app.command("inspect")
def inspect(
    session: o.SessionPath,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to this file.")] = None,
    as_json: o.AsJson = False,
) -> int:
    """Show what a session holds: counts, gaps, rates, spreads and mids, orders and decisions.

    Exit code 1 if it is damaged.
    """
    from storage.recordings.inspection import inspect_session

    if html is not None and not html.absolute().parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {html.absolute().parent}; make it first")
    with output.spinner(f"reading {session}"):
        found = inspect_session(session)
    if html is not None:
        from agent.report.session_page import session_page

        try:
            with output.spinner(f"drawing {html}"):
                html.write_text(session_page(found.to_json()), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write --html {html}: {error.strerror}; choose another file") from error
    if as_json:
        output.emit(found.to_json())
    else:
        from agent.terminal.session_tables import render_session

        render_session(found, output.console_of(output.ROWS_WIDTH))
        if html is not None:
            typer.echo(f"\nplots: {html}")
    return 1 if found.listed.problems else 0


@app.command("slice")
def slice_(
    session: o.SessionPath,
    out: Out,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="ISO 8601, or a duration from the start, as in 15m."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The same; the slice ends just before.")
    ] = None,
    symbol: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Only this symbol; may be repeated.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Also keep the trades of this long before the cut, as in 2h."),
    ] = None,
    as_json: o.AsJson = False,
) -> int:
    """Cut a span of time out of a session, as a session that replays alone.

    It opens with the order book as it was at the cut. Orders are left out: replay it with one of your own.
    """
    from storage.recordings.session import SessionReader
    from storage.recordings.slicing import Cut, slice_session, span

    first_ns = span(SessionReader(session))[0] if start or end else 0
    cut = Cut(
        start_ns=_time_ns(start, "--from", first_ns),
        end_ns=_time_ns(end, "--to", first_ns),
        symbols=tuple(symbol or ()),
        history_ns=parse_duration_ns(history) if history else 0,
    )
    with output.spinner(f"cutting {session}"):
        done = slice_session(session, out, cut)
    _warn(done.losses)
    if as_json:
        output.emit(asdict(done))
        return 0
    from agent.terminal.formatting import rows_held, utc

    typer.echo(
        f"{done.session}: {utc(done.start_ns)} to {utc(done.end_ns)}, {rows_held(done.events, done.bars)} "
        f"of {', '.join(done.symbols)}, and {done.carried:,} opening rows (gaps, book, history)"
    )
    _hint_replay(done.session)
    return 0


@app.command("merge")
def merge(
    sessions: o.SessionPaths,
    out: Out,
    as_json: o.AsJson = False,
) -> int:
    """Join sessions: one after another, or of different symbols at once."""
    from storage.recordings.merging import merge_sessions

    every = _expanded(sessions)
    with output.spinner(f"joining {len(every)} sessions"):
        done = merge_sessions(every, out)
    _warn(done.losses)
    if as_json:
        output.emit(asdict(done))
        return 0
    from agent.terminal.formatting import rows_held

    typer.echo(f"{done.session}: {rows_held(done.events, done.bars)} of {', '.join(done.symbols)}")
    for join in done.joins:
        typer.echo(f"  {join}")
    _hint_replay(done.session)
    return 0


@app.command("compact")
def compact(
    sessions: o.SessionPaths,
    as_json: o.AsJson = False,
) -> int:
    """Rewrite closed sessions as Parquet, a fifth to a tenth of the size, verified before the old files go.

    Exit code 1 if a session of a folder cannot be compacted (open or damaged).
    """
    done: list[dict[str, object]] = []
    failed = 0
    for path in _expanded(sessions):
        try:
            compacted = _compacted(path)
        except AgentError as error:
            if len(sessions) == 1 and sessions[0] == path:
                raise
            failed += 1
            log_lines.complain(f"error: {error}")
            done.append({"session": str(path), "error": str(error)})
        else:
            done.append({"session": str(path), **asdict(compacted), "ratio": compacted.ratio})
            if not as_json:
                typer.echo(f"{path}: {_outcome(compacted)}")
    if as_json:
        output.emit({"sessions": done})
    return 1 if failed else 0


@app.command("sync")
def sync(
    sessions: o.SessionPaths,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Bring the execution log in line with recorded runs: rows that the database missed come from them.

    Exit code 1 if one of several cannot be brought in line.
    """
    from agent.app.log_in_line import bring_in_line

    url = db or o.configuration(config).database
    done: list[dict[str, object]] = []
    for path in _expanded(sessions):
        with output.spinner(f"replaying {path}"):
            try:
                stored = bring_in_line(path, url)
            except AgentError as error:
                if len(sessions) == 1 and sessions[0] == path:
                    raise
                log_lines.complain(f"error: {error}")
                done.append({"session": str(path), "error": str(error)})
                continue
        done.append({**stored.to_json(), "path": str(path)})
        if not as_json:
            typer.echo(f"{path}: all {stored.events} events are in {stored.database}")
    if as_json:
        output.emit({"sessions": done})
    return 1 if any("error" in session for session in done) else 0


@app.command("end")
def end(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="Name or directory of a dead session, or last.")
    ],
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Close a session whose run died: its orders expire, and the database gets what the recording holds.

    A live session is refused.
    """
    from agent.app.session_end import end_session
    from agent.terminal.order_sentences import closing_in_words

    url = db or o.configuration(config).database
    with output.spinner(f"ending {session}"):
        done = end_session(url, session, time.time_ns, time.monotonic_ns)
    if as_json:
        output.emit(done.to_json())
        return 0
    typer.echo(f"{done.session}: closed; the database holds what {done.path} does")
    for parent in done.parents:
        typer.echo(f"  {parent['id']} {closing_in_words(parent)}")
    return 0


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """Sessions as given, folders as the sessions in them."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob("*/session.json"))
        if (path / "session.json").exists() or not inside:
            found.append(path)
        else:
            found.extend(inside)
    return found


def _compacted(path: Path) -> Compaction:
    from storage.recordings.compaction import compact_session

    with output.spinner(f"compacting {path}") as show:
        return compact_session(path, lambda rows: show(f"compacting {path}: {rows:,} rows rewritten"))


def _outcome(done: Compaction) -> str:
    from agent.terminal.formatting import size

    if not done.segments:
        return "is compact already"
    return (
        f"{done.rows:,} rows, {size(done.bytes_before)} -> {size(done.bytes_after)} "
        f"({done.ratio:.1f} times smaller), read back and equal"
    )


def _time_ns(text: str | None, option: str, first_ns: int) -> int | None:
    """A time, or a duration from the session's start, in ns. Raises InputError."""
    return None if text is None else parse_time_ns(text, option, after_ns=first_ns)


def _warn(losses: Sequence[str]) -> None:
    for loss in losses:
        log_lines.complain(f"warning: {loss}")


def _hint_replay(session: str) -> None:
    typer.echo(f"replay an order on it:  {replay_command(session)}")
