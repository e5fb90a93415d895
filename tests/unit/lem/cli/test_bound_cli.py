"""``python -m lem bound`` with the options of the further programmes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lem.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["bound", *arguments])
    captured = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err  # on a busy machine stderr says what takes so long
    found: dict[str, Any] = json.loads(out)
    return found


def test_json_names_the_question_and_each_m(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the contract first, then what was asked."""
    found = document(capsys, "--n", "6", "--participation", "0.05", "--min-rate", "0.01")
    assert list(found)[:4] == ["n", "gain_sigma", "max_rate", "price"]
    assert list(found["gain_sigma"]) == [str(m) for m in range(7)]
    assert (found["participation"], found["min_rate"], found["benchmark"]) == (0.05, 0.01, "twap")
    assert found["gain_sigma"]["6"] == pytest.approx(-(0.05**0.5), abs=1e-3)


def test_risk_gives_the_objective_and_its_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """One m: the exact objective, the simulated gain with its half-width, and the study itself."""
    found = document(
        capsys,
        *("--n", "6", "--m", "2", "--risk-aversion", "1", "--participation", "0.1", "--simulate", "20000"),
    )
    ran = found["simulated"]["2"]
    assert abs(ran["objective"] - found["objective"]["2"]) < 4.0 * ran["objective_error"]
    assert found["gain_sigma"]["2"] == pytest.approx(ran["net"], abs=1e-6)
    assert found["half_width_sigma"]["2"] == pytest.approx(1.96 * ran["net_error"])


def test_simulation_is_printed_beside_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: the mean, its half-width and the deviation of the gain."""
    code, out, _ = call(
        capsys,
        *("--n", "6", "--m", "0", "--benchmark", "vwap", "--volume-sigma", "0.6", "--simulate", "5000"),
    )
    assert code == 0
    assert "volume sigma 0.6" in out
    assert "simulated" in out
    assert "std of the gain" in out


def test_notional_and_arrival(capsys: pytest.CaptureFixture[str]) -> None:
    """A seller's notional is worth less than a buyer's; the arrival optimum needs its market."""
    asked = ("--m", "0", "--target", "notional", "--sigma", "0.01", "--simulate", "5000")
    both = [document(capsys, *asked, "--side", side) for side in ("buy", "sell")]
    assert both[0]["gain_sigma"]["0"] > both[1]["gain_sigma"]["0"] + 0.01
    found = document(capsys, "--benchmark", "arrival", "--market", "book-signal", "--history", "32")
    assert found["gain_sigma"]["0"] > 0.1
    assert found["market"] == "book-signal"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--benchmark", "vwap"], "--volume-sigma"),
        (["--risk-aversion", "1"], "--m 0"),
        (["--sigma", "0.01"], "--target notional"),
        (["--side", "long"], "buy or sell"),
        (["--market", "momentum"], "--benchmark arrival"),
        (["--benchmark", "arrival"], "--market"),
        (["--benchmark", "arrival", "--market", "momentum", "--max-rate", "0.5"], "without rates"),
        (["--benchmark", "arrival", "--market", "momentum", "--simulate", "500"], "--history"),
        (["--benchmark", "close"], "benchmark 'close'"),
        (["--m", "13"], "min duration is 13"),
    ],
)
def test_bad_combinations_get_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Exit 2, nothing on stdout, one line on stderr that names what to do."""
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
