"""Audit events as rows of the execution log: integers in, exact decimal strings beside them out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal

from agent.core.errors import InternalError
from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    CommandHandled,
    DecisionTaken,
    GapSeen,
    ParentChanged,
    RiskRefused,
    SlippageMeasured,
)
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject
from agent.core.money import PPM
from agent.core.types import Side, TargetKind
from storage.log.bulk.instrument_texts import InstrumentTexts, text
from storage.log.bulk.row_shapes import Row, shape
from storage.log.tables import (
    Base,
    ChildOrderRow,
    CommandRow,
    DecisionRow,
    FillRow,
    GapRow,
    ParentOrderRow,
    RiskRefusalRow,
    SlippageRow,
)

Values = dict[str, object]
_NoFill = (
    ParentChanged | DecisionTaken | ChildChanged | RiskRefused | CommandHandled | GapSeen | SlippageMeasured
)
_SIDES = {side: side.name.lower() for side in Side}
TableRow = tuple[type[Base], Row]


def table_row(table: type[Base], values: Values) -> TableRow:
    """A row in the order of its table's columns. Raises KeyError where it lacks one."""
    return table, shape(table).row(values)


class RowMaker:
    """Makes rows of one session; prices and quantities by the session's instruments."""

    def __init__(self, session: str, instruments: Mapping[int, Instrument]) -> None:
        self._session = session
        self._instruments = dict(instruments)
        self._texts_of = {number: InstrumentTexts(on) for number, on in instruments.items()}
        self._parents: dict[str, int] = {}  # parent id -> instrument, for events that do not name it

    def row(self, event: AuditEvent) -> TableRow:
        """Return the table and the row of one event. Raises InternalError on an unknown instrument."""
        if isinstance(event, ChildFilled):
            return FillRow, self.fill(event)
        table, values = self._values(event)
        return table_row(table, {"session": self._session, "seq": event.seq, **values})

    def _values(self, event: _NoFill) -> tuple[type[Base], Values]:
        match event:
            case ParentChanged():
                return ParentOrderRow, self.parent(event)
            case DecisionTaken():
                return DecisionRow, self.decision(event)
            case ChildChanged():
                return ChildOrderRow, self.child(event)
            case RiskRefused():
                return RiskRefusalRow, self.refusal(event)
            case CommandHandled():
                return CommandRow, self.command(event)
            case GapSeen():
                return GapRow, self.gap(event)
            case SlippageMeasured():
                return SlippageRow, self.slippage(event)

    def _instrument(self, number: int) -> Instrument:
        if number not in self._instruments:
            raise InternalError(
                f"instrument {number} is not in the log; it knows {sorted(self._instruments)}"
            )
        return self._instruments[number]

    def _of_parent(self, parent_id: str) -> Instrument:
        if parent_id in self._parents:
            return self._instrument(self._parents[parent_id])
        if len(self._instruments) == 1:  # a resumed run need not write again what is there
            return next(iter(self._instruments.values()))
        raise InternalError(f"an event of parent {parent_id} came before the parent itself")

    def parent(self, event: ParentChanged) -> Values:
        spec = event.spec
        on = self._instrument(spec.instrument)
        self._parents[spec.parent_id] = spec.instrument
        quantity = spec.target_kind == TargetKind.QUANTITY
        target = on.quantity(spec.target) if quantity else on.notional(spec.target)
        return {
            "parent_id": spec.parent_id,
            "shadow_of": spec.shadow_of,
            "instrument": spec.instrument,
            "symbol": spec.symbol,
            "side": spec.side.name.lower(),
            "target_kind": spec.target_kind.value,
            "target": text(target),
            "target_units": spec.target,
            "benchmark": spec.benchmark.value,
            "algo": spec.algo,
            "algo_params": dict(spec.algo_params),
            "tactic": spec.tactic,
            "align": spec.align.value,
            "interval_ns": spec.interval_ns,
            "min_duration_ns": spec.min_duration_ns,
            "max_duration_ns": spec.max_duration_ns,
            "limit_price": _price(on, spec.limit_price_ticks),
            "participation_cap": spec.participation_cap,
            "min_rate": spec.min_rate,
            "max_rate": spec.max_rate,
            "risk_aversion": spec.risk_aversion,
            "state": event.state.value,
            "reason": event.reason,
            "at_ns": event.at_ns,
            "submitted_ns": event.submitted_ns,
            "started_ns": event.started_ns,
            "ended_ns": event.ended_ns,
            "fees": text(_fee(on, event.fee_tlp)),
            "decision_mid": _mid(on, event.decision_mid_half_ticks),
            "arrival_mid": _mid(on, event.arrival_mid_half_ticks),
            **_filled(on, event.filled_lots, event.filled_tl),
        }

    def decision(self, event: DecisionTaken) -> Values:
        return {
            "decision_id": event.decision_id,
            "parent_id": event.parent_id,
            "interval": event.interval,
            "asked_ns": event.asked_ns,
            "at_ns": event.at_ns,
            "algo": event.algo,
            "model": event.model,
            "history_bars": event.history_bars,
            "overrun": event.overrun,
            "latency_ns": event.latency_ns,
            "share": _finite(event.share),
            "finish": event.finish,
            "finish_probability": _finite(event.finish_probability),
            "slice_share": _finite(event.slice_share),
            "slice_lots": event.slice_lots,
            "slice_quantity": text(self._of_parent(event.parent_id).quantity(event.slice_lots)),
            "finishing": event.finishing,
            "market_close": _finite(event.market_close),
            "market_mid": _finite(event.market_mid),
            "reason": event.full_reason,
            "seen": _plain({**asdict(event.view), "side": event.view.side.name.lower()}),
            "importances": _plain(event.importances),
            "attention": {str(age): weight for age, weight in event.attention.items()} or None,
            "turns_at_bps": _finite(event.turns_at_bps),
        }

    def child(self, event: ChildChanged) -> Values:
        on = self._instrument(event.instrument)
        return {
            "child_id": event.child_id,
            "parent_id": event.parent_id,
            "interval": event.interval,
            "instrument": event.instrument,
            "side": event.side.name.lower(),
            "time_in_force": event.tif.value,
            "price": text(on.price(event.price_ticks)),
            "quantity": text(on.quantity(event.qty_lots)),
            "price_ticks": event.price_ticks,
            "qty_lots": event.qty_lots,
            "state": event.state.value,
            "reason": event.reason,
            "at_ns": event.at_ns,
            "sent_ns": event.sent_ns,
            "sent_mid": _mid(on, event.sent_mid_half_ticks),
            "far_touch": text(on.price(event.far_touch_ticks)),
            **_filled(on, event.filled_lots, event.filled_tl),
        }

    def fill(self, event: ChildFilled) -> Row:
        """In the order of the table's columns, which a test holds against their names."""
        on = self._texts_of.get(event.instrument) or InstrumentTexts(self._instrument(event.instrument))
        price_ticks, qty_lots, mid_half_ticks = event.price_ticks, event.qty_lots, event.mid_half_ticks
        impact, displacement, amount = event.impact_ticks, event.displacement_half_ticks, event.fee_amount
        return (
            self._session,
            event.seq,
            event.fill_id,
            event.child_id,
            event.parent_id,
            event.instrument,
            _SIDES[event.side],
            on.price(price_ticks),
            on.quantity(qty_lots),
            on.notional(price_ticks, qty_lots),
            on.fee(event.fee_tlp),
            event.fee_currency,
            price_ticks,
            qty_lots,
            event.maker,
            event.fill_ns,
            event.at_ns,
            on.mid(mid_half_ticks),
            event.book_age_ns,
            event.near_gap,
            event.price_model,
            impact,
            None if impact is None else _of_mid(2 * impact, mid_half_ticks),
            None if displacement is None else _of_mid(displacement, mid_half_ticks),
            None if amount is None else text(amount),
        )

    def refusal(self, event: RiskRefused) -> Values:
        on = self._of_parent(event.parent_id)
        return {
            "at_ns": event.at_ns,
            "parent_id": event.parent_id,
            "rule": event.rule,
            "qty_lots": event.qty_lots,
            "price_ticks": event.price_ticks,
            "interval": event.interval,
            "side": event.side.name.lower(),
            "price": text(on.price(event.price_ticks)),
            "quantity": text(on.quantity(event.qty_lots)),
            "reason": event.reason,
        }

    def command(self, event: CommandHandled) -> Values:
        return {
            "command_id": event.command_id or f"seq-{event.seq}",
            "kind": event.kind.value,
            "parent_id": event.parent_id,
            "amend": {},
            "created_ns": event.at_ns,  # kept as it is where the command was a row already
            "handled_ns": event.at_ns,
            "outcome": event.outcome,
            "parents": list(event.parents),
        }

    def gap(self, event: GapSeen) -> Values:
        on = self._instruments.get(event.instrument)
        return {
            "instrument": event.instrument,
            "stream": event.stream,
            "ended": event.ended,
            "symbol": on.symbol if on else "",  # a silent feed concerns no instrument
            "at_ns": event.at_ns,
            "lost": event.lost,
        }

    def slippage(self, event: SlippageMeasured) -> Values:
        return {
            "parent_id": event.parent_id,
            "benchmark": event.benchmark,
            "shadow_of": event.shadow_of,
            "algo": event.algo,
            "own_benchmark": event.own_benchmark,
            "at_ns": event.at_ns,
            "used_price": _finite(event.used_price),
            "full_price": _finite(event.full_price),
            "avg_price": _finite(event.avg_price),
            "arrival_price": _finite(event.arrival_price),
            "gain_bps": _finite(event.gain_bps),
            "full_gain_bps": _finite(event.full_gain_bps),
            "arrival_slippage_bps": _finite(event.arrival_slippage_bps),
            "participation_rate": _finite(event.participation_rate),
            "measures": _plain(event.measures),
            "flags": _plain(event.flags),
            "reasons": _plain(event.reasons),
        }


def _price(on: Instrument, ticks: int | None) -> str | None:
    return None if ticks is None else text(on.price(ticks))


def _mid(on: Instrument, half_ticks: int | None) -> str | None:
    return None if half_ticks is None else text(on.tick * half_ticks / 2)


def _of_mid(half_ticks: int, mid_half_ticks: int) -> float | None:
    """In basis points of the mid."""
    return half_ticks / mid_half_ticks * 1e4 if mid_half_ticks else None


def _fee(on: Instrument, fee_tlp: int) -> Decimal:
    return on.notional(fee_tlp) / PPM


def _filled(on: Instrument, lots: int, tl: int) -> Values:
    """Progress as stored: exact quantity and money, and their quotient to 28 digits."""
    return {
        "filled": text(on.quantity(lots)),
        "filled_notional": text(on.notional(tl)),
        "avg_price": text(_average(on, lots, tl)) if lots else None,
        "filled_lots": lots,
        "filled_tl": tl,
    }


def _average(on: Instrument, lots: int, tl: int) -> Decimal:
    if not on.inverse:
        return on.tick * tl / lots
    average = on.average_ticks(tl, lots)
    return on.tick * average.numerator / average.denominator


def _finite(value: float | None) -> float | None:
    """SQLite has no NaN: what is not known is NULL."""
    return value if value is not None and math.isfinite(value) else None


def _plain(record: JsonObject) -> Values:
    """Return a record that JSON can hold: NaN as null, mappings as objects, enums as their values."""
    return {key: _plain_value(value) for key, value in record.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, Mapping):
        return _plain(value)
    return getattr(value, "value", value)
