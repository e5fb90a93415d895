"""Fills also hold their fee's amount in its own currency, where that is not the quote currency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BEFORE = " x.impact_ticks, x.impact_bps, x.displacement_bps,"


def upgrade() -> None:
    op.execute("DROP VIEW v_fills")
    op.add_column("fills", sa.Column("fee_amount", sa.Text(), nullable=True))
    op.execute(_view(op.get_bind().dialect.name, f" {_number('fee_amount')},{_BEFORE}"))


def downgrade() -> None:
    op.execute("DROP VIEW v_fills")
    op.drop_column("fills", "fee_amount")
    op.execute(_view(op.get_bind().dialect.name, _BEFORE))


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
