"""The execution log on a real database: migrated, idempotent, exact, readable by anybody's SQL."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from agent.core.errors import DatabaseError, InputError
from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    CommandHandled,
    CommandKind,
    DecisionTaken,
    GapSeen,
    ParentChanged,
    RiskRefused,
    SlippageMeasured,
)
from agent.core.instrument import Instrument
from agent.core.types import (
    BenchmarkKind,
    ChildState,
    OrderView,
    ParentSpec,
    ParentState,
    Side,
    TargetKind,
    TimeInForce,
)
from storage.log.database import migrate, migrate_async, newest_revision, open_engine
from storage.log.execution_log import SqlExecutionLog
from storage.log.queries import SUBJECTS, query, sql, status, to_csv, to_json, to_parquet, to_table
from storage.log.tables import Base
from storage.log.upgrade import alembic_config
from tests.fakes import leave

BTC = Instrument(0, "binance", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"))
T = 1_700_000_000_000_000_000
SPEC = ParentSpec(
    parent_id="s1-p1",
    instrument=0,
    symbol="BTC/USDT",
    side=Side.BUY,
    target_kind=TargetKind.QUANTITY,
    target=200_000,
    benchmark=BenchmarkKind.VWAP,
    interval_ns=45_000_000_000,
    min_duration_ns=180_000_000_000,
    max_duration_ns=540_000_000_000,
    algo="lem",
    limit_price_ticks=6_200_000,
)
SHADOW = dataclasses.replace(SPEC, parent_id="s1-p1-twap", algo="twap", shadow_of="s1-p1")


def _parent(spec: ParentSpec, state: ParentState, seq: int, filled: int = 0) -> ParentChanged:
    return ParentChanged(
        at_ns=T + seq,
        seq=seq,
        spec=spec,
        state=state,
        reason="",
        submitted_ns=T,
        started_ns=T + 1,
        ended_ns=T + seq if state == ParentState.COMPLETED else None,
        filled_lots=filled,
        filled_tl=filled * 6_150_001,
        fee_tlp=filled * 6_150_001 * 1000,
        decision_mid_half_ticks=12_300_001,
        arrival_mid_half_ticks=12_300_003,
    )


def _decision(seq: int) -> DecisionTaken:
    view = OrderView(
        side=Side.BUY,
        target_kind=TargetKind.QUANTITY,
        benchmark=BenchmarkKind.VWAP,
        t=0,
        m=4,
        n=12,
        interval_ns=45_000_000_000,
        start_ns=T,
        remaining=1.0,
        lot_share=5e-6,
        least_share=5e-6,
        min_rate=0.0,
        max_rate=1.0,
        achieved_price=float("nan"),
        benchmark_price=float("nan"),
        arrival_price=61500.005,
        own_volume_share=0.0,
        expected_participation=0.02,
        risk_aversion=1.0,
    )
    return DecisionTaken(
        at_ns=T + seq,
        seq=seq,
        decision_id="s1-p1/0",
        parent_id="s1-p1",
        interval=0,
        asked_ns=T,
        algo="lem",
        view=view,
        market_close=61500.0,
        market_mid=float("nan"),
        share=0.25,
        finish=False,
        finish_probability=0.1,
        slice_share=0.25,
        slice_lots=50_000,
        finishing=False,
        reason="price below its average",
        overrun=False,
        model="abc",
        history_bars=12,
        importances={"ret_1": 0.4},
        attention={0: 0.25, 3: 0.125},
        turns_at_bps=-3.1,
    )


def _child(state: ChildState, seq: int, filled: int = 0) -> ChildChanged:
    return ChildChanged(
        at_ns=T + seq,
        seq=seq,
        child_id="s1-p1/0/1",
        parent_id="s1-p1",
        interval=0,
        instrument=0,
        side=Side.BUY,
        tif=TimeInForce.IOC,
        price_ticks=6_150_001,
        qty_lots=50_000,
        state=state,
        filled_lots=filled,
        filled_tl=filled * 6_150_001,
        sent_ns=T + 3,
        sent_mid_half_ticks=12_300_001,
        far_touch_ticks=6_150_001,
        reason="",
    )


FILL = ChildFilled(
    at_ns=T + 5,
    seq=5,
    fill_id="s1-p1/0/1/1",
    child_id="s1-p1/0/1",
    parent_id="s1-p1",
    instrument=0,
    side=Side.BUY,
    price_ticks=6_150_001,
    qty_lots=50_000,
    fee_tlp=6_150_001 * 50_000 * 1000,
    fee_currency="BTC",
    maker=False,
    fill_ns=T + 4,
    mid_half_ticks=12_300_001,
    book_age_ns=7,
    near_gap=False,
    price_model="book_walk+impact",
    impact_ticks=3,
    displacement_half_ticks=7,
    fee_amount=Decimal("0.00050000"),
)


def _slippage(spec: ParentSpec, gain_bps: float) -> SlippageMeasured:
    return SlippageMeasured(
        at_ns=T + 9,
        seq=9,
        parent_id=spec.parent_id,
        shadow_of=spec.shadow_of,
        algo=spec.algo,
        benchmark="vwap",
        own_benchmark=True,
        used_price=61500.0,
        full_price=None,
        avg_price=61500.01,
        arrival_price=61500.015,
        gain_bps=gain_bps,
        full_gain_bps=float("nan"),
        arrival_slippage_bps=-gain_bps / 2,
        participation_rate=0.02,
        measures={"delay": "0.01", "markout_1s_bps": float("nan")},
        flags={"gain_bps": {"gap": 0.25, "lost_trades": 0.125}} if spec.shadow_of is None else {},
        reasons={"markout_1s_bps": "no mid 1 s after a fill: the tape ends before"},
    )


EVENTS: list[AuditEvent] = [
    FILL,  # an engine's batch may name the fill before the rows it refers to
    _parent(SPEC, ParentState.WORKING, 1),
    _parent(SHADOW, ParentState.WORKING, 1),
    _decision(2),
    _child(ChildState.PENDING_NEW, 3),
    _child(ChildState.PARTIALLY_FILLED, 5, 50_000),
    RiskRefused(T + 6, 6, "s1-p1", 0, Side.BUY, 10, 6_150_001, "stale_book", "book is 9 s old"),
    GapSeen(T + 7, 7, 0, "trades", False, 0),
    GapSeen(T + 8, 8, 0, "trades", True, 3),
    _parent(SPEC, ParentState.COMPLETED, 9, 200_000),
    _slippage(SPEC, 1.5),
    _slippage(SHADOW, 0.5),
]


async def _write(url: str, events: list[AuditEvent], *, session: str = "s1") -> None:
    log = SqlExecutionLog(url, session, [BTC])
    balances = {"USDT": Decimal("1E+6"), "BTC": Decimal(0)}
    try:
        await log.open_session(opened_ns=T, path="out/s1", exchange="embedded", seed=7, balances=balances)
        await log.write(events)
    finally:
        await log.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A filled log in SQLite."""
    path = str(tmp_path / "new" / "agent.db")
    asyncio.run(_write(path, EVENTS))
    return path


def _rows(url: str, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(url) as connection:
        return connection.execute(statement).fetchall()


def differences(connection: Connection) -> list[object]:
    """What the schema lacks of the typed tables, or has besides; Alembic knows no indexes of one database."""

    def of_this_one(item: object, _name: str, kind: str, *_: object) -> bool:
        known = kind != "index" or item._ddl_if is None  # type: ignore[attr-defined]
        return known or connection.dialect.name == "postgresql"

    context = MigrationContext.configure(connection, opts={"include_object": of_this_one})
    return list(compare_metadata(context, Base.metadata))


def test_migrations_make_the_tables_the_code_uses(tmp_path: Path) -> None:
    """After the migrations nothing differs between the database and the typed tables; again is a no-op."""
    path = str(tmp_path / "agent.db")
    assert migrate(path) == migrate(f"sqlite:///{path}") == newest_revision()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


def test_an_older_log_is_brought_up_to_date(url: str) -> None:
    """A log of the first schema: reading says what to do; then decisions are there, the new columns empty."""
    with sqlite3.connect(url) as connection:
        before = connection.execute("SELECT * FROM v_parents").fetchall()
    _downgrade(url)
    with pytest.raises(DatabaseError, match="older schema: `python -m agent doctor` with the same --db"):
        query(url, "decisions")
    assert migrate(url) == newest_revision()
    decision = query(url, "decisions").dicts()[0]
    assert (decision["attention"], decision["turns_at_bps"]) == (None, None)
    assert decision["importances"] == {"ret_1": 0.4}
    assert sql(url, "SELECT slice_quantity, asked_at, turns_at_bps FROM v_decisions").rows == [
        (0.5, "2023-11-14T22:13:20.000000000Z", None)
    ]
    assert _rows(url, "SELECT * FROM v_parents") == before
    assert sql(url, "SELECT impact_ticks, impact_bps, displacement_bps, filled_at FROM v_fills").rows == [
        (None, None, None, "2023-11-14T22:13:20.000000004Z")
    ]


def test_a_fill_says_what_impact_added(url: str) -> None:
    """Three ticks of its price in bps of the mid, and the mid moved by three and a half."""
    fill = query(url, "fills").dicts()[0]
    assert (fill["price_model"], fill["impact_ticks"]) == ("book_walk+impact", 3)
    assert fill["impact_bps"] == pytest.approx(3 / 6_150_000.5 * 1e4)
    assert fill["displacement_bps"] == pytest.approx(3.5 / 6_150_000.5 * 1e4)
    assert sql(url, "SELECT impact_ticks FROM v_fills").rows == [(3,)]


def test_a_fill_says_its_fee_in_its_own_currency(url: str) -> None:
    """A fee charged in the base currency: its value in quote and its amount stand side by side."""
    fill = query(url, "fills").dicts()[0]
    assert (fill["fee_currency"], fill["fee_amount"]) == ("BTC", "0.00050000")
    assert sql(url, "SELECT fee_amount FROM v_fills").rows == [(0.0005,)]


def test_a_measure_says_what_it_stands_on(url: str) -> None:
    """Flags with their shares and reasons, in rows, CSV and views, and beside a shadow's difference."""
    (row,) = query(url, "slippage").dicts()
    assert row["flags"] == {"gain_bps": {"gap": 0.25, "lost_trades": 0.125}}
    assert row["reasons"] == {"markout_1s_bps": "no mid 1 s after a fill: the tape ends before"}
    assert '"gain_bps: gap 0.25, lost_trades 0.125"' in to_csv(query(url, "slippage"))
    share = "json_extract(flags, '$.gain_bps.gap') AS gap"
    assert sql(url, f"SELECT {share} FROM v_slippage").rows == [(0.25,)]
    assert sql(url, f"SELECT {share}, shadow_flags FROM v_shadows").rows == [(0.25, "{}")]


def test_a_measure_of_an_older_log_says_nothing_of_it(url: str) -> None:
    """What was measured before flags were kept is null, which is not the same as nothing wrong."""
    _downgrade(url)
    assert migrate(url) == newest_revision()
    (row,) = query(url, "slippage").dicts()
    assert (row["flags"], row["reasons"], row["gain_bps"]) == (None, None, 1.5)


def test_what_a_decision_does_not_say_is_null(tmp_path: Path) -> None:
    """Schedules look at no bars and have no turning point: NULL in SQL, nothing in CSV."""
    url = str(tmp_path / "agent.db")
    silent = dataclasses.replace(_decision(2), attention={}, turns_at_bps=None)
    asyncio.run(_write(url, [EVENTS[1], silent]))
    asked = "SELECT count(*) FROM decisions WHERE attention IS NULL AND turns_at_bps IS NULL"
    assert _rows(url, asked) == [(1,)]
    assert to_csv(query(url, "decisions")).splitlines()[1].endswith(",,,BTC/USDT")


def _downgrade(url: str) -> None:
    config, engine = alembic_config(), create_engine(f"sqlite:///{url}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()


def test_the_newest_revision_is_alembics_head(tmp_path: Path) -> None:
    """Told from the files' names, so that a database that is up to date needs no Alembic."""
    assert newest_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert migrate(str(tmp_path / "agent.db")) == newest_revision()
    script = "import sys, storage.log.database as d; d.migrate(sys.argv[1]); print('alembic' in sys.modules)"
    argv = [sys.executable, "-c", script, str(tmp_path / "agent.db")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_rows_are_exact(url: str) -> None:
    """Quantities, prices, money and fees come back as exact decimal strings beside their integers."""
    parent = query(url, "parents").dicts()
    assert len(parent) == 1
    expected = {
        "target": "2.00000",
        "filled": "2.00000",
        "filled_notional": "123000.0200000",
        "avg_price": "61500.01",
        "fees": "123.0000200",
        "limit_price": "62000.00",
        "decision_mid": "61500.005",
        "state": "completed",
        "seq": 9,
        "ended_ns": T + 9,
    }
    assert {k: parent[0][k] for k in expected} == expected
    fill = query(url, "fills").dicts()[0]
    assert (fill["price"], fill["quantity"], fill["notional"]) == ("61500.01", "0.50000", "30750.0050000")
    assert (fill["symbol"], fill["algo"], fill["fee_currency"]) == ("BTC/USDT", "lem", "BTC")
    decision = query(url, "decisions").dicts()[0]
    assert decision["slice_quantity"] == "0.50000"
    assert decision["market_mid"] is None
    assert decision["seen"]["remaining"] == 1.0
    assert decision["seen"]["achieved_price"] is None
    assert decision["importances"] == {"ret_1": 0.4}
    assert decision["attention"] == {"0": 0.25, "3": 0.125}
    assert decision["turns_at_bps"] == -3.1
    assert _rows(url, "SELECT currency, amount FROM balances ORDER BY 1") == [
        ("BTC", "0"),
        ("USDT", "1000000"),
    ]


def test_writing_again_changes_nothing(url: str) -> None:
    """A resumed run may rewrite every event, one by one or at once: the tables stay as they were."""
    before = [_rows(url, f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in Base.metadata.tables]
    asyncio.run(_write(url, EVENTS[1:] + EVENTS[:1]))
    assert [_rows(url, f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in Base.metadata.tables] == before
    assert all(before[list(Base.metadata.tables).index(name)] for name in ("fills", "risk_refusals", "gaps"))


async def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    """A batch with a row that cannot be stored leaves none of its rows."""
    path = str(tmp_path / "agent.db")
    orphan = dataclasses.replace(FILL, child_id="nobody", fill_id="nobody/1")
    with pytest.raises(DatabaseError, match="FOREIGN KEY"):
        await _write(path, [*EVENTS, orphan])
    assert _rows(path, "SELECT count(*) FROM parent_orders") == [(0,)]
    assert _rows(path, "SELECT count(*) FROM sessions") == [(1,)]


def test_filters(url: str) -> None:
    """Time, symbol, algo, parent and limit select rows; a shadow shows only with its parent."""
    assert len(query(url, "children", symbol="BTC/USDT", algo="lem", parent="s1-p1").rows) == 1
    assert query(url, "children", symbol="ETH/USDT").rows == []
    assert query(url, "fills", since=T + 5).rows == []
    assert len(query(url, "fills", since=T + 4, until=T + 5).rows) == 1
    assert [r["lost"] for r in query(url, "gaps", limit=1).dicts()] == [3]
    assert [r["algo"] for r in query(url, "slippage").dicts()] == ["lem"]
    assert {r["algo"] for r in query(url, "slippage", parent="s1-p1").dicts()} == {"lem", "twap"}
    assert [r["session"] for r in query(url, "sessions").dicts()] == ["s1"]
    assert all(query(url, what).columns[:2] == ["session", "seq"] for what in SUBJECTS)


def test_questions_that_make_no_sense(url: str, tmp_path: Path) -> None:
    """An unknown table, a filter a table lacks, a zero limit and a missing database are each one message."""
    with pytest.raises(InputError, match="no table 'orders' in the log: choose one of parents, children"):
        query(url, "orders")
    with pytest.raises(InputError, match="gaps have no algo"):
        query(url, "gaps", algo="lem")
    with pytest.raises(InputError, match="belong to no parent"):
        query(url, "sessions", parent="x")
    with pytest.raises(InputError, match="limit 0"):
        query(url, "fills", limit=0)
    with pytest.raises(DatabaseError, match=r"no execution log at .*none.db: run the agent once"):
        query(str(tmp_path / "none.db"), "fills")
    (tmp_path / "empty.db").touch()
    with pytest.raises(DatabaseError, match="holds no execution log"):
        query(str(tmp_path / "empty.db"), "fills")


def test_views_serve_plain_sql(url: str) -> None:
    """Views give numbers that compare and ISO times, and pair shadows with their parents."""
    found = sql(url, "SELECT parent_id, filled, started_at FROM v_parents WHERE avg_price > 61500")
    assert found.rows == [("s1-p1", 2, "2023-11-14T22:13:20.000000001Z")]
    assert sql(url, "SELECT sum(quantity * price) FROM v_fills").rows == [(30750.005,)]
    assert sql(url, "SELECT count(*) FROM v_decisions").rows == [(1,)]
    assert sql(url, "SELECT state FROM v_children").rows == [("partially_filled",)]
    assert sql(url, "SELECT parent_id, gain_bps FROM v_slippage").rows == [("s1-p1", 1.5)]
    pair = "SELECT parent_id, shadow_algo, diff_gain_bps, diff_full_bps, diff_arrival_bps FROM v_shadows"
    assert sql(url, pair).rows == [("s1-p1", "twap", 1.0, None, 0.5)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM fills",
        "WITH x AS (SELECT 1) DELETE FROM fills",
        "PRAGMA query_only = OFF",
        "SELECT 1; DELETE FROM fills",
        "SELECT nonsense FROM fills",
        "SELECT FROM",
        "",
    ],
)
def test_sql_only_reads(url: str, statement: str) -> None:
    """Whatever would write, or is no SQL, is refused, and the fills stay."""
    with pytest.raises(InputError, match="refused"):
        sql(url, statement)
    assert _rows(url, "SELECT count(*) FROM fills") == [(1,)]


def test_exports(url: str, tmp_path: Path) -> None:
    """JSON, CSV, parquet and table cells hold the same rows."""
    result = query(url, "decisions")
    assert '"slice_quantity": "0.50000"' in to_json(result)
    assert to_csv(result).splitlines()[1].startswith("s1,2,s1-p1/0,")
    to_parquet(result, tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pylist()[0]["importances"] == "ret_1 0.4"
    assert to_table(result)[0] == result.columns
    assert to_table(result)[1][2] == "s1-p1/0"
    with pytest.raises(InputError, match="cannot write"):
        to_parquet(result, tmp_path / "nowhere" / "x.parquet")


async def test_commands_from_another_terminal(tmp_path: Path) -> None:
    """A command waits until it is handled, keeps what the user gave, and says which orders it was for."""
    path = str(tmp_path / "agent.db")
    await _write(path, EVENTS[1:2])
    log = SqlExecutionLog(path, "s1", [BTC])
    amend = {"participation_cap": 0.5}
    await leave(path, "s1", "c1", CommandKind.AMEND, created_ns=T, parent_id="s1-p1", amend=amend)
    await leave(path, "s1", "c2", CommandKind.KILL, created_ns=T + 1)
    pending = await log.pending_commands()
    assert [(c.command_id, c.kind, c.amend) for c in pending] == [
        ("c1", "amend", amend),
        ("c2", "kill", {}),
    ]
    await log.write([CommandHandled(T + 5, 5, "c1", CommandKind.AMEND, "s1-p1", "done", ("s1-p1",))])
    await log.write([CommandHandled(T + 6, 6, "c2", CommandKind.KILL, None, "nothing is working")])
    assert await log.pending_commands() == []
    assert _rows(path, "SELECT created_ns, amend, seq, outcome, parents FROM commands ORDER BY 1") == [
        (T, '{"participation_cap": 0.5}', 5, "done", '["s1-p1"]'),
        (T + 1, "{}", 6, "nothing is working", "[]"),
    ]
    working = await asyncio.to_thread(status, path, ["s1"])
    assert [r["parent_id"] for r in working.dicts()] == ["s1-p1"]
    assert (await asyncio.to_thread(status, path, [])).rows == []
    await log.close()


async def test_a_locked_database(tmp_path: Path) -> None:
    """A database another program holds is one message, after the configured wait."""
    path = str(tmp_path / "agent.db")
    await _write(path, [])
    log = SqlExecutionLog(path, "s1", [BTC], busy_ms=50)
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseError, match=r"agent.db is locked by another program"):
        await log.write(EVENTS[1:2])
    holder.rollback()
    holder.close()
    await log.write(EVENTS[1:2])
    await log.close()


async def test_a_read_only_database(tmp_path: Path) -> None:
    """A database that cannot be written is one message that says what to do."""
    path = tmp_path / "agent.db"
    await _write(str(path), [])
    log = SqlExecutionLog(f"sqlite:///file:{path}?mode=ro&uri=true", "s1", [BTC])
    with pytest.raises(DatabaseError, match="is read-only: make it writable"):
        await log.write(EVENTS[1:2])
    await log.close()


def test_a_newer_schema(url: str) -> None:
    """A database of a later program is refused and left alone."""
    with sqlite3.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(
        DatabaseError, match=f"has schema 0999, newer than {newest_revision()} of this program: update"
    ):
        migrate(url)
    assert _rows(url, "SELECT version_num FROM alembic_version") == [("0999",)]


def test_what_is_no_database(tmp_path: Path) -> None:
    """Another file, a directory, an unknown kind and an unreachable server are each one message."""
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatabaseError, match=r"junk.db is not a database"):
        migrate(str(junk))
    with pytest.raises(DatabaseError, match="cannot be opened"):
        migrate(str(tmp_path))
    with pytest.raises(InputError, match="'mysql' is not supported: give a file's path"):
        migrate("mysql://localhost/x")
    with pytest.raises(DatabaseError, match=r"postgresql://u:\*\*\*@127.0.0.1:1/x cannot be reached"):
        migrate("postgresql://u:secret@127.0.0.1:1/x")


async def test_sqlite_runs_in_wal(tmp_path: Path) -> None:
    """Readers in other terminals do not block the run: WAL, and foreign keys are enforced."""
    path = str(tmp_path / "agent.db")
    await migrate_async(path)
    engine = open_engine(path)
    async with engine.connect() as connection:
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
    await engine.dispose()
