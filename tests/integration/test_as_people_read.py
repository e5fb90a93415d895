"""What a newcomer meets: rounded money, no exponents, sessions by name, hints that run, the right errors."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.cli import main
from lem.cli import main as lem_main

BARS, LENGTH_NS, START_MS = 60, 900, 1_740_000_600_000
UNITS = ("--tick-size", "0.000000001", "--lot-size", "1")
AS_BARS = ("--format", "klines", "--symbol", "PEP/USDT", *UNITS)
EXPONENT = re.compile(r"\d[eE][-+]?\d")
WINDOW = (
    "--interval",
    "15m",
    "--min-duration",
    "1h",
    "--max-duration",
    "2h",
    "--algo",
    "twap",
    "--shadow",
    "vwap",
)


class Done(NamedTuple):
    code: int
    out: str
    err: str


def agent(*argv: str | Path, program: Any = main) -> Done:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        program([str(a) for a in argv])
    return Done(int(left.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has one, with bars of a coin that costs 0.00000088."""
    folder = tmp_path_factory.mktemp("world")
    prices = [f"{(880 + k % 7) * 1e-9:.9f}" for k in range(BARS + 1)]
    lines = ["time,open,high,low,close,volume"]
    for k in range(BARS):
        a, b = prices[k], prices[k + 1]
        lines.append(f"{START_MS + k * LENGTH_NS * 1000},{a},{max(a, b)},{min(a, b)},{b},{10**9 + k}")
    (folder / "bars.csv").write_text("\n".join(lines) + "\n")
    into = folder / "runs" / "sessions" / "my bars"
    made = agent("import", folder / "bars.csv", *AS_BARS, "--out", into)
    assert made.code == 0, made.err
    return folder


@pytest.fixture
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(world)
    return world


def replay(*more: str) -> Done:
    return agent("replay", "my bars", *WINDOW, *more)


# --- sessions by name, hints, bars -------------------------------------------------------------------


def test_a_name_and_last_serve_wherever_a_session_stands(here: Path) -> None:
    """The directory, its name in the configured folder, and ``last`` are one session."""
    for name in ("my bars", "last", "runs/sessions/my bars"):
        found = json.loads(agent("sessions", "inspect", name, "--json").out)
        assert found["session"] == "my bars"
        assert agent("sessions", "slice", name, "--to", "2h", "--out", here / "cut").code == 0
        shutil.rmtree(here / "cut")
    assert "compact" in agent("sessions", "compact", "my bars").out + agent("sessions", "compact", "last").out


def test_a_hint_can_be_copied_and_run(here: Path) -> None:
    """On one line and quoted: what ``import`` and ``inspect`` name works, in a path with a space."""
    for shown in (
        agent("import", "bars.csv", *AS_BARS, "--out", here / "an other").out,
        agent("sessions", "inspect", "my bars").out,
    ):
        (line,) = [line for line in shown.splitlines() if line.startswith("trade on it:")]
        words = shlex.split(line.removeprefix("trade on it:"))
        assert words[:3] == ["python", "-m", "agent"]
        tried = agent(*words[3:], "--algo", "twap", "--shadow", "", "--quantity", "1000")
        assert tried.code == 0, tried.err


def test_a_session_of_bars_is_described_as_one(here: Path) -> None:
    """Its bars with their length, prices and volumes; nothing of a tape, of rates or of a book."""
    shown = agent("sessions", "inspect", "my bars").out
    assert "bars, and no tape" in shown
    head, row = [line for line in shown.splitlines() if line.startswith(("symbol", "PEP/USDT"))]
    assert all(name in head for name in ("from (UTC)", "to (UTC)", "low (quote)", "turnover (quote)"))
    assert row.split()[:3] == ["PEP/USDT", "60", "15m"]
    assert "0.000000880" in row
    assert [word for word in ("spread", "trades/s", "levels", "gaps") if word in shown] == []
    (bars,) = [
        i["bars"] for i in json.loads(agent("sessions", "inspect", "my bars", "--json").out)["instruments"]
    ]
    assert (bars["bars"], bars["interval_ns"], bars["absent"]) == (60, 900 * 10**9, 0)


# --- the right errors --------------------------------------------------------------------------------


def test_a_session_without_an_order_says_so(here: Path) -> None:
    """And names what to do: an order of one's own, or another session."""
    plain = agent("replay", "my bars")
    assert (plain.code, "holds no order" in plain.err) == (2, True)
    words = shlex.split(plain.err.partition("as in: ")[2])
    assert agent(*words[3:], "--algo", "twap", "--quantity", "1000").code == 0
    assert "no order" in agent("replay", "my bars", "--algo", "twap").err
    why = agent("explain", "my bars", program=lem_main)
    assert (why.code, "holds no order" in why.err, "by lem" in why.err) == (2, True, True)


def test_a_log_says_why_it_shows_nothing(here: Path) -> None:
    """A session or an order that the log does not have is named; what a filter leaves out is no fault."""
    assert replay("--quantity", "1000", "--db", "runs/agent.db").code == 0
    for what in ("decisions", "fills", "children", "slippage", "parents"):
        lost = agent("log", what, "--session", "my bars")
        assert (lost.code, "no session 'my bars' in the log" in lost.err) == (2, True), what
        assert "no parent order 'P9'" in agent("log", what, "--parent", "P9").err
    assert agent("log", "fills", "--since", "2020-01-01", "--until", "2020-01-02").code == 0


# --- numbers -----------------------------------------------------------------------------------------


def test_no_number_of_a_cheap_coin_has_an_exponent(here: Path) -> None:
    """An order in money that fills nothing (``0E-7``), in every form that shows it; it exits 1."""
    nothing = ("--notional", "5", "--limit-price", "0.00000087")
    shown = replay(*nothing, "--db", "cheap.db")
    document = replay(*nothing, "--json")
    assert (shown.code, document.code) == (1, 1)
    (parent,) = json.loads(document.out)["parents"]
    assert (parent["state"], float(parent["filled"])) == ("expired", 0.0)
    tables = [agent("log", what, "--db", "cheap.db").out for what in ("parents", "decisions", "slippage")]
    rows = [
        agent("log", w, "--db", "cheap.db", "--format", "csv").out for w in ("parents", "children", "fills")
    ]
    for text in (shown.out, *tables, agent("sessions", "inspect", "my bars").out, *rows):
        assert not EXPONENT.search(re.sub(r"[0-9a-f]{16,}", "", text)), text
    assert not EXPONENT.search(" ".join(str(v) for v in parent.values() if isinstance(v, str)))
    off_the_tick = replay("--quantity", "1000", "--limit-price", "0.00000000001")
    assert (off_the_tick.code, bool(EXPONENT.search(off_the_tick.err))) == (2, False)


def test_money_in_a_table_is_rounded_and_the_rest_exact(here: Path) -> None:
    """Tables tell a hundredth of a basis point of the order; JSON and CSV hold every digit."""
    shown, document = (
        replay("--quantity", "123456789"),
        json.loads(replay("--quantity", "123456789", "--json").out),
    )
    fees = document["parents"][0]["shortfall"]["fees"]
    (cell,) = [line.split()[2] for line in shown.out.splitlines() if line.startswith("shortfall fees")]
    assert len(fees.partition(".")[2]) > 6
    assert cell == f"{float(fees):.4f}!"
    money = [line.split()[2] for line in shown.out.splitlines() if line.startswith("shortfall ")]
    assert len({len(amount.rstrip("!").partition(".")[2]) for amount in money}) == 1  # aligned
    tiny, exact = replay("--quantity", "1000"), json.loads(replay("--quantity", "1000", "--json").out)
    (cell,) = [line.split()[2] for line in tiny.out.splitlines() if line.startswith("shortfall fees")]
    assert float(cell.rstrip("!")) == pytest.approx(float(exact["parents"][0]["shortfall"]["fees"]), rel=1e-2)


def test_the_closing_table_has_reversion_and_fill_rate(here: Path) -> None:
    """Reversion where it is known, and a reason where it is not; the fill rate of what was asked for."""
    shown = replay("--quantity", "1000").out
    (rate,) = [line for line in shown.splitlines() if line.startswith("fill rate")]
    assert rate.split()[2] == "100.00%!"
    assert "not known: reversion" in shown


@pytest.mark.parametrize(
    "what", ["parents", "children", "fills", "decisions", "slippage", "sessions", "gaps"]
)
def test_every_table_of_the_log_has_units_and_a_file(here: Path, what: str) -> None:
    """Times in UTC first, and in CSV no JSON in any cell, written to --out as to stdout."""
    assert replay("--quantity", "1000", "--db", "every.db").code == 0
    where = ("--db", "every.db")
    table = agent("log", what, *where).out
    assert "(UTC)" in table.splitlines()[0]
    assert not re.search(r"_ns|_bps|_tl\b", table.splitlines()[0])
    for form in ("csv", "json", "table"):
        assert agent("log", what, *where, "--format", form, "--out", "rows").code == 0
        shown = agent("log", what, *where, "--format", form).out
        written = (here / "rows").read_text()
        assert written == shown or what == "sessions"  # whose heartbeats get older
    with (here / "rows.csv").open("w") as file:
        file.write(agent("log", what, *where, "--format", "csv").out)
    with (here / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows or what == "gaps"
    assert not [cell for row in rows for cell in row.values() if cell and cell[0] in "{["]


def test_the_log_has_the_shortfall(here: Path) -> None:
    """In the table with its sign and unit, in CSV as columns, equal to the JSON's."""
    assert replay("--quantity", "1000", "--db", "short.db").code == 0
    where = ("log", "slippage", "--db", "short.db")
    assert "shortfall (bps, + is cost)" in agent(*where).out
    rows, measured = (
        list(csv.DictReader(StringIO(agent(*where, "--format", "csv").out))),
        json.loads(agent(*where, "--json").out),
    )
    assert [row["shortfall_total"] for row in rows] == [m["measures"]["shortfall_total"] for m in measured]
    assert all("bars_only" in row["flags"] and "reversion_bps" in row["reasons"] for row in rows)


def test_a_log_that_is_named_needs_no_configuration(here: Path, tmp_path: Path) -> None:
    """With --db a faulty config.yaml in this folder is nobody's business, as in ``status``."""
    made = replay("--quantity", "1000", "--algo", "twap", "--shadow", "", "--db", "sqlite:///named.db")
    assert made.code == 0, made.err
    (here / "config.yaml").write_text("symbl: x\n")
    try:
        found = agent("log", "parents", "--db", "sqlite:///named.db")
    finally:
        (here / "config.yaml").unlink()
    assert (found.code, found.err) == (0, "")
