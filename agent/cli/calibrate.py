"""``agent calibrate``: impact and latencies out of a recorded session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.entry import log_lines


def calibrate(
    session: o.SessionPath,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the file that venue.calibration names, as YAML.")
    ] = None,
    latencies: Annotated[
        Path | None, typer.Option("--latencies", help="Folder for the measured latencies, as CSV files.")
    ] = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Estimate impact, volatility, volume, spread and latencies from a session."""
    log_lines.set_up(always_json=log_json)
    from agent.calibration.session_calibration import calibrate_session, write_calibration, write_latencies
    from storage.recordings.session import SessionReader

    with output.spinner(f"measuring {session}"):
        found = calibrate_session(SessionReader(session))
    if out is not None or latencies is None:
        found.require_laws()
    if out is not None:
        write_calibration(found, out)
    files = write_latencies(found, latencies) if latencies is not None else []
    if as_json:
        output.emit(found.to_json() | {"out": out, "latency_files": files})
        return 0
    from agent.terminal.calibration_tables import render_calibration

    render_calibration(found, out, files, output.console_of())
    return 0
