"""Exactly once: the ledger of ids against a naive set, holes filled and given up, coverage of ranges."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import ExchangeError
from connectors.backfill import BackfillLimits, Hole, RangeCoverage, SeenIds, TradeLedger, Trades, fill_holes

QUICK = BackfillLimits(attempts=3, first_wait_s=0.001, most_wait_s=0.002, deadline_s=2.0)


def ids_of(*ids: int) -> Any:
    return np.array(ids, dtype=np.int64)


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=8))
def test_every_id_is_admitted_once_and_holes_are_what_is_missing(batches: list[list[int]]) -> None:
    """Whatever the order and the repeats: each id at or above the first is kept exactly once."""
    ledger = TradeLedger()
    first, kept = batches[0][0], []
    for batch in batches:
        keep = ledger.admit(ids_of(*batch), ids_of(*batch))
        kept += [i for i, k in zip(batch, keep, strict=True) if k]
    came = {i for batch in batches for i in batch if i >= first}
    assert sorted(kept) == sorted(came)
    missing = {i for hole in ledger.holes for i in range(hole.lo, hole.hi)}
    assert missing == set(range(first, max(came) + 1)) - came


def test_the_worked_example() -> None:
    """The example at the head of ``connectors.backfill``: a hole is met, split, and closed."""
    ledger = TradeLedger()

    def stands() -> tuple[int | None, list[tuple[int, int]]]:
        return ledger.next_id, [(hole.lo, hole.hi) for hole in ledger.holes]

    assert ledger.admit(ids_of(100, 101), ids_of(1, 1)).tolist() == [True, True]
    assert stands() == (102, [])
    assert ledger.admit(ids_of(105), ids_of(2)).tolist() == [True]
    assert stands() == (106, [(102, 105)])
    assert ledger.fill(ids_of(103), ids_of(1)).tolist() == [True]
    assert stands() == (106, [(102, 103), (104, 105)])
    assert ledger.admit(ids_of(101), ids_of(1)).tolist() == [False]
    assert (stands(), ledger.duplicates) == ((106, [(102, 103), (104, 105)]), 1)
    assert ledger.fill(ids_of(*range(100, 105)), ids_of(*[1] * 5)).tolist() == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert stands() == (106, [])


def test_a_hole_remembers_the_stamp_before_it() -> None:
    """A hole carries the stamp from which an exchange that knows no fromId must be asked."""
    ledger = TradeLedger()
    ledger.admit(ids_of(1, 2, 9), ids_of(100, 200, 900))
    assert ledger.holes == [Hole(3, 9, 200)]
    assert ledger.fill(ids_of(3, 4, 9), ids_of(300, 400, 900)).tolist() == [True, True, False]
    assert ledger.holes == [Hole(5, 9, 400)]


class Server:
    """A REST side that knows some ids, gives ``page`` at a time and fails as told."""

    def __init__(self, known: range | list[int], failures: int = 0, page: int = 3) -> None:
        self.known, self.failures, self.page = list(known), failures, page
        self.calls = 0

    async def fetch(self, hole: Hole) -> Trades:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError("503")
        return [{"id": i} for i in self.known if i >= hole.lo][: self.page]


def emitter(ledger: TradeLedger, tape: list[int]) -> Any:
    def emit(trades: Trades) -> int:
        ids = ids_of(*(int(t["id"]) for t in trades))
        keep = ledger.fill(ids, ids)
        tape.extend(ids[keep].tolist())
        return int(keep.sum())

    return emit


async def test_holes_are_filled_page_by_page_through_failures() -> None:
    """Two failed requests and pages smaller than the hole: all of it arrives, in order, nothing lost."""
    ledger, tape, server = TradeLedger(), list[int](), Server(range(100), failures=2)
    ledger.admit(ids_of(10, 21, 25), ids_of(1, 2, 3))
    assert await fill_holes(ledger, server.fetch, emitter(ledger, tape), QUICK) == (13, 0)
    assert tape == [*range(11, 21), *range(22, 25)]
    assert not ledger.holes


async def test_what_rest_never_has_is_lost_after_bounded_attempts() -> None:
    """Ids that REST does not know are given up and counted; those around them are filled."""
    ledger, tape = TradeLedger(), list[int]()
    server = Server([i for i in range(100) if i not in (13, 14)])
    ledger.admit(ids_of(10, 17), ids_of(1, 2))
    assert await fill_holes(ledger, server.fetch, emitter(ledger, tape), QUICK) == (4, 2)
    assert tape == [11, 12, 15, 16]
    assert server.calls == 2 + QUICK.attempts  # two pages that brought some


async def test_the_deadline_ends_a_hopeless_repair() -> None:
    """When REST is down for good, the repair ends and everything missing is counted as lost."""
    ledger, server = TradeLedger(), Server([], failures=10**9)
    ledger.admit(ids_of(1, 50), ids_of(1, 2))
    limits = BackfillLimits(attempts=10**6, first_wait_s=0.01, most_wait_s=0.01, deadline_s=0.1)
    assert await fill_holes(ledger, server.fetch, emitter(ledger, []), limits) == (0, 48)


async def test_a_hole_that_rest_brings_bit_by_bit_is_not_given_up() -> None:
    """A trade each 0.06 s, and a deadline of 0.1 s: each one shows that the exchange has them."""
    ledger, tape = TradeLedger(), list[int]()
    ledger.admit(ids_of(1, 8), ids_of(1, 2))

    async def fetch(hole: Hole) -> Trades:
        await asyncio.sleep(0.06)
        return [{"id": str(hole.lo)}]  # type: ignore[typeddict-item]

    limits = BackfillLimits(attempts=10**6, first_wait_s=0.01, deadline_s=0.1)
    assert await fill_holes(ledger, fetch, emitter(ledger, tape), limits) == (6, 0)
    assert tape == [2, 3, 4, 5, 6, 7]


def test_sparse_ids_only_tell_repeats() -> None:
    """Ids without order: repeats are dropped within the memory, which is bounded."""
    seen = SeenIds(capacity=4)
    assert seen.admit(ids_of(70, 3, 70, 900), ids_of(1, 5, 1, 2)).tolist() == [True, True, False, True]
    assert seen.last_ms == 5
    seen.admit(ids_of(*range(1000, 1010)), ids_of(*range(10)))
    assert 70 not in seen
    assert 1009 in seen


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), max_size=4))
def test_range_coverage_counts_what_no_aggregate_named(order: list[int], absent: set[int]) -> None:
    """Aggregates of three raw ids in any order: no overlap, and missing is what lies between the ends."""
    coverage = RangeCoverage()
    present = [a for a in order if a not in absent]
    for a in present:
        coverage.add(3 * a, 3 * a + 2)
    inner = [a for a in absent if min(present) < a < max(present)]
    assert (coverage.overlaps, coverage.missing) == (0, 3 * len(inner))


def test_a_range_covered_twice_is_an_overlap() -> None:
    """The sign of a repeated trade, or of mixed id spaces: raw ids named by two aggregates."""
    coverage = RangeCoverage()
    for first, last in ((1, 3), (4, 6), (3, 4)):
        coverage.add(first, last)
    assert coverage.overlaps == 1


def test_forgetting_old_spans_keeps_the_count_of_what_is_missing() -> None:
    """The memory of coverage is bounded; the count is not."""
    coverage = RangeCoverage(capacity=10)
    for n in range(100):
        coverage.add(10 * n, 10 * n + 7)
    assert coverage.missing == 99 * 2


def test_raw_trades_in_the_aggregate_space_are_refused() -> None:
    """A raw trade has no f and l: mixing the two id spaces stops with the remedy named."""
    raw = {"id": "5", "symbol": "BTC/USDT", "info": {"e": "trade", "t": 5}}
    with pytest.raises(ExchangeError, match="aggTrade"):
        RangeCoverage().add_aggregates([raw])
