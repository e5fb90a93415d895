"""Commands that a message names: quoted for the shell, on one line, so that a copy of them runs."""

from __future__ import annotations

import shlex

from agent.durations import format_duration


def agent_command(*words: object) -> str:
    """``python -m agent replay 'my session' --verify``."""
    return shlex.join(["python", "-m", "agent", *map(str, words)])


def replay_command(session: object, interval_ns: int = 0) -> str:
    """The replay of an order of one's own; with times in bars of ``interval_ns`` where those bind it."""
    lengths = (format_duration(count * interval_ns) for count in (1, 4, 12))
    named = zip(("--interval", "--min-duration", "--max-duration"), lengths, strict=True)
    times = [word for option in named for word in option]
    return agent_command("replay", session, "--quantity", 1, *(times if interval_ns else []))
