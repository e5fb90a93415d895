"""Latencies that vary from order to order, and fees: each alone, against hftbacktest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.core.orders.venue_messages import ReportKind
from agent.venue.fees import Fees
from agent.venue.wire.latency import Latencies, Latency, MeasuredLatency
from tests.differential.compare import counts, differing
from tests.differential.ours import Run, Setting
from tests.differential.plans import Style, Ways, random_plan
from tests.differential.records import FILLED, Outcome, Rules
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

pytestmark = pytest.mark.slow

MS = 1_000_000
SEED = 1
FEED = Latency(10 * MS)  # market data is at a constant delay there
LOGNORMAL = Latencies(Latency(20 * MS, 0.5), Latency(15 * MS, 0.7), Latency(30 * MS, 0.5), FEED)


def measured(seed: int, median_ms: float) -> MeasuredLatency:
    """A hundred made-up measurements; the slowest takes many times the median."""
    draws = np.random.default_rng(seed).lognormal(np.log(median_ms * MS), 0.8, 100)
    return MeasuredLatency.of([(i, int(ns)) for i, ns in enumerate(draws)])


def drawn(ways: Latencies) -> Ways:
    """What each order meets: our draws by (seed, stream, order), which hftbacktest is given as a table."""
    return lambda n: (
        ways.entry.draw(SEED, 0, n),
        ways.cancel.draw(SEED, 1, n),
        ways.acknowledgement.draw(SEED, 3, n),
    )


def test_every_order_meets_its_own_latency() -> None:
    """Lognormal ways: no difference but where an answer would have overtaken the market data.

    A fill is seen on the tape; nothing is said of it before. hftbacktest's answers are free to be faster.
    """
    rules = Rules(varying=True)
    tape = random_tape(1, 48_000)
    orders = random_plan(tape, rules, 1000, SEED, Style(group=1, ways=drawn(LOGNORMAL)))
    ours = Run(rules, Setting(latencies=LOGNORMAL))(tape, orders)
    theirs = run_reference(tape, orders, rules)
    early = theirs.fills["heard_ns"] < theirs.fills["exch_ns"] + rules.feed_ns
    assert (orders["response_ns"][theirs.fills["number"][early] - 1] < rules.feed_ns).all()
    assert differing(ours, theirs) == np.unique(theirs.fills["number"][early]).tolist()
    theirs.fills["heard_ns"][early] = theirs.fills["exch_ns"][early] + rules.feed_ns
    assert differing(ours, theirs) == []
    found = counts(orders, ours)
    assert (found.orders, int(early.sum())) == (768, 8)
    assert np.ptp(orders["entry_ns"]) > 50 * MS


@pytest.mark.parametrize(("symbol", "resting", "taken"), [("btcusdt", 178, 214), ("ethusdt", 222, 215)])
def test_measured_latencies_on_the_real_capture(symbol: str, resting: int, taken: int) -> None:
    """Latencies drawn from a file of measurements, cancels' too: no difference."""
    ways = Latencies(measured(1, 20.0), measured(2, 15.0), measured(3, 40.0), Latency(MS))
    rules = Rules(varying=True, feed_ns=MS)
    tape = capture_tape(symbol)
    orders = random_plan(tape, rules, 2000, SEED, Style(group=1, ways=drawn(ways)))
    ours = Run(rules, Setting(latencies=ways))(tape, orders)
    assert differing(ours, run_reference(tape, orders, rules)) == []
    found = counts(orders, ours)
    assert found.orders > 1300
    assert (found.resting_fills, found.taker_fills) == (resting, taken)


def test_a_cancel_that_travels_by_the_order_s_latency_is_caught() -> None:
    """The comparison sees it when a cancel is given its order's own draw instead of one of its own."""
    rules = Rules(varying=True)
    tape = random_tape(1, 20_000)
    orders = random_plan(tape, rules, 1000, SEED, Style(group=1, ways=drawn(LOGNORMAL)))
    theirs = run_reference(tape, orders, rules)
    wrong = replace(LOGNORMAL, cancel=LOGNORMAL.entry)
    assert len(differing(Run(rules, Setting(latencies=wrong))(tape, orders), theirs)) == 41


@pytest.mark.parametrize(
    ("symbol", "orders_made", "apart"), [("", 850, 171), ("btcusdt", 915, 16), ("ethusdt", 913, 31)]
)
def test_fees_are_the_same_where_the_reference_counts_the_whole_order(
    symbol: str, orders_made: int, apart: int
) -> None:
    """Maker rebate and taker fee: hftbacktest charges the last fill of an order that was filled whole.

    Its fee is ours for that fill, to the last unit, for every order; so an order filled at once and at
    one price costs the same, and only orders of several fills, or with a rest, can differ.
    """
    rules = Rules(maker_ppm=-25, taker_ppm=400)
    tape = capture_tape(symbol) if symbol else random_tape(1, 48_000)
    orders = random_plan(tape, rules, 1000, SEED, Style(group=1))
    run = Run(rules)
    ours, theirs = run(tape, orders), run_reference(tape, orders, rules)
    assert differing(ours, theirs) == []
    assert charged(run, ours) == theirs.ends["fee_tlp"].tolist()
    wrong = np.flatnonzero(ours.ends["fee_tlp"] != theirs.ends["fee_tlp"])
    assert (len(orders), len(wrong)) == (orders_made, apart)
    for i in wrong:
        assert ours.ends["outcome"][i] != FILLED or len(fees_of(run, i + 1)) > 1
        assert abs(ours.ends["fee_tlp"][i]) > abs(theirs.ends["fee_tlp"][i])


def test_a_maker_charged_as_a_taker_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of fees sees one charged at the other rate."""
    rules = Rules(maker_ppm=-25, taker_ppm=400)
    tape = random_tape(1, 20_000)
    orders = random_plan(tape, rules, 1000, SEED, Style(group=1))
    theirs = run_reference(tape, orders, rules)
    monkeypatch.setattr(Fees, "ppm", lambda self, maker, volume=0: self.taker_ppm)
    run = Run(rules)
    assert charged(run, run(tape, orders)) != theirs.ends["fee_tlp"].tolist()


def fees_of(run: Run, number: int) -> list[int]:
    """The fee of each fill of an order, in ticks x lots x ppm."""
    return [said.fee_tlp for _, said in run.said[number] if said.kind is ReportKind.FILLED]


def charged(run: Run, ours: Outcome) -> list[int]:
    """What hftbacktest charges for each order: the fee of the last fill of one that was filled whole."""
    filled = ours.ends["outcome"] == FILLED
    return [fees_of(run, n)[-1] if whole else 0 for n, whole in zip(ours.ends["number"], filled, strict=True)]
