"""``agent config``: a commented configuration to start from, and everything that is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import ConfigError, InputError
from agent.entry import log_lines

HERE = Path("config.yaml")
app = typer.Typer(no_args_is_help=True, help="Write a commented configuration to start from, or check one.")


@app.command("init")
def init(
    out: Annotated[Path, typer.Option(help="File to write; it must not exist.")] = HERE,
    as_json: o.AsJson = False,
) -> int:
    """Write a configuration with every key, its default, what it means and what is allowed."""
    from agent.config import Config
    from agent.config_file.commented_file import commented

    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(commented(Config()))
    except FileExistsError as error:
        raise InputError(f"{out} exists and is not overwritten: give another file with --out") from error
    except OSError as error:
        raise InputError(f"cannot write --out {out}: {error.strerror}; choose another file") from error
    if as_json:
        output.emit({"ok": True, "path": str(out), "problems": []})
    else:
        typer.echo(f"{out}: every key with its default; `run` reads config.yaml here, or --config FILE")
    return 0


@app.command("check")
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Configuration; config.yaml here if left out.")
    ] = None,
    as_json: o.AsJson = False,
) -> int:
    """Say everything that is wrong with a configuration, by line, without a network.

    What `run` would refuse at its start is told too. Exit code 2 if there is anything.
    """
    from agent.app.checks.config_check import start_faults
    from agent.config_file.file_faults import file_faults

    path = file or HERE
    if file is None and not path.exists():
        raise ConfigError("there is no config.yaml here: name a FILE, or make one with `agent config init`")
    problems = [fault.at(path) for fault in file_faults(path, start_faults)]
    if as_json:
        output.emit({"ok": not problems, "path": str(path), "problems": problems})
    elif not problems:
        typer.echo(f"{path}: nothing is wrong with it")
    for problem in problems if not as_json else ():
        typer.echo(problem)
    if problems:
        log_lines.complain(f"error: {path} has {len(problems)} {'fault' if len(problems) == 1 else 'faults'}")
    return InputError.exit_code if problems else 0
