"""Imports: a session made of market data that others recorded, with a report of what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from agent.core.errors import InputError
from agent.core.instrument import Instrument
from connectors.importers.import_report import ImportReport
from storage.recordings.session import SessionHeader, SessionWriter


@dataclass(frozen=True, slots=True)
class Imported:
    """The session that was made, and what became of every line of the files."""

    session: Path
    report: ImportReport

    def to_json(self) -> dict[str, object]:
        return {"session": str(self.session), **self.report.to_json()}


def import_files(
    files: list[Path],
    kind: str | None,
    symbol: str,
    out: Path,
    tick: Decimal | None = None,
    lot: Decimal | None = None,
    contract_size: Decimal | None = None,
    calendar: str | None = None,
    stamped: str | None = None,
    watch: Callable[[int], None] | None = None,
) -> Imported:
    """Make a session in ``out`` and return what became of every line. Raises InputError, SessionError.

    Without ``kind`` the files are looked at. ``watch`` gets how many bytes of the files were read. The same
    report stands in the session's header under ``import``.
    """
    from connectors.importers.formats import loader
    from connectors.importers.looked_at import agreed
    from connectors.importers.pipeline import ImportRequest

    missing = [str(f) for f in files if not f.is_file()]
    if missing:
        raise InputError(f"no such file: {', '.join(missing)}")
    if kind is None:
        kind = agreed(files).kind
    load = loader(kind)
    if calendar and kind != "klines":
        raise InputError(f"--calendar {calendar} is for bars: give it with --format klines, or leave it out")
    if stamped and kind != "klines":
        raise InputError(f"--stamped {stamped} is for bars: give it with --format klines, or leave it out")
    if stamped not in (None, "start", "end"):
        raise InputError(
            f"--stamped {stamped} is not known: the times of bars are of their start or their end"
        )
    if (out / "session.json").exists():  # before hours of reading
        raise InputError(f"{out} already holds a session: choose another --out, or replay it")
    opened: list[tuple[SessionWriter, SessionHeader]] = []

    def open_writer(instrument: Instrument, report: ImportReport) -> SessionWriter:
        header = SessionHeader(
            session=out.name,
            instruments=(instrument,),
            created_ns=report.first_recv_ns,
            clock_offsets={instrument.exchange: report.clock_offset_ns},
            source=kind,
        )
        writer = SessionWriter.create(out, header)
        opened.append((writer, header))
        return writer

    request = ImportRequest(files, symbol, tick, lot, contract_size, calendar, stamped, watch)
    try:
        report = load(request, open_writer, out.parent)
    except InputError as error:
        raise _with_look(error, files, kind) from error
    report.format = kind
    for writer, header in opened:
        writer.restate(replace(header, imported=report.to_json()))
    return Imported(out, report)


def _with_look(error: InputError, files: list[Path], kind: str) -> InputError:
    """The error, with what the first file looks like and what reads it, where that is another format."""
    from connectors.importers.looked_at import look

    try:
        seen = look(files[0])
    except InputError:
        return error
    if seen.kind == kind or not seen.kind:
        return error
    return InputError(f"{error}\n{files[0].name} looks like {seen.what}: give --format {seen.kind}")
