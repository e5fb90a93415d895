"""``agent sessions``: list recorded sessions, look into one, cut, join and shrink them.

What goes wrong with one session of many is named and the others are done; the exit code is 1 then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import options as o
from agent.cli.session_words import count_rows, show_document, show_list, size, utc
from agent.core.errors import AgentError, InputError
from agent.durations import parse_time_ns

tools = typer.Typer(no_args_is_help=True, help="List, inspect, slice, merge and compact recorded sessions.")
SessionPath = Annotated[Path, typer.Argument(help="Directory of a recorded session.")]
Out = Annotated[Path, typer.Option(help="Directory of the session to make.")]


def register(app: typer.Typer) -> None:
    app.add_typer(tools, name="sessions")


@tools.command("list")
def list_(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of sessions; default: `out` of the configuration.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read every row and compare its checksum.")] = False,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Every session: when, how long, how much, how its orders ended, whether it is whole.

    Exit code 1 if one is damaged or cannot be read.
    """
    from storage.recordings.catalogue import CUT_OFF, WHOLE, list_sessions

    where = folder or o.configuration(config, {}).out
    found = list_sessions(where, check=check) if folder or where.exists() else []  # nothing was run yet
    if as_json:
        o.emit({"sessions": [s.to_json() for s in found]})
    else:
        show_list(found)
    return 0 if all(s.state in (WHOLE, CUT_OFF) for s in found) else 1


@tools.command("inspect")
def inspect(
    session: SessionPath,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to this file.")] = None,
    as_json: o.AsJson = False,
) -> int:
    """What a session holds: counts, gaps, rates, spreads and mids, orders and decisions.

    Exit code 1 if it is damaged.
    """
    from storage.recordings.inspection import inspect_session

    if html is not None and not html.absolute().parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {html.absolute().parent}; make it first")
    with _busy(f"reading {session}"):
        document = inspect_session(session).to_json()
    if html is not None:
        from agent.report.session_page import session_page

        try:
            html.write_text(session_page(document), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write --html {html}: {error.strerror}; choose another file") from error
    if as_json:
        o.emit(document)
    else:
        show_document(document)
        if html is not None:
            typer.echo(f"\nplots: {html}")
    return 1 if document["problems"] else 0


@tools.command("slice")
def slice_(
    session: SessionPath,
    out: Out,
    start: Annotated[str | None, typer.Option("--from", help="ISO 8601, or 15m from its start.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same; not included.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this symbol; may be repeated.")] = None,
    history: Annotated[str | None, typer.Option(help="Carry the trades of so long before, as in 2h.")] = None,
    as_json: o.AsJson = False,
) -> int:
    """Cut a stretch out of a session, as a session that replays alone.

    It opens with the order book as it stood at the cut. Orders stay behind: replay it with one of your own.
    """
    from agent.durations import parse_duration_ns
    from storage.recordings.session import SessionReader
    from storage.recordings.slicing import Cut, slice_session, span

    first_ns = span(SessionReader(session))[0] if start or end else 0
    cut = Cut(
        start_ns=_moment(start, first_ns, "--from"),
        end_ns=_moment(end, first_ns, "--to"),
        symbols=tuple(symbol or ()),
        history_ns=parse_duration_ns(history) if history else 0,
    )
    with _busy(f"cutting {session}"):
        done = slice_session(session, out, cut)
    _warn(done.losses)
    if as_json:
        o.emit(asdict(done))
        return 0
    typer.echo(
        f"{done.session}: {utc(done.start_ns)} to {utc(done.end_ns)}, {count_rows(done.events, done.bars)} "
        f"of {', '.join(done.symbols)}, and {done.carried:,} rows that say what came before"
    )
    _next(done.session)
    return 0


@tools.command("merge")
def merge(
    sessions: Annotated[list[Path], typer.Argument(help="Directories of recorded sessions.")],
    out: Out,
    as_json: o.AsJson = False,
) -> int:
    """Join sessions: one after another, or of different symbols at once."""
    from storage.recordings.merging import merge_sessions

    with _busy(f"joining {len(sessions)} sessions"):
        done = merge_sessions(sessions, out)
    _warn(done.losses)
    if as_json:
        o.emit(asdict(done))
        return 0
    typer.echo(f"{done.session}: {count_rows(done.events, done.bars)} of {', '.join(done.symbols)}")
    for join in done.joins:
        typer.echo(f"  {join}")
    _next(done.session)
    return 0


@tools.command("compact")
def compact(
    sessions: Annotated[list[Path], typer.Argument(help="Sessions, or folders of sessions.")],
    as_json: o.AsJson = False,
) -> int:
    """Rewrite closed sessions into Parquet, a tenth of the size, each file verified before the old one goes.

    Exit code 1 if a session of a folder cannot be compacted (open or damaged).
    """
    done: list[dict[str, Any]] = []
    failed = 0
    for path in _expanded(sessions):
        try:
            done.append(_compacted(path, quiet=as_json))
        except AgentError as error:
            if len(sessions) == 1 and sessions[0] == path:
                raise
            failed += 1
            typer.echo(f"error: {error}", err=True)
            done.append({"session": str(path), "error": str(error)})
    if as_json:
        o.emit({"sessions": done})
    return 1 if failed else 0


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """Sessions as given, folders as the sessions in them. Raises InputError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob("*/session.json"))
        if (path / "session.json").exists() or not inside:
            found.append(path)
        else:
            found.extend(inside)
    return found


def _compacted(path: Path, *, quiet: bool) -> dict[str, Any]:
    from storage.recordings.compaction import compact_session

    with _busy(f"compacting {path}") as tell:
        done = compact_session(path, lambda rows: tell(f"compacting {path}: {rows:,} rows rewritten"))
    if not quiet and done.segments:
        typer.echo(
            f"{path}: {done.rows:,} rows, {size(done.bytes_before)} -> {size(done.bytes_after)} "
            f"({done.ratio:.1f} times smaller), read back and equal"
        )
    elif not quiet:
        typer.echo(f"{path}: is compact already")
    return {"session": str(path), **asdict(done), "ratio": done.ratio}


def _moment(text: str | None, first_ns: int, option: str) -> int | None:
    """A time, or a duration from the session's start, in ns. Raises InputError."""
    return None if text is None else parse_time_ns(text, option, after_ns=first_ns)


@contextmanager
def _busy(what: str) -> Iterator[Callable[[str], None]]:
    """Say on a terminal what takes so long; the block may say it anew. Nothing anywhere else."""
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield status.update


def _warn(losses: Sequence[str]) -> None:
    for loss in losses:
        typer.echo(f"warning: {loss}", err=True)


def _next(session: str) -> None:
    typer.echo(f"replay an order on it:  python -m agent replay {session} --quantity 1")
