"""Orders on imported futures: every number of the report by hand, for linear and inverse contracts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from agent.app.importing import import_files
from agent.app.replay_session import Replayed, replay_session
from agent.config import Config, Order, Risk, Venue
from agent.core.errors import OrderError
from agent.core.events import AuditEvent, ChildFilled
from tests import captures as c
from tests.captures import Depth, Event, Trade

S = 10**9
STEP = 15
"""The update from which on the market stands ten ticks (of 0.1) higher."""

LOW, HIGH = Fraction(600_002, 10), Fraction(600_012, 10)  # the best asks before and after
ARRIVAL = Fraction(600_001, 10)
TRADES = ((45, LOW), (55, HIGH), (65, HIGH), (75, HIGH))  # those of the first four seconds
PPM = 500


def _market() -> list[Event]:
    """Updates every 100 ms for 8 s, 100 lots on each of three levels a side; a trade a second."""
    events: list[Event] = []
    for i in range(81):
        base = 600_000 + (10 if i >= STEP else 0)
        bids = [(f"{(base - k) / 10}", "100") for k in range(3)]
        asks = [(f"{(base + 2 + k) / 10}", "100") for k in range(3)]
        if i == STEP:  # the old levels go
            asks = [(f"{(600_002 + k) / 10}", "0") for k in range(3)] + asks
        events.append(Depth(100 * i, bids, asks, snapshot=i == 0))
        if i % 10 == 5:
            events.append(Trade(100 * i + 50, i // 10, f"{(base + 2) / 10}", str(40 + i)))
    return events


def _replay(folder: Path, **order: Any) -> tuple[Replayed, list[ChildFilled]]:
    """Half of the order at the start and half two seconds later, each swept at once."""
    wanted = Order(
        algo="twap",
        tactic="sweep",
        interval=2 * S,
        min_duration=2 * S,
        max_duration=4 * S,
        shadows=("immediate",),
        **order,
    )
    venue = Venue(balances={"BTC": Decimal(1), "USDT": Decimal(7_000_000)}, taker_fee_ppm=PPM)
    config = Config(order=wanted, venue=venue, risk=Risk(max_notional=None))
    seen: list[AuditEvent] = []
    done = replay_session(folder / "s", config, override=True, verify=False, speed=None, watch=seen.extend)
    return done, [e for e in seen if isinstance(e, ChildFilled)]


def _capture(folder: Path, symbol: str, lines: list[bytes]) -> Path:
    import_files([c.write(folder / "x.gz", lines)], "binance-raw", symbol, folder / "s")
    return folder


def _coin_margined(folder: Path) -> Path:
    lines = c.futures(_market(), "BTCUSD_PERP", "BTCUSD", trades="aggTrade")
    return _capture(folder, "BTC/USD:BTC", lines)


def _parent(done: Replayed) -> dict[str, Any]:
    (parent,) = done.summary.parents()
    assert parent["state"] == "completed", parent["reason"]
    return parent


def test_inverse_order_by_hand(tmp_path: Path) -> None:
    """100 contracts of 100 USD: harmonic averages, costs and fees in bitcoin."""
    done, fills = _replay(_coin_margined(tmp_path), quantity=Decimal(100))
    parent = _parent(done)
    assert [(f.price_ticks, f.qty_lots) for f in fills if f.parent_id == parent["id"]] == [
        (600_002, 50),
        (600_012, 50),
    ]
    worth = 5_000 / LOW + 5_000 / HIGH  # bitcoin
    average = 10_000 / worth
    vwap = sum(n for n, _ in TRADES) / sum(n / p for n, p in TRADES)
    assert float(parent["avg_price"]) == pytest.approx(float(average), rel=1e-9)
    assert parent["gain_bps"] == pytest.approx(-float(average / vwap - 1) * 1e4, rel=1e-6)
    assert parent["arrival_slippage_bps"] == pytest.approx(float(average / ARRIVAL - 1) * 1e4, rel=1e-6)
    trading = 10_000 / ARRIVAL - worth
    shortfall = {name: float(value) for name, value in parent["shortfall"].items()}
    assert shortfall["trading"] == pytest.approx(float(trading), rel=1e-6)
    assert shortfall["fees"] == pytest.approx(float(worth) * PPM / 1e6, rel=1e-9)
    assert shortfall["total"] == pytest.approx(shortfall["trading"] + shortfall["fees"], rel=1e-9)
    assert parent["measures"]["shortfall_trading_bps"] == pytest.approx(float(trading * ARRIVAL), rel=1e-6)


def test_linear_order_by_hand(tmp_path: Path) -> None:
    """100 bitcoin of a USD-M contract: arithmetic averages, costs and fees in USDT, no bitcoin needed."""
    folder = _capture(tmp_path, "BTC/USDT:USDT", c.futures(_market()))
    done, fills = _replay(folder, quantity=Decimal(100))
    parent = _parent(done)
    assert sum(f.qty_lots for f in fills if f.parent_id == parent["id"]) == 100
    average = (LOW + HIGH) / 2
    vwap = sum(n * p for n, p in TRADES) / sum(n for n, _ in TRADES)
    assert float(parent["avg_price"]) == float(average)
    assert parent["gain_bps"] == pytest.approx(-float(average / vwap - 1) * 1e4, rel=1e-6)
    assert Decimal(parent["shortfall"]["trading"]) == Decimal(float(100 * (average - ARRIVAL)))
    assert Decimal(parent["shortfall"]["fees"]) == Decimal("3000.035")
    assert parent["measures"]["shortfall_fees_bps"] == pytest.approx(5.0, rel=1e-4)


def test_selling_what_one_does_not_have(tmp_path: Path) -> None:
    """A contract is sold short against collateral, and no further than that reaches."""
    folder = _capture(tmp_path, "BTC/USDT:USDT", c.futures(_market()))
    done, _ = _replay(folder, side="sell", quantity=Decimal(100))
    assert Decimal(_parent(done)["filled"]) == 100
    with pytest.raises(OrderError, match=r"balance 7000000 USDT does not cover .* \(venue.balances: USDT\)"):
        _replay(folder, side="sell", quantity=Decimal(150))


def test_the_same_tape_by_tardis_gives_the_same_fills(tmp_path: Path) -> None:
    """The events as Tardis files lead to the same fills and the same costs."""
    first, _ = _replay(_coin_margined(tmp_path), quantity=Decimal(100))
    book, trades = c.tardis(_market(), "binance-delivery", "BTCUSD_PERP")
    paths = [c.write(tmp_path / "b.csv.gz", book), c.write(tmp_path / "t.csv", trades)]
    import_files(paths, "tardis-csv", "BTC/USD:BTC", tmp_path / "tardis" / "s")
    second, _ = _replay(tmp_path / "tardis", quantity=Decimal(100))
    for name in ("avg_price", "shortfall", "gain_bps", "fills"):
        assert _parent(first)[name] == _parent(second)[name]


def test_dollars_of_an_inverse_contract_are_contracts(tmp_path: Path) -> None:
    """A notional order on it is refused with the number of contracts to give instead."""
    with pytest.raises(OrderError, match=r"give --quantity 50 \(contracts\)"):
        _replay(_coin_margined(tmp_path), notional=Decimal(5_000))
