"""Migrations, run by Alembic: apart, because importing it takes longer than most commands."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from agent.core.errors import DatabaseError

_MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Return the migrations' configuration, which lies inside the package."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection, name: str) -> str:
    """Bring the database to the newest schema; return its revision. Raises DatabaseError if it is newer.

    ``name`` is what the message calls the database.
    """
    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    if current not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise DatabaseError(
            f"database {name} has schema {current}, newer than {head} of this program: update the "
            "program, or give another --db"
        )
    if current != head:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head
