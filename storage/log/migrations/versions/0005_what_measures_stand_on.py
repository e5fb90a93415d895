"""Measures also hold what was wrong with the data in their windows, and why one of them is not known.

Rows from before say nothing of either: null, which is not the same as nothing wrong.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _drop_views()
    for name in ("flags", "reasons"):
        op.add_column("slippage", sa.Column(name, sa.JSON(), nullable=True))
    _create_views(" x.flags, x.reasons,", ", s.flags, x.flags AS shadow_flags")


def downgrade() -> None:
    _drop_views()
    for name in ("reasons", "flags"):
        op.drop_column("slippage", name)
    _create_views("", "")


def _drop_views() -> None:
    for name in ("v_slippage", "v_shadows"):
        op.execute(f"DROP VIEW {name}")


def _create_views(of_slippage: str, of_shadows: str) -> None:
    measured_at = _iso(op.get_bind().dialect.name, "x.at_ns", "measured_at")
    op.execute(
        "CREATE VIEW v_slippage AS"
        " SELECT x.session, x.seq, x.parent_id, p.symbol, p.side, x.algo, x.benchmark, x.own_benchmark,"
        " x.used_price, x.full_price, x.avg_price, x.arrival_price, x.gain_bps, x.full_gain_bps,"
        f" x.arrival_slippage_bps, x.participation_rate, x.measures,{of_slippage} {measured_at}"
        " FROM slippage x JOIN parent_orders p ON p.session = x.session AND p.parent_id = x.parent_id"
        " WHERE x.shadow_of IS NULL"
    )
    op.execute(
        "CREATE VIEW v_shadows AS"
        " SELECT x.session, x.seq, x.shadow_of AS parent_id, s.algo, x.parent_id AS shadow_id,"
        " x.algo AS shadow_algo, x.benchmark, s.own_benchmark, s.gain_bps, x.gain_bps AS shadow_gain_bps,"
        " s.gain_bps - x.gain_bps AS diff_gain_bps, s.full_gain_bps - x.full_gain_bps AS diff_full_bps,"
        " s.arrival_slippage_bps, x.arrival_slippage_bps AS shadow_arrival_slippage_bps,"
        f" x.arrival_slippage_bps - s.arrival_slippage_bps AS diff_arrival_bps{of_shadows}"
        " FROM slippage x JOIN slippage s ON s.session = x.session AND s.parent_id = x.shadow_of"
        " AND s.benchmark = x.benchmark"
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
