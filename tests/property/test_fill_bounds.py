"""The venue never gives what the market did not show: over any window, summed over all of a lane's orders."""

from __future__ import annotations

import os

import pytest

from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import TapeMarket
from tests.property.fill_bounds_cases import excess, random_case, run

QUEUES = sorted(kernel.QUEUE_MODELS.values())


def wrong(
    seeds: range, reach: int = kernel.SHOWN, market: type[TapeMarket] = TapeMarket
) -> tuple[int, int, int]:
    """(cases with an excess, fills of them all, cases)."""
    bad = fills_in_all = 0
    for seed in seeds:
        case = random_case(seed)
        fills = run(case, reach=reach, queue=QUEUES[seed % 3], self_trade=seed % 5 == 0, market=market)
        fills_in_all += len(fills)
        bad += bool(fills) and excess(case.tape, fills) > 0
    return bad, fills_in_all, len(seeds)


def test_no_window_gives_more_than_was_shown_and_traded() -> None:
    """Random tapes, orders up to a thousand times the book, of every kind, amended, several at once."""
    bad, fills, cases = wrong(range(300))
    assert bad == 0
    assert fills > 2 * cases


@pytest.mark.slow
def test_no_window_gives_more_in_ten_thousand_cases() -> None:
    """The same, as often as VENUE_CASES says."""
    bad, fills, cases = wrong(range(1000, 1000 + int(os.environ.get("VENUE_CASES", "10000"))))
    assert bad == 0
    assert fills > 2 * cases


def test_the_reference_s_rule_gives_more() -> None:
    """With ``reach: whole`` many cases break the bound: the test can fail."""
    assert wrong(range(100), kernel.WHOLE)[0] > 20


class Forgetful(TapeMarket):
    """A venue broken on purpose: what a lane took is there again for its next taker."""

    def take(self, number, lane, intent, now_ns):  # type: ignore[no-untyped-def]
        self.forget_lane(lane)
        return super().take(number, lane, intent, now_ns)


class Timeless(TapeMarket):
    """A venue broken on purpose: an order is filled by what happened before it came."""

    def rest(self, number, lane, intent, lots, there_ns=0):  # type: ignore[no-untyped-def]
        super().rest(number, lane, intent, lots, 0)


@pytest.mark.parametrize("market", [Forgetful, Timeless])
def test_a_broken_venue_is_noticed(market: type[TapeMarket]) -> None:
    """Lots that serve twice, and trades of before the order's time, are seen by the bound."""
    assert wrong(range(100), market=market)[0] > 5
