"""Sentences of README and docs that a command can prove wrong: each is in the document, and true.

A sentence that goes, or says something else, takes its test along. Commands themselves are run by
``test_documented_commands``, options compared with ``--help`` by ``test_commands_page``.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from agent.algos.registry import ALGOS
from agent.cli import main as agent_main
from agent.core.errors import AgentError
from agent.core.market.feature_names import FEATURE_VERSION
from agent.core.market.tape import EVENT, Flag
from agent.engine.policy import TOLERANCE
from agent.entry import long_work
from connectors import ccxt_feed
from lem.bars.simulate import MARKETS
from lem.network.checkpoint import DEFAULT_PATH, load_checkpoint
from lem.network.model_config import PRESETS, SCENARIOS
from storage.log import kept_log
from storage.log.control import command_sender, liveness
from storage.recordings import inspection, segments
from storage.recordings.session import SessionReader, SessionWriter
from tests import bar_sessions
from tests.every_key.command_line import Done, call
from tests.every_key.config_leaves import leaves
from tests.fakes import changed_trade, small_session
from tests.unit.docs.test_docs import ROOT

WORLD = "20260101T120000-000"


def says(page: str, sentence: str) -> None:
    """The sentence stands in the page, however its lines are broken."""
    text = " ".join((ROOT / page).read_text().split())
    assert " ".join(sentence.split()) in text, f"{page} says no more: {sentence}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it after one run: a session, its log, a copy."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "runs" / "sessions").mkdir(parents=True)
    session = small_session(folder / "runs" / "sessions" / WORLD)
    db = f"sqlite:///{folder / 'runs' / 'agent.db'}"
    assert call("agent", "replay", session, "--db", db).code == 0
    return folder


@pytest.fixture
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder is the user's."""
    monkeypatch.chdir(world)
    return world


def refused(done: Done, *words: str) -> None:
    """Bad input: exit 2, one message that has the words, nothing on stdout."""
    assert done.code == 2, done
    assert all(word in done.err for word in words), done.err
    assert "Traceback" not in done.err
    assert done.out == ""


# --- README -------------------------------------------------------------------------------------------


def test_readme_counts() -> None:
    """Bytes of a row, networks, orders of the comparison, tasks."""
    says("README.md", "Every market event is one row of a 56-byte integer tape")
    assert EVENT.itemsize == 56
    says("README.md", "eight allocation networks")
    assert len(SCENARIOS) == 8
    says("README.md", "(0 differences in 7,365 orders")
    first = (ROOT / "docs" / "fill-model.md").read_text().split("## Where they differ")[0]
    rows = [line.split("|") for line in first.splitlines() if line.startswith("| ") and "**0**" in line]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 7365
    readme = (ROOT / "README.md").read_text()
    tasks = readme.split("## Five tasks")[1].split("\n## ")[0]
    assert len(re.findall(r"^\*\*", tasks, re.M)) == 5


def test_readme_setup() -> None:
    """Python's version, the licence, what the environment is made of."""
    says("README.md", "Both need Python 3.11 or newer")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    says("README.md", "virtual environment in `.venv` from `requirements.lock`")
    assert "VENV := .venv" in (ROOT / "Makefile").read_text()
    assert "make_environment.py $(VENV) requirements.lock" in (ROOT / "Makefile").read_text()
    says("README.md", "MIT licence")
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_every_tunable_is_in_the_shipped_file() -> None:
    """Each key is spelt out there, commented examples included."""
    says("README.md", "Every tunable is in `config.yaml`")
    text = (ROOT / "config.yaml").read_text()
    assert [k for k in leaves() if not re.search(rf"\b{k.rpartition('.')[2]}\b", text)] == []


def test_a_replay_gives_the_same_bytes_or_names_the_row(here: Path, tmp_path: Path) -> None:
    """Verified; a trade changed; an order option."""
    says("README.md", "A replay gives the same bytes; if not, `--verify` names the first row that differs.")
    done = call("agent", "replay", WORLD, "--verify", "--json")
    found = json.loads(done.out)
    assert (done.code, found["match"], found["digest"]) == (0, True, found["recorded_digest"])
    other = _with_a_changed_trade(here / "runs" / "sessions" / WORLD, tmp_path / "changed")
    done = call("agent", "replay", other, "--verify")
    assert done.code == 1
    assert re.search(r"DIFFERENT from the recorded run: .*row", done.out)
    says("README.md", "An order option changes the recorded order.")
    plain = json.loads(call("agent", "replay", WORLD, "--json").out)["parents"][0]
    twap = json.loads(call("agent", "replay", WORLD, "--algo", "immediate", "--json").out)["parents"][0]
    assert (twap["algo"], twap["target"]) == ("immediate", plain["target"])


def _with_a_changed_trade(session: Path, copy: Path) -> Path:
    """The same recording, one trade of its tape another: written as a writer would have."""
    shutil.copytree(session, copy)
    events = changed_trade(SessionReader(copy).events())
    for tape in copy.glob("tape-*"):
        tape.unlink()
    SessionWriter(copy).events(events)
    return copy


@pytest.mark.usefixtures("here")
def test_the_log_is_read_only() -> None:
    """Your own SQL cannot write."""
    says("README.md", "or your own SQL, read-only.")
    refused(call("agent", "log", "sql", "DELETE FROM fills"))
    for what in ["parents", "children", "fills", "decisions", "slippage", "sessions", "gaps"]:
        assert call("agent", "log", what).code == 0
    says("README.md", "`log parents|children|fills|decisions|slippage|sessions|gaps`")


@pytest.mark.usefixtures("here")
def test_what_is_not_there_yet_is_not_there() -> None:
    """Limits that README is honest about; when one goes, the sentence goes too."""
    says("README.md", "Orders are not routed to an exchange's sandbox yet.")
    refused(call("agent", "run", "--paper", "--route", "sandbox"), "--route")


# --- commands.md --------------------------------------------------------------------------------------

COMMANDS = "docs/commands.md"


@pytest.mark.usefixtures("here")
def test_json_is_one_document_and_nothing_else() -> None:
    """For every command that needs nothing but a session and its log."""
    says(COMMANDS, "`--json` prints one JSON document on stdout and nothing else there.")
    for words in (
        f"agent replay {WORLD}",
        "agent status",
        "agent ctl kill",
        "agent log fills",
        "agent sessions list",
        f"agent sessions inspect {WORLD}",
        "agent sessions compact last",
        "lem bound --n 4",
    ):
        json.loads(call(*words.split(), "--json").out)


@pytest.mark.usefixtures("here")
def test_exit_codes() -> None:
    """0, 1, 2 and 3; 130 is shown by the tests of runs."""
    says(
        COMMANDS,
        "Exit codes: 0 done; 1 the work ran and did not succeed; 2 bad input or configuration; 3 exchange,"
        " network, disk or database failed; 130 interrupted after a clean stop.",
    )
    assert call("agent", "log", "fills").code == 0
    assert call("agent", "ctl", "kill").code == 1  # none lives
    assert call("agent", "log", "fils").code == 2
    away = "postgresql://nobody@127.0.0.1:9/none"
    assert call("agent", "log", "fills", "--db", away).code == 3
    says(COMMANDS, "1 if one refused or has not answered within five seconds")
    assert command_sender.ANSWER_S == 5.0


@pytest.mark.usefixtures("here")
def test_debug_shows_where_an_error_comes_from() -> None:
    """One message without it."""
    says(COMMANDS, "`--debug` shows the traceback of an error.")
    refused(call("agent", "replay", "none"), "none")
    with pytest.raises(AgentError):
        agent_main(["replay", "none", "--debug"])
    says(COMMANDS, "`--version` prints the version")
    assert re.search(r"\d+\.\d+\.\d+", call("agent", "--version").out)


def test_the_configuration_is_found_and_overridden(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.yaml of this folder, or --config, or the defaults; options on top."""
    says(COMMANDS, "without it, `config.yaml` in this folder is read, or the defaults.")
    monkeypatch.chdir(tmp_path)
    assert call("agent", "sessions", "list").code == 0  # nothing was run yet
    Path("config.yaml").write_text(yaml.safe_dump({"out": str(world / "runs" / "sessions")}))
    assert WORLD in call("agent", "sessions", "list").out
    Path("other.yaml").write_text(yaml.safe_dump({"out": "elsewhere"}))
    assert WORLD not in call("agent", "sessions", "list", "--config", "other.yaml").out
    says(COMMANDS, "The command line overrides the configuration.")
    Path("other.yaml").write_text(yaml.safe_dump({"database": "sqlite:///none.db"}))
    db = f"sqlite:///{world / 'runs' / 'agent.db'}"
    assert call("agent", "log", "fills", "--config", "other.yaml", "--db", db).code == 0


@pytest.mark.usefixtures("here")
def test_a_session_is_a_directory_a_name_or_last() -> None:
    """Wherever SESSION stands."""
    says(
        COMMANDS,
        "SESSION is the directory of a recorded session, its name in the configured folder, or `last`, the"
        " newest there.",
    )
    for given in (f"runs/sessions/{WORLD}", WORLD, "last"):
        assert call("agent", "replay", given).code == 0
        assert call("agent", "sessions", "inspect", given).code == 0
        assert call("agent", "sessions", "compact", given).code == 0
        said = call("lem", "explain", given)
        assert f"runs/sessions/{WORLD} holds no decision by the model" in said.err
        said = call("agent", "calibrate", given)
        assert "too little to calibrate from" in said.err
    for given in (WORLD, "last"):
        said = call("agent", "sessions", "merge", given, given, "--out", "twice")
        assert said.code == 2
        assert "does not exist" not in said.err


@pytest.mark.usefixtures("here")
def test_values_as_they_are_written() -> None:
    """Durations with their unit; times in UTC; no order without ``--paper``."""
    says(COMMANDS, "Durations are `90s`, `15m`, `2h`, `3d` or `2m10s`.")
    for text in ("90s", "15m", "2h", "3d", "2m10s", "500ms"):
        assert call("agent", "log", "fills", "--since", text).code == 0
    says(COMMANDS, "Times are ISO 8601, UTC where no zone is given.")
    with_zone, without = (
        call("agent", "log", "fills", "--json", "--until", f"2030-01-01T12:00:00{zone}").out
        for zone in ("Z", "")
    )
    assert with_zone == without
    says(COMMANDS, "Needs `--paper`: no order leaves this machine.")
    refused(call("agent", "run"), "--paper")


@pytest.mark.usefixtures("here")
def test_order_options_as_described() -> None:
    """Names of algos, one size, no shadows, multiples of the interval."""
    row = next(
        line for line in (ROOT / COMMANDS).read_text().splitlines() if line.startswith("| `--algo NAME`")
    )
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == {*ALGOS, "lem"}
    says(COMMANDS, "Give one |")
    refused(call("agent", "replay", WORLD, "--quantity", "1", "--notional", "5"), "give one")
    says(COMMANDS, '`--shadow ""` for none')
    done = json.loads(call("agent", "replay", WORLD, "--shadow", "", "--json").out)
    assert done["parents"][0]["shadows"] == []
    says(COMMANDS, "than this: multiples of the interval.")
    refused(call("agent", "replay", WORLD, "--interval", "7s"), "multiple of the interval")


@pytest.mark.usefixtures("here")
def test_replay_as_described(tmp_path: Path) -> None:
    """Speeds, the stored name, what is refused."""
    says(COMMANDS, "`--speed max|1x|10x` paces the tape.")
    refused(call("agent", "replay", WORLD, "--speed", "fast"), "'fast'")
    says(COMMANDS, "under the name SESSION@replay-....")
    db = f"sqlite:///{tmp_path / 'own.db'}"
    assert call("agent", "replay", WORLD, "--db", db).code == 0
    (row,) = json.loads(call("agent", "log", "sessions", "--db", db, "--json").out)
    assert row["session"].startswith(f"{WORLD}@replay-")
    says(COMMANDS, "`--start TIME` is when the order starts in a session of bars or of trades alone.")
    refused(call("agent", "replay", WORLD, "--start", "2026-01-01"), "--start")
    trades = tmp_path / "trades.csv"
    trades.write_text("".join(f"{1_718_863_200 + k},{100 + k % 2},5\n" for k in range(60)))
    alone = str(tmp_path / "alone")
    call("agent", "import", str(trades), "--symbol", "BTC/USDT", "--out", alone)
    times = ["--quantity", "2", "--interval", "5s", "--min-duration", "10s", "--max-duration", "20s"]
    started = call("agent", "replay", alone, *times, "--start", "2024-06-20T06:00:30", "--json")
    assert json.loads(started.out)["parents"][0]["started_ns"] == 1_718_863_230 * 10**9
    says(COMMANDS, "Exit code 1 if an order does not complete.")
    assert call("agent", "replay", WORLD, "--limit-price", "59000").code == 1


@pytest.mark.usefixtures("here")
def test_what_is_needed_is_asked_for() -> None:
    """Options without which a command cannot work."""
    says(COMMANDS, "`--symbol S` and `--out DIR` are needed.")
    refused(call("agent", "import", "x.csv", "--symbol", "BTC/USDT"), "--out")
    refused(call("agent", "import", "x.csv", "--out", "o"), "--symbol")
    says(COMMANDS, "`--out DIR` is needed. Also `--json`.")
    refused(call("agent", "sessions", "slice", WORLD), "--out")
    refused(call("agent", "sessions", "merge", WORLD), "--out")
    says(COMMANDS, "to `--out FILE` where one is named; parquet needs it.")
    refused(call("agent", "log", "fills", "--format", "parquet"), "--out")
    says(COMMANDS, "`sql` takes none of these.")
    refused(call("agent", "log", "sql", "SELECT 1", "--limit", "1"), "--limit")
    says(COMMANDS, "`--limit N` keeps the latest")
    rows = json.loads(call("agent", "log", "fills", "--json").out)
    one = json.loads(call("agent", "log", "fills", "--limit", "1", "--json").out)
    assert [row["fill_ns"] for row in one] == [max(row["fill_ns"] for row in rows)]


def test_numbers_of_the_commands_page() -> None:
    """How long is watched and waited."""
    says(COMMANDS, "moves (about once a second)")
    assert liveness.BEAT_S == 1.0
    says(COMMANDS, "the heartbeat is watched for up to four seconds.")
    assert liveness.WATCH_S == 4.0
    says(COMMANDS, "session waits 20 s for it at most.")
    assert kept_log.FINISH_S == 20.0
    says(COMMANDS, "(0 takes a free one)")
    says(COMMANDS, "if it takes more than two and a half seconds")
    assert long_work.QUIET_S == 2.5


def test_links_to_the_next_commands() -> None:
    """sessions.md has a section or a row on each of those it is said to have more on."""
    says(COMMANDS, "[sessions.md](sessions.md) has more on this and the next four.")
    text = (ROOT / COMMANDS).read_text()
    after = re.findall(r"^### agent (sessions \w+)", text, re.M)
    assert after[0] == "sessions list"
    more = (ROOT / "docs" / "sessions.md").read_text()
    assert all(f"agent {name}" in more for name in after[:5])


# --- sessions.md, fill-model.md, architecture.md, model-card.md -----------------------------------------


def _damaged(path: Path) -> Path:
    """A session that was closed, and lost the end of its tape later."""
    small_session(path)
    events = SessionReader(path).events()
    (tape,) = path.glob("tape-*")
    tape.unlink()
    writer = SessionWriter(path)
    for part in np.array_split(events, 4):
        writer.events(part)
    tape.write_bytes(tape.read_bytes()[:-2000])
    return path


@pytest.mark.usefixtures("here")
def test_sessions_page(tmp_path: Path) -> None:
    """What is cut, joined, compacted, and what is refused."""
    page = "docs/sessions.md"
    says(page, "Spreads and mids are samples at 600 even moments.")
    assert inspection.SAMPLES == 600
    says(page, "16,384 rows a row group")
    assert segments.BATCH_ROWS == 16_384
    says(page, "`origin` in `session.json` names the session and the span of time.")
    cut = tmp_path / "cut"
    assert call("agent", "sessions", "slice", WORLD, "--from", "1s", "--to", "9s", "--out", cut).code == 0
    header = json.loads((cut / "session.json").read_text())
    assert WORLD in json.dumps(header["origin"])
    says(page, "Orders are left out")
    refused(call("agent", "replay", cut, "--verify"), "without an order")
    says(page, "otherwise the merge is refused with both times.")
    refused(call("agent", "sessions", "merge", cut, WORLD, "--out", tmp_path / "m"), "overlap")
    says(page, "Sessions that were not closed, or are damaged, are refused and stay.")
    broken = _damaged(tmp_path / "broken")
    assert call("agent", "sessions", "compact", broken).code != 0
    assert next(broken.glob("tape-*")).exists()
    says(page, "Exit code 1 where one is damaged or unreadable.")
    assert call("agent", "sessions", "list", tmp_path).code == 1
    assert call("agent", "sessions", "inspect", broken).code == 1
    says(page, "`agent sessions slice BROKEN --out DIR` saves a whole session out of one that is not.")
    assert call("agent", "sessions", "slice", broken, "--out", tmp_path / "saved").code == 0
    assert call("agent", "sessions", "inspect", tmp_path / "saved").code == 0


def test_cutting_joining_compacting_change_no_row(tmp_path: Path) -> None:
    """Slices that touch are the whole again; a compact session gives the same digest."""
    page = "docs/sessions.md"
    session = small_session(tmp_path / "s")
    rows = SessionReader(session).events()
    middle_ns = int(rows["recv_ns"][len(rows) // 2])
    moment = f"{(middle_ns - int(rows['recv_ns'][0])) // 10**6}ms"
    for name, span in (("a", ("--to", moment)), ("b", ("--from", moment))):
        done = call("agent", "sessions", "slice", session, *span, "--out", tmp_path / name)
        assert done.code == 0, done.err
    says(page, "Slices of one session that touch join without a trace: merged, they are the original's rows.")
    merged = tmp_path / "merged"
    assert call("agent", "sessions", "merge", tmp_path / "a", tmp_path / "b", "--out", merged).code == 0
    again = SessionReader(merged).events()
    assert all(
        np.array_equal(again[name], rows[name]) for name in ("recv_ns", "kind", "price_ticks", "qty_lots")
    )
    says(page, "Readers take both kinds, mixed too; replays give the same digest.")
    before = json.loads(call("agent", "replay", session, "--json").out)["digest"]
    assert call("agent", "sessions", "compact", session).code == 0
    assert list(session.glob("*.parquet"))
    assert json.loads(call("agent", "replay", session, "--json").out)["digest"] == before
    says(page, "With `--history` the trades that led up to the cut come first, flagged as history")
    for history, some in (([], False), (["--history", "5s"], True)):
        cut = tmp_path / f"cut{some}"
        call("agent", "sessions", "slice", session, "--from", "10s", *history, "--out", cut)
        flagged = SessionReader(cut).events()["flags"] & Flag.HISTORY
        assert bool(flagged.any()) is some


def test_bringing_a_log_in_line(tmp_path: Path) -> None:
    """Doing it again changes nothing; what has not ended is refused."""
    says(COMMANDS, "so that doing it again changes nothing.")
    session, db = small_session(tmp_path / "s"), f"sqlite:///{tmp_path / 'log.db'}"
    held = []
    for _ in range(2):
        done = call("agent", "sessions", "sync", session, "--db", db)
        assert done.code == 0, done.err
        held.append([call("agent", "log", what, "--db", db, "--json").out for what in ("fills", "decisions")])
    assert held[0] == held[1]
    assert json.loads(held[0][0])
    says(COMMANDS, "A session that has not ended, or does not replay to what was recorded, is refused.")
    journal = session / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"end"' not in line and '"closed"' not in line))
    assert call("agent", "sessions", "sync", session, "--db", db).code != 0


def test_what_slippage_says_of_its_data(world: Path) -> None:
    """Flags and reasons are columns."""
    db = f"sqlite:///{world / 'runs' / 'agent.db'}"
    says(COMMANDS, "Of `slippage`, `flags` names what was wrong with the data in each measure's window")
    says(COMMANDS, "`reasons` says why a measure is null.")
    rows = json.loads(call("agent", "log", "slippage", "--db", db, "--json").out)
    assert rows
    assert all({"flags", "reasons"} <= set(row) for row in rows)


@pytest.mark.slow
def test_doctor_fails_where_a_check_does() -> None:
    """Here the database, which is away."""
    says(COMMANDS, "Exit code 1 if one of them fails.")
    nowhere = call("agent", "doctor", "--db", "postgresql://nobody@127.0.0.1:9/none", "--json")
    assert nowhere.code == 1
    assert {check["name"]: check["ok"] for check in json.loads(nowhere.out)["checks"]}["database"] is False


@pytest.mark.usefixtures("here")
def test_fill_model_page() -> None:
    """Defaults that it names, limits of the calibration, how often round trips are measured."""
    page = "docs/fill-model.md"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    says(page, "**Price protection** (`price_protection_bps`, off)")
    assert config["venue"]["price_protection_bps"] is None
    says(page, "**Self-trade** (`self_trade: cancel_newest`)")
    assert config["venue"]["self_trade"] == "cancel_newest"
    says(page, "keeps the place in the queue (`amend: keep_on_reduce`;")
    assert config["venue"]["amend"] == "keep_on_reduce"
    says(page, "Off by default: the tape does not know of us")
    assert config["venue"]["impact"] in ("off", False)
    says(page, "`venue.reach: shown` (the default)")
    assert config["venue"]["reach"] == "shown"
    says(page, "more than `venue.noted_share` (30 %)")
    assert config["venue"]["noted_share"] == 0.3
    says(page, "At least 300 s of two-sided book and 200 trades; less is refused.")
    refused(call("agent", "calibrate", WORLD), "at least 300 s and 200 trades")
    says(page, "(five at the start, then one every 20 s)")
    assert ccxt_feed._CLOCK_PROBES == 5
    assert ccxt_feed.FeedOptions().clock_every_s == 20.0
    says(page, "that far away (10 %)")
    assert config["bars"]["reach_bps"] == 1000


def test_sessions_of_bars(tmp_path: Path) -> None:
    """What fill-model.md says is refused in them, and what an import refuses."""
    page = "docs/fill-model.md"
    hours = bar_sessions.hourly([100.0 + k for k in range(12)], volume=10.0)
    file = bar_sessions.write_csv(tmp_path / "bars.csv", hours)
    session = tmp_path / "s"
    done = call("agent", "import", file, "--format", "klines", "--symbol", "BTC/USDT", "--out", session)
    assert done.code == 0, done.err
    order = ["--quantity", "1", "--interval", "1h", "--min-duration", "1h", "--max-duration", "2h"]
    says(page, "`peg`, post-only orders and amendments are refused: nobody saw a queue")
    refused(call("agent", "replay", session, *order, "--tactic", "peg", "--algo", "twap"), "peg")
    says(page, "`--interval` is a multiple of the bars' length, durations multiples of the interval.")
    odd = ["--interval", "90m", "--min-duration", "90m", "--max-duration", "3h"]
    refused(
        call("agent", "replay", session, "--quantity", "1", *odd, "--algo", "twap"),
        "90m",
        "multiple of the session's 1h bars",
    )
    ran = json.loads(call("agent", "replay", session, *order, "--algo", "twap", "--shadow", "", "--json").out)
    says(page, "fills are modelled, and the terminal, the JSON (`notes`)")
    assert any("modelled" in note for note in ran["notes"])
    says(page, "inverse contracts.")
    refused(
        call(
            "agent", "import", file, "--format", "klines", "--symbol", "BTC/USD:BTC", "--out", tmp_path / "i"
        ),
        "inverse",
    )


def test_min_periods_as_written() -> None:
    """A number, a range, a list."""
    says(COMMANDS, "`--min-period 4|0-6|0,4,8`")
    few = ["lem", "evaluate", "--market", "gaussian", "--n", "8", "--orders", "10", "--json", "--min-period"]
    for text, periods in (("4", [4]), ("0-2", [0, 1, 2]), ("0,4,8", [0, 4, 8])):
        rows = json.loads(call(*few, text).out)["rows"]
        assert sorted({row["min_period"] for row in rows}) == periods
    refused(call(*few, "6-2"), "'6-2'")


def test_architecture_page() -> None:
    """Counts and the tolerance of another machine."""
    page = "docs/architecture.md"
    from tests.replay.golden import CASES

    says(page, "`tests/replay/test_golden.py` holds 49 sessions to the bit")
    assert len(CASES) == 49
    says(page, "recomputed decisions may differ by 1e-5.")
    assert TOLERANCE == 1e-5


def test_model_card() -> None:
    """The shipped file, and what it learned from."""
    page = "docs/model-card.md"
    shipped = load_checkpoint(None)
    says(
        page,
        f"digest {shipped.digest}, {DEFAULT_PATH.stat().st_size / 1e6:.2f} MB,"
        f" {shipped.model.config.features} features (version {FEATURE_VERSION}),"
        f" lookback {shipped.model.config.lookback} bars.",
    )
    says(page, "1,500 steps of 1,440 parent orders")
    default = PRESETS["default"]
    assert (default.iterations, default.series * default.starts) == (1500, 1440)
    says(
        page,
        "four driftless ones with known optima (walk and bars, constant and random volume), stochastic"
        " volatility with jumps, seasonal volume, regimes, and four with known predictability (momentum, mean"
        " reversion, a signal in the book, one in the takers' flow)",
    )
    assert set(MARKETS) == {
        *("gaussian", "gaussian-bars", "gaussian-volume", "gaussian-bars-volume", "stochastic-vol"),
        *("seasonal", "regimes", "momentum", "mean-reversion", "book-signal", "flow-signal"),
    }
    says(page, "and with the 312 that a live order has")
    assert shipped.model.config.bars_needed == 312
