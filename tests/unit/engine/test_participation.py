"""The participation-weighted price through the engine: trade by trade, for as long as the tape goes on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from agent.core.events import SlippageMeasured
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Kind
from tests.property.test_measures_on_bad_data import ORDER, START_S, measured, whole_tape
from tests.tapes_made_faulty import S, book_cut

QUICK = replace(ORDER, max_duration=20 * S, shadows=(), tactic="sweep", algo="immediate")


def own(instrument: Instrument, tape: EventArray, start_ns: int, quantity: str) -> SlippageMeasured:
    rows = measured(instrument, tape, start_ns, replace(QUICK, quantity=Decimal(quantity)))
    return rows["S-P1", "vwap"]


def by_hand(tape: EventArray, start_ns: int, lots: int) -> tuple[Fraction, int]:
    """(VWAP, time) of the first ``lots`` that traded from the start on, the last trade in part."""
    trades = tape[(tape["kind"] == Kind.TRADE) & (tape["exch_ns"] >= start_ns)]
    left, money, at_ns = lots, 0, 0
    for trade in trades[np.argsort(trades["exch_ns"], kind="stable")]:
        taken = min(left, int(trade["qty_lots"]))
        left, money, at_ns = left - taken, money + taken * int(trade["price_ticks"]), int(trade["exch_ns"])
        if not left:
            break
    assert not left
    return Fraction(money, lots), at_ns


@pytest.mark.parametrize(("quantity", "longest_s"), [("0.3", 20), ("3", 62), ("5", 118)])
def test_it_is_the_vwap_until_ten_times_the_order_has_traded(quantity: str, longest_s: int) -> None:
    """To the last trade, which counts in part: within the window, past it, past the last measurement."""
    instrument, tape = whole_tape(0)
    start_ns = int(tape["recv_ns"][0]) + START_S * S
    row = own(instrument, tape, start_ns, quantity)
    price, at_ns = by_hand(tape, start_ns, int(10 * Decimal(quantity) / instrument.lot))
    average = Fraction(row.avg_price)
    expected = float((average / (price * Fraction(instrument.tick)) - 1) * 10_000)
    side = 1 if QUICK.side == "buy" else -1
    assert row.measures["pwp_slippage_bps"] == pytest.approx(side * expected, abs=1e-6)
    before = {20: 0, 62: 20, 118: 62}[longest_s]
    assert before < (at_ns - start_ns) / S < longest_s


def test_it_is_told_as_soon_as_it_is_known() -> None:
    """Past the last measurement it is looked for again while the market goes on: no end is waited for."""
    instrument, tape = whole_tape(0)
    start_ns = int(tape["recv_ns"][0]) + START_S * S
    found: dict[bool, SlippageMeasured] = {}
    for closes in (False, True):
        rows = measured(instrument, tape, start_ns, replace(QUICK, quantity=Decimal(5)), closes=closes)
        found[closes] = rows["S-P1", "vwap"]
    assert found[False].measures["pwp_slippage_bps"] is not None
    assert replace(found[False], at_ns=0, seq=0) == replace(found[True], at_ns=0, seq=0)


def test_a_tape_that_ends_first_says_so() -> None:
    """Nothing is made up of what has traded so far."""
    instrument, tape = whole_tape(0)
    start_ns = int(tape["recv_ns"][0]) + START_S * S
    row = own(instrument, tape, start_ns, "30")
    assert row.measures["pwp_slippage_bps"] is None
    why = "the tape ends before 300 BTC, of which the order would be 10%, has traded: "
    assert row.reasons["pwp_slippage_bps"].startswith(why)


def test_a_gap_that_is_noticed_after_the_last_measure_is_flagged() -> None:
    """The book falls silent before the minute's markout and nobody knows until later: measured again."""
    instrument, tape = whole_tape(0)
    start_ns = int(tape["recv_ns"][0]) + START_S * S
    ended_ns = start_ns + 2 * S
    row = own(instrument, book_cut(tape, ended_ns + 40 * S, ended_ns + 70 * S), start_ns, "1")
    assert row.measures["markout_60s_bps"] is None
    assert "the book was not followed" in row.reasons["markout_60s_bps"]
