"""Limits of all orders together hold at every moment, name themselves, and are free again after an end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from agent import app
from agent.config import Config, Order, Risk
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, ChildChanged, ChildFilled, ParentChanged, RiskRefused, StartParent
from agent.core.market.tape import Kind
from agent.core.orders.risk import OrderIntent
from agent.core.orders.together import Together, TogetherLimits
from agent.core.types import ChildState, ParentState, Side, TimeInForce
from agent.orders import build_spec
from agent.shadow import shadow_specs
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from tests.fakes import S

OVER = {ChildState.FILLED, ChildState.CANCELLED, ChildState.REJECTED, ChildState.EXPIRED}
BUY = Order(
    notional=Decimal(40_000),
    min_duration=4 * S,
    max_duration=16 * S,
    interval=2 * S,
    algo="twap",
    shadows=(),
)
PARENTS = (
    ("BTC/USDT", "buy", "twap_micro", 0),
    ("BTC/USDT", "sell", "peg", 0),
    ("ETH/USDT", "buy", "twap_micro", 0),
    ("BTC/USDT", "buy", "peg", 3),
)


def run(shadows: Sequence[str] = (), parents: Sequence[Any] = PARENTS, **limits: Any) -> list[AuditEvent]:
    """Four orders of 40,000 USDT on two symbols, one of them three seconds later, for forty seconds."""
    instruments, events = synthetic_session(6, 40.0, ("BTC/USDT", "ETH/USDT"))
    config = Config(order=BUY, risk=Risk(stale_book=None, **limits))
    engine = app.build_engine(config, instruments, app.inline_policies(config))
    first = int((events["recv_ns"] > events["recv_ns"][0] + S).argmax())
    engine.advance(events[:first])
    begin_ns, begin = int(events["recv_ns"][first - 1]), first
    for number, (symbol, side, tactic, after_s) in enumerate(parents, 1):
        cut = int((events["recv_ns"] > begin_ns + after_s * S).argmax())
        engine.advance(events[begin:cut])
        begin = max(begin, cut)
        (instrument,) = (i for i in instruments if i.symbol == symbol)
        order = replace(BUY, side=side, tactic=tactic)
        spec = build_spec(order, instrument, f"s-P{number}", None)
        at_ns, seq = int(events["recv_ns"][begin - 1]), int(events["seq"][begin - 1])
        engine.command(StartParent(at_ns, seq, spec, tuple(shadow_specs(spec, shadows))))
    engine.advance(events[begin:])
    engine.close(int(events["recv_ns"][-1]))
    return engine.drain()


def committed(found: Sequence[AuditEvent]) -> list[dict[str, Decimal]]:
    """After each event what real orders have open, and filled and open, by symbol and in all; USDT."""
    instruments = {i.number: i for i in synthetic_session(6, 0.1, ("BTC/USDT", "ETH/USDT"))[0]}
    open_, filled = defaultdict[str, Any](dict), defaultdict[str, Decimal](Decimal)
    symbols, steps = dict[str, str](), list[dict[str, Decimal]]()
    for event in found:
        if isinstance(event, ParentChanged) and event.spec.shadow_of is None:
            symbols[event.spec.parent_id] = event.spec.symbol
            if event.ended_ns is not None:
                filled.pop(event.spec.parent_id, None)
        parent = getattr(event, "parent_id", "")
        if parent not in symbols:
            continue
        if isinstance(event, ChildChanged):
            money = instruments[event.instrument].quote_notional
            left = event.qty_lots - event.filled_lots
            bounded = (
                event.tif is TimeInForce.IOC
            )  # what bounds its money is not told: at least what is filled
            value = Decimal(0) if bounded or event.state in OVER else money(event.price_ticks, left)
            open_[parent][event.child_id] = value
        elif isinstance(event, ChildFilled):
            filled[parent] += instruments[event.instrument].quote_notional(event.price_ticks, event.qty_lots)
        step = defaultdict[str, Decimal](Decimal)
        for one, symbol in symbols.items():
            mine = sum(open_[one].values(), Decimal(0))
            for name, value in ((symbol, mine + filled.get(one, 0)), ("all", mine + filled.get(one, 0))):
                step[name] += value
            step["open"] += mine
        if not isinstance(event, ChildFilled):  # the change of its child follows
            steps.append(step)
    return steps


def refusals(found: Sequence[AuditEvent]) -> dict[str, str]:
    """By rule, the last reason that a real order was refused for."""
    return {r.rule: r.reason for r in found if isinstance(r, RiskRefused) and "/" not in r.parent_id}


@pytest.mark.parametrize(
    ("key", "most", "what", "rule", "words"),
    [
        ("max_symbol_notional", 50_000, "BTC/USDT", "symbol_notional", "the orders of BTC/USDT together"),
        ("max_total_notional", 60_000, "all", "total_notional", "the orders of all symbols together"),
        ("max_open_notional", 12_000, "open", "open_notional", "the open orders of all symbols"),
    ],
)
def test_money_of_all_orders_stays_within_its_limit(
    key: str, most: int, what: str, rule: str, words: str
) -> None:
    """It is come near to and never passed; without it, it would have been; the refusal says all."""
    free, bound = run(), run(**{key: Decimal(most)})
    assert max(step[what] for step in committed(free)) > most
    assert refusals(free) == {}
    assert most * Decimal("0.8") < max(step[what] for step in committed(bound)) <= most
    assert list(refusals(bound)) == [rule]
    said = refusals(bound)[rule]
    assert words in said
    assert f"at most {most} USDT is allowed (risk.{key})" in said


def test_a_limit_is_free_again_when_a_parent_has_ended() -> None:
    """One symbol may have 45,000: the second order of 40,000 takes what the first leaves, which then expires
    and says why; from then on nothing is refused, and the second completes."""
    parents = (("BTC/USDT", "buy", "twap_micro", 0), ("BTC/USDT", "buy", "twap_micro", 12))
    found = run(parents=parents, max_symbol_notional=Decimal(45_000))
    ends = {e.spec.parent_id: e for e in found if isinstance(e, ParentChanged) and e.ended_ns}
    assert [ends[f"s-P{n}"].state for n in (1, 2)] == [ParentState.EXPIRED, ParentState.COMPLETED]
    assert "risk.max_symbol_notional" in ends["s-P1"].reason
    refused = [r.at_ns for r in found if isinstance(r, RiskRefused)]
    assert refused
    assert all(at_ns <= (ends["s-P1"].ended_ns or 0) for at_ns in refused)


def test_all_orders_of_a_symbol_take_their_share_of_its_volume_together() -> None:
    """At most a twentieth of what has traded since the first of them began, whoever of them buys."""
    most = 0.05
    found = run(max_symbol_participation=most)
    _, events = synthetic_session(6, 40.0, ("BTC/USDT", "ETH/USDT"))
    began_ns = min(e.started_ns for e in found if isinstance(e, ParentChanged) and e.started_ns)
    ended_ns = min(e.ended_ns for e in found if isinstance(e, ParentChanged) and e.ended_ns)
    trades = events[(events["kind"] == Kind.TRADE) & (events["instrument"] == 0)]
    trades = trades[trades["exch_ns"] >= began_ns]
    lots = 0
    fills = (f for f in found if isinstance(f, ChildFilled) and f.instrument == 0 and f.at_ns < ended_ns)
    for fill in fills:
        lots += fill.qty_lots
        traded = int(trades["qty_lots"][trades["recv_ns"] <= fill.at_ns].sum())
        assert lots <= most * traded
    assert lots > 0
    reasons = [e.reason for e in found if isinstance(e, ParentChanged) and e.state is ParentState.EXPIRED]
    assert any("participation of all orders (risk.max_symbol_participation)" in reason for reason in reasons)


def test_what_is_beyond_the_share_of_all_is_refused() -> None:
    """The market traded a hundred lots: 4 filled and 5 open leave one of ten in a hundred, and not two."""
    (instrument,), _ = synthetic_session(6, 0.1)
    together = Together(TogetherLimits(max_symbol_participation=0.1), [instrument])
    together.sent(0, "first", lambda: 100, 0)
    together.filled(0, 4, 400)
    together.opened(0, 5, 500)

    def asked(lots: int, instead: tuple[int, int] = (0, 0)) -> str:
        intent = OrderIntent("second", Side.BUY, lots, 100)
        refusal = together.refusal(intent, 0, lambda: 10**9, instead, 0)
        return "" if refusal is None else refusal.reason

    assert asked(1) == asked(6, (5, 500)) == ""
    assert (
        asked(2)
        == asked(7, (5, 500))
        == (
            "0.00011 BTC of all our orders of BTC/USDT against 0.00100 BTC of the market,"
            " at most 10.000% is allowed (risk.max_symbol_participation)"
        )
    )
    together.ended(0, "first", 4, 400)
    assert asked(2) == ""


def test_orders_of_all_symbols_go_out_no_faster_than_their_rate() -> None:
    """Three in any second, over both symbols; without the limit there are more."""

    def fastest(found: Sequence[AuditEvent]) -> int:
        sent = sorted(
            c.sent_ns for c in found if isinstance(c, ChildChanged) and c.state is ChildState.PENDING_NEW
        )
        return max(sum(at <= other < at + S for other in sent) for at in sent)

    bound = run(max_total_orders_per_s=3)
    assert fastest(run()) > 3
    assert fastest(bound) == 3
    assert refusals(bound)["total_order_rate"] == (
        "3 orders of all symbols went out in the last second, at most 3 are allowed"
        " (risk.max_total_orders_per_s)"
    )


@pytest.mark.parametrize(
    "limits",
    [
        {"max_symbol_notional": Decimal(50_000), "max_open_notional": Decimal(12_000)},
        {"max_total_orders_per_s": 3, "max_symbol_participation": 0.05},
    ],
)
def test_shadows_use_up_no_limit_of_real_orders(limits: dict[str, Any]) -> None:
    """With three shadows each, the real orders' rows are those without any; the shadows did trade."""

    def real(found: Sequence[AuditEvent]) -> list[str]:
        mine = {f"s-P{n}" for n in range(1, 5)}
        kinds = (ChildFilled, RiskRefused)
        return [canonical_row(e) for e in found if isinstance(e, kinds) and e.parent_id in mine]

    alone, watched = run(**limits), run(("twap", "vwap", "pov"), **limits)
    assert real(watched) == real(alone)
    assert any(
        isinstance(e, ChildFilled) and not e.parent_id.endswith(("P1", "P2", "P3", "P4")) for e in watched
    )
