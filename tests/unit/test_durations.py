"""Times as people write them: one parser, and every command that takes a time uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import cli as agent_cli
from agent.core.errors import InputError
from agent.durations import parse_time_ns
from lem import cli as lem_cli

S = 10**9
MARCH = 1_740_960_000 * S  # 2025-03-03T00:00Z
SESSION = Path(__file__).parents[1] / "data" / "small-session"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2025-03-03", MARCH),
        ("2025-03-03T14:30", MARCH + 52_200 * S),
        (" 2025-03-03 14:30:00 ", MARCH + 52_200 * S),
        ("2025-03-03T14:30Z", MARCH + 52_200 * S),
        ("2025-03-03T14:30+01:00", MARCH + 48_600 * S),
        ("2025-03-03T14:30:00.000000001", MARCH + 52_200 * S + 1),
        ("20250303T143000,5Z", MARCH + 52_200 * S + S // 2),
        ("1969-12-31T23:59:59.25", -S + S // 4),
    ],
)
def test_a_time_is_exact_to_the_nanosecond(text: str, ns: int) -> None:
    """Dates, minutes, fractions and zones; without a zone the time is UTC."""
    assert parse_time_ns(text) == ns


def test_a_duration_counts_only_where_it_has_a_beginning() -> None:
    """90s is a time where there is a moment to count from, and refused elsewhere."""
    assert parse_time_ns("90s", before_ns=100 * S) == 10 * S
    assert parse_time_ns("90s", after_ns=100 * S) == 190 * S
    with pytest.raises(InputError, match="time '90s' is not understood: write it as in 2025-03-03"):
        parse_time_ns("90s")


@pytest.mark.parametrize("text", ["noon", "", "2025-13-01", "20250303.5", "9999-01-01", "-5m"])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    """The message names the option, the value and the forms that are taken."""
    with pytest.raises(InputError, match=r"--from .* is not understood: write it as in 2025-03-03 or"):
        parse_time_ns(text, "--from", after_ns=0)


@pytest.mark.parametrize(
    "command",
    [
        ("log", "parents", "--since", "noon"),
        ("log", "parents", "--until", "noon"),
        ("sessions", "slice", str(SESSION), "--out", "NEW", "--from", "noon"),
        ("sessions", "slice", str(SESSION), "--out", "NEW", "--to", "noon"),
        ("replay", str(SESSION), "--quantity", "1", "--start", "noon"),
    ],
)
def test_every_command_takes_times_the_same_way(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong time is refused in the same sentence, with the option that it was given for."""
    with pytest.raises(SystemExit) as stopped:
        agent_cli.main(list(command))
    assert stopped.value.code == 2
    assert f"error: {command[-2]} 'noon' is not understood: write it as in 2025" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_the_models_commands_take_them_so_too(
    option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """``fetch`` and ``train`` refuse a wrong time in that sentence."""
    times = {"--from": "2025-03-03", "--to": "2025-03-04"} | {option: "noon"}
    fetch = ["fetch", "--symbol", "BTC/USDT", "--from", times["--from"], "--to", times["--to"]]
    for command in (fetch, ["train", "--out", str(tmp_path / "x"), "--bars", "x", option, "noon"]):
        with pytest.raises(SystemExit) as stopped:
            lem_cli.main(command)
        assert stopped.value.code == 2
        assert f"error: {option} 'noon' is not understood" in capsys.readouterr().err
