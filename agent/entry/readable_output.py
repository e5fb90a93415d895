"""Output on terminals and pipes that cannot show every letter, as Windows' cp1252: no letter ends a run.

What the encoding lacks is written as the nearest ASCII, or, where there is none, as its code.
"""

from __future__ import annotations

import codecs
import contextlib
import io
from typing import IO

READABLE = "readable"
_NEAREST = str.maketrans(
    {
        "Δ": "d",
        "→": "->",
        "−": "-",
        "–": "-",
        "—": "-",
        "×": "x",
        "≤": "<=",
        "≥": ">=",
        "σ": "sigma",
        "─": "-",
        "━": "-",
        "│": "|",
        "┃": "|",
        "…": "...",
        **dict(zip("▁▂▃▄▅▆▇█", "_.,-~+*#", strict=True)),
    }
)


def nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end].translate(_NEAREST)
    return letters.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(READABLE, nearest)


def make_readable(*streams: IO[str]) -> None:
    """Let ``streams`` write what their encoding lacks in another way, and fail no more."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):  # closed already: nothing to write to
                stream.reconfigure(errors=READABLE)
