"""The trade stream of one instrument, fed by hand: what is missing, where the tape says so, what fills it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.system_clock import SystemClock
from connectors.access.ban import Ban
from connectors.backfill import BackfillLimits
from connectors.ccxt_trades import TradeSource
from connectors.normalise import Scale
from connectors.supervisor import Outbox

BTC = Instrument(
    0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"), 1, Decimal(5)
)
SYMBOL = "BTC/USDT"
BEGIN, TRADE, END = Kind.GAP_BEGIN, Kind.TRADE, Kind.GAP_END


def trade(number: int) -> dict[str, Any]:
    """One trade a second; the id says when."""
    stamp = 1_700_000_000_000 + 1000 * number
    terms = {"side": "buy", "price": 60_000.0, "amount": 0.001}
    return {"id": str(number), "timestamp": stamp, "symbol": SYMBOL, "info": {}, **terms}


class Exchange:
    """ccxt's cache of streamed trades, and REST with all of them but some."""

    def __init__(self) -> None:
        self.exchange = SimpleNamespace(trades={SYMBOL: []})
        self.quirks = SimpleNamespace(aggregates=False)
        self.clock = SimpleNamespace(offset_ns=0)
        self.ban = Ban(SystemClock())
        self.connections = 1
        self.known: list[int] = []
        self.requests: list[dict[str, Any]] = []
        self.answers: asyncio.Event | None = None  # where it makes requests wait

    def streams(self, *numbers: int) -> None:
        self.exchange.trades[SYMBOL].extend(map(trade, numbers))

    async def trades(self, symbol: str, **terms: Any) -> list[dict[str, Any]]:
        self.requests.append(terms)
        if self.answers is not None:
            await self.answers.wait()
        first = terms.get("from_id")
        found = [trade(n) for n in self.known if first is None or n >= first]
        return [t for t in found if first is not None or t["timestamp"] >= terms["since_ms"]]


class Stand:
    """A source, its exchange, and the tape that it writes."""

    def __init__(self, *, gapless: bool) -> None:
        self.exchange, self.outbox = Exchange(), Outbox()
        limits = BackfillLimits(attempts=2, first_wait_s=0.01, deadline_s=5)
        link: Any = self.exchange
        self.source = TradeSource(link, SYMBOL, Scale.of(BTC), gapless, SystemClock(), limits, 10.0)
        self.source.outbox = self.outbox

    async def tape(self, *numbers: int) -> list[tuple[Kind, int]]:
        """What comes on the tape of these trades of the stream and of the repair that they begin."""
        self.exchange.streams(*numbers)
        self.source.drain(None)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if self.source._repair is None:
                break
        rows: list[EventArray] = []
        while self.outbox._batches:
            rows.append(self.outbox._batches.popleft())
        self.rows = np.concatenate(rows)
        return [(Kind(row["kind"]), int(row["ext_id"])) for row in self.rows]


async def test_a_hole_inside_a_batch_is_marked_where_it_is() -> None:
    """Trades before the hole, the gap's begin, those after it at once; then the missing ones, and its end."""
    stand = Stand(gapless=True)
    await stand.tape(1)
    stand.exchange.known = list(range(1, 8))
    tape = await stand.tape(2, 3, 6, 7)
    seen = [(TRADE, 2), (TRADE, 3), (BEGIN, 4), (TRADE, 6), (TRADE, 7)]
    assert tape == [*seen, (TRADE, 4), (TRADE, 5), (END, 4)]
    fetched = [int(row["ext_id"]) for row in stand.rows if row["flags"] & Flag.BACKFILL]
    assert fetched == [4, 5]
    counters = stand.source.counters
    assert (counters.gaps, counters.backfilled, counters.lost, counters.trades) == (1, 2, 0, 7)
    assert stand.exchange.requests[0]["from_id"] == 4


async def test_only_what_follows_the_history_is_joined_in_silence() -> None:
    """A stream that brought nothing, whose trades came from REST: what is missed after those is a gap."""
    stand = Stand(gapless=True)
    stand.source.seed([trade(n) for n in range(1, 6)])
    stand.exchange.known = list(range(1, 8))
    stand.source._miss_up_to(7, trade(7)["timestamp"])
    assert await stand.tape() == [(BEGIN, 6), (TRADE, 6), (TRADE, 7), (END, 6)]
    stand.exchange.known = list(range(1, 11))
    assert await stand.tape(10) == [(BEGIN, 8), (TRADE, 10), (TRADE, 8), (TRADE, 9), (END, 8)]
    assert not stand.source.joining


async def test_what_rest_lacks_is_lost() -> None:
    """The gap's end says how many; a repeated trade is none."""
    stand = Stand(gapless=True)
    await stand.tape(1)
    stand.exchange.known = [1, 2, 5]
    tape = await stand.tape(5, 1, 5)
    assert tape == [(BEGIN, 2), (TRADE, 5), (TRADE, 2), (END, 2)]
    assert int(stand.rows[-1]["qty_lots"]) == 2
    assert (stand.source.counters.lost, stand.source.ledger.duplicates) == (2, 2)


@pytest.mark.parametrize("overlap", [True, False])
async def test_a_new_connection_is_a_gap_where_ids_have_gaps_of_their_own(overlap: bool) -> None:
    """Replaced while nothing was watched: trades since the last are fetched; an overlap alone is proof."""
    stand = Stand(gapless=False)
    await stand.tape(10, 20)
    stand.exchange.connections = 2
    stand.exchange.known = [20, 25, 30, 40] if overlap else [25, 30, 40]
    tape = await stand.tape(40)
    assert tape == [(BEGIN, 0), (TRADE, 40), (TRADE, 25), (TRADE, 30), (END, 0)]
    assert int(stand.rows[-1]["qty_lots"]) == (0 if overlap else 1)
    assert stand.exchange.requests[0]["since_ms"] == trade(20)["timestamp"]
    counters = stand.source.counters
    assert (counters.gaps, counters.backfilled, counters.lost) == (1, 2, 0 if overlap else 1)


async def test_another_break_during_a_repair_is_a_gap_of_its_own() -> None:
    """The first repair does not close what it did not look for: what came after it is fetched too."""
    stand = Stand(gapless=False)
    await stand.tape(10, 20)
    stand.exchange.answers = asyncio.Event()
    stand.exchange.connections, stand.exchange.known = 2, [20, 25, 30]
    stand.exchange.streams(30)
    stand.source.drain(None)
    await asyncio.sleep(0.01)
    stand.exchange.connections, stand.exchange.known = 3, [20, 25, 30, 35, 40]
    stand.exchange.streams(40)
    stand.source.drain(None)
    stand.exchange.answers.set()
    for _ in range(3):
        await asyncio.sleep(0.05)
        stand.source.drain([])
    tape = await stand.tape(50)
    marks = [(kind, number) for kind, number in tape if kind is not TRADE]
    assert marks == [(BEGIN, 0), (END, 0), (BEGIN, 0), (END, 0)]
    assert sorted(number for kind, number in tape if kind is TRADE) == [25, 30, 35, 40, 50]
    assert stand.source.counters.gaps == 2


async def test_the_end_does_not_wait_for_a_repair() -> None:
    """It stops as it is, and its gap stays open on the tape."""
    stand = Stand(gapless=True)
    await stand.tape(1)
    stand.exchange.answers = asyncio.Event()
    stand.exchange.streams(5)
    stand.source.drain(None)
    await asyncio.sleep(0.01)
    await asyncio.wait_for(stand.source.stop(), 1)
    kinds = [int(kind) for rows in stand.outbox._batches for kind in rows["kind"]]
    assert kinds == [BEGIN, TRADE]


async def test_the_same_connection_is_no_gap() -> None:
    """Nor is the first one."""
    stand = Stand(gapless=False)
    assert await stand.tape(10) == [(TRADE, 10)]
    assert await stand.tape(20) == [(TRADE, 20)]
    assert stand.exchange.requests == []


async def test_a_touch_that_cannot_be_is_no_touch() -> None:
    """ccxt's book as sent may hold anything; the judge of prices then goes by the trades alone."""
    stand = Stand(gapless=True)
    for levels in ([[1e30, 1.0]], [[-5.0, 1.0]], [[float("nan"), 1.0]], [["x", 1.0]], []):
        stand.exchange.exchange.orderbooks = {SYMBOL: {"bids": levels, "asks": [[1e308, 1.0]]}}
        number = stand.source.ledger.next_id or 1
        assert await stand.tape(number) == [(TRADE, number)]


async def test_one_wild_id_of_the_history_is_not_believed() -> None:
    """The stream joins what came before it; nothing is lost, and nothing is told lost."""
    stand = Stand(gapless=True)
    wild = {**trade(106), "id": str(10**18)}
    rows = stand.source.seed([*map(trade, range(100, 106)), wild, *map(trade, range(107, 111))])
    assert 10**18 not in rows["ext_id"]
    stand.exchange.known = list(range(100, 120))
    stand.exchange.streams(111, 112)
    stand.source.drain(None)
    assert stand.source.ledger.next_id == 113
    assert stand.source.counters.lost == 0


@pytest.mark.parametrize("wild", [10**18, 1_000_000])
async def test_one_wild_id_at_rest_makes_no_hole_and_no_dead_stream(wild: int) -> None:
    """Asked in a silence: two trades in a row that the stream has not brought would."""
    stand = Stand(gapless=True)
    stand.exchange.streams(*range(100, 110))
    stand.source.drain(None)

    async def page(symbol: str, **terms: Any) -> list[dict[str, Any]]:
        return [*map(trade, range(100, 110)), {**trade(110), "id": str(wild)}]

    stand.exchange.trades = page  # type: ignore[method-assign]
    assert not await stand.source.is_dead()
    assert (stand.source.ledger.holes, stand.source.ledger.next_id) == ([], 110)
