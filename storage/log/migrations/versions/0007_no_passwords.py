"""Sessions' configurations lose the password of the database's URL, which earlier versions recorded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from agent.core.secret_url import DatabaseUrl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SESSIONS = sa.table("sessions", sa.column("session", sa.Text()), sa.column("config", sa.JSON()))


def upgrade() -> None:
    connection = op.get_bind()
    for session, config in connection.execute(sa.select(_SESSIONS.c.session, _SESSIONS.c.config)).all():
        url = config.get("database") if isinstance(config, dict) else None
        if isinstance(url, str) and DatabaseUrl(url).recorded != url:
            bare = {**config, "database": DatabaseUrl(url).recorded}
            connection.execute(sa.update(_SESSIONS).where(_SESSIONS.c.session == session).values(config=bare))


def downgrade() -> None:
    """What is gone is gone."""
