"""``run --orders``: many orders on two symbols in one run, through the real client, recorded and replayed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.every_key.command_line import call

pytestmark = pytest.mark.slow

ROWS = """id,symbol,side,quantity,notional,algo,min_duration,max_duration,interval,start,limit_price
late,BTC/USDT,buy,0.2,,twap,1s,3s,1s,2s,
eth,ETH/USDT,sell,2,,lem,1s,3s,1s,,
money,ETH/USDT,buy,,20000,pov,1s,3s,1s,1s,
,BTC/USDT,sell,0.1,,vwap,1s,3s,1s,,
never,BTC/USDT,buy,0.1,,twap,1s,3s,1s,,50000
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("feed: {warm_up: 20s}\norder: {shadows: [twap]}\n")
    return tmp_path


def test_many_orders_work_in_one_run(here: Path) -> None:
    """In the order of the file, each at its time; one expires without harm. Log and replay have all."""
    (here / "o.csv").write_text(ROWS)
    done = call("agent", "run", "--paper", "--orders", "o.csv", "--config", "c.yaml", "--json")
    found = json.loads(done.out)
    assert done.code == 1, done.err  # one did not complete
    session, parents = found["session"], found["parents"]
    assert [p["id"].removeprefix(f"{session}-") for p in parents] == ["late", "eth", "money", "P4", "never"]
    assert [(p["symbol"], p["side"], p["algo"]) for p in parents] == [
        ("BTC/USDT", "buy", "twap"),
        ("ETH/USDT", "sell", "lem"),
        ("ETH/USDT", "buy", "pov"),
        ("BTC/USDT", "sell", "vwap"),
        ("BTC/USDT", "buy", "twap"),
    ]
    by_name = {p["id"].removeprefix(f"{session}-"): p for p in parents}
    assert [by_name[name]["state"] for name in ("late", "eth", "P4")] == ["completed"] * 3
    assert (by_name["never"]["state"], by_name["never"]["fills"]) == ("expired", 0)
    assert "limit price" in by_name["never"]["reason"]
    started = {name: p["started_ns"] / 1e9 for name, p in by_name.items()}
    assert 1.9 < started["late"] - started["P4"] < 3
    assert 0.9 < started["money"] - started["P4"] < 2
    with sqlite3.connect("runs/agent.db") as log:
        stored = log.execute("SELECT count(*) FROM parent_orders WHERE shadow_of IS NULL").fetchone()
    assert stored == (5,)
    replayed = json.loads(call("agent", "replay", session, "--verify", "--json").out)
    assert replayed["match"] is True
    assert {p["id"] for p in replayed["parents"]} == {p["id"] for p in parents}
    table = call("agent", "replay", session).out
    assert "5 orders: 3 completed" in table
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("id,quantity\na,1\nb,none\n", ["o.csv:3", "quantity 'none'"]),
        ("id,quantity,algo\na,1,twap\nb,1,twpa\nc,1,vwpa\n", ["2 of 3", "o.csv:3", "'twpa'", "o.csv:4"]),
        ("id,quantity\na,1\nb,0.000000001\n", ["o.csv:3", "0.000000001"]),
        ("id,quantity\na,1\nb,0.00001\n", ["o.csv:3", "minimum"]),
        ("id,quantity,symbol\na,1,XRP/EUR\n", ["o.csv:2", "XRP/EUR", "BTC/USDT"]),
    ],
)
def test_one_bad_row_starts_none(here: Path, rows: str, words: list[str]) -> None:
    """Whatever finds it, the file itself, the algos, or the exchange: exit 2, no session, no row."""
    (here / "o.csv").write_text(rows)
    done = call("agent", "run", "--paper", "--orders", "o.csv", "--config", "c.yaml")
    assert done.code == 2, done
    assert all(word in done.err for word in words), done.err
    assert not (here / "runs" / "sessions").exists()


def test_only_the_orders_of_an_unknown_symbol_are_blamed(here: Path) -> None:
    """The message has another symbol as an example: an order of that one is right."""
    (here / "o.csv").write_text("id,quantity,symbol\na,1,BTC/USDT\nb,1,XRP/EUR\n")
    done = call("agent", "run", "--paper", "--orders", "o.csv", "--config", "c.yaml")
    assert (done.code, "o.csv:3" in done.err, "o.csv:2" in done.err) == (2, True, False), done.err


def test_options_that_would_change_no_order_are_refused(here: Path) -> None:
    """The orders of a configuration are as it says; of a file, what its rows leave out is as given."""
    (here / "c.yaml").write_text("orders: [{order: {quantity: 1, algo: twap}}]\n")
    done = call("agent", "run", "--paper", "--config", "c.yaml", "--quantity", "7")
    assert (done.code, "--orders" in done.err) == (2, True)
    done = call("agent", "doctor", "--json", "--config", "c.yaml")
    assert done.code == 0, done.out
