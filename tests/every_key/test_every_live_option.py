"""Options of the commands that stream a market: each is seen in what is recorded, stored or served."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.core.events import StartParent
from agent.journal import commands as journalled
from agent.order_options import Order
from connectors.embedded.loopback import loopback_session
from storage.log import queries
from storage.recordings.session import SessionReader
from tests.every_key.command_line import Done, call
from tests.every_key.key_markets import Markets

pytestmark = pytest.mark.slow

S = 10**9
ORDER = {
    "--side": "sell",
    "--quantity": "0.2",
    "--benchmark": "twap",
    "--min-duration": "1s",
    "--max-duration": "4s",
    "--interval": "1s",
    "--algo": "pov",
    "--algo-param": "rate=0.9",
    "--tactic": "sweep",
    "--shadow": "twap",
    "--limit-price": "100",
    "--participation-cap": "0.95",
    "--min-rate": "0.01",
    "--max-rate": "0.9",
    "--risk-aversion": "2",
    "--align": "grid",
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Markets(tmp_path_factory.mktemp("market")).path("plain")


def write(folder: Path, raw: dict[str, Any]) -> Path:
    file = folder / "c.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


def given(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def test_every_option_of_run_arrives(tmp_path: Path) -> None:
    """The configuration says other things; each option is in the session, the order or the log."""
    config = write(
        tmp_path, {"venue": {"taker_fee_ppm": 7}, "out": "nowhere", "database": "nowhere.db", "seed": 3}
    )
    where = {"--out": str(tmp_path / "s"), "--db": str(tmp_path / "log.db"), "--config": str(config)}
    chosen = {"--exchange": "embedded", "--market": "synthetic", "--symbol": "ETH/USDT", "--seed": "9"}
    done = call("agent", "run", "--paper", "--json", *given(where | chosen | ORDER))
    assert done.code in (0, 1), done.err  # an order of POV may expire
    document = json.loads(done.out)
    reader = SessionReader(Path(document["path"]))
    assert Path(document["path"]).parent == tmp_path / "s"
    used: Any = reader.header.config
    assert (used["seed"], used["embedded"]["seed"], used["embedded"]["market"]) == (9, 9, "synthetic")
    assert (used["symbol"], used["venue"]["taker_fee_ppm"]) == ("ETH/USDT", 7)
    assert len(queries.query(str(tmp_path / "log.db"), "parents").rows) == 1
    (start,) = [c for c in journalled(reader.journal()) if isinstance(c, StartParent)]
    _check_order(start, reader)


def _check_order(start: StartParent, reader: SessionReader) -> None:
    """Every option of an order is in what was started; ``--notional`` excludes ``--quantity``."""
    spec, instrument = start.spec, reader.instruments[0]
    found = {
        "--side": spec.side.name.lower(),
        "--quantity": f"{instrument.quantity(spec.target).normalize():f}",
        "--benchmark": spec.benchmark.value,
        "--min-duration": f"{spec.min_duration_ns // S}s",
        "--max-duration": f"{spec.max_duration_ns // S}s",
        "--interval": f"{spec.interval_ns // S}s",
        "--algo": spec.algo,
        "--algo-param": "".join(f"{k}={v:g}" for k, v in spec.algo_params.items()),
        "--tactic": spec.tactic,
        "--shadow": ",".join(shadow.algo for shadow in start.shadows),
        "--limit-price": f"{instrument.price(spec.limit_price_ticks or 0).normalize():f}".replace(
            "1E+2", "100"
        ),
        "--participation-cap": f"{spec.participation_cap:g}",
        "--min-rate": f"{spec.min_rate:g}",
        "--max-rate": f"{spec.max_rate:g}",
        "--risk-aversion": f"{spec.risk_aversion:g}",
        "--align": spec.align.value,
    }
    assert found == ORDER
    assert len(found) == len(fields(Order)) - 1


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("--exchange binanse", ("binanse", "binance")),
        ("--symbol BTC/USDTT", ("BTC/USDTT", "BTC/USDT")),
        ("--market none", ("none", "synthetic")),
        ("--seed x", ("--seed", "integer")),
        ("--db nonsense", ("'nonsense'",)),
        ("--config none.yaml", ("none.yaml",)),
        ("--notional 0", ("0", "positive")),
        ("--quantity 1 --notional 5", ("exclude",)),
        ("--paper 5", ("5",)),
    ],
)
def test_a_wrong_value_of_run(extra: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit 2 and one message; nothing is written."""
    where = [] if "--db" in extra else ["--db", tmp_path / "log.db"]
    done = call("agent", "run", "--paper", "--out", tmp_path / "s", *where, "--quantity", "1", *extra.split())
    refused(done, *words)
    assert list(tmp_path.iterdir()) == []


def refused(done: Done, *words: str) -> None:
    messages = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert (done.code, done.out, len(messages)) == (2, "", 1), done
    assert all(word in messages[0] for word in words), messages


def test_run_without_paper_and_in_words() -> None:
    """``--paper`` is what lets it start."""
    refused(call("agent", "run", "--quantity", "1"), "--paper")


def test_every_option_of_record_arrives(tmp_path: Path, market: Path) -> None:
    """Market, seed, symbol, folder, duration and configuration, in the session that is made."""
    config = write(tmp_path, {"feed": {"book_depth": 15}})
    options = {
        "--exchange": "embedded",
        "--market": str(market),
        "--symbol": "BTC/USDT",
        "--seed": "9",
        "--duration": "1s",
        "--out": str(tmp_path / "s"),
        "--config": str(config),
    }
    done = call("agent", "record", *given(options), "--json")
    assert done.code == 0, done.err
    path = Path(json.loads(done.out)["session"])
    used: Any = SessionReader(path).header.config
    assert path.parent == tmp_path / "s"
    assert (used["seed"], used["embedded"]["market"], used["feed"]["book_depth"]) == (9, str(market), 15)
    assert set(SessionReader(path).events()["price_ticks"]) <= set(
        SessionReader(market).events()["price_ticks"]
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("--exchange binanse", ("binanse",)),
        ("--symbol BTC/USDTT", ("BTC/USDTT",)),
        ("--duration soon", ("'soon'", "90s")),
        ("--market none", ("none",)),
        ("--seed x", ("--seed",)),
        ("--config none.yaml", ("none.yaml",)),
    ],
)
def test_a_wrong_value_of_record(extra: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit 2 and one message; nothing is written."""
    refused(call("agent", "record", "--out", tmp_path / "s", *extra.split()), *words)
    assert list(tmp_path.iterdir()) == []


def served(*options: str) -> tuple[dict[str, Any], list[str]]:
    """What ``serve-exchange`` says, and the prices of its last trades."""
    argv = [sys.executable, "-m", "agent", "serve-exchange", "--json", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        facts = json.loads(running.stdout.readline())
        try:
            return facts, asyncio.run(_prices(facts))
        finally:
            running.terminate()


async def _prices(facts: dict[str, Any]) -> list[str]:
    async with loopback_session(facts["port"], Path(facts["ca_file"])) as session:
        async with session.get("https://api.binance.com/api/v3/exchangeInfo") as answer:
            symbol = (await answer.json())["symbols"][0]["symbol"]
        async with session.get(f"https://api.binance.com/api/v3/trades?symbol={symbol}&limit=5") as answer:
            return [symbol, *(trade["price"] for trade in await answer.json())]


@pytest.mark.slow
def test_every_option_of_serve_exchange(tmp_path: Path, market: Path) -> None:
    """Host and port are where it listens; seed, market and configuration are what it plays."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = write(tmp_path, {"symbol": "ETH/USDT"})
    first = served("--host", "localhost", "--port", str(port))
    assert (first[0]["host"], first[0]["port"]) == ("localhost", port)
    others = [served("--seed", "2"), served("--market", str(market)), served("--config", str(config))]
    assert len({tuple(prices) for _, prices in (first, *others)}) == 4


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("--port 99999", ("99999", "65535")),
        ("--port x", ("--port",)),
        ("--host 8.8.8.8", ("8.8.8.8", "loopback")),
        ("--market none", ("none", "synthetic")),
        ("--seed x", ("--seed",)),
        ("--config none.yaml", ("none.yaml",)),
    ],
)
def test_a_wrong_value_of_serve_exchange(extra: str, words: tuple[str, ...]) -> None:
    """Exit 2 and one message, no traceback."""
    refused(call("agent", "serve-exchange", *extra.split()), *words)


@pytest.mark.slow
def test_every_option_of_ctl(tmp_path: Path) -> None:
    """Each thing that can be amended is in the run's journal; the log is the named one, or the file's."""
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    config = write(tmp_path, {"database": url, "out": str(tmp_path / "s")})
    order = {"--quantity": "0.5", "--interval": "1s", "--min-duration": "2m", "--max-duration": "2m"}
    quiet = {"--algo": "twap", "--shadow": "", "--config": str(config)}
    argv = [sys.executable, "-m", "agent", "run", "--paper", *given(order | quiet)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            next(line for line in running.stderr if "-P1/0 " in line)
            (session,) = (tmp_path / "s").iterdir()
            parent = f"{session.name}-P1"
            places = [["--db", url], ["--db", url], ["--config", str(config)]]
            amended = [
                call("agent", "ctl", "amend", parent, option, value, "--json", *where)
                for (option, value), where in zip(AMENDED.items(), places, strict=True)
            ]
            in_words = call("agent", "ctl", "kill", "--db", url)
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=60)
    assert [(done.code, json.loads(done.out)["parent"]) for done in amended] == [(0, parent)] * 3
    assert in_words.out.startswith(f"kill all: {session.name}: 1 parents cancelled")
    controls = [e for e in SessionReader(session).journal() if e["kind"] == "control"]
    assert [e["amend"] for e in controls if e["command"] == "amend"] == [
        {"limit_price": "90000.5"},
        {"participation_cap": 0.5},
        {"risk_aversion": 3.0},
    ]


AMENDED = {"--limit-price": "90000.5", "--participation-cap": "0.5", "--risk-aversion": "3"}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("pauze", ("'pauze'", "pause")),
        ("amend", ("--limit-price", "--participation-cap", "--risk-aversion")),
        ("pause --risk-aversion 1", ("amend takes",)),
        ("amend --limit-price dear", ("limit price", "'dear'")),
        ("amend --participation-cap 1.5", ("1.5", "(0, 1]")),
        ("amend --risk-aversion 0", ("risk aversion 0", "above 0")),
        ("pause --db nonsense", ("'nonsense'",)),
        ("pause --config none.yaml", ("none.yaml",)),
    ],
)
def test_a_wrong_value_of_ctl(extra: str, words: tuple[str, ...]) -> None:
    """Exit 2 and one message, no traceback."""
    refused(call("agent", "ctl", *extra.split()), *words)


def test_every_option_of_doctor(tmp_path: Path) -> None:
    """What is checked is what was named; a table on a terminal, one document with ``--json``."""
    config = write(tmp_path, {"order": {"algo": "twap"}})
    options = {
        "--exchange": "embedded",
        "--symbol": "ETH/USDT",
        "--db": str(tmp_path / "log.db"),
        "--config": str(config),
    }
    done = call("agent", "doctor", *given(options), "--json")
    found = {check["name"]: check["detail"] for check in json.loads(done.out)["checks"]}
    assert "embedded ETH/USDT, order by twap" in found["configuration"]
    assert "ETH/USDT" in found["exchange"]
    assert str(tmp_path / "log.db") in found["database"]
    assert call("agent", "doctor", *given(options)).out.startswith("check")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"schedules": [{"name": "a", "cron": "99 * * * *", "order": {"quantity": 1}}]}, ("a", "99 * * * *")),
        ({"schedules": [{"name": "a", "every": "1m"}]}, ("schedule 'a'", "--quantity")),
        (
            {"schedules": [{"name": "a", "every": "1m", "order": {"quantity": 1, "algo": "twpa"}}]},
            ("'a'", "twap"),
        ),
        ({"order": {"algo": "twpa"}}, ("twpa",)),
        ({"order": {"max_duration": "61s"}}, ("61s",)),
    ],
)
def test_doctor_fails_what_run_refuses(raw: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    """One check serves both: exit 1 and the sentence here, exit 2 and the same sentence there."""
    config = write(tmp_path, {"database": f"{tmp_path}/log.db", **raw})
    done = call("agent", "doctor", "--json", "--config", config)
    (check,) = [c for c in json.loads(done.out)["checks"] if c["name"] == "configuration"]
    assert (done.code, check["ok"]) == (1, False)
    assert all(word in check["detail"] for word in words), check
    sized = [] if "schedules" in raw else ["--quantity", "1"]
    there = call("agent", "run", "--paper", "--config", config, *sized)
    assert (there.code, there.err.splitlines()[-1]) == (2, f"error: {check['detail']}")
