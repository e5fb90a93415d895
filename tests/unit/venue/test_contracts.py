"""Contracts: what linear and inverse ones are worth, what they cost, and what positions in them tie up."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from agent.config import parse_config
from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from agent.core.market.trade_bars import BarSeries, TradeColumns
from agent.core.measures import tca
from agent.core.measures.tca import IntervalTrades
from agent.core.measures.traded_volume import Prints, participation
from agent.core.money import INVERSE_UNITS, inverse_value
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side, TargetKind, TimeInForce
from agent.orders import build_spec
from agent.venue.fees import FeeBook, Fees
from agent.venue.ledger import Ledger, OpenOrder
from tests.perold import perold

D = Decimal
LINEAR = Instrument(0, "binanceusdm", "BTC/USDT:USDT", "BTC", "USDT", "USDT", D("0.1"), D("0.001"))
INVERSE = Instrument(
    1, "binancecoinm", "BTC/USD:BTC", "BTC", "USD", "BTC", D("0.1"), D(1), multiplier=D(100), inverse=True
)
SPOT = Instrument(0, "binance", "BTC/USDT", "BTC", "USDT", "USDT", D("0.1"), D("0.001"))


def _ticks(price: str) -> int:
    return INVERSE.to_ticks(D(price))


# --- money ----------------------------------------------------------------------------------------


def test_what_a_contract_is_worth() -> None:
    """Three contracts of 100 USD at 60,000 are 0.005 BTC; 0.2 BTC of the linear one are 12,000 USDT."""
    assert INVERSE.notional(INVERSE.value_tl(_ticks("60000"), 3)) == D("0.005")
    assert INVERSE.quote_notional(_ticks("60000"), 3) == 300
    assert LINEAR.notional(LINEAR.value_tl(600_000, 200)) == LINEAR.quote_notional(600_000, 200) == 12_000
    assert [i.unit for i in (SPOT, LINEAR, INVERSE)] == ["BTC", "BTC", "contracts"]
    assert [i.contract for i in (SPOT, LINEAR, INVERSE)] == [False, True, True]


def test_the_average_of_an_inverse_contract_is_harmonic() -> None:
    """As many dollars at 50,000 as at 100,000 average 66,666.67: so many contracts make that much bitcoin."""
    value = INVERSE.value_tl(_ticks("50000"), 10) + INVERSE.value_tl(_ticks("100000"), 10)
    average = INVERSE.average_ticks(value, 20) * Fraction(INVERSE.tick)
    assert float(average) == pytest.approx(200_000 / 3, rel=1e-15)
    assert INVERSE.notional(value) == D("0.03")


def test_compiled_value_is_the_same() -> None:
    """The compiled value equals the exact rounding for sizes up to billions of contracts."""
    rng = random.Random(1)
    for _ in range(5_000):
        lots, price = (
            rng.randrange(1, 10 ** rng.randrange(1, 9)),
            rng.randrange(10**4, 10 ** rng.randrange(5, 9)),
        )
        assert int(inverse_value(price, lots)) == INVERSE.value_tl(price, lots)
        assert abs(INVERSE.value_tl(price, lots) - Fraction(lots * INVERSE_UNITS, price)) <= Fraction(1, 2)


def test_market_vwap_of_inverse_trades() -> None:
    """The bars' VWAP is contracts over bitcoin, as the exchange's own klines have it."""
    series = BarSeries(INVERSE, 100, 0, 0)
    ticks, lots = np.array([500_000, 1_000_000, 800_000]), np.array([10, 10, 4])
    stamps = np.array([0, 20, 110])
    series.update(TradeColumns(stamps, ticks, lots, np.ones(3, np.int8)))
    rows, _ = series.prices(0, 2)
    trades = [IntervalTrades(value, n, 0, inverse=True) for n, value in rows]
    assert float(tca.vwap(trades[:1]) or 0) == pytest.approx(2_000_000 / 3)
    assert float(tca.vwap(trades) or 0) == pytest.approx(24 / (10 / 500_000 + 10 / 1_000_000 + 4 / 800_000))
    assert series.view(2)["vwap"].tolist() == pytest.approx([200_000 / 3, 80_000])
    values = np.array([INVERSE.value_tl(int(p), int(n)) for p, n in zip(ticks, lots, strict=True)])
    half = participation(Prints(stamps, lots, values), 11, Fraction(1, 2), inverse=True)
    two_of_the_last = 22 / (10 / 500_000 + 10 / 1_000_000 + 2 / 800_000)
    assert float(half.price_ticks or 0) == pytest.approx(two_of_the_last)


@pytest.mark.parametrize("side", list(Side))
def test_shortfall_of_an_inverse_order(side: Side) -> None:
    """Costs are in bitcoin, positive when a buy pays more than the mid or a sale gets less; they sum."""
    fills = [(_ticks("60000"), 30), (_ticks("60500"), 20)]
    value = sum(INVERSE.value_tl(p, n) for p, n in fills)
    decision, arrival, end = (2 * _ticks(p) for p in ("59900", "59950", "60600"))
    parts = tca.shortfall(
        side, Fraction(60), 50, value, 0, decision=decision, arrival=arrival, end=end, inverse=True
    )
    whole = perold(side, Fraction(60), 50, value, 0, decision=decision, end=end, inverse=True)
    assert parts.total == whole
    money = {
        name: float(getattr(parts, name)) / 2 * float(INVERSE.notional(1)) for name in ("trading", "total")
    }
    trading = 3_000 / 59_950 - 3_000 / 60_000 + 2_000 / 59_950 - 2_000 / 60_500
    missed = 1_000 / 59_900 - 1_000 / 60_600
    delay = 5_000 / 59_900 - 5_000 / 59_950
    assert money["trading"] == pytest.approx(side * trading, rel=1e-9)
    assert money["total"] == pytest.approx(side * (trading + missed + delay), rel=1e-9)


def test_shortfall_of_a_linear_order_is_as_it_was() -> None:
    """The linear formula: s X (average - mid), in quote money."""
    parts = tca.shortfall(
        Side.BUY, Fraction(50), 50, 30 * 101 + 20 * 102, 0, decision=200, arrival=200, end=200
    )
    assert parts.trading == parts.total == 2 * (30 + 40)


def test_notional_orders_on_inverse_contracts() -> None:
    """A sum of dollars is a number of contracts: the order is refused with that number."""
    order = parse_config({"order": {"notional": "12345"}}, "test").order
    with pytest.raises(
        OrderError, match=r"a contract is 100 USD at any price; give --quantity 123 \(contracts"
    ):
        build_spec(order, INVERSE, "p", None)
    spec = build_spec(parse_config({"order": {"quantity": "123"}}, "test").order, INVERSE, "p", None)
    assert (spec.target_kind, spec.target) == (TargetKind.QUANTITY, 123)


# --- positions ------------------------------------------------------------------------------------


def _ledger(instrument: Instrument, balance: str, ppm: int = 0) -> Ledger:
    instruments = [LINEAR, INVERSE]
    return Ledger(instruments, Fees(ppm, ppm), {instrument.settle: D(balance)})


def _open(
    ledger: Ledger, instrument: Instrument, number: int, side: Side, price: str, lots: int
) -> OpenOrder | str:
    ticks = instrument.to_ticks(D(price))
    return ledger.open(VenueOrder(number, 0, instrument.number, side, TimeInForce.GTC, ticks, lots))


def _trade(ledger: Ledger, instrument: Instrument, side: Side, price: str, lots: int, at: str = "") -> None:
    """An order that is filled whole, at its limit or at ``at``."""
    state = _open(ledger, instrument, 1, side, price, lots)
    assert isinstance(state, OpenOrder), state
    ledger.settle(state, instrument.to_ticks(D(at or price)), lots, maker=False)
    ledger.close(state)


@pytest.mark.parametrize("side", list(Side))
def test_linear_round_trip(side: Side) -> None:
    """Full collateral at entry, none after; the profit is side x quantity x the price's move, less fees."""
    ledger = _ledger(LINEAR, "10000", ppm=500)
    _trade(ledger, LINEAR, side, "60000", 100)
    account, position = ledger.account(0), ledger.position(0, 0)
    assert (position.lots, position.collateral) == (100 * side, D(6_000))
    assert account.balances() == {"USDT": 10_000 - 3}
    assert account.available("USDT") == 10_000 - 3 - 6_000
    _trade(ledger, LINEAR, Side(-side), "61000", 100)
    assert account.balances() == {"USDT": 10_000 - 3 - D("3.05") + 100 * side}
    assert account.available("USDT") == account.balances()["USDT"]
    assert (position.lots, position.entry_tl, position.collateral) == (0, 0, D(0))


@pytest.mark.parametrize("side", list(Side))
def test_inverse_round_trip(side: Side) -> None:
    """Profit is paid in bitcoin: side x contracts x 100 x (1/entry - 1/exit); no dollars ever move."""
    ledger = _ledger(INVERSE, "1")
    _trade(ledger, INVERSE, side, "50000", 100)
    assert ledger.account(0).available("BTC") == D("0.8")
    _trade(ledger, INVERSE, Side(-side), "62500", 40)
    _trade(ledger, INVERSE, Side(-side), "40000", 60)
    gained = D(4_000) / 50_000 - D(4_000) / 62_500 + D(6_000) / 50_000 - D(6_000) / 40_000
    assert ledger.account(0).balances() == {"BTC": 1 + side * gained}
    assert ledger.account(0).available("BTC") == 1 + side * gained


def test_a_position_is_closed_without_money() -> None:
    """With all money tied up in a position it can still be closed, but neither enlarged nor turned around."""
    ledger = _ledger(LINEAR, "6000")
    _trade(ledger, LINEAR, Side.BUY, "60000", 100)
    assert ledger.account(0).available("USDT") == 0
    assert "balance 0.0000 USDT does not cover 60" in str(_open(ledger, LINEAR, 2, Side.BUY, "60000", 1))
    assert "does not cover 61" in str(_open(ledger, LINEAR, 3, Side.SELL, "61000", 101))
    first = _open(ledger, LINEAR, 4, Side.SELL, "61000", 70)
    assert isinstance(first, OpenOrder)
    assert "does not cover" in str(
        _open(ledger, LINEAR, 5, Side.SELL, "61000", 31)
    )  # only 30 are left to close
    ledger.close(first)
    assert isinstance(_open(ledger, LINEAR, 6, Side.SELL, "61000", 100), OpenOrder)


def test_an_order_through_zero() -> None:
    """Selling more than is held closes the position and opens the other way with the rest."""
    ledger = _ledger(LINEAR, "20000")
    _trade(ledger, LINEAR, Side.BUY, "60000", 100)
    _trade(ledger, LINEAR, Side.SELL, "60000", 250, at="61000")
    position = ledger.position(0, 0)
    assert (position.lots, position.collateral) == (-150, D(9_000))  # at the limit, as it was set aside
    assert position.entry_tl == 150 * 610_000
    assert ledger.account(0).balances() == {"USDT": 20_100}
    assert ledger.account(0).available("USDT") == 20_100 - 9_000


def test_amended_orders_keep_their_promises() -> None:
    """An amendment that cannot be paid for changes nothing; one that can closes more of the position."""
    ledger = _ledger(LINEAR, "6000")
    _trade(ledger, LINEAR, Side.BUY, "60000", 100)
    state = _open(ledger, LINEAR, 2, Side.SELL, "61000", 40)
    assert isinstance(state, OpenOrder)
    larger = VenueOrder(2, 0, 0, Side.SELL, TimeInForce.GTC, 610_000, 101)
    assert "does not cover" in ledger.amend(state, larger, 101)
    assert (state.left, state.closing) == (40, 40)
    assert ledger.amend(state, VenueOrder(2, 0, 0, Side.SELL, TimeInForce.GTC, 610_000, 100), 100) == ""
    assert (state.closing, state.held) == (100, D(0))
    assert "does not cover" in str(_open(ledger, LINEAR, 3, Side.SELL, "61000", 1))


@pytest.mark.parametrize("second", ["59000", "60000", "61000"])
def test_two_sales_against_one_long_never_take_what_is_not_there(second: str) -> None:
    """The second sale closes the long: the first must open then, and what it takes is given to no third."""
    ledger = _ledger(LINEAR, "12100")
    _trade(ledger, LINEAR, Side.BUY, "60000", 100)
    account = ledger.account(0)
    first = _open(ledger, LINEAR, 2, Side.SELL, "60000", 100)
    closer = _open(ledger, LINEAR, 3, Side.SELL, second, 100)
    assert isinstance(first, OpenOrder)
    assert isinstance(closer, OpenOrder)
    ledger.settle(closer, LINEAR.to_ticks(D(second)), 100, maker=True)
    ledger.close(closer)
    assert first.held == 6_000
    assert "does not cover" in str(_open(ledger, LINEAR, 4, Side.BUY, "60000", 205))
    ledger.settle(first, LINEAR.to_ticks(D("60000")), 100, maker=True)
    ledger.close(first)
    assert ledger.position(0, 0).lots == -100
    assert account.available("USDT") == account.balances()["USDT"] - 6_000 >= 0


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE])
def test_orders_side_by_side_never_take_what_is_not_there(instrument: Instrument) -> None:
    """Random orders of both sides, open together, amended, closed, filled in any turn: never below 0."""
    for seed in range(60):
        rng = random.Random(seed)
        ledger, standing, refused = _ledger(instrument, "30000" if instrument is LINEAR else "0.5"), [], 0
        account = ledger.account(0)
        for number in range(1, 120):
            side = rng.choice(list(Side))
            limit = str(60_000 + side * rng.randrange(3_000))  # filled at 60,000, which is no loss to anybody
            state = _open(ledger, instrument, number, side, limit, rng.randrange(1, 200))
            if isinstance(state, OpenOrder):
                standing.append(state)
            refused += isinstance(state, str)
            if standing and rng.random() < 0.9:
                state = rng.choice(standing)
                lots = rng.randrange(1, state.left + 1)
                if rng.random() < 0.2:
                    dearer = state.order.price_ticks + rng.randrange(99) * (side > 0)
                    ledger.amend(state, replace(state.order, price_ticks=dearer), lots)
                ledger.settle(state, instrument.to_ticks(D(60_000)), min(lots, state.left), maker=True)
                if not state.left or rng.random() < 0.3:
                    ledger.close(state)
                    standing.remove(state)
            assert account.available(instrument.settle) >= -D("1e-9") * instrument.inverse, seed
        for state in standing:
            ledger.close(state)
        free = account.balances()[instrument.settle] - ledger.position(0, instrument.number).collateral
        assert abs(account.available(instrument.settle) - free) < D("1e-18")
        assert refused


def test_many_random_orders_leave_nothing_set_aside() -> None:
    """Whatever was traded, once all is flat and no order is open the whole balance is free, and adds up."""
    rng = random.Random(3)
    for instrument, balance in ((LINEAR, "1000000"), (INVERSE, "1000")):
        ledger, cash = _ledger(instrument, balance), Fraction(0)
        for _ in range(300):
            side, lots = rng.choice(list(Side)), rng.randrange(1, 50)
            price = str(60_000 + rng.randrange(-500, 500))
            state = _open(ledger, instrument, 1, side, price, lots)
            assert isinstance(state, OpenOrder)
            done = rng.randrange(lots + 1)
            if done:
                ledger.settle(state, instrument.to_ticks(D(price)), done, maker=True)
            ledger.close(state)
            sign = 1 if instrument.inverse else -1
            worth = (
                Fraction(100 * done) / int(price) if instrument.inverse else Fraction(done * int(price), 1000)
            )
            cash += sign * side * worth
        held = ledger.position(0, instrument.number).lots
        if held:
            _trade(ledger, instrument, Side.SELL if held > 0 else Side.BUY, "60000", abs(held))
            worth = Fraction(100 * held, 60_000) if instrument.inverse else Fraction(60 * held)
            cash += -worth if instrument.inverse else worth
        account = ledger.account(0)
        total = account.balances()[instrument.settle]
        assert abs(account.available(instrument.settle) - total) < D("1e-18")
        assert float(total) == pytest.approx(float(D(balance)) + float(cash), abs=1e-9)


def test_fees_of_inverse_contracts() -> None:
    """A fee is a share of the value in bitcoin; tiers count dollars; a third currency pays at the price."""
    ledger = _ledger(INVERSE, "1")
    book = FeeBook(Fees(100, 500, tiers=()))
    charge = book.charge(ledger.account(0), INVERSE, Side.BUY, _ticks("50000"), 100, maker=False)
    assert (charge.currency, charge.amount) == ("BTC", D("0.2") * 500 / 1_000_000)
    assert book.volume == 10_000
    received = FeeBook(Fees(100, 500, currency="received"))
    charge = received.charge(ledger.account(0), LINEAR, Side.BUY, 600_000, 100, maker=False)
    assert (charge.currency, charge.amount) == ("USDT", D(3))
    third = FeeBook(Fees(100, 500, currency="BNB", rate=D(500)))
    ledger.account(0).move("BNB", D(1))
    charge = third.charge(ledger.account(0), INVERSE, Side.SELL, _ticks("50000"), 100, maker=False)
    assert (charge.currency, charge.amount) == ("BNB", D("0.01"))  # 5 USD of 10,000
