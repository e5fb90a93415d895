"""A new session is made beside its place and put there whole: a full disk leaves nothing half-written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from agent.core.errors import SessionError
from storage.recordings.segments import cannot_write, sync_path
from storage.recordings.session import SessionHeader, SessionWriter


@contextlib.contextmanager
def staged(out: Path, header: SessionHeader) -> Iterator[SessionWriter]:
    """Give a writer of a new session; what it wrote appears as ``out`` when the block ends well.

    The block closes the writer. Raises SessionError where ``out`` exists, RecordingError where it cannot
    be written.
    """
    if out.exists():
        raise SessionError(f"{out} is there already: choose another --out")
    making = out.parent / f".{out.name}.{os.getpid()}.making"
    shutil.rmtree(making, ignore_errors=True)
    writer = SessionWriter.create(making, header)
    try:
        yield writer
        making.rename(out)
        sync_path(out.parent)
    except BaseException as error:
        writer.abandon()
        shutil.rmtree(making, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(out, error) from error
        raise
