"""Transient impact: the law and its fading, and what the paper venue makes of it, fill by fill."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from agent import app
from agent.app.venue_setup import venue_setup
from agent.config import Config, parse_config
from agent.core.errors import ConfigError
from agent.core.instrument import Instrument
from agent.core.market.tape import Kind
from agent.core.types import Side, TimeInForce
from agent.venue.impact import Impact, ImpactLaw, mean_root, worse_price
from agent.venue.paper import PaperVenue
from tests.venue import BTC, MS, Stand

S = 10**9
LAW = ImpactLaw(y=1.0, sigma_bps_per_day=400.0, volume_per_day=1000.0, half_life_ns=100 * S)
MID = 20_000  # half ticks: 10,000 ticks; 1,000 BTC a day are 10^6 lots
ETH = replace(BTC, number=1, symbol="ETH/USDT", base="ETH")


def impact(law: ImpactLaw = LAW, *instruments: Instrument) -> Impact:
    return Impact({"BTC/USDT": law, "ETH/USDT": law}, instruments or (BTC, ETH))


def buy(model: Impact, lots: int, now_ns: int = 0, lane: int = 0, walk: int = 10_001) -> int:
    """The displacement of a buy of ``lots``, in half ticks."""
    return model.fill(lane, 0, 1, (walk, lots), MID, False, now_ns).displacement_half_ticks


def test_the_displacement_is_the_square_root_law() -> None:
    """10,000 lots of 10^6 a day: sigma/10 of the mid at the end, two thirds of that on average."""
    at_the_end = MID * 0.04 * math.sqrt(10_000 / 1e6)
    assert at_the_end == pytest.approx(80)
    assert buy(impact(), 10_000) == math.ceil(at_the_end * 2 / 3)


def test_how_an_order_is_cut_does_not_matter() -> None:
    """One fill of 9,000 lots costs what nine of 1,000 at the same moment do, to the rounding of each."""
    whole, cut = impact(), impact()
    one = 9_000 * buy(whole, 9_000)
    nine = sum(1_000 * buy(cut, 1_000) for _ in range(9))
    assert abs(one - nine) <= 9_000
    assert whole.flow_lots(0, 0, 0) == cut.flow_lots(0, 0, 0) == 9_000


def test_the_displacement_halves_in_a_half_life() -> None:
    """After 100 s the next lot meets half of what it met at once, after 200 s a quarter."""
    found = []
    for later in (0, 100, 200):
        model = impact()
        buy(model, 40_000)
        found.append(buy(model, 1, later * S))
    assert found == [161, 81, 41] == [MID * 0.04 * 0.2 / 2**n + 1 for n in range(3)]  # + 1: the lot itself


def test_buying_and_selling_are_mirrored() -> None:
    """The same lots sold move the price as far the other way; selling after buying starts where it ended."""
    up, down = impact(), impact()
    bought = up.fill(0, 0, 1, (10_001, 5_000), MID, False, 0)
    sold = down.fill(0, 0, -1, (9_999, 5_000), MID, False, 0)
    assert bought.price_ticks + sold.price_ticks == MID
    assert (bought.impact_ticks, bought.displacement_half_ticks) == (
        sold.impact_ticks,
        sold.displacement_half_ticks,
    )
    back = up.fill(0, 0, -1, (9_999, 5_000), MID, False, 0)
    assert (
        back.displacement_half_ticks == 1 - bought.displacement_half_ticks
    )  # negative: it is not against us
    assert (back.price_ticks, back.impact_ticks) == (9_999, 0)  # and yet no better than the book
    assert up.flow_lots(0, 0, 0) == 0.0


def test_lanes_and_instruments_are_apart() -> None:
    """What one lane bought moves neither another lane nor another symbol."""
    model = impact()
    buy(model, 50_000)
    assert model.flow_lots(0, 0, 0) == 50_000
    assert model.flow_lots(1, 0, 0) == model.flow_lots(0, 1, 0) == 0.0
    assert buy(model, 100, lane=1) == buy(impact(), 100)


def test_walking_the_book_is_part_of_it() -> None:
    """A walk dearer than the law keeps its price; a cheaper one is brought up to the displaced mid."""
    model = impact()
    dear = model.fill(0, 0, 1, (10_500, 10_000), MID, False, 0)
    assert (dear.price_ticks, dear.impact_ticks, dear.displacement_half_ticks) == (10_500, 0, 54)
    cheap = impact().fill(0, 0, 1, (10_001, 10_000), MID, False, 0)
    assert (cheap.price_ticks, cheap.impact_ticks) == (10_027, 26)


def test_a_resting_fill_keeps_its_price_and_counts() -> None:
    """Filled at rest the price is the order's own; the next taker pays for the lots that rested."""
    model = impact()
    rested = model.fill(0, 0, 1, (9_999, 10_000), MID, True, 0)
    assert (rested.price_ticks, rested.impact_ticks) == (9_999, 0)
    assert buy(model, 1) == 81


def test_room_is_the_last_lot_within_the_limit() -> None:
    """Found in closed form, it is exact: one lot more would push the mid beyond the limit."""
    for side, flow in ((1, 0), (1, 777), (1, -777), (-1, 0), (-1, 777)):
        for limit in (10_000, 10_001, 10_003, 10_040):
            model = impact()
            if flow:
                model.fill(0, 0, 1 if flow > 0 else -1, (10_000, abs(flow)), MID, True, 0)
            mine = limit if side > 0 else MID - limit
            room = model.most_lots(0, 0, side, mine, 10**7, MID, 0)
            start = side * flow

            def moved(lots: int, start: int = start) -> float:
                e = start + lots
                return math.copysign(MID * 0.04 * math.sqrt(abs(e) / 1e6), e)

            most = 2 * limit - MID
            assert room == 0 or moved(room) <= most
            assert moved(room + 1) > most


def test_without_a_mid_the_law_says_nothing() -> None:
    """No two-sided book: no displacement of it, and a fill keeps its price."""
    model = impact()
    assert model.most_lots(0, 0, 1, 10_000, 500, 0, 0) == 500
    priced = model.fill(0, 0, 1, (10_000, 500), 0, True, 0)
    assert (priced.price_ticks, priced.displacement_half_ticks) == (10_000, 0)


def test_money_pays_for_what_it_pays_for() -> None:
    """The lots of a walk that a bound on money covers at displaced prices: one more would break it."""
    model, walk = impact(), [(10_001, 3_000), (10_002, 4_000), (10_003, 9_000)]
    for cap in (5_000, 10_001 * 1_000, 10_020 * 5_000, 10_020 * 9_000, 10**12):
        lots = model.affordable(0, 0, 1, walk, cap, MID, 0)
        assert cost(lots, walk) <= cap
        assert lots == 16_000 or cost(lots + 1, walk) > cap


def cost(lots: int, walk: list[tuple[int, int]]) -> int:
    """Ticks x lots that ``lots`` of a walk come to, fill by fill."""
    model, spent = impact(), 0
    for price, offered in walk:
        if q := min(lots, offered):
            spent += q * model.fill(0, 0, 1, (price, q), MID, False, 0).price_ticks
            lots -= q
    return spent


def test_a_root_has_no_cancellation() -> None:
    """The mean root over one lot far out equals the root there, and never passes the end's."""
    assert mean_root(1e15, 1e15 + 1) == pytest.approx(math.sqrt(1e15), rel=1e-15)
    assert mean_root(-1e15, -1e15 + 1) == pytest.approx(-math.sqrt(1e15), rel=1e-15)
    assert mean_root(-4.0, 9.0) == pytest.approx((27 - 8) / 13 / 1.5)
    assert mean_root(-9.0, 9.0) == 0.0
    assert worse_price(1, 5, 9, 2) == 6
    assert worse_price(-1, 5, 9, 2) == 3


# --- in the venue ----------------------------------------------------------------------------------


def stand(law: ImpactLaw | None = LAW) -> Stand:
    """The contract's stand with impact switched on: asks 30 at 10,001 and 70 at 10,002."""
    made = Stand()
    rules = replace(
        venue_setup(Config()).rules,
        latencies=made.venue._rules.latencies,
        fees=made.fees,
        balances={"BTC": Decimal(10_000), "USDT": Decimal(10**9)},
        impact=None if law is None else {"BTC/USDT": law},
    )
    made.venue = PaperVenue(made.market, made.agenda, rules)
    made.venue.connect(lambda r: made.reports.append((r.recv_ns, r)))
    made.tape(1, (Kind.LEVEL, 10_001, 30_000, -1), (Kind.LEVEL, 10_002, 70_000, -1))
    return made


def test_off_and_on_in_the_venue() -> None:
    """Off: the book's price and no word of impact. On: the model's name, its part, and the rest unfilled."""
    off, on = stand(None), stand()
    for made in (off, on):
        made.send(10, lots=10_000, price_ticks=10_005)
        made.until(500)
    plain = off.reports[1][1]
    assert (plain.price_ticks, plain.lots, plain.price_model) == (10_001, 10_000, "book_walk")
    assert (plain.impact_ticks, plain.displacement_half_ticks) == (None, None)
    moved = on.reports[1][1]
    assert moved.price_model == "book_walk+impact"
    assert (moved.price_ticks, moved.impact_ticks, moved.displacement_half_ticks) == (10_004, 3, 7)
    assert moved.lots == 156  # 800 sqrt(156 / 10^6) is the last below the ten half ticks of the limit
    assert "our own impact counted in" in on.reports[2][1].reason


def test_a_limit_is_never_passed() -> None:
    """Whatever is asked for, the worst fill is at the limit or better, and patience brings more."""
    made = stand()
    for at_ms in (10, 60_000, 120_000):
        made.send(at_ms, lots=10_000, price_ticks=10_003)
        made.until(at_ms + 500)
    lots = [lots for price, lots in made.fills()]
    assert all(price <= 10_003 for price, _ in made.fills())
    assert lots[0] == 56
    assert 0 < lots[1] < lots[0]


def test_a_bound_on_money_holds_at_displaced_prices() -> None:
    """A buy for 10,001 x 5,000 gets fewer lots than the book's price would give, and spends no more."""
    made = stand()
    made.send(10, lots=10_000, price_ticks=10_100, cap_tl=10_001 * 5_000)
    made.until(500)
    spent = sum(price * lots for price, lots in made.fills())
    assert 10_001 * 5_000 - 10_100 < spent <= 10_001 * 5_000


@pytest.mark.parametrize("law", [None, LAW, replace(LAW, y=1e-9)])
def test_a_sale_for_money_passes_no_lots_by(law: ImpactLaw | None) -> None:
    """What is left buys no lot at the touch, and would one at a price below: the walk ends at the touch."""
    made = stand(law)
    made.tape(2, (Kind.LEVEL, 9_000, 50, 1))
    made.send(10, side=Side.SELL, lots=50, price_ticks=9_000, cap_tl=9_999 * 6 + 9_500)
    made.until(500)
    (fill,) = made.fills()
    assert fill[1] == 6
    assert fill[0] <= 9_999


def test_asking_what_would_fill_changes_nothing() -> None:
    """A preview names the walk, and the order that follows gets just that."""
    made = stand(None)
    order = made.send(10, lots=50_000, price_ticks=10_002)
    asked = made.market.preview(0, order, 30 * MS)
    assert asked == made.market.preview(0, order, 30 * MS) == [(10_001, 30_000), (10_002, 20_000)]
    made.until(500)
    assert made.fills() == asked


def test_a_resting_order_is_filled_at_its_price() -> None:
    """The tape trades through a post-only buy: its own price, no part of it impact."""
    made = stand()
    made.send(10, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=40, side=Side.BUY)
    made.until(100)
    made.tape(200, (Kind.TRADE, 9_998, 5, -1))
    made.until(500)
    report = made.reports[-1][1]
    assert (report.price_ticks, report.maker, report.impact_ticks) == (9_999, True, 0)
    assert report.price_model == "queue:risk_averse"


# --- configuration ---------------------------------------------------------------------------------


def test_a_bare_off_is_off() -> None:
    """YAML reads off as false; both mean that there is no model."""
    for said in (False, "off"):
        settings = venue_setup(parse_config({"venue": {"impact": said}}))
        assert settings.rules.impact is None


def test_a_symbol_without_a_law_is_named() -> None:
    """On, with parameters for another symbol only: which one lacks them, and where they go."""
    config = parse_config(
        {
            "venue": {
                "impact": "sqrt",
                "impact_laws": {"ETH/USDT": {"sigma_bps_per_day": 300, "volume_per_day": 9}},
            }
        }
    )
    with pytest.raises(ConfigError, match=r"no parameters for BTC/USDT \(given: ETH/USDT\).*calibrate"):
        app.build_engine(config, [BTC], app.inline_policies(config))
