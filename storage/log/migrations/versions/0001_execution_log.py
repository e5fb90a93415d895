"""The execution log: tables, and views with plain names for people who bring their own SQL tools."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MAIN = "shadow_of IS NULL"


def upgrade() -> None:
    _create_tables()
    for name, select in _views(op.get_bind().dialect.name).items():
        op.execute(f"CREATE VIEW {name} AS {select}")


def downgrade() -> None:
    for name in _views(op.get_bind().dialect.name):
        op.execute(f"DROP VIEW {name}")
    for name in _TABLES:
        op.drop_table(name)


_TABLES = (
    "fills",
    "child_orders",
    "decisions",
    "slippage",
    "risk_refusals",
    "parent_orders",
    "balances",
    "accounts",
    "commands",
    "gaps",
    "instruments",
    "sessions",
)


def _iso(dialect: str, column: str, name: str) -> str:
    """Return SQL for nanoseconds as ISO 8601 in UTC."""
    if dialect == "postgresql":
        seconds = f"to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC'"
        fraction = f"lpad(({column} % 1000000000)::text, 9, '0')"
        text = f"to_char({seconds}, 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.' || {fraction} || 'Z'"
    else:
        text = (
            f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000000, 'unixepoch')"
            f" || printf('.%09dZ', {column} % 1000000000)"
        )
    return f"{text} AS {name}"


def _number(column: str, name: str = "") -> str:
    """Return SQL for an exact decimal string as a number that compares and sums."""
    return f"CAST({column} AS NUMERIC) AS {name or column.rpartition('.')[2]}"


def _views(dialect: str) -> dict[str, str]:
    def at(column: str, name: str) -> str:
        return _iso(dialect, column, name)

    parent = (
        f"p.session, p.seq, p.parent_id, p.symbol, p.side, p.target_kind, {_number('p.target')}, p.benchmark,"
        f" p.algo, p.tactic, p.state, p.reason, {_number('p.filled')}, {_number('p.filled_notional')},"
        f" {_number('p.fees')}, {_number('p.avg_price')}, {_number('p.decision_mid')},"
        f" {_number('p.arrival_mid')}, {_number('p.limit_price')},"
        f" {at('p.submitted_ns', 'submitted_at')}, {at('p.started_ns', 'started_at')},"
        f" {at('p.ended_ns', 'ended_at')}"
    )
    of_parent = "JOIN parent_orders p ON p.session = x.session AND p.parent_id = x.parent_id"
    pair = (
        "JOIN slippage s ON s.session = x.session AND s.parent_id = x.shadow_of AND s.benchmark = x.benchmark"
    )
    return {
        "v_parents": f"SELECT {parent} FROM parent_orders p WHERE p.{_MAIN}",
        "v_children": (
            f"SELECT x.session, x.seq, x.child_id, x.parent_id, x.interval, p.symbol, p.algo, x.side,"
            f" x.time_in_force, {_number('x.price')}, {_number('x.quantity')}, x.state, x.reason,"
            f" {_number('x.filled')}, {_number('x.avg_price')}, {_number('x.sent_mid')},"
            f" {_number('x.far_touch')}, {at('x.sent_ns', 'sent_at')}, {at('x.at_ns', 'changed_at')}"
            f" FROM child_orders x {of_parent} WHERE p.{_MAIN}"
        ),
        "v_fills": (
            f"SELECT x.session, x.seq, x.fill_id, x.child_id, x.parent_id, p.symbol, p.algo, x.side,"
            f" {_number('x.price')}, {_number('x.quantity')}, {_number('x.notional')}, {_number('x.fee')},"
            f" x.fee_currency, x.maker, {_number('x.mid')}, x.book_age_ns, x.near_gap, x.price_model,"
            f" {at('x.fill_ns', 'filled_at')}, {at('x.at_ns', 'reported_at')}"
            f" FROM fills x {of_parent} WHERE p.{_MAIN}"
        ),
        "v_decisions": (
            f"SELECT x.session, x.seq, x.decision_id, x.parent_id, x.interval, p.symbol, x.algo, x.model,"
            f" x.history_bars, x.overrun, x.latency_ns, x.share, x.finish, x.finish_probability,"
            f" x.slice_share, {_number('x.slice_quantity')}, x.finishing, x.market_close, x.market_mid,"
            f" x.reason, x.seen, x.importances, {at('x.asked_ns', 'asked_at')}, {at('x.at_ns', 'acted_at')}"
            f" FROM decisions x {of_parent} WHERE p.{_MAIN}"
        ),
        "v_slippage": (
            f"SELECT x.session, x.seq, x.parent_id, p.symbol, p.side, x.algo, x.benchmark, x.own_benchmark,"
            f" x.used_price, x.full_price, x.avg_price, x.arrival_price, x.gain_bps, x.full_gain_bps,"
            f" x.arrival_slippage_bps, x.participation_rate, x.measures, {at('x.at_ns', 'measured_at')}"
            f" FROM slippage x {of_parent} WHERE x.{_MAIN}"
        ),
        "v_shadows": (
            f"SELECT x.session, x.seq, x.shadow_of AS parent_id, s.algo, x.parent_id AS shadow_id,"
            f" x.algo AS shadow_algo, x.benchmark, s.own_benchmark,"
            f" s.gain_bps, x.gain_bps AS shadow_gain_bps,"
            f" s.gain_bps - x.gain_bps AS diff_gain_bps,"
            f" s.full_gain_bps - x.full_gain_bps AS diff_full_bps, s.arrival_slippage_bps,"
            f" x.arrival_slippage_bps AS shadow_arrival_slippage_bps,"
            f" x.arrival_slippage_bps - s.arrival_slippage_bps AS diff_arrival_bps"
            f" FROM slippage x {pair}"
        ),
    }


def _create_tables() -> None:
    op.create_table(
        "sessions",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
        sa.Column("closed_ns", sa.BigInteger(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("session"),
    )
    op.create_table(
        "accounts",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.session"],
        ),
        sa.PrimaryKeyConstraint("session", "account"),
    )
    op.create_table(
        "commands",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("amend", sa.JSON(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("handled_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.session"],
        ),
        sa.PrimaryKeyConstraint("session", "command_id"),
    )
    op.create_index("ix_commands_pending", "commands", ["session", "handled_ns"], unique=False)
    op.create_table(
        "gaps",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("instrument", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.session"],
        ),
        sa.PrimaryKeyConstraint("session", "seq", "instrument", "stream", "ended"),
    )
    op.create_table(
        "instruments",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("settle", sa.Text(), nullable=False),
        sa.Column("tick", sa.Text(), nullable=False),
        sa.Column("lot", sa.Text(), nullable=False),
        sa.Column("min_lots", sa.BigInteger(), nullable=False),
        sa.Column("min_notional", sa.Text(), nullable=False),
        sa.Column("multiplier", sa.Text(), nullable=False),
        sa.Column("inverse", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.session"],
        ),
        sa.PrimaryKeyConstraint("session", "number"),
    )
    op.create_table(
        "balances",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "account"],
            ["accounts.session", "accounts.account"],
        ),
        sa.PrimaryKeyConstraint("session", "account", "currency", "at_ns"),
    )
    op.create_table(
        "parent_orders",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("shadow_of", sa.Text(), nullable=True),
        sa.Column("instrument", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("target_units", sa.BigInteger(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("algo", sa.Text(), nullable=False),
        sa.Column("algo_params", sa.JSON(), nullable=False),
        sa.Column("tactic", sa.Text(), nullable=False),
        sa.Column("align", sa.Text(), nullable=False),
        sa.Column("interval_ns", sa.BigInteger(), nullable=False),
        sa.Column("min_duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("max_duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("limit_price", sa.Text(), nullable=True),
        sa.Column("participation_cap", sa.Double(), nullable=True),
        sa.Column("min_rate", sa.Double(), nullable=False),
        sa.Column("max_rate", sa.Double(), nullable=False),
        sa.Column("risk_aversion", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("submitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("filled", sa.Text(), nullable=False),
        sa.Column("filled_notional", sa.Text(), nullable=False),
        sa.Column("fees", sa.Text(), nullable=False),
        sa.Column("avg_price", sa.Text(), nullable=True),
        sa.Column("filled_lots", sa.BigInteger(), nullable=False),
        sa.Column("filled_tl", sa.BigInteger(), nullable=False),
        sa.Column("decision_mid", sa.Text(), nullable=True),
        sa.Column("arrival_mid", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session", "instrument"],
            ["instruments.session", "instruments.number"],
        ),
        sa.PrimaryKeyConstraint("session", "parent_id"),
    )
    op.create_index("ix_parent_orders_shadow_of", "parent_orders", ["session", "shadow_of"], unique=False)
    op.create_table(
        "child_orders",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("child_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("instrument", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("qty_lots", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("sent_ns", sa.BigInteger(), nullable=False),
        sa.Column("filled", sa.Text(), nullable=False),
        sa.Column("filled_notional", sa.Text(), nullable=False),
        sa.Column("avg_price", sa.Text(), nullable=True),
        sa.Column("filled_lots", sa.BigInteger(), nullable=False),
        sa.Column("filled_tl", sa.BigInteger(), nullable=False),
        sa.Column("sent_mid", sa.Text(), nullable=False),
        sa.Column("far_touch", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "parent_id"],
            ["parent_orders.session", "parent_orders.parent_id"],
        ),
        sa.PrimaryKeyConstraint("session", "child_id"),
    )
    op.create_index("ix_child_orders_parent", "child_orders", ["session", "parent_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("asked_ns", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("algo", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("history_bars", sa.BigInteger(), nullable=True),
        sa.Column("overrun", sa.Boolean(), nullable=False),
        sa.Column("latency_ns", sa.BigInteger(), nullable=True),
        sa.Column("share", sa.Double(), nullable=True),
        sa.Column("finish", sa.Boolean(), nullable=False),
        sa.Column("finish_probability", sa.Double(), nullable=True),
        sa.Column("slice_share", sa.Double(), nullable=True),
        sa.Column("slice_lots", sa.BigInteger(), nullable=False),
        sa.Column("slice_quantity", sa.Text(), nullable=False),
        sa.Column("finishing", sa.Boolean(), nullable=False),
        sa.Column("market_close", sa.Double(), nullable=True),
        sa.Column("market_mid", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("importances", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "parent_id"],
            ["parent_orders.session", "parent_orders.parent_id"],
        ),
        sa.PrimaryKeyConstraint("session", "decision_id"),
    )
    op.create_index("ix_decisions_parent", "decisions", ["session", "parent_id"], unique=False)
    op.create_table(
        "risk_refusals",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("qty_lots", sa.BigInteger(), nullable=False),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "parent_id"],
            ["parent_orders.session", "parent_orders.parent_id"],
        ),
        sa.PrimaryKeyConstraint("session", "seq", "at_ns", "parent_id", "rule", "qty_lots", "price_ticks"),
    )
    op.create_table(
        "slippage",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("shadow_of", sa.Text(), nullable=True),
        sa.Column("algo", sa.Text(), nullable=False),
        sa.Column("own_benchmark", sa.Boolean(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("used_price", sa.Double(), nullable=True),
        sa.Column("full_price", sa.Double(), nullable=True),
        sa.Column("avg_price", sa.Double(), nullable=True),
        sa.Column("arrival_price", sa.Double(), nullable=True),
        sa.Column("gain_bps", sa.Double(), nullable=True),
        sa.Column("full_gain_bps", sa.Double(), nullable=True),
        sa.Column("arrival_slippage_bps", sa.Double(), nullable=True),
        sa.Column("participation_rate", sa.Double(), nullable=True),
        sa.Column("measures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "parent_id"],
            ["parent_orders.session", "parent_orders.parent_id"],
        ),
        sa.PrimaryKeyConstraint("session", "parent_id", "benchmark"),
    )
    op.create_table(
        "fills",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("fill_id", sa.Text(), nullable=False),
        sa.Column("child_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("notional", sa.Text(), nullable=False),
        sa.Column("fee", sa.Text(), nullable=False),
        sa.Column("fee_currency", sa.Text(), nullable=False),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("qty_lots", sa.BigInteger(), nullable=False),
        sa.Column("maker", sa.Boolean(), nullable=False),
        sa.Column("fill_ns", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("mid", sa.Text(), nullable=False),
        sa.Column("book_age_ns", sa.BigInteger(), nullable=False),
        sa.Column("near_gap", sa.Boolean(), nullable=False),
        sa.Column("price_model", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session", "child_id"],
            ["child_orders.session", "child_orders.child_id"],
        ),
        sa.PrimaryKeyConstraint("session", "fill_id"),
    )
    op.create_index("ix_fills_parent", "fills", ["session", "parent_id"], unique=False)
