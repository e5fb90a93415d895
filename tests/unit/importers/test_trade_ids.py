"""Which trade ids are missing, repeated or late: held against plain sets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importers import trade_ids
from connectors.importers.trade_ids import Seen, TradeIds


@settings(max_examples=300, deadline=None)
@given(numbers=st.lists(st.integers(100, 130), min_size=1, max_size=60))
def test_every_id_is_told_for_what_it_is(numbers: list[int]) -> None:
    """In any order: the next, one after a gap, one that was missing, one that was there."""
    ids, there, highest = TradeIds(), set[int](), numbers[0] - 1
    missing: set[int] = set()
    for number in numbers:
        if number > highest:
            gap = set(range(highest + 1, number))
            expected = Seen.AFTER_GAP if gap else Seen.NEXT
            missing, highest = missing | gap, number
        else:
            expected = Seen.LATE if number in missing else Seen.REPEATED
            missing -= {number}
        there.add(number)
        assert ids.see(number) is expected
        assert ids.missing == len(missing)
        if expected is Seen.AFTER_GAP:
            assert ids.lost == len(gap)


def test_holes_too_many_to_keep_are_counted() -> None:
    """The oldest are forgotten: what is missing is still known in number."""
    ids = TradeIds()
    for number in range(0, 3 * (trade_ids._MOST_RANGES + 10), 3):
        ids.see(number)
    assert ids.missing == 2 * (trade_ids._MOST_RANGES + 9)
    assert ids.see(1) is Seen.REPEATED  # its hole is forgotten
    assert ids.see(3 * trade_ids._MOST_RANGES + 1) is Seen.LATE
