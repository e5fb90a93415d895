"""The bound that ``replay --verify`` holds fills to: its worked example, and against all windows in turn."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.tape import Kind
from agent.core.measures import fill_bounds
from agent.core.measures.fill_bounds import BookFill, first_excess, words
from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import TapeMarket
from tests.property.fill_bounds_cases import Fill, excess, random_case, run
from tests.property.test_book import tape


def book_fill(fill: Fill) -> BookFill:
    return BookFill(str(fill.lane), 0, fill.side, fill.price, fill.lots, fill.at_ns)


def test_the_worked_example() -> None:
    """Two of five lots come back: two more may be bought, and three are one too many, named by window."""
    rows = tape([[(Kind.LEVEL, 100, lots, -1)] for lots in (5, 3, 5)])
    for again, wrong in ((2, False), (3, True)):
        fills = [BookFill("P1", 0, 1, 100, 5, 1), BookFill("P1", 0, 1, 100, again, 3)]
        found = first_excess([rows], fills)
        assert (found is not None) is wrong
    assert found is not None
    assert words(found, {0: "BTC/USDT"}) == (
        "P1 bought 8 lots of BTC/USDT at or below tick 100 from the start to 3 ns, where the tape showed and"
        " traded 7"
    )


def test_a_lot_at_a_worse_price_is_none_at_ours() -> None:
    """What is offered at 101 cannot have filled a buy at 100, nor what is sold at 101."""
    rows = tape([[(Kind.LEVEL, 101, 5, -1)], [(Kind.TRADE, 101, 5, -1)], [(Kind.TRADE, 100, 2, -1)]])
    for lots, wrong in ((2, False), (3, True)):
        assert (first_excess([rows], [BookFill("P1", 0, 1, 100, lots, 3)]) is not None) is wrong


def test_sizes_past_64_bits_bound_as_others_do() -> None:
    """Eleven levels and ten trades of 2^62: five lots that they allow, and five at a price that had three."""
    deep = [[(Kind.LEVEL, 101 + k, 2**62, -1)] for k in range(11)] + [[(Kind.TRADE, 101, 2**62, -1)]] * 10
    rows = tape([[(Kind.LEVEL, 100, 3, -1)], *deep])
    assert first_excess([rows], [BookFill("P1", 0, 1, 111, 5, len(deep) + 1)]) is None
    assert first_excess([rows], [BookFill("P1", 0, 1, 100, 5, len(deep) + 1)]) is not None


@pytest.mark.parametrize("settled_from", [fill_bounds.SETTLED_FROM, 0])
@pytest.mark.parametrize("rows", [1, 7, 10**6])
@pytest.mark.parametrize("reach", [kernel.SHOWN, kernel.WHOLE])
def test_it_finds_what_looking_at_every_window_finds(
    reach: int, rows: int, settled_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random cases, whatever the batches: an excess is found where, and only where, some window has one."""
    monkeypatch.setattr(fill_bounds, "SETTLED_FROM", settled_from)
    wrong = 0
    for seed in range(60):
        case = random_case(seed)
        fills = run(case, reach=reach, queue=kernel.RISK_AVERSE, self_trade=False, market=TapeMarket)
        found = first_excess(np.split(case.tape, range(rows, len(case.tape), rows)), [*map(book_fill, fills)])
        assert (found is not None) == (bool(fills) and excess(case.tape, fills, of_its_time=False) > 0), seed
        wrong += found is not None
    assert (wrong > 10) is (reach == kernel.WHOLE)
