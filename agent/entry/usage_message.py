"""The parser's own complaints about a command line, with the value they complain of."""

from __future__ import annotations

from collections.abc import Sequence

RENAMED = {
    "--limit-price-ticks": "it is --limit-price now, and takes a price in the quote currency, as in 59000.5"
}
"""Options that have another name now, and what to give instead."""


def usage_message(error: Exception, argv: Sequence[str]) -> str | None:
    """The parser's own complaint with the value it complains of; None where ``error`` is not the parser's."""
    told = getattr(error, "format_message", None)
    if told is None:
        return None
    message = str(told())
    if (renamed := RENAMED.get(str(getattr(error, "option_name", "")))) is not None:
        return f"no such option {getattr(error, 'option_name', '')}: {renamed}"
    value = _given(getattr(getattr(error, "param", None), "opts", ()), argv)
    return message if value is None or repr(value) in message else f"{message.rstrip('.')}, not {value!r}"


def _given(flags: Sequence[str], argv: Sequence[str]) -> str | None:
    """The value that the last of ``flags`` in ``argv`` has."""
    found = None
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = word.partition("=")
        if name in flags and name.startswith("-"):
            found = value if equals else following
    return found
