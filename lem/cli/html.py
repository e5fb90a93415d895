"""Pages to files: a path that cannot be written is found before the work, not after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.core.errors import InputError

Html = Annotated[Path | None, typer.Option("--html", help="also write a page with plots to this file")]


def check_writable(path: Path | None, option: str = "--html") -> None:
    """Raises InputError where ``path`` cannot become a file. None is no path."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        what = "is a directory" if path.is_dir() else "lies in no directory that exists"
        raise InputError(f"{option} {path} {what}: give the name of a file in a directory that exists")


def write_page(path: Path, text: str) -> None:
    """Write the page. Raises InputError naming the path."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --html") from error
