"""What the views say of the market data: gaps, silence, and the feed's counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.events import GapSeen
from agent.terminal.formatting import duration


def gap_sentence(event: GapSeen) -> str:
    """gap of trades began; gap of book ended, 3 lost; feed silent began."""
    change, lost = ("ended", f", {event.lost} lost") if event.ended else ("began", "")
    name = event.stream if event.stream.endswith("silent") else f"gap of {event.stream}"
    return f"{name} {change}{lost}"


def health_sentence(counters: Mapping[str, Any]) -> str:
    """1,234 trades, 1 gap (12 trades filled in, 0 lost), silent 2.0 s in all."""
    gaps = int(counters.get("gaps", 0))
    sentence = (
        f"{counters.get('trades', 0):,} trades, {gaps} {'gap' if gaps == 1 else 'gaps'}"
        f" ({counters.get('backfilled', 0)} trades filled in, {counters.get('lost', 0)} lost)"
    )
    if counters.get("stale_ns"):
        sentence += f", silent {duration(int(counters['stale_ns']))} in all"
    stale = counters.get("stale_now") or []
    return f"{sentence}, SILENT NOW: {', '.join(stale)}" if stale else sentence
