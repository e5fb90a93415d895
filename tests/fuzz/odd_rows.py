"""Databases with rows, types and schemas that this program did not write, and the commands that read them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

from tests.fuzz.trial import Case
from tests.fuzz.world import ODD_VALUES, World, odd

SUBJECTS = ("parents", "children", "fills", "decisions", "slippage", "sessions", "gaps")
TABLES = ("sessions", "parent_orders", "child_orders", "fills", "decisions", "slippage", "gaps", "commands",
          "instruments", "balances", "alembic_version")  # fmt: skip
STATEMENTS = (
    *("SELECT * FROM v_fills", "SELECT * FROM v_parents", "SELECT 1 AS a, 2 AS a", "SELECT 1/0", "SELECT %s"),
    *("SELECT * FROM nope", "SELECT nope FROM fills", "WITH x AS (SELECT 1) DELETE FROM fills", "SELECT"),
    *("SELECT 1; SELECT 2", "EXPLAIN SELECT 1", "VALUES (1),(2)", "SELECT ?", "SELECT :a", "SELECT x'00ff'"),
    *("SELECT 1e999, -1e999, 9223372036854775807", "SELECT zeroblob(10)", "SELECT json('x')"),
    *("SELECT abs(-9223372036854775808)", "SELECT load_extension('x')", "select char(0)"),
    *("SELECT * FROM fills, parent_orders", "SELECT 'a' || char(55296)"),
)


def make_case(draw: random.Random, world: World) -> Case:
    """A copy of a database, changed in one to four ways, and a command that reads it."""
    file = world.fresh() / "agent.db"
    shutil.copy(world.database, file)
    about = [_change(draw, file) for _ in range(draw.choice([0, 1, 1, 2, 4]))]
    return Case([*_command(draw, world), "--db", f"sqlite:///{file}"], "; ".join(about))


def _command(draw: random.Random, world: World) -> list[str]:
    kind = draw.random()
    form = draw.choice(
        [["--json"], [], ["--format", "csv"], ["--format", "parquet", "--out", str(world.scratch / "r")]]
    )
    if kind < 0.45:
        more = draw.choice(
            [[], ["--parent", "s-P1"], ["--symbol", odd(draw)], ["--since", "3d"], ["--limit", "3"]]
        )
        return ["log", draw.choice(SUBJECTS), *form, *more]
    if kind < 0.75:
        return ["log", "sql", odd(draw) if draw.random() < 0.2 else draw.choice(STATEMENTS), *form]
    if kind < 0.85:
        return ["status", *draw.choice([[], ["--json"]])]
    if kind < 0.9:
        return ["doctor", "--exchange", "no-such-exchange", "--json"]
    return ["replay", str(world.session), "--json"]


def _change(draw: random.Random, file: Path) -> str:
    if draw.random() < 0.1:
        data = bytearray(file.read_bytes())
        for _ in range(draw.choice([1, 8])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        file.write_bytes(data)
        return "bytes flipped"
    if draw.random() < 0.05:
        file.write_bytes(file.read_bytes()[: draw.randrange(file.stat().st_size)])
        return "cut"
    connection = sqlite3.connect(file)
    try:
        about = _in_sql(draw, connection)
        connection.commit()
    except (sqlite3.Error, UnicodeDecodeError) as error:  # what an earlier change made of it
        about = f"({error})"
    connection.close()
    return about


def _in_sql(draw: random.Random, connection: sqlite3.Connection) -> str:
    table = draw.choice(TABLES)
    kind = draw.random()
    if kind < 0.08:
        connection.execute(f"DROP TABLE {table}")
        return f"{table} dropped"
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    column = draw.choice(columns or ["x"])
    if kind < 0.15:
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {column}_old")
        return f"{table}.{column} renamed"
    value = database_value(draw)
    connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    return f"{table}.{column} = {str(value)[:40]!r}"


def database_value(draw: random.Random) -> object:
    """What a column of SQLite may hold, whatever its type says."""
    if draw.random() < 0.5:
        return odd(draw).encode("utf-8", "replace").decode()
    value = draw.choice(ODD_VALUES)
    if isinstance(value, list | dict):
        return str(value)
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
