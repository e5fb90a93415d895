"""``replay --compare-impact``: one session without and with impact, in numbers and in words."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agent.app.impact_comparison import compare_impact
from agent.app.replay_session import recorded_config, replay_session
from agent.cli import app, main
from agent.config import Config, parse_config
from agent.core.errors import InputError
from agent.core.events import ChildFilled
from agent.core.instrument import Instrument
from agent.core.types import Side
from agent.parent_record import ImpactSeen
from storage.recordings.session import SessionReader

GOLDEN = Path(__file__).parents[2] / "data" / "small-session"
LAW = {"sigma_bps_per_day": 300, "volume_per_day": 2000, "decay": "1m"}


def with_laws() -> Config:
    """The session's own configuration and a law for its symbol."""
    raw = recorded_config(SessionReader(GOLDEN)).model_dump()
    raw["venue"]["impact_laws"] = {"BTC/USDT": LAW}
    return parse_config(raw)


def test_off_is_the_session_and_on_costs_what_is_said() -> None:
    """Off gives the recorded digest. On: slippage is higher by about the impact named, all is filled."""
    found = compare_impact(GOLDEN, with_laws(), override=False)
    assert (
        found.off.result.digest
        == replay_session(GOLDEN, None, override=False, verify=True, speed=None).result.digest
    )
    rows = {row["algo"]: row for row in found.orders()}
    assert list(rows) == ["optimal_stopping", "twap", "vwap", "pov"]
    for row in rows.values():
        assert row["impact"]["cost_bps"] > 0
        assert float(row["impact"]["cost"]) > 0
        more = row["arrival_slippage_bps"]["on"] - row["arrival_slippage_bps"]["off"]
        assert more == pytest.approx(row["impact"]["cost_bps"], rel=0.02)
        assert row["gain_bps"]["on"] < row["gain_bps"]["off"]
        assert row["filled"] == {"off": 1.0, "on": 1.0}
    assert found.sources == {"BTC/USDT": "the configuration"}
    assert all(p["impact"] is None for p in found.off.summary.parents())
    assert found.on.summary.parents()[0]["impact"] == rows["optimal_stopping"]["impact"]


def test_the_command_prints_both(tmp_path: Path) -> None:
    """JSON holds the law, the comparison and both replays; the table has a line an order."""
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"venue": {"impact_laws": {"BTC/USDT": LAW}}}))
    words = ["replay", str(GOLDEN), "--config", str(file), "--compare-impact"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["laws"]["BTC/USDT"]["source"] == "the configuration"
    assert document["on"]["parents"][0]["impact"] == document["compared"][0]["impact"]
    assert document["off"]["parents"][0]["impact"] is None
    table = CliRunner().invoke(app, words).stdout
    assert "half-life 1m, from the configuration" in table
    lines = [
        line.split()[0] for line in table.splitlines() if line and line.split()[0].startswith(("opt", "~"))
    ]
    assert lines == ["optimal_stopping", "~twap", "~vwap", "~pov"]


def test_a_session_too_short_for_a_law_of_its_own_is_refused() -> None:
    """Without a law in the configuration: which symbol, and why the session gives none."""
    with pytest.raises(InputError, match="at least 300 s and 200 trades"):
        compare_impact(GOLDEN, None, override=False)


def test_what_does_not_go_together_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Verifying compares with the record, which knows one of the two only."""
    with pytest.raises(SystemExit) as stopped:
        main(["replay", str(GOLDEN), "--compare-impact", "--verify"])
    assert stopped.value.code == 2
    assert "--compare-impact goes with order options only: leave --verify" in capsys.readouterr().err


def test_what_impact_took_is_money_of_either_kind() -> None:
    """Five ticks on 2,000 lots: exact quote money of a linear instrument, base money of an inverse one."""
    linear = Instrument(
        0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.1"), Decimal("0.001"), 1, Decimal(0)
    )
    inverse = replace(
        linear, symbol="BTC/USD:BTC", settle="BTC", lot=Decimal(1), multiplier=Decimal(100), inverse=True
    )
    fill = ChildFilled(
        at_ns=1,
        seq=1,
        fill_id="p/1/1",
        child_id="p/1",
        parent_id="p",
        instrument=0,
        side=Side.SELL,
        price_ticks=599_995,
        qty_lots=2_000,
        fee_tlp=0,
        fee_currency="USDT",
        maker=False,
        fill_ns=1,
        mid_half_ticks=1_200_000,
        book_age_ns=0,
        near_gap=False,
        price_model="book_walk+impact",
        impact_ticks=5,
        displacement_half_ticks=9,
    )
    for instrument, cost in (
        (linear, 2_000 * 0.001 * 0.5),
        (inverse, 2_000 * 100 * (1 / 59_999.5 - 1 / 60_000)),
    ):
        seen = ImpactSeen()
        seen.add(fill, instrument)
        seen.add(replace(fill, impact_ticks=None, displacement_half_ticks=None), instrument)
        document = seen.to_json(instrument) or {}
        assert float(document["cost"]) == pytest.approx(cost, rel=1e-6)
        assert document["cost_bps"] == pytest.approx(5 / 600_000 * 1e4)
        assert document["displacement_bps"] == pytest.approx(4.5 / 600_000 * 1e4)
    assert ImpactSeen().to_json(linear) is None
