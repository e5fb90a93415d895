"""``agent config``: a file to start from names every key, and a check names every fault with its line."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import yaml

from agent.cli import main
from agent.config import Config, load_config
from agent.config_file.commented_file import commented
from agent.order_options import Order
from tests.every_key.config_leaves import leaves

SHIPPED = Path(__file__).resolve().parents[3] / "config.yaml"


def agent(*argv: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(a) for a in argv])
    return int(left.value.code or 0), out.getvalue(), err.getvalue()


def problems(tmp_path: Path, text: str) -> list[str]:
    """What ``check`` says of a file with that text, without the file's name."""
    file = tmp_path / "c.yaml"
    file.write_text(text)
    code, out, err = agent("config", "check", file)
    as_json_code, as_json, _ = agent("config", "check", file, "--json")
    found = [line.removeprefix(f"{file}:") for line in out.splitlines()]
    document = json.loads(as_json)
    assert (code, as_json_code) == (2, 2)
    assert err == f"error: {file} has {len(found)} {'fault' if len(found) == 1 else 'faults'}\n"
    assert (document["ok"], document["problems"]) == (False, out.splitlines())
    return found


# --- init --------------------------------------------------------------------------------------------


def test_a_file_to_start_from_is_valid_and_equal_to_the_defaults(tmp_path: Path) -> None:
    """It is read as the defaults, passes the check, and is not overwritten."""
    file = tmp_path / "new.yaml"
    assert agent("config", "init", "--out", file)[0] == 0
    assert load_config(file) == Config()
    assert agent("config", "check", file)[0] == 0
    before = file.read_text()
    code, _, err = agent("config", "init", "--out", file)
    assert (code, "is not overwritten" in err, file.read_text()) == (2, True, before)


def test_it_is_config_yaml_here_if_no_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``run`` reads it, and so does ``check``; without one both say what to do."""
    monkeypatch.chdir(tmp_path)
    assert "agent config init" in agent("config", "check")[2]
    document = json.loads(agent("config", "init", "--json")[1])
    assert document == {"ok": True, "path": "config.yaml", "problems": []}
    assert agent("config", "check") == (0, "config.yaml: nothing is wrong with it\n", "")


def test_a_file_to_start_from_names_every_key_with_a_comment() -> None:
    """Those of items of lists too; none without words on what it is."""
    lines = commented(Config()).splitlines()
    for leaf in leaves():
        name = leaf.rpartition(".")[2]
        mine = [
            i
            for i, line in enumerate(lines)
            if line.strip(" #").startswith(f"{name}:") or f"{{{name}:" in line
        ]
        assert mine, leaf
        assert any("# " in line for i in mine for line in lines[i : i + 2]), leaf
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("side", ["buy | sell"]),
        ("noted_share", ["above 0, at most 1, or null"]),
        ("maker_fee_ppm", ["parts per million", "at least -1000000"]),
        ("min_duration", ["a duration", "0s"]),
        ("stale_book", ["a duration, or null"]),
        ("algo", ["optimal_stopping", "lem"]),
        ("sigma_bps_per_day", ["basis points", "above 0"]),
        ("lookback", ["at least 1, at most 5000"]),
    ],
)
def test_a_comment_says_what_is_allowed_and_in_which_unit(key: str, words: list[str]) -> None:
    """Read off the models: a limit that changes there changes here."""
    lines = commented(Config()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip(" #").startswith(f"{key}:"))
    text = " ".join(line.partition("#")[2].strip() for line in lines[at : at + 4])
    assert all(word in text for word in words), text


def test_the_shipped_file_is_such_a_file_with_a_size() -> None:
    """`python -m agent config init` and ``quantity: 2``: config.yaml is no second list."""
    assert SHIPPED.read_text() == commented(Config(order=Order(quantity=Decimal(2))))


def test_a_value_that_is_no_default_is_written_as_it_is() -> None:
    """The writer takes any configuration, so what it writes is read back as that."""
    order = replace(Order(), limit_price=Decimal("0.00000088"), algo_params={"rate": 0.1}, min_duration=0)
    config = Config(order=order, symbol="AB C/USD: #", seed=7)
    assert Config.model_validate(yaml.safe_load(commented(config))) == config


# --- check -------------------------------------------------------------------------------------------

MANY = """\
order:
  side: hold
  interval: 7s
  algo: twapp
  nonsense: null
venue:
  reach: all
  reach: shown
  entry: {median_ms: -1}
  fee_currency: BNB
  cancel: {median_ms: null, measured: nowhere.csv}
schedules:
- {name: a, cron: "61 * * * *", order: {quantity: 1}}
- {cron: "1 * * * *"}
- {name: b, every: 5m, order: {quantity: 1, algo: vwapp}}
- {name: b, every: 5m, order: {quantity: 1}}
database: nonsense
model: {checkpoint: nothing.safetensors}
symbol: XYZ/USDT
"""


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    """Of the schema, of keys that are there twice, and of what a run refuses: one run shows them all."""
    found = problems(tmp_path, MANY)
    expected = [
        (2, "order.side = 'hold'"),
        (5, "unknown key order.nonsense"),
        (8, "venue.reach is there twice, first in line 7"),
        (9, "venue.entry.median_ms = -1"),
        (10, "what one BNB is worth"),
        (11, "nowhere.csv"),
        (13, "cron '61 * * * *'"),
        (14, "schedules.1.name"),
        (15, "unknown algo 'vwapp'"),
        (16, "schedule 'b' is there 2 times"),
        (17, "database 'nonsense'"),
        (18, "nothing.safetensors"),
        (19, "symbol = 'XYZ/USDT'"),
    ]
    for line, words in expected:
        assert [text for text in found if text.startswith(f"{line}: ") and words in text], (
            line,
            words,
            found,
        )
    assert len(found) == len(expected), found  # nothing told twice, no consequence of another


def test_an_order_of_its_own_is_judged_key_by_key(tmp_path: Path) -> None:
    """Each of its faults at its own line, the model's file among them."""
    text = "order:\n  quantity: 1\n  interval: 7s\n  algo: twapp\n  participation_cap: 2\n  shadows: [lem]\n"
    found = problems(tmp_path, f"{text}model: {{checkpoint: nothing.safetensors}}\n")
    assert [int(line.split(":")[0]) for line in found] == [3, 4, 5, 7]
    assert "not a multiple of the interval 7s" in found[0]
    assert "nothing.safetensors" in found[3]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1\nb: 2\n", "2:", "no YAML"),
        ("- 1\n", "1:", "a list"),
        ("risk: 5\n", "1:", "risk = 5"),
        ("exchange: kraken\nrisk:\n  max_notional: -1\n", "3:", "greater than 0"),
        ("embedded: {market: nowhere}\n", "1:", "nowhere"),
        ("venue:\n  impact: sqrt\n  calibration: none.yaml\n", "3:", "none.yaml"),
    ],
)
def test_each_kind_of_fault_has_its_line(tmp_path: Path, text: str, line: str, words: str) -> None:
    """What is no YAML, no mapping, out of its limits, and files that are not there."""
    (found,) = problems(tmp_path, text)
    assert found.startswith(line)
    assert words in found


def test_no_fault_is_no_fault(tmp_path: Path) -> None:
    """An empty file is the defaults; an exchange of its own is not asked for its symbols."""
    for text in ("", "exchange: kraken\nsymbol: XYZ/EUR\n", "order: {notional: 5}\n"):
        (tmp_path / "c.yaml").write_text(text)
        assert agent("config", "check", tmp_path / "c.yaml")[0] == 0, text
    assert agent("config", "check", tmp_path / "no.yaml")[0] == 2


def test_no_password_is_told(tmp_path: Path) -> None:
    """A fault may quote the database's URL."""
    text = 'database: "postgresql://u:hunter2@h/db\nseed: x\n'
    (tmp_path / "c.yaml").write_text(text)
    assert "hunter2" not in "".join(map(str, agent("config", "check", tmp_path / "c.yaml")))


def test_aliases_are_looked_at_once(tmp_path: Path) -> None:
    """Eight lines of them, each of nine times the one before, and one of itself: told at once, by line."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9)]
    assert problems(tmp_path, "\n".join([*lines, ""]))[0].startswith("1: unknown key a0")
    (fault,) = problems(tmp_path, "order: &a\n  algo_params: *a\n")
    assert fault.startswith("2: order.algo_params")


def test_each_name_that_two_schedules_have_is_told_once(tmp_path: Path) -> None:
    """Two pairs: two faults, each with its own name and line."""
    order = "order: {quantity: 1}"
    names = ("x", "x", "y", "y")
    text = "schedules:\n" + "".join(f"- {{name: {n}, every: 1h, {order}}}\n" for n in names)
    first, second = problems(tmp_path, text)
    assert first.startswith("3: ")
    assert "'x'" in first
    assert second.startswith("5: ")
    assert "'y'" in second


@pytest.mark.parametrize("command", [("run", "--paper"), ("doctor",), ("record", "--duration", "1s")])
def test_a_key_that_is_there_twice_starts_nothing(command: tuple[str, ...], tmp_path: Path) -> None:
    """The last one would win without a word: of an order's size, which was meant? Merged keys are no such."""
    file = tmp_path / "c.yaml"
    file.write_text("order:\n  quantity: 1\n  quantity: 2\n")
    code, out, err = agent(*command, "--config", file)
    assert (code, out) == (2, "")
    assert "quantity is there twice, again in line 3: leave one out" in err
    file.write_text("order: {quantity: 3}\nrisk: &r {max_orders_per_s: 5}\n")
    assert load_config(file).order.quantity == Decimal(3)
