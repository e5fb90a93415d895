"""When an order was too much of its market for its own numbers to be believed, and what would mend that.

The tape does not know of us. What it gave to an order that is a large part of the volume, at the prices at
which others traded, nobody would have got.
"""

from __future__ import annotations


def large_share_note(
    filled_lots: int, market_lots: int, noted_share: float | None, *, own_impact: bool
) -> str | None:
    """A sentence where the fills are more than ``noted_share`` of the market's volume; None switches it off.

    ``own_impact``: an impact law has made the prices worse already.
    """
    if noted_share is None or filled_lots <= noted_share * market_lots:
        return None
    fills = (
        f"own fills were {_percent(filled_lots / market_lots)} of" if market_lots else "own fills met none of"
    )
    volume = f"{fills} the market's volume (venue.noted_share: {_percent(noted_share)})"
    if own_impact:
        return f"{volume}: more than the impact law can speak of, so costs are a lower bound"
    return (
        f"{volume}: on paper they moved no price, so costs are a lower bound; venue.impact: sqrt prices them"
    )


def _percent(share: float) -> str:
    """Whole percent; below ten, two digits that count."""
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"
