"""What the commands share: options, times, checks of output files, and how far work is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from agent.core.errors import InputError
from agent.durations import parse_time_ns
from agent.entry.long_work import LongWork

if TYPE_CHECKING:
    from lem.network.model_config import TrainConfig

Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Threads = Annotated[int, typer.Option(help="CPU threads; one is as fast as two at these sizes", min=1)]
Workers = Annotated[
    int | None,
    typer.Option(help="processes; default: one a core, up to a step's 2 shards; changes no weight", min=1),
]


def time_ns(text: str | None, option: str) -> int | None:
    """A time in ns since 1970. Raises InputError naming the option."""
    return None if text is None else parse_time_ns(text, option)


def preset_config(name: str, iterations: int | None) -> TrainConfig:
    """The training of that name, of ``iterations`` where given. Raises InputError on an unknown name."""
    from lem.network.model_config import PRESETS

    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}: use one of {', '.join(PRESETS)}")
    config = PRESETS[name]
    return config if iterations is None else replace(config, iterations=iterations)


def check_writable(path: Path | None, option: str, *, makes_directory: bool = False) -> None:
    """Refuse a ``path`` that cannot become a file, before the work rather than after it. Raises InputError.

    None is no path. ``makes_directory``: the writer makes missing directories, and replaces the file whole.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if makes_directory:
        folder = next(place for place in (folder, *folder.parents) if place.exists())
    if path.is_dir():
        what = "is a directory"
    elif not folder.is_dir():
        what = "lies in no directory that exists"
    elif not os.access(path if path.exists() and not makes_directory else folder, os.W_OK):
        what = "may not be written"
    else:
        return
    raise InputError(f"{option} {path} {what}: give the name of a file in a directory that exists")


def check_folder(path: Path | None, option: str) -> None:
    """Refuse a ``path`` that cannot become a directory, before the work. None is none. Raises InputError."""
    if path is None:
        return
    place = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        why = "is a file" if place.is_file() else "may not be written"
        raise InputError(f"{option} {path}: {place} {why}; give a directory, or one that can be made")


class Report(Protocol):
    """Says how far it is; ``note`` is shown beside it."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def progress(what: str, total: int) -> Iterator[Report]:
    """How far it is, on stderr."""
    with LongWork(what) as work:
        work.at(0, total)
        yield work.at
