"""Every option of every command changes what it says, and a wrong value is one clear message with exit 2."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.every_key.command_line import Done, call, commands, options
from tests.every_key.elsewhere import ELSEWHERE
from tests.every_key.lem_option_cases import CASES as LEM_CASES
from tests.every_key.option_cases import CASES as AGENT_CASES
from tests.every_key.option_world import make_world

pytestmark = pytest.mark.slow

COMMANDS = dict(commands())
CASES = AGENT_CASES | LEM_CASES


def test_every_option_has_its_case() -> None:
    """A new option whose effect nothing shows fails here."""
    known = set(options())
    assert set(CASES) <= known
    shown = {
        option for option in known if option in CASES or option in ELSEWHERE or _command(option) in ELSEWHERE
    }
    assert shown == known
    root = Path(__file__).parents[2]
    assert [path for path in ELSEWHERE.values() if not (root / path).exists()] == []


def _command(option: str) -> str:
    return option.rpartition(" --")[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_world(tmp_path_factory.mktemp("world"))


def run(line: str, world: dict[str, str], new: Path) -> Done:
    """A command line with its names filled in; what an earlier one left under ``new`` is gone."""
    shutil.rmtree(new.parent, ignore_errors=True)
    new.parent.mkdir()
    return call(*shlex.split(line.format(new=new, **world)))


@pytest.mark.parametrize("option", [name for name, case in CASES.items() if case.first])
def test_an_option_changes_what_it_says(option: str, world: dict[str, str], tmp_path: Path) -> None:
    """Without it and with it, or with two values of it: another exit code, other words, or another file."""
    case, new = CASES[option], tmp_path / "out" / "new"
    first = run(case.first, world, new).said, _instruments(new)
    second = run(case.second, world, new)
    if case.writes:
        assert Path(case.writes.format(new=new)).exists(), second.err
    else:
        assert first != (second.said, _instruments(new)), f"{case.first} | {case.second}: {first}"
    assert "Traceback" not in second.err


def _instruments(new: Path) -> object:
    """Of a session that was made: what it trades."""
    header = new / "session.json"
    return json.loads(header.read_text())["instruments"] if header.exists() else None


@pytest.mark.parametrize("option", [name for name, case in CASES.items() if case.wrong])
def test_a_wrong_value_of_an_option_is_one_clear_message(
    option: str, world: dict[str, str], tmp_path: Path
) -> None:
    """Exit 2, nothing on stdout, one line that names the value or what is allowed, nothing written."""
    case, new = CASES[option], tmp_path / "out" / "new"
    done = run(str(case.wrong), world, new)
    messages = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert (done.code, done.out, len(messages)) == (2, "", 1), done
    assert all(word in messages[0] for word in case.words), messages
    assert list(new.parent.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_does_not_exist_is_refused(name: str) -> None:
    """Exit 2 and its name; a value that is missing is asked for."""
    done = call(*name.split(), "--nonsense")
    assert (done.code, done.out) == (2, "")
    assert "--nonsense" in done.err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("agent ")])
def test_log_json_makes_json_lines_on_a_terminal_too(name: str) -> None:
    """Where a command has the option; it is refused right after, and says so in that style."""
    flags = [flag for parameter in COMMANDS[name].params for flag in parameter.opts]
    if "--log-json" not in flags:
        return
    bad = {"agent run": ["--paper", "--exchange", "bydfi"], "agent record": ["--exchange", "bydfi"]}
    files = {
        "agent import": ["none.csv", "--symbol", "A/B", "--out", "none"],
        "agent serve-exchange": ["--market", "none"],
    }
    rest = (bad | files).get(name, ["none"])
    in_words, in_json = (call(*name.split(), *rest, *extra, terminal=True) for extra in ([], ["--log-json"]))
    assert (in_words.code, in_json.code) in ((2, 2), (3, 3))
    assert "error: " in in_words.err.splitlines()[-1]
    last = json.loads(in_json.err.splitlines()[-1])
    assert last["level"] == "error"
    assert last["event"].startswith("error: ")


def test_a_speed_paces_the_tape(world: dict[str, str]) -> None:
    """``--speed 30x``: half a minute takes a second, and nothing else changes."""
    fast, paced = (
        json.loads(call("agent", "replay", world["session"], "--speed", s, "--json").out)
        for s in ("max", "30x")
    )
    assert fast["digest"] == paced["digest"]
    assert paced["seconds"] >= 28 / 30
