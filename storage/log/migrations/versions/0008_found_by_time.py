"""What is asked for by its time is found by it, and on PostgreSQL deleting an order finds what refers to it.

SQLite needs no help there: rows of a session that are gone are out of its indexes at once. PostgreSQL's are
there until the transaction ends, and every child that is deleted looked through all of its session's fills.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIMES = {"fills": "fill_ns", "child_orders": "sent_ns", "decisions": "asked_ns"}


def upgrade() -> None:
    for table, column in _TIMES.items():
        op.create_index(f"ix_{table}_time", table, [column])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_fills_child", "fills", ["session", "child_id"])
        op.create_index("ix_risk_refusals_parent", "risk_refusals", ["session", "parent_id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_risk_refusals_parent", "risk_refusals")
        op.drop_index("ix_fills_child", "fills")
    for table in _TIMES:
        op.drop_index(f"ix_{table}_time", table)
