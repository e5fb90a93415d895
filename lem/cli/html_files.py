"""Writing pages to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.core.errors import InputError

Html = Annotated[Path | None, typer.Option("--html", help="also write a page with plots to this file")]


def write_page(path: Path, text: str) -> None:
    """Write the page. Raises InputError naming the path."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --html") from error
