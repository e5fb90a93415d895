"""The execution log's tables: an intent log, and a projection of what recorded sessions cause.

Rules kept here: every row names its ``session`` and the ``seq`` of the input that caused it; quantities,
prices and money are exact decimal strings, beside integer ticks and lots; times are integer nanoseconds
UTC. The tables are made by the migrations only; ``tests/integration/test_storage.py`` compares the two.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Double, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Decimals = str
"""A number as an exact decimal string."""

Json = dict[str, object]


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, str: Text, float: Double, Json: JSON}  # noqa: RUF012


class _Row(Base):
    """What every table has."""

    __abstract__ = True

    session: Mapped[str] = mapped_column(primary_key=True, sort_order=-2)
    seq: Mapped[int] = mapped_column(sort_order=-1)


def _in_session() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["session"], ["sessions.session"])


def _of_parent() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["session", "parent_id"], ["parent_orders.session", "parent_orders.parent_id"]
    )


class SessionRow(_Row):
    """One recorded session; ``state`` is open, closed, interrupted or failed. Whether an open one lives is
    told by its heartbeat (``storage.log.control.liveness``)."""

    __tablename__ = "sessions"

    path: Mapped[str]
    mode: Mapped[str]  # "paper", "record", "replay"
    exchange: Mapped[str]
    state: Mapped[str]
    opened_ns: Mapped[int]
    closed_ns: Mapped[int | None]
    seed: Mapped[int]
    config: Mapped[Json]
    fingerprint: Mapped[Json]


class HeartbeatRow(Base):
    """The sign of life of a running session, counted up about once a second. No input causes it."""

    __tablename__ = "heartbeats"
    __table_args__ = (ForeignKeyConstraint(["session"], ["sessions.session"]),)

    session: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    counter: Mapped[int]
    beat_ns: Mapped[int]  # by the wall clock of that host


class InstrumentRow(_Row):
    __tablename__ = "instruments"
    __table_args__ = (_in_session(),)

    number: Mapped[int] = mapped_column(primary_key=True)
    exchange: Mapped[str]
    symbol: Mapped[str]
    base: Mapped[str]
    quote: Mapped[str]
    settle: Mapped[str]
    tick: Mapped[Decimals]
    lot: Mapped[Decimals]
    min_lots: Mapped[int]
    min_notional: Mapped[Decimals]
    multiplier: Mapped[Decimals]
    inverse: Mapped[bool]


class AccountRow(_Row):
    __tablename__ = "accounts"
    __table_args__ = (_in_session(),)

    account: Mapped[str] = mapped_column(primary_key=True)
    venue: Mapped[str]  # "paper" or the exchange's sandbox
    opened_ns: Mapped[int]


class BalanceRow(_Row):
    """What an account held of a currency from ``at_ns`` on."""

    __tablename__ = "balances"
    __table_args__ = (ForeignKeyConstraint(["session", "account"], ["accounts.session", "accounts.account"]),)

    account: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimals]


class CommandRow(_Row):
    """A user's command; ``handled_ns`` and ``outcome`` are empty, and ``seq`` 0, until it is handled."""

    __tablename__ = "commands"
    __table_args__ = (_in_session(), Index("ix_commands_pending", "session", "handled_ns"))

    command_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    parent_id: Mapped[str | None]
    amend: Mapped[Json]
    created_ns: Mapped[int]
    handled_ns: Mapped[int | None]
    outcome: Mapped[str | None]
    parents: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # it was carried out on these


class ParentOrderRow(_Row):
    """A parent order, or a shadow of one (``shadow_of``). ``*_tl``: ticks x lots."""

    __tablename__ = "parent_orders"
    __table_args__ = (
        ForeignKeyConstraint(["session", "instrument"], ["instruments.session", "instruments.number"]),
        Index("ix_parent_orders_shadow_of", "session", "shadow_of"),
    )

    parent_id: Mapped[str] = mapped_column(primary_key=True)
    shadow_of: Mapped[str | None]
    instrument: Mapped[int]
    symbol: Mapped[str]
    side: Mapped[str]
    target_kind: Mapped[str]
    target: Mapped[Decimals]
    target_units: Mapped[int]  # lots, or ticks x lots
    benchmark: Mapped[str]
    algo: Mapped[str]
    algo_params: Mapped[Json]
    tactic: Mapped[str]
    align: Mapped[str]
    interval_ns: Mapped[int]
    min_duration_ns: Mapped[int]
    max_duration_ns: Mapped[int]
    limit_price: Mapped[Decimals | None]
    participation_cap: Mapped[float | None]
    min_rate: Mapped[float]
    max_rate: Mapped[float]
    risk_aversion: Mapped[float]
    state: Mapped[str]
    reason: Mapped[str]
    at_ns: Mapped[int]  # of the last change
    submitted_ns: Mapped[int]
    started_ns: Mapped[int | None]
    ended_ns: Mapped[int | None]
    filled: Mapped[Decimals]
    filled_notional: Mapped[Decimals]
    fees: Mapped[Decimals]  # in quote
    avg_price: Mapped[Decimals | None]  # 28 significant digits
    filled_lots: Mapped[int]
    filled_tl: Mapped[int]
    decision_mid: Mapped[Decimals | None]
    arrival_mid: Mapped[Decimals | None]


class DecisionRow(_Row):
    """What an algo saw and answered, and what came of it."""

    __tablename__ = "decisions"
    __table_args__ = (
        _of_parent(),
        Index("ix_decisions_parent", "session", "parent_id"),
        Index("ix_decisions_time", "asked_ns"),
    )

    decision_id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str]
    interval: Mapped[int]
    asked_ns: Mapped[int]
    at_ns: Mapped[int]
    algo: Mapped[str]
    model: Mapped[str | None]
    history_bars: Mapped[int | None]
    overrun: Mapped[bool]
    latency_ns: Mapped[int | None]  # measured
    share: Mapped[float | None]
    finish: Mapped[bool]
    finish_probability: Mapped[float | None]
    slice_share: Mapped[float | None]
    slice_lots: Mapped[int]
    slice_quantity: Mapped[Decimals]
    finishing: Mapped[bool]
    market_close: Mapped[float | None]
    market_mid: Mapped[float | None]
    reason: Mapped[str]
    seen: Mapped[Json]  # the algo's view of its own order
    importances: Mapped[Json]
    attention: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))  # age in bars -> weight
    turns_at_bps: Mapped[float | None]


class ChildOrderRow(_Row):
    __tablename__ = "child_orders"
    __table_args__ = (
        _of_parent(),
        Index("ix_child_orders_parent", "session", "parent_id"),
        Index("ix_child_orders_time", "sent_ns"),
    )

    child_id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str]
    interval: Mapped[int]
    instrument: Mapped[int]
    side: Mapped[str]
    time_in_force: Mapped[str]
    price: Mapped[Decimals]
    quantity: Mapped[Decimals]
    price_ticks: Mapped[int]
    qty_lots: Mapped[int]
    state: Mapped[str]
    reason: Mapped[str]
    at_ns: Mapped[int]
    sent_ns: Mapped[int]
    filled: Mapped[Decimals]
    filled_notional: Mapped[Decimals]
    avg_price: Mapped[Decimals | None]
    filled_lots: Mapped[int]
    filled_tl: Mapped[int]
    sent_mid: Mapped[Decimals]
    far_touch: Mapped[Decimals]


class FillRow(_Row):
    __tablename__ = "fills"
    __table_args__ = (
        ForeignKeyConstraint(["session", "child_id"], ["child_orders.session", "child_orders.child_id"]),
        Index("ix_fills_parent", "session", "parent_id"),
        Index("ix_fills_time", "fill_ns"),
        Index("ix_fills_child", "session", "child_id").ddl_if("postgresql"),
    )

    fill_id: Mapped[str] = mapped_column(primary_key=True)
    child_id: Mapped[str]
    parent_id: Mapped[str]
    instrument: Mapped[int]
    side: Mapped[str]
    price: Mapped[Decimals]
    quantity: Mapped[Decimals]
    notional: Mapped[Decimals]
    fee: Mapped[Decimals]  # valued in quote
    fee_currency: Mapped[str]
    price_ticks: Mapped[int]
    qty_lots: Mapped[int]
    maker: Mapped[bool]
    fill_ns: Mapped[int]
    at_ns: Mapped[int]
    mid: Mapped[Decimals]
    book_age_ns: Mapped[int]
    near_gap: Mapped[bool]
    price_model: Mapped[str]
    impact_ticks: Mapped[int | None]  # of the price, added by the impact model; null: no model
    impact_bps: Mapped[float | None]  # the same in bps of the mid
    displacement_bps: Mapped[float | None]  # how far our own flow had moved the mid, by the model
    fee_amount: Mapped[Decimals | None]  # in the fee's own currency; null: that is the quote currency


class SlippageRow(_Row):
    """The TCA of a finished parent or shadow against one benchmark; signs as in the event."""

    __tablename__ = "slippage"
    __table_args__ = (_of_parent(),)

    parent_id: Mapped[str] = mapped_column(primary_key=True)
    benchmark: Mapped[str] = mapped_column(primary_key=True)
    shadow_of: Mapped[str | None]
    algo: Mapped[str]
    own_benchmark: Mapped[bool]
    at_ns: Mapped[int]
    used_price: Mapped[float | None]
    full_price: Mapped[float | None]
    avg_price: Mapped[float | None]
    arrival_price: Mapped[float | None]
    gain_bps: Mapped[float | None]
    full_gain_bps: Mapped[float | None]
    arrival_slippage_bps: Mapped[float | None]
    participation_rate: Mapped[float | None]
    measures: Mapped[Json]
    # Measure -> fault of the data -> share of the measure's window. Null: measured before these were kept.
    flags: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    reasons: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))  # measure that is null -> why


class GapRow(_Row):
    __tablename__ = "gaps"
    __table_args__ = (_in_session(),)

    seq: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)
    instrument: Mapped[int] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    ended: Mapped[bool] = mapped_column(primary_key=True)
    symbol: Mapped[str]
    at_ns: Mapped[int]
    lost: Mapped[int]


class RiskRefusalRow(_Row):
    __tablename__ = "risk_refusals"
    __table_args__ = (
        _of_parent(),
        Index("ix_risk_refusals_parent", "session", "parent_id").ddl_if("postgresql"),
    )

    seq: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    qty_lots: Mapped[int] = mapped_column(primary_key=True)
    price_ticks: Mapped[int] = mapped_column(primary_key=True)
    interval: Mapped[int]
    side: Mapped[str]
    price: Mapped[Decimals]
    quantity: Mapped[Decimals]
    reason: Mapped[str]
