"""What the local exchange says of a day that is worth more than 64 bits hold."""

from __future__ import annotations

import numpy as np

from agent.core.money import MOST_TL
from connectors.embedded.printed_trades import RAW, TradeStore


def test_klines_past_64_bits_are_exact() -> None:
    """Six trades of the bound in a minute, four of them bought, and one in the next."""
    rows = np.zeros(7, RAW)
    rows["id"], rows["ms"], rows["ticks"] = np.arange(7), [0, 1, 2, 3, 4, 5, 60_000], 4
    rows["lots"], rows["side"] = MOST_TL // 4, [1, 1, 1, 1, -1, -1, -1]
    store = TradeStore()
    store.raw.append(rows)
    first, second = store.klines(60_000, 0, 119_999, 10)
    lots = MOST_TL // 4
    assert (first["lots"], first["tl"]) == (6 * lots, 24 * lots)
    assert (first["taker_lots"], first["taker_tl"]) == (4 * lots, 16 * lots)
    assert (second["lots"], second["tl"], second["taker_tl"]) == (lots, 4 * lots, 0)
