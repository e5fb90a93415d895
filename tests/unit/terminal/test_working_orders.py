"""What ``status`` shows of the orders that work: a row each, or of many a row for those alike."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

from agent.core.types import ParentState, Side
from agent.terminal.working_orders import IN_FULL, grouped, in_words, troubled
from tests.every_key.command_line import call
from tests.integration.test_storage import SPEC, T, _parent
from tests.unit.storage.test_command_sender import Session

S = 10**9


def row(number: int, **changes: object) -> dict[str, object]:
    """An order of 1000 s that started 500 s ago, half filled."""
    return {
        "parent_id": f"s-o{number}",
        "symbol": "BTC/USDT",
        "side": "buy",
        "algo": "twap",
        "state": "working",
        "target_kind": "quantity",
        "target_units": 100,
        "filled_lots": 50,
        "filled_tl": 0,
        "started_ns": 0,
        "max_duration_ns": 1000 * S,
        **changes,
    }


def test_many_orders_share_rows() -> None:
    """Those of one symbol and state, with how many buy and sell, and how far they are on average."""
    rows = [row(n, filled_lots=40 + 20 * (n % 2), side="sell" if n > 6 else "buy") for n in range(10)]
    rows += [row(10, symbol="ETH/USDT", target_kind="notional", target_units=1000, filled_tl=250)]
    rows += [row(11, state="pending", started_ns=None, filled_lots=0)]
    columns, shown = grouped(rows, 500 * S)
    assert columns == ["symbol", "state", "buy", "sell", "filled", "time gone"]
    assert shown == [
        ["BTC/USDT", "pending", "1", "0", "0%", "0%"],
        ["BTC/USDT", "working", "7", "3", "50%", "50%"],
        ["ETH/USDT", "working", "1", "0", "25%", "50%"],
    ]
    assert in_words(rows, 500 * S) == (
        "12 orders on 2 symbols: 1 pending, 11 working; filled 44% on average, 46% of their time gone"
    )


def test_those_that_need_a_look_stand_by_themselves() -> None:
    """Paused, or a quarter of their time behind; the furthest first, and how many more there are."""
    rows = [
        row(1),
        row(2, filled_lots=26),
        row(3, filled_lots=24),
        row(4, state="paused"),
        row(5, filled_lots=0),
    ]
    columns, shown = troubled(rows, 500 * S)
    assert [(one[0], one[-1]) for one in shown] == [
        ("s-o5", "50% behind its time"),
        ("s-o3", "26% behind its time"),
        ("s-o4", "paused"),
    ]
    assert len(columns) == len(shown[0])
    late = troubled([row(n, filled_lots=0) for n in range(40)], 900 * S).rows
    assert (len(late), late[-1][0]) == (IN_FULL + 1, "and 25 more")
    assert troubled([row(1)], 500 * S).rows == []


async def test_status_groups_many_orders(tmp_path: Path) -> None:
    """Forty of a live session: few lines within the terminal; with --all, and in JSON, forty rows."""
    path = tmp_path / "agent.db"
    session = Session(path, "20260101T000000-001", T)
    await session.open(works=False)
    specs = [
        replace(SPEC, parent_id=f"20260101T000000-001-o{n}", side=(Side.BUY, Side.SELL)[n % 2])
        for n in range(40)
    ]
    session.log.take(
        [replace(_parent(spec, ParentState.WORKING, 1), started_ns=time.time_ns()) for spec in specs]
    )
    await asyncio.sleep(0.5)
    said = [
        await asyncio.to_thread(call, "agent", "status", "--db", path, *more) for more in ((), ("--all",))
    ]
    found = json.loads((await asyncio.to_thread(call, "agent", "status", "--db", path, "--json")).out)
    await session.close()
    grouped_, every = (one.out for one in said)
    assert "40 orders on BTC/USDT: 40 working" in grouped_
    assert "20260101T000000-001-o7" not in grouped_
    assert "status --all" in grouped_
    assert len(grouped_.splitlines()) < 20
    assert max(map(len, grouped_.splitlines())) <= 80
    assert all(f"-o{n}" in every for n in range(40))
    assert len(found["parents"]) == 40
