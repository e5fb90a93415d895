"""Ids far from where a stream stands, its own rate, and trades without ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agent.core.instrument import Instrument
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.backfill import RangeCoverage, SeenIds, TradeLedger
from connectors.continuity.admission import Admission
from connectors.continuity.id_jumps import HOLE_MOST, NEAR, IdJumps, Released
from connectors.continuity.own_rate import EXPECTED, OwnRate
from connectors.normalise import Scale, trade_columns, trade_ids, usable

BTC = Instrument(0, "x", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"))
SCALE = Scale.of(BTC)


def trade(trade_id: object, ms: int = 1, **change: Any) -> Any:
    terms = {"side": "buy", "price": 60_000.0, "amount": 0.001, "symbol": "BTC/USDT", "info": {}}
    return {"id": trade_id, "timestamp": ms, **terms, **change}


def numbers(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)


class Stream:
    """A stream of trades one by one, and what goes on of them."""

    def __init__(self, next_id: int, newest_ms: int) -> None:
        self.ledger = TradeLedger()
        self.ledger.admit(numbers([next_id - 1]), numbers([newest_ms]))
        self.jumps = IdJumps(self.ledger)

    def comes(self, *known: tuple[int, int]) -> tuple[list[int], int | None]:
        """The ids that go on, and the first of a new count."""
        self.jumps.begin(numbers([i for i, _ in known]))
        released = [self.jumps.take(i, trade(str(i), ms), NEAR) for i, ms in known]
        gone = [int(t["id"]) for r in released for t in r.trades]
        if gone:
            self.ledger.admit(numbers(gone), numbers([known[-1][1]] * len(gone)))
        return gone, next((r.new_count for r in released if r.new_count is not None), None)


def test_the_worked_example() -> None:
    """The example at the head of ``id_jumps``."""
    stream = Stream(101, 6)
    assert stream.comes((10**18, 7)) == ([], None)
    assert stream.comes((102, 7)) == ([102], None)
    assert (stream.jumps.refused, stream.jumps.held) == (1, [])
    assert stream.comes((1, 8), (2, 8)) == ([], None)
    assert stream.jumps.held == [(1, 8), (2, 8)]
    assert stream.comes((3, 9)) == ([1, 2, 3], 1)
    assert stream.jumps.refused == 1


def test_a_long_hole_is_no_new_count() -> None:
    """Three trades in a row after 400,000 are missing: a hole as any. Beyond reach: a new count."""
    stream = Stream(101, 6)
    after = 101 + 400_000
    assert stream.comes((after, 7), (after + 1, 7), (after + 2, 8)) == ([after, after + 1, after + 2], None)
    far = after + 3 + HOLE_MOST
    assert stream.comes((far + 1, 9), (far + 2, 9), (far + 3, 9))[1] == far + 1


def test_repeats_are_no_new_count() -> None:
    """What was said before comes again after a reconnect, with its old stamps: it goes on, to be dropped."""
    stream = Stream(101, 600)
    assert stream.comes((50, 300), (51, 310), (52, 320)) == ([50, 51, 52], None)


def test_a_batch_that_goes_on_is_not_looked_at() -> None:
    """And what was held before it is refused."""
    stream = Stream(101, 6)
    stream.comes((10**15, 7))
    assert stream.jumps.begin(numbers([101, 102, 103]))
    assert (stream.jumps.refused, stream.jumps.held) == (1, [])
    assert stream.jumps.release() == Released([])


def test_a_stream_is_looked_at_by_its_own_rate() -> None:
    """The example at the head of ``own_rate``, and a market that is known from its history."""
    rate = OwnRate(most_s=10.0)
    assert rate.wait_s(doubtful=False) == 10.0  # nothing is known of it
    for n in range(EXPECTED + 2):
        rate.came(1 + n * NS_PER_S // 10)
    waits = []
    for _ in range(6):
        waits.append(rate.wait_s(doubtful=False))
        rate.looked()
    assert waits == pytest.approx([1, 2, 4, 8, 10, 10])
    assert rate.wait_s(doubtful=True) == pytest.approx(2)
    slow = OwnRate(most_s=10.0)
    slow.seed([n * NS_PER_S // 2 for n in range(30)])
    assert slow.wait_s(doubtful=False) == pytest.approx(2.5)
    slow.lost()
    slow.last_ns = 1
    slow.came(600 * NS_PER_S)  # ten minutes of a dead stream are no rate of the market
    assert slow.wait_s(doubtful=False) == pytest.approx(2.5)
    slow.last_ns = 1
    assert not slow.surely_dead(5 * NS_PER_S)
    assert slow.surely_dead(11 * NS_PER_S)


def test_equal_trades_without_ids_are_as_many_as_were_told() -> None:
    """Two equal trades in one message are two, and a third in the next; told again, they are repeats."""
    admission = Admission(SCALE, gapless=False, aggregates=False)

    def new(n: int, repair: bool = False) -> int:
        return int(admission.admit([trade(None) for _ in range(n)], repair)[1].sum())

    assert [new(2), new(1)] == [2, 1]
    assert new(3, repair=True) == 0  # a page tells all of them once more
    assert new(4, repair=True) == 1
    admission.another_telling()
    assert new(4) == 0


def test_a_known_id_with_another_stamp_is_another_trade() -> None:
    """Sparse ids that start again are no repeats; a stamp cut to seconds is."""
    seen = SeenIds()
    assert seen.admit(numbers([7, 8]), numbers([100_900, 101_000])).tolist() == [True, True]
    assert seen.admit(numbers([7]), numbers([100_000])).tolist() == [False]
    assert seen.admit(numbers([7, 8]), numbers([200_000, 201_000])).tolist() == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1e30},
        {"amount": -1.0},
        {"amount": 0.0},
        {"amount": float("nan")},
        {"amount": float("inf")},
        {"amount": "1"},
        {"amount": True},
        {"amount": 10**400},
        {"price": 0.0},
        {"price": float("nan")},
        {"price": 1e300},
        {"price": None},
        {"price": [1]},
        {"timestamp": 0},
        {"timestamp": -5},
        {"timestamp": 10**300},
        {"timestamp": 1.5},
        {"timestamp": None},
        {"timestamp": "1"},
    ],
)
def test_what_cannot_be_a_trade_is_refused_and_counted(change: dict[str, Any]) -> None:
    """Numbers that are none, are not finite, or would not add up."""
    admission = Admission(SCALE, gapless=True, aggregates=False)
    assert admission.readable([trade("1", **change), trade("2")]) == [trade("2")]
    assert admission.counters.malformed == 1


@pytest.mark.parametrize("wild", ["abc", None, str(2**70), "-5", "1e9", "", {"a": 1}])
def test_an_id_that_is_no_number_is_refused_where_ids_are_gapless(wild: object) -> None:
    """The trade comes again under its true id, from REST; elsewhere ids only tell repeats apart."""
    admission = Admission(SCALE, gapless=True, aggregates=False)
    assert [t["id"] for t in admission.readable([trade(wild), trade("2")])] == ["2"]
    assert admission.counters.odd_ids == 1
    elsewhere = Admission(SCALE, gapless=False, aggregates=False)
    assert len(elsewhere.readable([trade(wild), trade("2")])) == 2
    ids, hashed = trade_ids([trade(wild)])
    assert hashed or ids.tolist() == [-5]


def test_an_unknown_taker_stays_unknown() -> None:
    """Neither a buyer nor a seller, whatever stands there."""
    sides = [trade("1", side=side) for side in ("buy", "sell", None, "", "BUY", 3)]
    assert trade_columns(usable(sides), SCALE).side.tolist() == [1, -1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "info", [{"f": 1}, {"l": 2}, {"f": "x", "l": "y"}, {"f": 5, "l": 1}, [], {"f": 1, "l": 1e300}]
)
def test_an_aggregate_without_a_range_is_counted(info: Any) -> None:
    """Coverage goes on with the others."""
    coverage = RangeCoverage()
    coverage.add_aggregates([trade("1", info={"f": 1, "l": 3}), trade("2", info=info)])
    assert (coverage.odd, coverage.missing, coverage.overlaps) == (1, 0, 0)


def test_milliseconds_become_nanoseconds() -> None:
    """What is admitted carries the exchange's stamp."""
    columns, keep = Admission(SCALE, gapless=True, aggregates=False).admit([trade("1", 5)])
    assert (columns.stamp_ns.tolist(), keep.tolist()) == ([5 * NS_PER_MS], [True])
