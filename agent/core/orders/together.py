"""Limits of all orders of a run together, beside those of each (``agent.core.orders.risk``).

Theory of operation
-------------------
State: for each lane and instrument, what the parents that work have filled and what they have open (lots,
and money as ``agent.core.money`` counts it), which of them sent first; and when orders went out in the last
second. The desk counts every change as it happens, so a check costs one look at each instrument, however
many orders there are. Real orders are lane 0; every shadow has a lane of its own, so none uses up a limit of
theirs.

Invariants: what is open is the sum of what every open child may still fill, its own bound counted; a parent
that ends takes with it what it had filled. What a check would let out is judged at its limit, as everywhere.

Worked example: at most 100,000 USDT of a symbol. Parent A has filled 60,000 and has 10,000 open; B asks for
40,000: that would be 110,000, and is refused. A ends: B asks again, and 40,000 may go.

Participation is of the volume since the first of the parents that work, by when it first sent, was started:
whatever the others have filled is younger than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.orders.order_value import order_lots
from agent.core.orders.risk import OrderIntent, Refusal
from agent.core.types import NS_PER_S

VolumeLots = Callable[[], int]
"""What the market has traded since an order's start."""


MAX_SYMBOL_PARTICIPATION = "risk.max_symbol_participation"


@dataclass(frozen=True, slots=True)
class TogetherLimits:
    """What is allowed to all orders of a run; money in the quote currency, of each of them. None is off."""

    max_symbol_notional: Decimal | None = None  # filled and open, of the parents of one symbol that work
    max_total_notional: Decimal | None = None  # the same, of all symbols
    max_open_notional: Decimal | None = None  # open children, of all symbols
    max_symbol_participation: float | None = None
    max_total_orders_per_s: int | None = None

    @property
    def any(self) -> bool:
        return self != TogetherLimits()


@dataclass(slots=True)
class _Committed:
    """Of one instrument: what its working parents have, in lots and in money."""

    open_lots: int = 0
    open_tl: int = 0
    filled_lots: int = 0
    filled_tl: int = 0
    started: dict[str, VolumeLots] = field(default_factory=dict)  # by parent, in the order of their sending


class Together:
    """The orders of one lane. Changes are told as they happen; ``refusal`` changes nothing."""

    def __init__(self, limits: TogetherLimits, instruments: Sequence[Instrument]) -> None:
        self._limits, self._instruments = limits, instruments
        self._of: dict[int, _Committed] = {}
        self._sent_ns: deque[int] = deque()

    def _committed(self, instrument: int) -> _Committed:
        return self._of.setdefault(instrument, _Committed())

    # --- what happens -----------------------------------------------------------------------------

    def sent(self, instrument: int, parent_id: str, volume_lots: VolumeLots, now_ns: int) -> None:
        """An order of a parent goes out; ``volume_lots``: what traded since the parent's start."""
        self._committed(instrument).started.setdefault(parent_id, volume_lots)
        while self._sent_ns and self._sent_ns[0] <= now_ns - NS_PER_S:
            self._sent_ns.popleft()
        self._sent_ns.append(now_ns)

    def opened(self, instrument: int, lots: int, value_tl: int) -> None:
        """So much more may still be filled; below 0: less."""
        mine = self._committed(instrument)
        mine.open_lots += lots
        mine.open_tl += value_tl

    def filled(self, instrument: int, lots: int, value_tl: int) -> None:
        """So much more is filled; below 0: its parent has ended."""
        mine = self._committed(instrument)
        mine.filled_lots += lots
        mine.filled_tl += value_tl

    def ended(self, instrument: int, parent_id: str, lots: int, value_tl: int) -> None:
        """A parent has ended that had filled so much."""
        if self._committed(instrument).started.pop(parent_id, None) is not None:
            self.filled(instrument, -lots, -value_tl)

    # --- what may go out --------------------------------------------------------------------------

    def refusal(
        self,
        intent: OrderIntent,
        instrument: int,
        volume_lots: VolumeLots,
        instead: tuple[int, int],
        now_ns: int,
    ) -> Refusal | None:
        """Why an order may not go out; ``instead``: (lots, money) of the open one that it amends."""
        return next(self._refusals(intent, instrument, volume_lots, instead, now_ns), None)

    def _refusals(
        self,
        intent: OrderIntent,
        number: int,
        volume_lots: VolumeLots,
        instead: tuple[int, int],
        now_ns: int,
    ) -> Iterator[Refusal]:
        lots = order_lots(intent.price_ticks, intent.qty_lots, intent.cap_tl)
        new = lots - instead[0], self._value_tl(number, intent, lots) - instead[1]
        yield from self._symbol_notional(number, new)
        yield from self._notional(number, new)
        yield from self._participation(number, new[0], volume_lots)
        yield from self._order_rate(now_ns)

    def _value_tl(self, number: int, intent: OrderIntent, lots: int) -> int:
        return intent.cap_tl or self._instruments[number].value_tl(intent.price_ticks, lots)

    def _money(self, number: int, lots: int, value_tl: int) -> Decimal:
        """Quote money: of an inverse contract, which is a fixed sum of it, by its lots."""
        instrument = self._instruments[number]
        return instrument.quote_notional(1, lots) if instrument.inverse else instrument.notional(value_tl)

    def _symbol_notional(self, number: int, new: tuple[int, int]) -> Iterator[Refusal]:
        most, mine = self._limits.max_symbol_notional, self._committed(number)
        if most is None:
            return
        lots, value_tl = mine.open_lots + mine.filled_lots, mine.open_tl + mine.filled_tl
        money = self._money(number, lots + new[0], value_tl + new[1])
        if money > most:
            whose = f"the orders of {self._instruments[number].symbol} together"
            yield self._too_much("symbol_notional", whose, number, money, most)

    def _notional(self, number: int, new: tuple[int, int]) -> Iterator[Refusal]:
        """Over all symbols that have its quote currency: what is open, and what is filled besides."""
        most_open, most = self._limits.max_open_notional, self._limits.max_total_notional
        if most_open is None and most is None:
            return
        quote = self._instruments[number].quote
        same = [(n, c) for n, c in self._of.items() if self._instruments[n].quote == quote]
        added = self._money(number, *new)
        opened = added + sum(self._money(n, c.open_lots, c.open_tl) for n, c in same)
        total = opened + sum(self._money(n, c.filled_lots, c.filled_tl) for n, c in same)
        if most_open is not None and opened > most_open:
            yield self._too_much("open_notional", "the open orders of all symbols", number, opened, most_open)
        if most is not None and total > most:
            yield self._too_much("total_notional", "the orders of all symbols together", number, total, most)

    def _too_much(self, rule: str, whose: str, number: int, money: Decimal, most: Decimal) -> Refusal:
        quote, key = self._instruments[number].quote, f"risk.max_{rule}"
        what = f"{whose} would commit {money:f} {quote}, at most {most:f} {quote} is allowed ({key})"
        return Refusal(rule, what, key)

    def left_lots(self, number: int, volume_lots: VolumeLots) -> int | None:
        """What participation leaves of an instrument; below 0: too much is open. None: it has no limit."""
        most, mine = self._limits.max_symbol_participation, self._committed(number)
        if most is None:
            return None
        markets = next(iter(mine.started.values()), volume_lots)()
        return int(most * markets) - mine.open_lots - mine.filled_lots

    def _participation(self, number: int, new_lots: int, volume_lots: VolumeLots) -> Iterator[Refusal]:
        most, mine = self._limits.max_symbol_participation, self._committed(number)
        if most is None:
            return
        markets = next(iter(mine.started.values()), volume_lots)()
        own = mine.open_lots + mine.filled_lots + new_lots
        if own > most * markets:
            instrument, key = self._instruments[number], MAX_SYMBOL_PARTICIPATION
            said = [f"{instrument.quantity(lots):f} {instrument.unit}" for lots in (own, markets)]
            what = f"{said[0]} of all our orders of {instrument.symbol} against {said[1]} of the market"
            yield Refusal("symbol_participation", f"{what}, at most {most:.3%} is allowed ({key})", key)

    def _order_rate(self, now_ns: int) -> Iterator[Refusal]:
        most, key = self._limits.max_total_orders_per_s, "risk.max_total_orders_per_s"
        recent = sum(1 for at_ns in self._sent_ns if at_ns > now_ns - NS_PER_S)
        if most is not None and recent >= most:
            what = f"{recent} orders of all symbols went out in the last second, at most {most} are allowed"
            yield Refusal("total_order_rate", f"{what} ({key})", key)
