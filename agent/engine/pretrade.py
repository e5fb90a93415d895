"""Pre-trade checks: every child order passes the rules of risk, its parent's other children counted in.

The rules themselves are ``agent.core.orders.risk`` and, of all orders together, ``agent.core.orders``'
``together``. There is one gate for each lane and instrument, and one count of all for each lane, so that
shadows have limits of their own. A refusal is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.core.events import RiskRefused
from agent.core.instrument import Instrument
from agent.core.orders.parent_order import ParentOrder
from agent.core.orders.risk import MarketFacts, OrderIntent, Refusal, RiskGate, RiskLimits
from agent.core.orders.together import Together
from agent.core.ports import Market
from agent.core.types import TimeInForce
from agent.engine.outbox import Outbox
from agent.engine.settings import RiskSettings


@dataclass(frozen=True, slots=True)
class Ticket:
    """A child order as a tactic wants it. ``cap_tl`` bounds its money (0: only ``lots`` bound it)."""

    interval: int
    tif: TimeInForce
    price_ticks: int
    lots: int
    cap_tl: int = 0
    market_lots: int | None = None  # what participation is measured against
    expire_ns: int = 0  # of a GTD order


class Owner(Protocol):
    """Whose order it is: its parent, its lane, and what has traded since the parent's start."""

    order: ParentOrder
    lane: int

    def market_lots(self) -> int: ...


class PreTradeChecks:
    """The gates of every lane and instrument."""

    def __init__(self, market: Market, risk: RiskSettings, outbox: Outbox) -> None:
        self._market, self._risk, self._outbox = market, risk, outbox
        self._gates: dict[tuple[int, int], RiskGate] = {}
        self._lanes: dict[int, Together] = {}
        self.killed = False

    def kill(self) -> None:
        """Nothing passes any more."""
        self.killed = True
        for gate in self._gates.values():
            gate.killed = True

    def together(self, lane: int) -> Together | None:
        """The count of all orders of a lane; None where nothing limits it."""
        if not self._risk.together.any:
            return None
        if lane not in self._lanes:
            self._lanes[lane] = Together(self._risk.together, self._market.instruments)
        return self._lanes[lane]

    def forget_lane(self, lane: int) -> None:
        """Nothing is sent in it any more."""
        self._lanes.pop(lane, None)
        self._gates = {key: gate for key, gate in self._gates.items() if key[0] != lane}

    def refusal(
        self,
        owner: Owner,
        ticket: Ticket,
        in_flight: tuple[int, int],
        now_ns: int,
        instead: tuple[int, int] = (0, 0),
    ) -> Refusal | None:
        """Why a ticket may not go out, or None; ``in_flight``: (lots, ticks x lots) open besides.

        ``instead``: the same of the open order that it amends.
        """
        order, number = owner.order, owner.order.spec.instrument
        gate, together = self._gate(owner.lane, number), self.together(owner.lane)
        intent = _intent(order, ticket, in_flight)
        refusal = gate.check(intent, self._facts(number, ticket), now_ns)
        if refusal is None and together is not None:
            refusal = together.refusal(intent, number, owner.market_lots, instead, now_ns)
        if refusal is None:
            gate.sent(now_ns)
            if together is not None:
                together.sent(number, order.spec.parent_id, owner.market_lots, now_ns)
        else:
            self._outbox.emit(self._refused(order, ticket, refusal, now_ns))
        return refusal

    def _refused(self, order: ParentOrder, ticket: Ticket, refusal: Refusal, now_ns: int) -> RiskRefused:
        return RiskRefused(
            now_ns,
            self._outbox.seq,
            order.spec.parent_id,
            ticket.interval,
            order.spec.side,
            ticket.lots,
            ticket.price_ticks,
            refusal.rule,
            refusal.reason,
        )

    def _gate(self, lane: int, instrument: int) -> RiskGate:
        key = (lane, instrument)
        if key not in self._gates:
            limits = limits_of(self._risk, self._market.instruments[instrument])
            self._gates[key] = RiskGate(limits, self._market.instruments[instrument], killed=self.killed)
        return self._gates[key]

    def _facts(self, instrument: int, ticket: Ticket) -> MarketFacts:
        return MarketFacts(
            mid_half_ticks=self._market.mid_half_ticks(instrument) or None,
            book_ns=self._market.book_ns(instrument) or None,
            market_lots=ticket.market_lots,
            unseen=self._market.unseen(instrument),
        )


def _intent(order: ParentOrder, ticket: Ticket, in_flight: tuple[int, int]) -> OrderIntent:
    return OrderIntent(
        parent_id=order.spec.parent_id,
        side=order.spec.side,
        qty_lots=ticket.lots,
        price_ticks=ticket.price_ticks,
        committed_lots=order.filled_lots + in_flight[0],
        committed_tl=order.filled_tl + in_flight[1],
        limit_price_ticks=order.spec.limit_price_ticks,
        participation_cap=order.spec.participation_cap,
        cap_tl=ticket.cap_tl,
    )


def limits_of(risk: RiskSettings, instrument: Instrument) -> RiskLimits:
    """The configured limits in this instrument's integers."""
    child, most = risk.max_child_quantity, risk.max_notional
    most_units = None if most is None else int(most / instrument.quote_notional(1, 1))
    return RiskLimits(
        max_notional_tl=None if instrument.inverse else most_units,
        max_notional_lots=most_units if instrument.inverse else None,
        max_participation=risk.max_participation,
        price_collar_bps=risk.price_collar_bps,
        max_child_lots=None if child is None else int(child / instrument.lot),
        max_orders_per_s=risk.max_orders_per_s,
        stale_book_ns=risk.stale_book_ns,
    )
