"""Commands that a message names: quoted for the shell, on one line, so that a copy of them runs."""

from __future__ import annotations

import shlex


def agent_command(*words: object) -> str:
    """``python -m agent replay 'my session' --verify``."""
    return shlex.join(["python", "-m", "agent", *map(str, words)])


def replay_command(session: object, interval: str = "", shortest: str = "", longest: str = "") -> str:
    """The replay of an order of one's own; with its times where the session's bars bind them."""
    times = ["--interval", interval, "--min-duration", shortest, "--max-duration", longest]
    return agent_command("replay", session, "--quantity", 1, *(times if interval else []))
