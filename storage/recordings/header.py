"""The header of a recorded session: one JSON file, replaced whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from agent.core.errors import RecordingError, SessionError
from agent.core.instrument import Instrument
from storage.recordings.segments import AppendFile, sync_path

FORMAT = 2
"""Written by this program. 2: sessions may hold reports of a venue outside (``route``)."""
READABLE = (1, 2)
HEADER = "session.json"


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What is known of a session before its first event. Clock offsets: nanoseconds by exchange id."""

    session: str
    instruments: tuple[Instrument, ...]
    created_ns: int
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    clock_offsets: Mapping[str, int] = field(default_factory=dict)
    source: str = "live"  # or the importer's name; "merge" where several were joined
    origin: Mapping[str, Any] = field(default_factory=dict)  # of a slice or merge: what it was made of
    imported: Mapping[str, Any] = field(default_factory=dict)  # what an importer did with its files
    route: Mapping[str, Any] = field(default_factory=dict)  # of a venue outside: how it works

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "session": self.session,
            "created_ns": self.created_ns,
            "seed": self.seed,
            "source": self.source,
            "instruments": [i.to_json() for i in self.instruments],
            "clock_offsets": dict(self.clock_offsets),
            "fingerprint": dict(self.fingerprint),
            "config": dict(self.config),
            **({"origin": dict(self.origin)} if self.origin else {}),
            **({"import": dict(self.imported)} if self.imported else {}),
            **({"route": dict(self.route)} if self.route else {}),
        }


def read_header(path: Path) -> dict[str, Any]:
    """The header of the session in ``path``. Raises SessionError where none is that this program reads."""
    file = path / HEADER
    try:
        header = orjson.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(
            f"{path} is not a recorded session ({HEADER} is missing): give the directory that `run`, "
            "`record` or `import` wrote"
        ) from error
    except OSError as error:
        raise SessionError(f"cannot read {file}: {error.strerror}; check its rights") from error
    except orjson.JSONDecodeError as error:
        raise SessionError(f"{file} is corrupt ({error}): restore it, or record the session again") from error
    return _checked_header(file, header)


def _checked_header(file: Path, header: Any) -> dict[str, Any]:
    version = header.get("format") if isinstance(header, dict) else None
    if version not in READABLE:
        raise SessionError(
            f"{file} has session format {version!r} and this program reads {READABLE[0]} to {FORMAT}: use the"
            " version of the program that recorded it"
        )
    try:
        for record in header["instruments"]:
            Instrument.from_json(record)
        str(header["session"]), int(header["created_ns"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise SessionError(
            f"{file} is corrupt ({error!r}): restore it, or record the session again"
        ) from error
    return dict(header)


def write_header(path: Path, header: SessionHeader) -> None:
    """Put the header into the directory ``path``. Raises RecordingError."""
    _write_atomically(
        path / HEADER, orjson.dumps(header.to_json(), option=orjson.OPT_INDENT_2, default=plain)
    )


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    file = AppendFile(temporary)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    try:
        temporary.replace(path)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    sync_path(path.parent)


def plain(value: Any) -> Any:
    """What JSON lacks: exact decimals as strings, any mapping as an object."""
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be recorded")
