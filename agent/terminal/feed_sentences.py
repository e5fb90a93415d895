"""Sentences on the market data: gaps, silence (a stale feed), and the feed's counters."""

from __future__ import annotations

from agent.core.clock import in_utc
from agent.core.events import GapSeen, Resumed
from agent.core.market.tape import SILENT, SPANS, Kind
from agent.core.ports import FeedHealth
from agent.terminal.formatting import duration

_SPANS = {
    SPANS[Kind.CLOCK_STEP]: (
        "the exchange's clock and ours stepped apart: the machine slept, or a clock was set; numbers that"
        " need stamps of before and after are marked clock_step"
    ),
    SPANS[Kind.LOST_TIME]: (
        "nothing was done for a time (the process stood still, or did not run): numbers of it are marked"
        " lost_time"
    ),
}


def gap_in_words(event: GapSeen) -> str:
    """gap of trades began; gap of book ended, 3 lost; feed fell silent; feed is heard again."""
    if event.stream in _SPANS:
        return _SPANS[event.stream]
    if event.stream.endswith(SILENT):
        return f"{event.stream.removesuffix(SILENT)} {'is heard again' if event.ended else 'fell silent'}"
    return f"gap of {event.stream} {f'ended, {event.lost} lost' if event.ended else 'began'}"


def went_on_in_words(resumed: Resumed) -> str:
    """The agent was not running for 15.6 s, from ... to ...: 98 trades of that time were fetched."""
    lost = duration(resumed.to_ns - resumed.from_ns)
    trades = f"{resumed.missed_trades:,} trade{'' if resumed.missed_trades == 1 else 's'}"
    return (
        f"the agent was not running for {lost}, from {in_utc(resumed.from_ns)} to {in_utc(resumed.to_ns)}:"
        f" {trades} of that time {'was' if resumed.missed_trades == 1 else 'were'} fetched"
    )


def refused_in_words(health: FeedHealth) -> str:
    """refused: 12 trades, 3 book levels, 2 frames; 4 trades at impossible prices."""
    known = (
        (health.malformed + health.odd_ids, "trade"),
        (health.book_refused, "book level"),
        (health.bad_frames, "frame"),
        (health.rest_rejected, "answer"),
    )
    refused = ", ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for n, name in known if n)
    marked = f"{health.impossible:,} at impossible prices" if health.impossible else ""
    return "; ".join(filter(None, (f"refused: {refused}" if refused else "", marked)))


def health_in_words(health: FeedHealth) -> str:
    """1,234 trades, 1 gap (12 trades filled in, 0 lost), silent 2.0 s in all."""
    sentence = (
        f"{health.trades:,} trades, {health.gaps} {'gap' if health.gaps == 1 else 'gaps'}"
        f" ({health.backfilled} trades filled in, {health.lost} lost)"
    )
    if health.trickles:
        sentence += f", {refused_in_words(health)}"
    if health.stale_ns:
        sentence += f", silent {duration(health.stale_ns)} in all"
    return f"{sentence}, SILENT NOW: {', '.join(health.stale_now)}" if health.stale_now else sentence
