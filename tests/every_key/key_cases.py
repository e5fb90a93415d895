"""What each key of config.yaml changes on a recorded session, and what is said of a wrong value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.core.events import ChildChanged, ChildFilled, DecisionTaken, ParentChanged, RiskRefused
from agent.core.types import ChildState
from tests.every_key.key_markets import Seen

See = Callable[[Seen], Any]
MS, S = 10**6, 10**9


@dataclass(frozen=True)
class Case:
    """Two values of a key, under which ``see`` gives two answers; ``base`` is the rest of the file."""

    values: tuple[Any, Any]
    see: See
    base: dict[str, Any] = field(default_factory=dict)
    market: str = "plain"


# --- what can be seen -------------------------------------------------------------------------------


def prices(seen: Seen) -> Any:
    return [(f.price_ticks, f.qty_lots) for f in seen.of(ChildFilled)]


def fees(seen: Seen) -> Any:
    return [(f.fee_tlp, f.fee_currency, f.fee_amount) for f in seen.of(ChildFilled)]


def filled_at(seen: Seen) -> Any:
    return [f.fill_ns for f in seen.of(ChildFilled)]


def reported_after(seen: Seen) -> Any:
    return [f.at_ns - f.fill_ns for f in seen.of(ChildFilled)]


def makers(seen: Seen) -> Any:
    return [(f.fill_ns, f.maker) for f in seen.of(ChildFilled)]


def models(seen: Seen) -> Any:
    return {f.price_model for f in seen.of(ChildFilled)}


def near_gap(seen: Seen) -> Any:
    return sum(f.near_gap for f in seen.of(ChildFilled))


def impact(seen: Seen) -> Any:
    return [f.impact_ticks for f in seen.of(ChildFilled)]


def venue_refusals(seen: Seen) -> Any:
    ends = (ChildState.REJECTED, ChildState.EXPIRED)
    return sorted({c.reason for c in seen.of(ChildChanged) if c.state in ends and "venue." in c.reason})


def refusal_names(key: str) -> See:
    """Whether the order was refused at its start by what ``key`` says."""
    return lambda seen: f"({key}" in seen.refused


def rejected(seen: Seen) -> Any:
    return [(c.child_id, c.reason) for c in seen.of(ChildChanged) if c.state is ChildState.REJECTED]


def cancelled_at(seen: Seen) -> Any:
    return [c.at_ns for c in seen.of(ChildChanged) if c.state is ChildState.CANCELLED]


def risk_rules(seen: Seen) -> Any:
    return sorted({r.rule for r in seen.of(RiskRefused)})


def children(seen: Seen) -> Any:
    return [
        (c.sent_ns, c.price_ticks, c.qty_lots)
        for c in seen.of(ChildChanged)
        if c.state is ChildState.PENDING_NEW
    ]


def child_states(seen: Seen) -> Any:
    return [(c.at_ns, c.state, c.price_ticks, c.qty_lots) for c in seen.of(ChildChanged)]


def decisions(seen: Seen) -> Any:
    return [(d.at_ns, d.algo, d.share, d.finish) for d in seen.of(DecisionTaken)]


def reasons(seen: Seen) -> Any:
    return [(d.model, d.reason) for d in seen.of(DecisionTaken)]


def slices(seen: Seen) -> Any:
    return [(d.interval, d.slice_share) for d in seen.of(DecisionTaken)]


def started(seen: Seen) -> Any:
    return [p.started_ns for p in seen.of(ParentChanged) if p.started_ns][:1]


def parent(*names: str) -> See:
    return lambda seen: [tuple(p[name] for name in names) for p in seen.parents]


def states(seen: Seen) -> Any:
    return [(p["state"], p["filled"]) for p in seen.parents]


def notes(seen: Seen) -> Any:
    return [p["measures"]["flags"] for p in seen.parents]


def shadows(seen: Seen) -> Any:
    return [s["algo"] for p in seen.parents for s in p["shadows"]]


def measured_at(seen: Seen) -> Any:
    return [e.at_ns for e in seen.events if type(e).__name__ == "SlippageMeasured"]


# --- files of the configuration ---------------------------------------------------------------------

ORDER = {
    "quantity": "0.5",
    "interval": "3s",
    "min_duration": "3s",
    "max_duration": "12s",
    "algo": "twap",
    "shadows": [],
}


def order(**changes: Any) -> dict[str, Any]:
    return {"order": {**ORDER, **changes}}


PEG = order(tactic="peg", side="sell", quantity=5)
LONG = {"interval": "24s", "min_duration": "24s", "max_duration": "24s"}
QUEUED = order(tactic="peg", quantity="0.005", **LONG)
BNB = {"fee_currency": "BNB", "fee_rate": 500, "balances": {"BTC": 100, "USDT": 10**7, "BNB": 1000}}
LAW = {"y": 1.0, "sigma_bps_per_day": 300, "volume_per_day": 2000, "decay": "1m"}
SQRT = {"venue": {"impact": "sqrt", "impact_laws": {"BTC/USDT": LAW}}}
TIER = {"volume": 1000, "maker_ppm": 500, "taker_ppm": 600}
TIERED = {"venue": {"fee_tiers": [TIER]}}
HALT = {"start": "2024-08-09T00:00:00Z", "end": "2024-08-10T00:00:00Z"}
HALTED = {"venue": {"halts": [HALT]}}
OLD = {"risk": {"stale_book": None}}
REJECTING = {"venue": {"on_stale": "reject"}, **OLD}
LOSSY = {"venue": {"rehearsal": {"timeout_ppm": 500_000}}}
BARS = {
    "order": {
        **ORDER,
        "quantity": "2",
        "interval": "1h",
        "min_duration": "1h",
        "max_duration": "4h",
        "algo": "immediate",
    },
    "engine": {"lookback": 3},
    "symbol": "BTC/USDT",
}
SHARP = order(
    algo="almgren_chriss", algo_params={"eta": 0.1}, interval="1s", min_duration="1s", max_duration="20s"
)


def latency(kind: str, see: See, base: dict[str, Any]) -> dict[str, Case]:
    """Cases of one of the venue's four latencies. ``{folder}`` has two files of measurements."""
    files = ("{folder}/fast.csv", "{folder}/slow.csv")
    return {
        f"venue.{kind}.median_ms": Case((0, 400), see, base),
        f"venue.{kind}.sigma": Case((0.0, 1.5), see, _with(base, kind, {"median_ms": 200})),
        f"venue.{kind}.measured": Case(files, see, _with(base, kind, {"median_ms": None})),
        f"venue.{kind}.draw": Case(
            ("random", "nearest"),
            see,
            _with(base, kind, {"median_ms": None, "measured": "{folder}/both.csv"}),
        ),
    }


def _with(base: dict[str, Any], kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return {**base, "venue": {**base.get("venue", {}), kind: values}}


CASES: dict[str, Case] = {
    "order.side": Case(("buy", "sell"), parent("side", "avg_price")),
    "order.quantity": Case(("0.5", "0.7"), parent("target", "filled")),
    "order.notional": Case((30_000, 20_000), parent("target", "target_kind"), order(quantity=None)),
    "order.benchmark": Case(("vwap", "twap"), parent("benchmark", "gain_bps")),
    "order.min_duration": Case(("3s", "9s"), parent("state", "ended_ns"), order(algo="immediate")),
    "order.max_duration": Case(("12s", "6s"), parent("decisions")),
    "order.interval": Case(("3s", "1s"), parent("decisions")),
    "order.algo": Case(("twap", "immediate"), parent("algo", "decisions")),
    "order.algo_params": Case(({"rate": 0.05}, {"rate": 0.5}), slices, order(algo="pov", quantity=5)),
    "order.tactic": Case(("twap_micro", "peg"), makers, order(quantity=5)),
    "order.shadows": Case(([], ["twap", "vwap"]), shadows),
    "order.limit_price": Case((70_000, 61_000), states),
    "order.participation_cap": Case((1.0, 0.01), states, order(quantity=20)),
    "order.min_rate": Case((0.0, 0.3), slices, order(algo="pov", quantity=5)),
    "order.max_rate": Case((1.0, 0.3), slices, order(algo="immediate")),
    "order.risk_aversion": Case((0.01, 100.0), slices, SHARP),
    "order.align": Case(("none", "grid"), started),
    **latency("entry", filled_at, {}),
    **latency("cancel", cancelled_at, PEG),
    **latency("acknowledgement", reported_after, {"venue": {"market_data": {"median_ms": 0}}}),
    **latency("market_data", reported_after, {"venue": {"acknowledgement": {"median_ms": 900}}}),
    "seed": Case((1, 2), filled_at, {"venue": {"entry": {"median_ms": 100, "sigma": 1.0}}}),
    "venue.maker_fee_ppm": Case((1000, -100), fees, PEG),
    "venue.taker_fee_ppm": Case((1000, 200), fees),
    "venue.fee_tiers[].volume": Case((1000, 10**9), fees, TIERED),
    "venue.fee_tiers[].maker_ppm": Case((500, 100), fees, {**TIERED, **PEG}),
    "venue.fee_tiers[].taker_ppm": Case((600, 100), fees, TIERED),
    "venue.fee_volume": Case((0, 10**9), fees, {"venue": {"fee_tiers": [{**TIER, "volume": 10**8}]}}),
    "venue.fee_currency": Case(("quote", "received"), fees),
    "venue.fee_rate": Case((500, 250), fees, {"venue": BNB}),
    "venue.fee_discount_ppm": Case((0, 250_000), fees, {"venue": BNB}),
    "venue.queue": Case(("risk_averse", "log_probability"), makers, QUEUED, "still"),
    "venue.queue_power": Case(
        (0.1, 9.0), makers, {**QUEUED, "venue": {"queue": "power_probability"}}, "still"
    ),
    "venue.reach": Case(("shown", "whole"), prices, QUEUED, "through"),
    "venue.impact": Case(("off", "sqrt"), impact, {"venue": {"impact_laws": {"BTC/USDT": LAW}}}),
    "venue.impact_laws{}.y": Case((1.0, 3.0), impact, SQRT),
    "venue.impact_laws{}.sigma_bps_per_day": Case((300, 900), impact, SQRT),
    "venue.impact_laws{}.volume_per_day": Case((2000, 200), impact, SQRT),
    "venue.impact_laws{}.decay": Case(("1m", "1s"), impact, SQRT),
    "venue.calibration": Case(
        ("{folder}/weak.yaml", "{folder}/strong.yaml"), impact, {"venue": {"impact": "sqrt"}}
    ),
    "venue.noted_share": Case((None, 0.0001), notes),
    "venue.price_band_bps": Case((2000, 5), refusal_names("venue.price_band_bps")),
    "venue.price_protection_bps": Case((None, 0.01), prices, order(quantity=20)),
    "venue.self_trade": Case(("cancel_newest", "allow"), child_states, {}, "two"),
    "venue.amend": Case(
        ("keep_on_reduce", "lose_always"), makers, {"tactics": {"repeg_by": "amend"}}, "amended"
    ),
    "venue.max_quantity": Case((None, "0.02"), children),
    "venue.max_open_orders": Case((200, 1), rejected, {"tactics": {"reach_bps": 10}}, "resting"),
    "venue.halts[].start": Case(
        ("2024-08-09T00:00:00Z", "2024-08-09T23:00:00Z"), refusal_names("venue.halts"), HALTED
    ),
    "venue.halts[].end": Case(
        ("2024-08-10T00:00:00Z", "2024-08-09T00:00:01Z"), refusal_names("venue.halts"), HALTED
    ),
    "venue.halts[].symbol": Case(("BTC/USDT", "ETH/USDT"), refusal_names("venue.halts"), HALTED),
    "venue.near_gap": Case(("1ms", "5s"), near_gap, {}, "gap"),
    "venue.on_stale": Case(("mark", "reject"), venue_refusals, OLD, "old_book"),
    "venue.max_book_age": Case(("5s", "1m"), models, OLD, "old_book"),
    "venue.rehearsal.reject_ppm": Case((0, 500_000), rejected),
    "venue.rehearsal.timeout_ppm": Case((0, 500_000), child_states),
    "venue.rehearsal.timeout": Case(("2s", "500ms"), child_states, LOSSY),
    "venue.balances": Case(({"USDT": 10**7}, {"USDT": 10}), refusal_names("venue.balances")),
    "bars.half_spread_bps": Case((1, 50), prices, BARS, "bars"),
    "bars.max_participation": Case((0.2, 0.05), prices, BARS, "bars"),
    "bars.reach_bps": Case((1000, 1), states, BARS, "bars"),
    "risk.max_notional": Case((5_000_000, 1000), refusal_names("risk.max_notional")),
    "risk.max_participation": Case((None, 0.01), states, order(quantity=20)),
    "risk.max_volume_share": Case((None, 0.001), refusal_names("risk.max_volume_share"), BARS, "bars"),
    "risk.price_collar_bps": Case((100, 1), refusal_names("risk.price_collar_bps")),
    "risk.max_child_quantity": Case((None, "0.02"), children),
    "risk.max_orders_per_s": Case((None, 1), risk_rules, {"tactics": {"micro_slices": 50}}),
    "risk.stale_book": Case(("5s", None), risk_rules, {}, "old_book"),
    "risk.max_symbol_notional": Case((None, 9000), risk_rules),
    "risk.max_total_notional": Case((None, 9000), risk_rules),
    "risk.max_open_notional": Case((None, 1000), risk_rules),
    "risk.max_symbol_participation": Case((None, 0.01), states, order(quantity=20)),
    "risk.max_total_orders_per_s": Case((None, 1), risk_rules, {"tactics": {"micro_slices": 50}}),
    "tactics.micro_slices": Case((5, 2), parent("children")),
    "tactics.reach_bps": Case((10.0, 50.0), children),
    "tactics.repeg": Case(("1s", "100ms"), children, PEG),
    "tactics.repeg_by": Case(("cancel", "amend"), cancelled_at, PEG),
    "tactics.cross_share": Case((0.15, 0.6), filled_at, PEG),
    "engine.decision_latency": Case(("100ms", "700ms"), decisions),
    "engine.lookback": Case((312, 2), reasons, {}, "later"),
    "engine.settle": Case(("1s", "3s"), measured_at),
    "model.checkpoint": Case((None, "{folder}/other.safetensors"), reasons, order(algo="lem")),
}
"""All but those of a live run, which ``test_every_live_key`` has."""
