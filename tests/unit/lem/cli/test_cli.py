"""``python -m lem`` as the command line contract has it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lem.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, captured.out, captured.err


def test_bound_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document with every m as a key."""
    code, out, _ = call(capsys, "bound", "--n", "12", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["n"] == 12
    assert list(document["gain_sigma"]) == [str(m) for m in range(13)]
    assert document["gain_sigma"]["0"] == pytest.approx(0.2990, abs=5e-4)
    assert document["gain_sigma"]["12"] == 0.0


def test_evaluate_prints_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """Every field of the contract, for each side, target, benchmark and min period."""
    code, out, _ = call(capsys, "evaluate", "--market", "gaussian", "--orders", "200", "--json")
    document = json.loads(out)
    assert code == 0
    assert {"model", "digest", "rows"} <= set(document)
    assert len(document["rows"]) == 8 * 4
    row = document["rows"][0]
    assert {"side", "target_kind", "benchmark", "min_period", "orders", "gain_bps"} <= set(row)
    assert {"abs_slippage_bps_mean", "bound_gain_bps", "fraction_of_bound", "baselines"} <= set(row)
    assert {"mean", "std", "median", "p5", "p25", "p75", "p95", "ci95"} <= set(row["gain_bps"])
    assert set(row["baselines"]) == {"twap", "vwap_curve", "almgren_chriss", "optimal_stopping", "dump"}


def test_evaluate_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: a table that names the columns and the model."""
    code, out, _ = call(capsys, "evaluate", "--orders", "50", "--min-period", "0", "--min-period", "3")
    assert code == 0
    assert "regret" in out
    assert "risk aversion" in out


def test_evaluate_writes_its_rows_as_csv(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The file holds what the document holds, flat; a place that cannot be written is refused."""
    arguments = ("evaluate", "--orders", "50", "--min-period", "0", "--json", "--csv")
    code, out, _ = call(capsys, *arguments, str(tmp_path / "rows.csv"))
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads(out)
    assert code == 0
    assert len(rows) == len(document["rows"]) == 8
    assert float(rows[0]["gain_bps.mean"]) == document["rows"][0]["gain_bps"]["mean"]
    assert float(rows[0]["regret.ci95.low"]) == document["rows"][0]["regret"]["ci95"][0]
    code, _, error = call(capsys, *arguments, str(tmp_path / "nowhere" / "rows.csv"))
    assert code == 2
    assert "lies in no directory that exists" in error


def test_train_writes_a_model_that_loads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The tiny preset, twice: the same seed gives the same file, which evaluate takes."""
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    digests = []
    for path in paths:
        code, out, _ = call(capsys, "train", "--preset", "tiny", "--out", str(path), "--json")
        assert code == 0
        digests.append(json.loads(out)["digest"])
    assert digests[0] == digests[1]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    code, out, _ = call(capsys, "evaluate", "--orders", "20", "--model", str(paths[0]), "--json")
    assert json.loads(out)["digest"] == digests[0]


def test_a_model_that_could_not_be_written_is_not_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A directory, a file in the way, a place not ours: refused before training; missing folders are made."""
    (tmp_path / "file").touch()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    cases = [(tmp_path, "is a directory"), (tmp_path / "file" / "x", "lies in no directory")]
    if os.geteuid():  # root may write anywhere
        cases.append((locked / "new" / "x", "may not be written"))
    for out, message in cases:
        code, _, error = call(capsys, "train", "--preset", "long", "--out", str(out))
        assert code == 2
        assert f"--out {out} {message}" in error
    out = tmp_path / "new" / "x.safetensors"
    assert call(capsys, "train", "--preset", "tiny", "--iterations", "1", "--out", str(out))[0] == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bound", "--n", "0"], "n = 0"),
        (["bound", "--max-rate", "0.01"], "max rate"),
        (["train", "--preset", "huge"], "tiny, quick, martingale, default, long"),
        (["train", "--preset", "finetune"], "needs real bars: give --bars"),
        (["train", "--preset", "tiny", "--bars", "none.parquet"], "no file none.parquet"),
        (["train", "--preset", "tiny", "--device", "abacus"], "use cpu or cuda"),
        (["train", "--preset", "tiny", "--init", "/none.safetensors"], "/none.safetensors"),
        (["evaluate", "--market", "casino"], "gaussian-bars"),
        (["evaluate", "--model", "/none.safetensors"], "/none.safetensors"),
        (["evaluate", "--bars", "none.parquet"], "no file"),
        (["evaluate", "--bars", "none.parquet", "--from", "yesterday"], "write it as in 2025-03-03"),
        (["evaluate", "--market", "gaussian", "--bars", "x.csv"], "exclude"),
        (["evaluate", "--n", "x"], "--n"),
    ],
)
def test_bad_input_is_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Exit code 2, the value and what is allowed, no traceback."""
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_help_loads_nothing_heavy() -> None:
    """Torch, numba and pyarrow stay out until a command needs them."""
    program = "import sys, lem.cli; print([m for m in ('torch', 'numba', 'pyarrow') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
