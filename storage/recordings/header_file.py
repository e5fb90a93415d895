"""The header of a recorded session: one JSON file, replaced whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson

from agent.core.errors import SessionError
from agent.core.secret_url import DatabaseUrl
from agent.core.session_header import SessionHeader
from storage.recordings.segments import write_atomically

FORMAT = 2
"""Written by this program. 2: sessions may hold reports of a venue outside (``route``)."""
READABLE = (1, 2)
HEADER = "session.json"


def read_header(path: Path) -> SessionHeader:
    """The header of the session in ``path``. Raises SessionError where none is that this program reads."""
    file = path / HEADER
    try:
        header: object = orjson.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(
            f"{path} is not a recorded session ({HEADER} is missing): give the directory that `run`, "
            "`record` or `import` wrote"
        ) from error
    except OSError as error:
        raise SessionError(f"cannot read {file}: {error.strerror}; check its rights") from error
    except orjson.JSONDecodeError as error:
        raise SessionError(f"{file} is corrupt ({error}): restore it, or record the session again") from error
    return _parsed(file, header)


def _parsed(file: Path, header: object) -> SessionHeader:
    version = header.get("format") if isinstance(header, dict) else None
    if not isinstance(header, dict) or version not in READABLE:
        raise SessionError(
            f"{file} has session format {version!r} and this program reads {READABLE[0]} to {FORMAT}: use the"
            " version of the program that recorded it"
        )
    try:
        return _without_password(SessionHeader.from_json(header))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise SessionError(
            f"{file} is corrupt ({error!r}): restore it, or record the session again"
        ) from error


def _without_password(header: SessionHeader) -> SessionHeader:
    """The header as it may be copied. Versions before this one recorded the database's whole URL."""
    url = header.config.get("database")
    if not isinstance(url, str):
        return header
    return replace(header, config={**header.config, "database": DatabaseUrl(url).recorded})


def write_header(path: Path, header: SessionHeader) -> None:
    """Put the header into the directory ``path``. Raises RecordingError."""
    document = {"format": FORMAT, **_without_password(header).to_json()}
    write_atomically(path / HEADER, orjson.dumps(document, option=orjson.OPT_INDENT_2, default=plain))


def plain(value: object) -> object:
    """What JSON lacks: exact decimals as strings, any mapping as an object."""
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be recorded")
