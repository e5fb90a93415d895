"""Orders on the embedded exchange in virtual time, under the order side's faults: one seed, one ledger.

    python -m tests.simulation.traded_in_virtual_time SEED

Prints what the ledger came to as one line, and its digest. It changes the clocks of its process for good.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from decimal import Decimal
from typing import Any

from tests.simulation import virtual_time

if __name__ == "__main__":
    virtual_time.install()  # before anything that reads a clock is imported

import ccxt.pro

from connectors.embedded.server import EmbeddedExchange
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from connectors.embedded.trading.order_faults import ORDER_FAULTS
from connectors.embedded.trading.trading_floor import TradingRules
from tests.simulation.exchange_machine import PORT, ExchangeMachine, lighter_market
from tests.simulation.scenario import scenario
from tests.simulation.virtual_loop import VirtualLoop
from tests.trading_exchange import SETTINGS, judge

LASTS_S = 120.0
BALANCES = dict.fromkeys(("USDT", "BTC", "ETH"), Decimal(1_000_000))


class Trader:
    """Places and cancels by the seed, asks for nothing, and hears what the stream tells."""

    def __init__(self, machine: ExchangeMachine, seed: int, session: Any, symbol: str) -> None:
        self.symbol = symbol
        self.exchange, self.rng = machine.exchange, random.Random(f"trader:{seed}")
        self.told: list[tuple[str, float]] = []
        self.raised: dict[str, int] = {}
        key = self.exchange.trading.keys.ed25519 if seed % 2 else self.exchange.trading.keys.hmac
        keys = {"apiKey": key.api_key, "secret": key.secret, "session": session}
        self.client = ccxt.pro.binance(keys | {"newUpdates": True, "options": SETTINGS})
        self.client.enable_demo_trading(True)

    async def run(self, loop: VirtualLoop) -> None:
        await self.client.load_markets()
        await self.client.load_time_difference()  # the machines' clocks differ
        listening = asyncio.create_task(self._listen())
        while loop.time() < LASTS_S:
            await asyncio.sleep(self.rng.uniform(0.2, 3.0))
            self._fault()
            try:
                await self._act()
            except ccxt.BaseError as error:
                name = type(error).__name__
                self.raised[name] = self.raised.get(name, 0) + 1
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                for trade in await self.client.watch_my_trades():
                    self.told.append((trade["id"], trade["amount"]))
            except ccxt.NetworkError:
                await asyncio.sleep(0.5)

    async def _act(self) -> None:
        open_ = self.exchange.trading.desk.store.open()
        if open_ and self.rng.random() < 0.4:
            order = self.rng.choice(open_)
            await self.client.cancel_order(str(order.order_id), self.symbol)
            return
        lane = self.exchange.lane(self.symbol)
        side = self.rng.choice(("buy", "sell"))
        price = float(lane.instrument.price(max(lane.bids) + self.rng.randint(-5, 5)))
        amount = float(lane.instrument.quantity(self.rng.randint(200, 2000)))
        await self.client.create_order(self.symbol, "limit", side, amount, price)

    def _fault(self) -> None:
        faults = self.exchange.trading.faults
        if self.rng.random() < 0.2:
            faults.add(ORDER_FAULTS[self.rng.choice(sorted(ORDER_FAULTS))]())
        if self.rng.random() < 0.1:
            faults.fills_before_cancels.append(self.rng.choice((0.5, 1.0)))
        if self.rng.random() < 0.1:
            setattr(faults.stream, self.rng.choice(("lose", "twice", "swap")), 2)
        if self.rng.random() < 0.05:
            self.exchange.trading.stream.cut()


def play(seed: int) -> str:
    """One seed from beginning to end. Returns its line."""
    loop = VirtualLoop(seed)
    virtual_time.begin(loop, seed)
    asyncio.set_event_loop(loop)
    given = scenario(seed)
    machine = ExchangeMachine(given, loop)
    market = SyntheticMarket(seed, given.symbols, past_s=30)
    rules = TradingRules(BALANCES, random_bytes=random.Random(f"keys:{seed}").randbytes)
    machine.exchange = EmbeddedExchange(market, machine.clock, host="localhost", port=PORT, trading=rules)
    endpoint = loop.run_until_complete(machine.ready())

    async def trade() -> Trader:
        session = machine.session(endpoint)
        trader = Trader(machine, seed, session, given.symbols[0])
        await trader.run(loop)
        return trader

    trader = loop.run_until_complete(loop.spawn("trader", trade()))
    judge(machine.exchange, BALANCES)
    store = machine.exchange.trading.desk.store
    ledger = [
        (o.order_id, o.sent.client_id, o.status, o.filled_lots, o.updated_ms) for o in store.orders.values()
    ]
    trades = [(t.trade_id, t.order.order_id, t.ticks, t.lots, t.fee, t.at_ms) for t in store.trades]
    digest = hashlib.sha256(repr((ledger, trades, trader.told, trader.raised)).encode()).hexdigest()
    told = len({number for number, _ in trader.told})
    return (
        f"orders {len(ledger)} trades {len(trades)} told {told} raised {sum(trader.raised.values())} {digest}"
    )


if __name__ == "__main__":
    lighter_market()
    sys.stdout.write(play(int(sys.argv[1])) + "\n")
