"""Sentences on the market data: gaps, silence (a stale feed), and the feed's counters."""

from __future__ import annotations

from agent.core.events import GapSeen
from agent.core.ports import FeedHealth
from agent.terminal.formatting import duration


def gap_sentence(event: GapSeen) -> str:
    """gap of trades began; gap of book ended, 3 lost; feed silent began."""
    change, lost = ("ended", f", {event.lost} lost") if event.ended else ("began", "")
    name = event.stream if event.stream.endswith("silent") else f"gap of {event.stream}"
    return f"{name} {change}{lost}"


def health_sentence(health: FeedHealth) -> str:
    """1,234 trades, 1 gap (12 trades filled in, 0 lost), silent 2.0 s in all."""
    sentence = (
        f"{health.trades:,} trades, {health.gaps} {'gap' if health.gaps == 1 else 'gaps'}"
        f" ({health.backfilled} trades filled in, {health.lost} lost)"
    )
    if health.stale_ns:
        sentence += f", silent {duration(health.stale_ns)} in all"
    return f"{sentence}, SILENT NOW: {', '.join(health.stale_now)}" if health.stale_now else sentence
