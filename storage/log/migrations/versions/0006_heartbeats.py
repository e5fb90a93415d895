"""Sessions have a heartbeat, and commands say which parent orders they were carried out on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("beat_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["sessions.session"]),
        sa.PrimaryKeyConstraint("session"),
    )
    op.add_column("commands", sa.Column("parents", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("commands", "parents")
    op.drop_table("heartbeats")
