"""The page on many orders: its file is read as it says, its limits are the configuration's."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from agent.config import Config, Risk
from agent.jobs.listed_starts import MOST_AT_ONCE, MOST_MODELS_AT_ONCE
from agent.order_list.order_files import with_orders_of
from agent.runtime import DUE_AT_ONCE
from agent.terminal import many_orders, working_orders
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from tests.unit.docs.test_house import ROOT

PAGE = (ROOT / "docs" / "many-orders.md").read_text()


def test_the_file_of_the_page_is_read(tmp_path: Path) -> None:
    """Three orders on three symbols, at three starts."""
    (found,) = re.findall(r"```\n(id,.*?)```", PAGE, re.DOTALL)
    (tmp_path / "list.csv").write_text(found)
    rows = with_orders_of(tmp_path / "list.csv", Config()).orders
    assert [(row.id, row.symbol, row.order.notional) for row in rows] == [
        ("open", "BTC/USDT", Decimal(250_000)),
        ("basket-eth", "ETH/USDT", Decimal(80_000)),
        ("basket-sol", "SOL/USDT", Decimal(20_000)),
    ]
    assert rows[0].start == 0
    assert rows[1].start == 300 * 10**9
    assert {row.symbol for row in rows} <= set(SYMBOLS)


def test_the_limits_of_all_orders_are_those_there_are() -> None:
    """Each key of the table is one of `risk:`, and those for all orders are off by default."""
    keys = re.findall(r"\| `risk\.(\w+)` \|", PAGE)
    defaults = {key: getattr(Risk(), key) for key in keys}
    assert defaults.pop("max_orders_per_s") == 20
    assert set(defaults) == {
        key for key in Risk.model_fields if "symbol" in key or "total" in key or key == "max_open_notional"
    }
    assert set(defaults.values()) == {None}


def test_the_numbers_of_the_page_are_the_programs() -> None:
    """So many symbols, lines, rows, and orders at a time."""
    assert (len(SYMBOLS), working_orders.IN_FULL, many_orders.LINES, many_orders.ROWS) == (20, 15, 15, 40)
    assert (MOST_AT_ONCE, MOST_MODELS_AT_ONCE, DUE_AT_ONCE) == (20, 4, 50)
    for words in ("20 symbols", "first fifteen", "more than fifteen", "more than forty", "parts of fifty"):
        assert words in PAGE
    assert "twenty start each 50 ms, four of them with the model" in PAGE
