"""Sessions that live, died or closed, as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.terminal.formatting import duration

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from storage.log.liveness import Standing

COLUMNS = ["session", "state", "last heartbeat", "host", "process"]


def life_rows(found: Sequence[Standing]) -> tuple[list[str], list[list[str]]]:
    """Columns and a row a session."""
    return COLUMNS, [
        [
            each.seen.session,
            each.life.value,
            _ago(each.heartbeat_age_s),
            each.seen.host or "",
            "" if each.seen.pid is None else str(each.seen.pid),
        ]
        for each in found
    ]


def dead_sentences(found: Sequence[Standing]) -> list[str]:
    """What to do about each that died."""
    return [
        f"{each.seen.session} died with its orders as they stood; close it with: "
        f"python -m agent sessions end {each.seen.session}"
        for each in found
        if each.life.value == "dead"
    ]


def lives_phrase(found: Sequence[Standing]) -> str:
    """2 sessions live; 1 dead: NAME (last heartbeat 3m ago on HOST, process 12)."""
    live = sum(each.life.value == "live" for each in found)
    dead = [each for each in found if each.life.value == "dead"]
    phrase = f"{live} live, {len(dead)} dead"
    named = (
        f"{each.seen.session} (last heartbeat {_ago(each.heartbeat_age_s)}"
        f"{f' on {each.seen.host}, process {each.seen.pid}' if each.seen.host else ''})"
        for each in dead
    )
    advice = "; close it with: python -m agent sessions end SESSION" if dead else ""
    return f"{phrase}{': ' if dead else ''}{', '.join(named)}{advice}"


def _ago(age_s: float | None) -> str:
    return "never" if age_s is None else f"{duration(int(age_s * 1e9))} ago"
