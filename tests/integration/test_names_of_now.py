"""A key or option that has another name now: the old one is refused with the new, recordings keep theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from agent.config import RENAMED, Config, parse_config, with_names_of_now
from tests import bar_sessions
from tests.every_key.command_line import call
from tests.every_key.config_leaves import leaves


@pytest.mark.parametrize("old", RENAMED)
def test_a_key_of_before_is_refused_with_the_one_of_now(old: str, tmp_path: Path) -> None:
    """Exit 2, the file, the old name, the new one."""
    section, _, key = old.partition(".")
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({section: {key: 0.1}}))
    done = call("agent", "doctor", "--config", file)
    assert done.code == 2
    assert f"{file}: unknown key {old}: it is {RENAMED[old][0]} now (" in done.err
    assert RENAMED[old][0] in set(leaves())
    assert old not in set(leaves())


def test_an_option_of_before_is_refused_with_the_one_of_now() -> None:
    """``--limit-price-ticks`` had another unit, too: the message says so."""
    done = call("agent", "ctl", "amend", "s-P1", "--limit-price-ticks", "5900000")
    assert done.code == 2
    assert "no such option --limit-price-ticks: it is --limit-price now" in done.err
    assert "a price in the quote currency, as in 59000.5" in done.err


def test_a_session_recorded_before_replays(tmp_path: Path) -> None:
    """With the values it was recorded with, under the names of now."""
    prices = [100.0 + k for k in range(12)]
    path = tmp_path / "s"
    path.mkdir()
    session = bar_sessions.session(path, bar_sessions.hourly(prices, volume=10.0))
    header = json.loads((session / "session.json").read_text())
    hourly = {
        "interval": "1h",
        "min_duration": "1h",
        "max_duration": "4h",
        "quantity": 2,
        "algo": "immediate",
    }
    bars = {"max_participation": 0.05, "reach_bps": 700}
    header["config"] = {"order": {**hourly, "shadows": []}, "engine": {"lookback": 3}, "bars": bars}
    (session / "session.json").write_text(json.dumps(header))
    done = call("agent", "replay", session, "--json")
    assert done.code in (0, 1), done.err
    assert any("at most 5% of a bar's" in note for note in json.loads(done.out)["notes"])


def test_other_keys_stay_as_they_are() -> None:
    """Names of now are left alone."""
    raw = Config().model_dump(mode="json")
    assert with_names_of_now(raw) == raw
    assert parse_config(with_names_of_now({"bars": {"reach_bps": 5}})).bars.max_move_bps == 5
