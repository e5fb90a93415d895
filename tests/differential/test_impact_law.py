"""Impact switched on alone: takers pay the law's price, and nothing else changes.

Every order shares one lane, so that what was traded before displaces what comes after; the lots that a
taker took are there again for the next (consumption stays off). hftbacktest has no impact: its fills are
the book's. What a fill must cost is worked out here again, from the law as docs/fill-model.md states it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.core.market.tape import EventArray
from agent.core.orders.venue_messages import Report, ReportKind
from agent.venue import impact
from agent.venue.impact import ImpactLaw
from tests.differential.books import books_at
from tests.differential.compare import differing
from tests.differential.ours import Run, Setting
from tests.differential.plans import Style, random_plan
from tests.differential.records import IOC, Outcome, Records, Rules
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

pytestmark = pytest.mark.slow

RULES = Rules()
RANDOM = ImpactLaw(y=1.0, sigma_bps_per_day=300.0, volume_per_day=1e6, half_life_ns=2_000_000_000)
REAL = ImpactLaw(y=1.0, sigma_bps_per_day=300.0, volume_per_day=1e11, half_life_ns=10_000_000_000)
ROUNDING = 1e-6  # half ticks: floats may fall on either side of a whole one


def setting(law: ImpactLaw) -> Setting:
    return Setting(shared_lane=True, refilled=True, venue=(("impact", {"BTC/USDT": law}),))


class Law:
    """The law, told again: the flow of one lane, and what a fill must cost."""

    def __init__(self, law: ImpactLaw) -> None:
        self._law, self._flow, self._at_ns = law, 0.0, 0

    def flow(self, at_ns: int) -> float:
        """Lots bought less lots sold, faded: the root halves in every half-life."""
        return self._flow * 0.25 ** ((at_ns - self._at_ns) / self._law.half_life_ns)

    def displaced(self, mid_half_ticks: int, root: float) -> float:
        """Half ticks by which ``root`` (signed, of lots) displaces the mid."""
        return (
            mid_half_ticks
            * self._law.y
            * self._law.sigma_bps_per_day
            * 1e-4
            * root
            / self._law.volume_per_day**0.5
        )

    def fill(self, side: int, lots: int, mid_half_ticks: int, at_ns: int) -> float:
        """Half ticks that a fill is displaced against ``side``: the mean over its way; it is counted in."""
        before = self.flow(at_ns)
        after = before + side * lots
        mean = (abs(after) ** 1.5 - abs(before) ** 1.5) / (1.5 * (after - before))
        self._flow, self._at_ns = after, at_ns
        return side * self.displaced(mid_half_ticks, mean)


def fills_of(run: Run, number: int) -> list[Report]:
    """The fills of an order as the venue reported them."""
    return [said for _, said in run.said[number] if said.kind is ReportKind.FILLED]


def check(run: Run, tape: EventArray, orders: Records, law: ImpactLaw) -> tuple[int, int]:
    """Every fill costs what the law says, and every order got what the book, or the law, lets it have.

    Returns how many orders paid more than the book's price, and how many were cut at their limit.
    """
    ours, theirs = run.outcome(), run_reference(tape, orders, RULES)
    short = differing(at_book_prices(run, ours, orders), theirs)
    told, worse = Law(law), 0
    for order, book in zip(orders, books_at(tape, orders, RULES), strict=True):
        number, side = int(order["number"]), int(order["side"])
        fills = fills_of(run, number)
        for fill in fills:
            assert_priced(fill, side, told.fill(side, fill.lots, fill.mid_half_ticks, fill.venue_ns))
        worse += any(fill.impact_ticks for fill in fills)
        if number in short:
            got, offered = (int(o.fills["lots"][o.fills["number"] == number].sum()) for o in (ours, theirs))
            assert order["tif"] == IOC
            assert got < offered
            mid, at_ns = (
                book.bid_ticks + book.ask_ticks,
                int(order["send_ns"]) + RULES.entry_ns + RULES.feed_ns,
            )
            next_lot = told.flow(at_ns) + side
            stands = side * (2 * int(order["price_ticks"]) - mid)
            assert (
                side * told.displaced(mid, math.copysign(abs(next_lot) ** 0.5, next_lot)) > stands - ROUNDING
            )
    takers = orders["number"][orders["tif"] == IOC]
    assert np.isin(differing(ours, theirs), takers).all()
    return worse, len(short)


def assert_priced(fill: Report, side: int, displaced: float) -> None:
    """A taker pays the worse of the book's price and the displaced mid, a maker its own price."""
    moved, added = fill.displacement_half_ticks, fill.impact_ticks
    assert moved is not None
    assert added is not None
    assert moved in {math.ceil(displaced - ROUNDING), math.ceil(displaced + ROUNDING)}
    book = fill.price_ticks - side * added
    needed = side * math.ceil((side * fill.mid_half_ticks + moved) / 2)  # half ticks to ticks, against us
    assert fill.price_ticks == (book if fill.maker else side * max(side * book, side * needed))


def at_book_prices(run: Run, ours: Outcome, orders: Records) -> Outcome:
    """The outcome with what the model added to each price taken off again."""
    fills = ours.fills.copy()
    for record in fills:
        number = int(record["number"])
        at_ns = int(record["exch_ns"]) + RULES.feed_ns
        last = [fill for fill in fills_of(run, number) if fill.venue_ns == at_ns][-1]
        record["last_price_ticks"] -= int(orders["side"][number - 1]) * int(last.impact_ticks or 0)
    return Outcome(fills, ours.ends)


@pytest.mark.parametrize(
    ("name", "law", "found"),
    [("1", RANDOM, (525, 105, 89)), ("btcusdt", REAL, (672, 73, 485)), ("ethusdt", REAL, (672, 145, 330))],
)
def test_takers_pay_the_law_s_price(name: str, law: ImpactLaw, found: tuple[int, int, int]) -> None:
    """Only takers differ, each by the stated impact of each fill; some get less, at their limit."""
    tape = random_tape(int(name), 20_000) if name.isdigit() else capture_tape(name)
    orders = random_plan(tape, RULES, 1000, 1, Style(takers=0.4))
    run = Run(RULES, setting(law))
    run(tape, orders)
    takers = int((orders["tif"] == IOC).sum())
    assert (takers, *check(run, tape, orders, law)) == found


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("mean_root", lambda a, b: math.copysign(abs(b) ** 0.5, b)),
        ("worse_price", lambda side, price, mid, moved: price + side * (moved // 2)),
    ],
)
def test_a_wrong_law_is_caught(name: str, broken: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill priced where its flow ends, and impact added to the walk: the comparison fails."""
    tape = random_tape(1, 20_000)
    orders = random_plan(tape, RULES, 1000, 1, Style(takers=0.4))
    monkeypatch.setattr(impact, name, broken)
    run = Run(RULES, setting(RANDOM))
    run(tape, orders)
    with pytest.raises(AssertionError):
        check(run, tape, orders, RANDOM)
