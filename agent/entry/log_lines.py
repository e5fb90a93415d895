"""What a command writes to stderr, in one style from its first line on: sentences, or JSON lines.

The rule: a terminal gets sentences; a pipe or a file, and ``--log-json`` anywhere, gets JSON lines, what a
run tells of itself included. What a command answers (``error: ...``, a warning of its own) is no log: it is
in plain words anywhere but under ``--log-json``; whatever is logged after it, where nothing was before, too.
structlog is imported where something is set up, because ``--help`` must answer at once.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import typer

from agent.core.secret_url import without_passwords

_TIMES = ("timestamp",)  # of a line; a person who watches has a clock


class _Style:
    """The style of this command's stderr; None until its first line."""

    json: bool | None = None
    asked = False  # --log-json
    set_up = False


def set_up(*, always_json: bool) -> None:
    """Let our log and libraries' come out by the rule. ``always_json``: ``--log-json`` was given."""
    import structlog

    _Style.json, _Style.asked, _Style.set_up = (True if always_json else None), always_json, True
    live = not always_json and sys.stderr.isatty() and sys.stdout.isatty()
    structlog.configure(  # the live view shows what is normal; only trouble interrupts it
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _hide_passwords,
            _rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if live else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Libraries)] + [_Libraries()]


def json_lines() -> bool:
    """The style of what is logged now; asking settles it."""
    if _Style.json is None:
        _Style.json = not sys.stderr.isatty()
    return _Style.json


def asked_for_json() -> bool:
    """Whether ``--log-json`` was given: then nothing is drawn on a terminal either."""
    return _Style.asked


def tell(line: str) -> None:
    """What a run tells of itself: a sentence of its own, or the event of a JSON line."""
    if not (_Style.set_up and json_lines()):
        typer.echo(line, err=True)
        return
    import structlog

    structlog.get_logger().info(line)


def complain(message: str) -> None:
    """A command's own message: ``error: ...``, ``warning: ...``. As the first line it settles the style."""
    message = without_passwords(message)
    if not _Style.asked:
        _Style.json = bool(_Style.json)
        typer.echo(message, err=True)
        return
    import structlog

    log = structlog.get_logger()
    (log.error if message.startswith("error") else log.warning)(message)


class _Libraries(logging.Handler):
    """Warnings of libraries, in the same style as ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        import structlog

        log = structlog.get_logger()
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say(record.getMessage(), source=record.name, exc_info=record.exc_info)


def _hide_passwords(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A step of the log: whatever is logged may quote a database's URL."""
    return {name: _hidden(value) for name, value in event.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, list | tuple):
        return [_hidden(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _hidden(each) for name, each in value.items()}
    return value


def _rendered(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    if json_lines():
        return json.dumps(event, default=repr, ensure_ascii=False)
    return sentence_of(event)


def sentence_of(event: Mapping[str, Any]) -> str:
    """warning: order doubtful: order S-P1, reason ...; what is no trouble has no level before it."""
    level = event.get("level", "info")
    name = str(event.get("event", "")).strip()
    what = name if " " in name else name.replace("_", " ")
    facts = [
        f"{key.replace('_', ' ')} {'yes' if value is True else 'no' if value is False else value}"
        for key, value in event.items()
        if key not in ("event", "level", "exception", *_TIMES)
    ]
    line = f"{what}: {', '.join(facts)}" if facts else what
    line = line if level in ("info", "debug") or line.startswith(f"{level}: ") else f"{level}: {line}"
    trace = event.get("exception")
    return f"{line}\n{trace}" if trace else line
