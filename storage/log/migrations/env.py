"""Alembic's entry point: runs the migrations on the connection that ``storage.log.database`` hands over."""

from __future__ import annotations

from alembic import context

from storage.log.tables import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit(
        "run migrations with `python -m agent doctor --db URL` or storage.log.database.migrate(url)"
    )
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
