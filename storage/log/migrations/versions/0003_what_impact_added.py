"""Fills also hold what the impact model added to their price, and how far it had moved the mid.

All three are empty where no model was on, and in rows written before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADDED = " x.impact_ticks, x.impact_bps, x.displacement_bps,"


def upgrade() -> None:
    op.execute("DROP VIEW v_fills")
    op.add_column("fills", sa.Column("impact_ticks", sa.BigInteger(), nullable=True))
    op.add_column("fills", sa.Column("impact_bps", sa.Double(), nullable=True))
    op.add_column("fills", sa.Column("displacement_bps", sa.Double(), nullable=True))
    op.execute(_view(op.get_bind().dialect.name, _ADDED))


def downgrade() -> None:
    op.execute("DROP VIEW v_fills")
    for name in ("displacement_bps", "impact_bps", "impact_ticks"):
        op.drop_column("fills", name)
    op.execute(_view(op.get_bind().dialect.name, ""))


def _view(dialect: str, added: str) -> str:
    return (
        "CREATE VIEW v_fills AS"
        " SELECT x.session, x.seq, x.fill_id, x.child_id, x.parent_id, p.symbol, p.algo, x.side,"
        f" {_number('price')}, {_number('quantity')}, {_number('notional')}, {_number('fee')},"
        f" x.fee_currency, x.maker, {_number('mid')}, x.book_age_ns, x.near_gap, x.price_model,{added}"
        f" {_iso(dialect, 'x.fill_ns', 'filled_at')}, {_iso(dialect, 'x.at_ns', 'reported_at')}"
        " FROM fills x JOIN parent_orders p ON p.session = x.session AND p.parent_id = x.parent_id"
        " WHERE p.shadow_of IS NULL"
    )


def _number(column: str) -> str:
    """Return SQL for an exact decimal string as a number that compares and sums."""
    return f"CAST(x.{column} AS NUMERIC) AS {column}"


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
