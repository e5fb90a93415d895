"""``python -m lem evaluate`` at the command line: several intervals, ranges, guards, tables, reproduction."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pyarrow.parquet
import pytest

from lem.cli.evaluate_options import min_periods
from lem.network.checkpoint import load_checkpoint
from tests.unit.lem.cli.test_cli import call
from tests.unit.lem.evaluation.test_evaluate import klines


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    path = tmp_path / "one pair.parquet"
    pyarrow.parquet.write_table(klines(3_000), path)
    return path


def test_several_intervals_in_one_document(
    capsys: pytest.CaptureFixture[str], bars: Path, tmp_path: Path
) -> None:
    """Each interval's evaluation is what a call of its own gives; the CSV tells them apart."""
    common = ("evaluate", "--bars", str(bars), "--min-period", "0,6", "--json")
    table = tmp_path / "rows.csv"
    code, out, _ = call(capsys, *common, "--interval", "1m", "--interval", "5m", "--csv", str(table))
    both = json.loads(out)
    assert code == 0
    assert [d["interval_ns"] for d in both["documents"]] == [60_000_000_000, 300_000_000_000]
    assert len(both["summary"]) == 2 * 5
    assert {"model", "digest", "data_digest", "reproduce"} <= set(both)
    _, out, _ = call(capsys, *common, "--interval", "5m")
    alone = json.loads(out)
    for key in ("rows", "summary", "regimes", "data_digest"):
        assert alone[key] == both["documents"][1][key]
    with table.open(newline="") as file:
        intervals = [row["interval_ns"] for row in csv.DictReader(file)]
    assert intervals == ["60000000000"] * 16 + ["300000000000"] * 16


def test_the_command_gives_it_all_again(capsys: pytest.CaptureFixture[str], bars: Path) -> None:
    """What "reproduce" says, called, gives the same document: quotes, lists and defaults included."""
    code, out, _ = call(
        capsys,
        "evaluate",
        "--bars",
        str(bars),
        "--min-period",
        "0",
        "--seed",
        "7",
        "--json",
        "--threads",
        "1",
    )
    first = json.loads(out)
    assert code == 0
    words = shlex.split(first["reproduce"])
    assert words[:4] == ["python", "-m", "lem", "evaluate"]
    assert "--threads" not in words
    _, out, _ = call(capsys, *words[3:], "--json")
    assert json.loads(out) == first


def test_ranges_of_min_periods() -> None:
    """Numbers, ranges and lists may be mixed, each counts once."""
    assert min_periods(["0-6"]) == tuple(range(7))
    assert min_periods(["12", "0-2,4", "1"]) == (0, 1, 2, 4, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-period", "6-0"], "6-0"),
        (["--min-period", "x"], "0-6"),
        (["--min-period", "0-13"], "0 to n = 12"),
        (["--max-rate", "0.05"], "give at least 0.0833"),
        (["--from", "2025-01-01"], "--bars FILE"),
        (["--calendar", "XNYS"], "--bars FILE"),
        (["--every", "3"], "--bars FILE"),
        (["--risk-aversion", "nan"], "risk aversion nan"),
        (["--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["--interval", "fast"], "duration 'fast'"),
        (["--csv", "/nowhere/at/all.csv"], "--csv /nowhere/at/all.csv lies in no directory"),
    ],
)
def test_bad_options_are_one_message_before_the_run(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Refused at once, though a million orders were asked for."""
    code, out, error = call(capsys, "evaluate", "--orders", "1000000", *arguments)
    assert code == 2
    assert out == ""
    assert message in error
    assert error.count("\n") == 1


def test_a_predictable_market_has_a_martingale_bound(capsys: pytest.CaptureFixture[str]) -> None:
    """Its column does not claim the market's optimum; with arrival weight 1 all the history counts."""
    arguments = (
        "evaluate",
        "--market",
        "momentum",
        "--orders",
        "20",
        "--min-period",
        "0",
        "--arrival-weight",
        "1",
    )
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert "of martingale bound" in out
    assert "of best" in out
    assert max(map(len, out.split("again:")[0].splitlines())) <= 160
    assert "…" not in out
    _, out, _ = call(capsys, *arguments, "--json")
    document = json.loads(out)
    assert document["history"] == load_checkpoint().model.config.lookback
    assert "not this market's own" in document["bound_is"]
    _, out, _ = call(capsys, *arguments, "--json", "--history", "9")
    assert json.loads(out)["history"] == 9


def test_tables_after_impact_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """All the columns at once: two optima, arrival; the legend says whose optima they are."""
    asked = {"--orders": "20", "--min-period": "0", "--participation": "0.2", "--arrival-weight": "0.5"}
    arguments = ["evaluate", *(word for pair in asked.items() for word in pair), "--risk-aversion", "200"]
    for sigma in ("1e-4", "0.00314", "0.05"):
        code, out, _ = call(capsys, *arguments, "--sigma", sigma)
        assert code == 0
        tables = out.split("again:")[0]
        assert max(map(len, tables.splitlines())) <= 160
        assert "…" not in tables
    told = " ".join(out.split())
    assert "the exact optimum at risk aversion 100 adds to twap, net, of an order judged on its bench" in told


def test_tables_of_real_bars_fit_and_explain_themselves(
    capsys: pytest.CaptureFixture[str], bars: Path
) -> None:
    """At most 160 columns, arrival with its interval, regimes when asked, a legend for what is shown."""
    arguments = ("evaluate", "--bars", str(bars), "--min-period", "0,12")
    code, out, _ = call(capsys, *arguments, "--regimes")
    assert code == 0
    tables = out.split("again:")[0]
    assert max(map(len, tables.splitlines())) <= 160
    assert "…" not in tables  # nothing is cut off
    for word in (
        "of bars bound",
        "arrival",
        "volatility: high",
        "stress: yes",
        "model against curve",
        "A-C:",
    ):
        assert word in out
    assert "regret is left out" in out
    assert "nothing odd in the bars of one pair" in out
    _, out, _ = call(capsys, *arguments)
    assert "volatility: high" not in out
