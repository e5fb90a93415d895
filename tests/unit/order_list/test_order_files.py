"""Files of many orders: what is read of each kind, and every row that cannot be used, with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from agent.config import Config, OrderRow, names_of
from agent.core.errors import InputError
from agent.order_list.order_files import with_orders_of
from agent.order_options import Order

S = 10**9
BASE = Config(order=Order(quantity=Decimal(3), algo="twap", shadows=("vwap",)), symbol="ETH/USDT")
FILES = {
    "x.csv": (
        "ID, Symbol, Side, Quantity, Notional, Algo, Algo-Param, Shadow, Max Duration, Start\n"
        "a, BTC/USDT, sell, 0.10, , pov, rate=0.2, , 2m, 15m\n"
        "\n"
        ', , , , "5e4", , , "twap,pov", , 2026-01-05T10:00\n'
    ),
    "x.jsonl": (
        '{"id": "a", "symbol": "BTC/USDT", "side": "sell", "quantity": 0.10, "algo": "pov",'
        ' "algo_params": {"rate": 0.2}, "max_duration": "2m", "start": "15m"}\n'
        '{"notional": 5e4, "shadow": ["twap", "pov"], "start": "2026-01-05T10:00Z"}\n'
    ),
    "x.yaml": (
        "- {id: a, symbol: BTC/USDT, side: sell, quantity: 0.10, algo: pov, algo_params: {rate: 0.2},\n"
        "   max-duration: 2m, start: 15m}\n"
        "- notional: 5e4\n"
        "  shadows: [twap, pov]\n"
        "  start: 2026-01-05T10:00:00Z\n"
    ),
}


def read(folder: Path, name: str, text: str, base: Config = BASE) -> tuple[OrderRow, ...]:
    (folder / name).write_text(text)
    return with_orders_of(folder / name, base).orders


def refusal(folder: Path, name: str, text: str) -> list[str]:
    """The lines of what is wrong."""
    with pytest.raises(InputError) as refused:
        read(folder, name, text)
    return str(refused.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize("name", FILES)
def test_a_row_is_an_order_and_what_it_leaves_out_is_as_configured(tmp_path: Path, name: str) -> None:
    """In any kind of file; money for quantity, and a time for a duration."""
    first, second = read(tmp_path, name, FILES[name])
    assert (first.id, first.symbol, first.start) == ("a", "BTC/USDT", 900 * S)
    own = Order(
        side="sell",
        quantity=Decimal("0.10"),
        algo="pov",
        algo_params={"rate": 0.2},
        max_duration=120 * S,
        shadows=("vwap",),
    )
    assert first.order == own
    assert (second.id, second.symbol) == (None, None)
    assert second.start == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert second.order == Order(notional=Decimal(50_000), algo="twap", shadows=("twap", "pov"))
    assert (first.place, second.place)[0].endswith(f"{name}:{2 if name == 'x.csv' else 1}")


def test_every_bad_row_is_told_with_its_line(tmp_path: Path) -> None:
    """What it says and what is allowed; a row of several lines is where it begins."""
    text = (
        "id,quantity,algo,min_duration,symbol\n"
        "a,1,twap,,\n"
        "b,x,twap,,\n"
        "c,-1,twap,,\n"
        'd,1,twap,,"BTC/\nUSDT"\n'
        "e,1,twap,7s,\n"
        "f,1,twap,,,9,9\n"
        "b c,1,twap,,\n"
    )
    head, *told = refusal(tmp_path, "x.csv", text)
    assert head == "5 of 7 orders cannot be used, so none was started:"
    assert told == [
        "  x.csv:3: quantity 'x' is not a number: write it as in 0.5",
        "  x.csv:4: quantity -1 is not allowed: it must be a positive number",
        "  x.csv:7: min duration 7s is not a multiple of the interval 5s: the nearest is 5s",
        "  x.csv:8: 7 cells stand below 5 columns: leave some out",
        "  x.csv:9: id = 'b c': String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$'",
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "qty\n1\n", "x.csv: unknown column 'qty': did you mean quantity?"),
        ("x.csv", "max-duration,Max Duration\n1,1\n", "column max_duration is there twice"),
        ("x.jsonl", '{"quantity": 1, "quantity": 100}\n', "x.jsonl:1: quantity is there twice"),
        ("x.jsonl", '{"min-duration": "1s", "min_duration": "2s"}\n', "min_duration is there twice"),
        ("x.yaml", "- {quantity: 1, quantity: 100}\n", "x.yaml:1: quantity is there twice"),
        ("x.yaml", "- {quantity: [[1]]}\n", "quantity holds lists within lists"),
        ("x.yaml", "- {quantity: {a: 1}}\n", "quantity holds names and values"),
        ("x.csv", "quantity,notional\n1,1\n", "--quantity and --notional exclude each other"),
        ("x.csv", "id\na\na\n", "x.csv:3: id 'a' is taken: x.csv:2 has it"),
        ("x.csv", "id,side\nP2,buy\n,buy\n", "x.csv:3: id 'P2' is taken: x.csv:2 has it"),
        ("x.csv", "quantity\n", "x.csv holds no order"),
        ("x.csv", 'quantity\n"1', "x.csv cannot be read as .csv: unexpected end of data"),
        ("x.csv", "start\nsoon\n", "start = 'soon': write a duration (0s, 15m) or a time"),
        ("x.csv", "side\nhold\n", "side = 'hold': Input should be 'buy' or 'sell'"),
        ("x.jsonl", "{}\n1\nzz\n", "x.jsonl:2: '1' is no order"),
        ("x.jsonl", "{}\n1\nzz\n", "x.jsonl:3: 'zz' is no JSON"),
        ("x.jsonl", '{"quantity": true}\n', "quantity 'True' is not a number"),
        ("x.yaml", "quantity: 1\n", "give a list of orders"),
        ("x.yaml", "- [1]\n", "x.yaml:1: list is no order"),
        ("x.yaml", "- {a: [}\n", "x.yaml cannot be read as .yaml"),
        ("x.json", "[]", "orders are read from .csv, .jsonl"),
        ("x.txt", "quantity\n1\n", "orders are read from .csv, .jsonl"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    """One message, with the line where there is one."""
    assert words in "\n".join(refusal(tmp_path, name, text))


def test_of_ten_thousand_rows_one_bad_one_is_found_and_many_are_counted(tmp_path: Path) -> None:
    """Twenty are told, the rest counted."""
    rows = [f"{n},1" for n in range(10_000)]
    rows[7_000] = "7000,none"
    assert refusal(tmp_path, "x.csv", "\n".join(["id,quantity", *rows])) == [
        "x.csv:7002: quantity 'none' is not a number: write it as in 0.5 (of 10,000 orders none was started)"
    ]
    many = refusal(tmp_path, "x.csv", "quantity\n" + "none\n" * 50)
    assert (len(many), many[-1]) == (22, "  and 30 more")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.jsonl", '\ufeff{"id": null, "symbol": null, "quantity": 2}\n'),
        ("x.yaml", "- {id: null, symbol: ~, quantity: 2, limit_price: }\n"),
        ("x.csv", "\ufeffid,symbol,quantity,limit_price\n,,2,\n"),
    ],
)
def test_nothing_is_nothing_in_any_kind(tmp_path: Path, name: str, text: str) -> None:
    """Null, and an empty cell, are as if the column were not there; a mark of the byte order is skipped."""
    (one,) = read(tmp_path, name, text)
    assert (one.id, one.symbol, one.order.quantity, one.order.limit_price) == (None, None, Decimal(2), None)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(InputError, match=r"orders .*none\.csv does not exist: give another --orders"):
        with_orders_of(tmp_path / "none.csv", BASE)


def test_a_configuration_lists_orders_too() -> None:
    """What an item leaves out is as in ``order``; of its size, the one it gives."""
    own = {"quantity": 3, "algo": "twap"}
    listed = [{"symbol": "BTC/USDT", "order": {"notional": 10}}, {"start": "2s", "order": {"side": "sell"}}]
    config = Config.model_validate({"order": own, "orders": listed})
    first, second = config.orders
    assert (first.order.quantity, first.order.notional, first.order.algo) == (None, Decimal(10), "twap")
    assert (second.order.quantity, second.order.side, second.start) == (Decimal(3), "sell", 2 * S)
    assert Config.model_validate(config.model_dump(mode="json")) == config
    assert (names_of(config.orders), config.listed_symbols) == (["P1", "P2"], ["BTC/USDT", "BTC/USDT"])
