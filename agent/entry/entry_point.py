"""Runs a command and ends the process: every error is one message on stderr and an exit code.

A message hides what may be the password of a database's URL, whoever wrote the message. An error that is
this program's own fault is one message too; ``--debug``, anywhere on the command line, shows where any
error comes from.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from agent.core.errors import AgentError, InputError, InternalError, OutsideError
from agent.entry import log_lines
from agent.entry.readable_output import make_readable
from agent.entry.usage_message import usage_message

DEBUG = "--debug"
_HELP = frozenset({"--help", "--version"})
MOST_SHOWN = 200  # letters of a path
_A_PATHS_OWN = frozenset(  # the path is wrong; all else is the disk's
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM),
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EXDEV, errno.ENOTEMPTY),
    }
)
OUR_FAULT, INTERRUPTED, BAD_INPUT = 1, 130, 2


def run_and_exit(app: typer.Typer, argv: Sequence[str] | None) -> NoReturn:
    """Run ``app`` with ``argv``, or the process's own arguments, and exit."""
    make_readable(sys.stdout, sys.stderr)
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = DEBUG in arguments
    try:
        _check_text(arguments)
        if not _HELP.intersection(arguments):  # which must answer at once
            log_lines.set_up(always_json=False)
        code = app(args=[a for a in arguments if a != DEBUG], standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(_nobody_reads())
    except Exception as error:
        if debug and not hasattr(error, "format_message"):
            raise
        message, code = _told(error, arguments)
        log_lines.complain(f"error: {message}")
        sys.exit(code)
    sys.exit(code if isinstance(code, int) else 0)


def _check_text(arguments: Sequence[str]) -> None:
    """Raises InputError for bytes that are no text: nothing could print or store them."""
    for argument in arguments:
        if not argument.isascii() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise InputError(
                f"argument {argument!r} is not text in this system's encoding: rename, or retype it"
            )


def _told(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    """An error as a message, and its exit code."""
    if isinstance(error, AgentError) and not isinstance(error, InternalError):
        return str(error), error.exit_code
    complaint = usage_message(error, arguments)  # click's own: a wrong option or argument
    if complaint is not None:
        return complaint, int(getattr(error, "exit_code", BAD_INPUT))
    if isinstance(error, OSError) and error.filename is not None:
        where = os.fsdecode(error.filename)[:MOST_SHOWN]
        told = f"{where}: {error.strerror}; check the path, its rights and the disk"
        return told, BAD_INPUT if error.errno in _A_PATHS_OWN else OutsideError.exit_code
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    again = f"run it again with {DEBUG} and report what it prints"
    return f"this program is at fault ({what}): {again}", OUR_FAULT


def _nobody_reads() -> int:
    """What read the output has ended, as `head` does: no failure of ours, and nobody to tell."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its end
    return 0
