"""NautilusTrader's side of ``bench_nautilus``: one timed TWAP backtest for every line on standard input.

``python benchmarks/nautilus_twap.py TRADES.npz``, under the environment of ``make bench-nautilus``; it
imports nothing of the product. Made once, not timed: its trade ticks. Made for each pass, not timed: its
engine, venue, algorithm and strategy. Timed: ``BacktestEngine.run`` alone; one parent order goes to the TWAP
algorithm that ships with it, as market orders against a book of one level that trades move.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.examples.algorithms.twap import TWAPExecAlgorithm
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import (
    ExecAlgorithmId,
    InstrumentId,
    Symbol,
    TradeId,
    TraderId,
    Venue,
)
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("BENCH")
PRICE_DIGITS, SIZE_DIGITS = 2, 5


class ParentConfig(StrategyConfig, frozen=True):
    """One parent order: its instrument, base quantity, and the TWAP's two parameters in seconds."""

    instrument_id: InstrumentId
    quantity: str
    horizon_secs: float
    interval_secs: float


class Parent(Strategy):  # type: ignore[misc]  # untyped
    """Hands one market order to the TWAP at the first trade."""

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.sent = False
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_trade_tick(self, _tick: TradeTick) -> None:
        if self.sent:
            return
        self.sent = True
        self.submit_order(
            self.order_factory.market(
                instrument_id=self.config.instrument_id,
                order_side=OrderSide.BUY,
                quantity=self.instrument.make_qty(Decimal(self.config.quantity)),
                exec_algorithm_id=ExecAlgorithmId("TWAP"),
                exec_algorithm_params={
                    "horizon_secs": self.config.horizon_secs,
                    "interval_secs": self.config.interval_secs,
                },
            )
        )


def instrument() -> CurrencyPair:
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=PRICE_DIGITS,
        size_precision=SIZE_DIGITS,
        price_increment=Price(10**-PRICE_DIGITS, PRICE_DIGITS),
        size_increment=Quantity(10**-SIZE_DIGITS, SIZE_DIGITS),
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )


def ticks(path: str, of: CurrencyPair) -> list[TradeTick]:
    """The trades as its own objects."""
    with np.load(path) as found:
        columns = [found[name].tolist() for name in ("price", "size", "side", "exch_ns", "recv_ns")]
    return [
        TradeTick(
            of.id,
            Price(price, PRICE_DIGITS),
            Quantity(size, SIZE_DIGITS),
            AggressorSide.BUYER if side > 0 else AggressorSide.SELLER,
            TradeId(str(n)),
            exch_ns,
            recv_ns,
        )
        for n, (price, size, side, exch_ns, recv_ns) in enumerate(zip(*columns, strict=True))
    ]


def once(of: CurrencyPair, data: list[TradeTick], order: dict[str, Any]) -> dict[str, Any]:
    """One backtest. Returns seconds of ``run``, orders, and the base quantity filled."""
    engine = BacktestEngine(
        BacktestEngineConfig(trader_id=TraderId("BENCH-1"), logging=LoggingConfig(bypass_logging=True))
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(1_000_000_000, USDT), Money(1_000_000, BTC)],
        trade_execution=True,
    )
    engine.add_instrument(of)
    engine.add_data(data)
    engine.add_exec_algorithm(TWAPExecAlgorithm())
    engine.add_strategy(Parent(ParentConfig(instrument_id=of.id, **order)))
    began, cpu = time.perf_counter(), time.process_time()
    engine.run()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    orders = engine.cache.orders()
    filled = sum(o.filled_qty.as_decimal() for o in orders)
    engine.dispose()
    return {"seconds": seconds, "cpu_s": cpu, "orders": len(orders), "filled": str(filled)}


def main() -> None:
    of = instrument()
    data = ticks(sys.argv[1], of)
    for line in sys.stdin:
        print(json.dumps(once(of, data, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
