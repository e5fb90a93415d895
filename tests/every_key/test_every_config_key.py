"""Every key of config.yaml changes what it says, and a wrong value is one clear message with exit 2."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import main
from lem.network.checkpoint import load_checkpoint, save_checkpoint
from tests.every_key.config_leaves import leaves
from tests.every_key.key_cases import CASES, LAW, Case
from tests.every_key.key_markets import Markets
from tests.every_key.live_keys import LIVE
from tests.every_key.wrong_values import BASES, WRONG

pytestmark = pytest.mark.slow


def test_every_key_has_its_case() -> None:
    """A new key without an effect that is shown, and without a wrong value that is refused, fails here."""
    keys = set(leaves())
    assert set(CASES) | set(LIVE) == keys
    assert not set(CASES) & set(LIVE)
    assert set(WRONG) == keys


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that keys name: measured latencies, calibrations, another model."""
    made = tmp_path_factory.mktemp("keys")
    for name, ms in (("fast", (20,)), ("slow", (600,)), ("both", (20, 600, 50, 400))):
        rows = "".join(f"{k * 10**9},{ms_ * 10**6}\n" for k, ms_ in enumerate(ms))
        (made / f"{name}.csv").write_text(f"at_ns,latency_ns\n{rows}")
    for name, y in (("weak", 0.1), ("strong", 5.0)):
        laws = {"symbols": {"BTC/USDT": {"impact": {**LAW, "y": y}}}}
        (made / f"{name}.yaml").write_text(yaml.safe_dump(laws))
    model = load_checkpoint().model
    save_checkpoint(model, made / "other.safetensors", {"preset": "another file"})
    return made


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Markets:
    return Markets(tmp_path_factory.mktemp("markets"))


@pytest.mark.parametrize("key", CASES)
def test_a_key_changes_what_it_says(key: str, markets: Markets, folder: Path) -> None:
    """Under two values of it, a replay shows two different things of the kind that the key is about."""
    case = CASES[key]
    first, second = (
        case.see(markets.replayed(case.market, file_of(case, key, v, folder))) for v in case.values
    )
    assert first != second, f"{key}: {case.values} make no difference: {first}"


def file_of(case: Case, key: str, value: Any, folder: Path) -> dict[str, Any]:
    """The configuration file with ``key`` set to ``value`` on top of the case's base."""
    raw = copy.deepcopy({"order": PLAIN} | case.base)
    place(raw, key, value)
    filled: dict[str, Any] = yaml.safe_load(yaml.safe_dump(raw).replace("{folder}", str(folder)))
    return filled


PLAIN = {
    "quantity": "0.5",
    "interval": "3s",
    "min_duration": "3s",
    "max_duration": "12s",
    "algo": "twap",
    "shadows": [],
}


def place(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set ``venue.fee_tiers[].volume`` and the like: in a list's first item, in a mapping's first value."""
    at: Any = raw
    *path, last = key.split(".")
    for part in path:
        name, mark = re.fullmatch(r"(\w+)(\[\]|\{\})?", part).groups()  # type: ignore[union-attr]
        at = at.setdefault(name, {})
        if mark:
            at = at[0] if mark == "[]" else next(iter(at.values()))
    at[last] = value


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_one_clear_message(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``run`` exits 2, names the value or what is allowed, and leaves nothing behind."""
    value, words = WRONG[key]
    base = next((raw for mark, raw in BASES.items() if key.startswith(mark)), {})
    raw = copy.deepcopy({"database": "sqlite:///agent.db", "out": "sessions", "order": SHORT} | base)
    for other, its in NEEDS.get(key, {}).items():
        place(raw, other, its)
    place(raw, key, value)
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as stop:
        main(["run", "--paper", "--config", "c.yaml"])
    out, err = capsys.readouterr()
    (message,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (stop.value.code, out) == (2, ""), err
    assert all(word in message for word in words), message
    assert key in UNNAMED or re.sub(r"\[\]|\{\}", "", key.split(".")[-1]) in message, message
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


NEEDS: dict[str, dict[str, Any]] = {
    "model.checkpoint": {"order.algo": "lem"},
    "schedules[].cron": {"schedules[].every": None},
    **{
        f"venue.{kind}.measured": {f"venue.{kind}.median_ms": None}
        for kind in ("entry", "cancel", "acknowledgement", "market_data")
    },
}
"""What else the file must say for the value to be looked at."""
SHORT = {"quantity": "0.5", "algo": "twap", "shadows": []}
UNNAMED = {
    "exchange",
    "symbol",
    "database",
    "embedded.market",
    "order.quantity",
    "order.limit_price",
    "order.min_duration",
    "order.max_duration",
    "order.participation_cap",
    "order.algo_params",
    "order.shadows",
    "order.min_rate",
    "order.max_rate",
    "order.algo",
    "schedules[].order",
    "orders[].symbol",
    "orders[].order",
    "venue.fee_currency",
}
"""Refusals that name the thing in plain words: "limit price -5", "unknown algo 'twpa'"."""
