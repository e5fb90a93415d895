"""Decisions also hold the bars that were looked at most, and the move of the price that would turn them.

Both are empty where the algo has neither, and in rows written before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ADDED = " x.attention, x.turns_at_bps,"


def upgrade() -> None:
    op.execute("DROP VIEW v_decisions")
    op.add_column("decisions", sa.Column("attention", sa.JSON(), nullable=True))
    op.add_column("decisions", sa.Column("turns_at_bps", sa.Double(), nullable=True))
    op.execute(_view(op.get_bind().dialect.name, _ADDED))


def downgrade() -> None:
    op.execute("DROP VIEW v_decisions")
    op.drop_column("decisions", "turns_at_bps")
    op.drop_column("decisions", "attention")
    op.execute(_view(op.get_bind().dialect.name, ""))


def _view(dialect: str, added: str) -> str:
    return (
        "CREATE VIEW v_decisions AS"
        " SELECT x.session, x.seq, x.decision_id, x.parent_id, x.interval, p.symbol, x.algo, x.model,"
        " x.history_bars, x.overrun, x.latency_ns, x.share, x.finish, x.finish_probability, x.slice_share,"
        " CAST(x.slice_quantity AS NUMERIC) AS slice_quantity, x.finishing, x.market_close, x.market_mid,"
        f" x.reason, x.seen, x.importances,{added} {_iso(dialect, 'x.asked_ns', 'asked_at')},"
        f" {_iso(dialect, 'x.at_ns', 'acted_at')}"
        " FROM decisions x JOIN parent_orders p ON p.session = x.session AND p.parent_id = x.parent_id"
        " WHERE p.shadow_of IS NULL"
    )


def _iso(dialect: str, column: str, name: str) -> str:
    """Return SQL for nanoseconds as ISO 8601 in UTC."""
    if dialect == "postgresql":
        seconds = f"to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC'"
        fraction = f"lpad(({column} % 1000000000)::text, 9, '0')"
        return f"to_char({seconds}, 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.' || {fraction} || 'Z' AS {name}"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000000, 'unixepoch')"
        f" || printf('.%09dZ', {column} % 1000000000) AS {name}"
    )
