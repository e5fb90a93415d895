"""The calibrate command: on real and on short sessions, its files, and what a configuration makes of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.app.venue_setup import venue_setup
from agent.calibration.measured_files import read_latencies, resolved
from agent.calibration.session_calibration import calibrate_session, write_latencies
from agent.cli import app, main
from agent.config import parse_config
from agent.core.errors import ConfigError, InputError, SessionError
from agent.journal import round_trip_entry, round_trips
from agent.venue.wire.latency import MeasuredLatency
from storage.recordings.session import SessionReader
from tests.realdata import capture_files

GOLDEN = Path(__file__).parents[2] / "data" / "small-session"
MS = 10**6


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of ETH/USDT as Binance sent them."""
    out = tmp_path_factory.mktemp("capture") / "eth"
    files = [str(f) for f in capture_files("ethusdt")]
    done = CliRunner().invoke(app, ["import", *files, "--symbol", "ETH/USDT", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def test_the_real_capture(capture: Path, tmp_path: Path) -> None:
    """Numbers of the right size with their errors; the file's law is what the venue then works with."""
    file, folder = tmp_path / "eth.yaml", tmp_path / "measured"
    done = CliRunner().invoke(
        app, ["calibrate", str(capture), "--out", str(file), "--latencies", str(folder), "--json"]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    found = document["symbols"]["ETH/USDT"]
    e = found["estimates"]
    assert 200 < e["sigma_bps"]["value"] < 800
    assert e["trades"] > 14_000
    assert 0.2 < found["impact"]["y"] < 1.5
    assert e["windows"][0]["y"]["value"] > 5 * e["windows"][0]["y"]["error"]
    assert all(w["r2"] > 0.05 for w in e["windows"])
    assert document["latency"]["round_trip"] == {"count": 0}
    assert (
        document["latency"]["market_data_trades"]["p50_ns"]
        < document["latency"]["market_data_trades"]["p99_ns"]
    )
    config = resolved(
        parse_config(
            {
                "venue": {
                    "impact": "sqrt",
                    "calibration": str(file),
                    "market_data": {"measured": str(folder / "market_data_book.csv")},
                }
            }
        )
    )
    assert config.venue.calibration is None
    law = (venue_setup(config).rules.impact or {})["ETH/USDT"]
    assert law.y == found["impact"]["y"]
    assert law.volume_per_day == found["impact"]["volume_per_day"]
    drawn = venue_setup(config).rules.latencies.market_data.draw(1, 2, 3)
    assert 0 <= drawn < 100 * MS


def test_the_table_of_the_real_capture(capture: Path) -> None:
    """A person reads every estimate with its error, the law and what it means for an order."""
    done = CliRunner().invoke(app, ["calibrate", str(capture)])
    assert done.exit_code == 0, done.output
    for words in ("volatility", "half-life", "R²", "law: {y:", "market data, book", "0.1 % of a day", "±"):
        assert words in done.stdout


def test_a_short_session_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a minute: exit 2, one message, how much is needed."""
    with pytest.raises(SystemExit) as stopped:
        main(["calibrate", str(GOLDEN)])
    assert stopped.value.code == 2
    assert "at least 300 s and 200 trades are needed" in capsys.readouterr().err


def test_a_short_session_still_gives_its_latencies(tmp_path: Path) -> None:
    """What was measured needs no law: the files are written, and the table says why there is no more."""
    done = CliRunner().invoke(app, ["calibrate", str(GOLDEN), "--latencies", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "not calibrated: BTC/USDT" in done.stdout
    assert (tmp_path / "market_data_book.csv").read_text().startswith("at_ns,latency_ns\n")


def test_round_trips_of_the_journal() -> None:
    """What a live run wrote is found again among the other entries."""
    journal = [
        {"kind": "overrun", "recv_ns": 1, "seq": 1, "decision_id": "a/0"},
        round_trip_entry(6, 2, 5, 7 * MS),
        round_trip_entry(10, 3, 9, 8 * MS),
    ]
    assert round_trips(journal) == [(5, 7 * MS), (9, 8 * MS)]


def lines(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_round_trip_counts_half_each_way(tmp_path: Path) -> None:
    """One way as it is, a round trip halved."""
    assert read_latencies(lines(tmp_path / "a", "at_ns,latency_ns", "5,30", "6,40")) == ((5, 30), (6, 40))
    assert read_latencies(lines(tmp_path / "b", "at_ns,round_trip_ns", "5,30", "6,41")) == ((5, 15), (6, 20))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["when,what", "1,2"], "begins with 'when,what': its first line must be at_ns,latency_ns"),
        (["at_ns,latency_ns"], "has 0 rows"),
        (["at_ns,latency_ns", "1,2", "x,3"], "line 3: 'x,3' is not two whole numbers"),
        (["at_ns,latency_ns", "1,-2"], "line 2: -2 ns is negative"),
    ],
)
def test_a_wrong_latency_file_is_named(rows: list[str], words: str, tmp_path: Path) -> None:
    """The file, the line and the rule."""
    with pytest.raises(ConfigError, match=words):
        read_latencies(lines(tmp_path / "l.csv", *rows))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist: make it with `python -m agent calibrate"),
        ("[1, 2]", "is not a calibration"),
        ("a: [", "cannot be read"),
        ("symbols: {BTC/USDT: {impact: {y: -1, sigma_bps_per_day: 1, volume_per_day: 1}}}", "y = -1"),
    ],
)
def test_a_wrong_calibration_is_named(content: str | None, words: str, tmp_path: Path) -> None:
    """Missing, of another kind, broken, or with a value that no law can have."""
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=words):
        resolved(parse_config({"venue": {"impact": "sqrt", "calibration": str(file)}}))


def test_the_configuration_wins_over_the_file(tmp_path: Path) -> None:
    """A law written out for a symbol stays; the file fills in the others."""
    file = tmp_path / "c.yaml"
    law: dict[str, Any] = {"sigma_bps_per_day": 100, "volume_per_day": 10}
    file.write_text(json.dumps({"symbols": {s: {"impact": law} for s in ("A/B", "C/D")}}))
    own = {"A/B": {**law, "y": 3.0}}
    config = resolved(parse_config({"venue": {"impact_laws": own, "calibration": str(file)}}))
    assert {s: found.y for s, found in config.venue.impact_laws.items()} == {"A/B": 3.0, "C/D": 1.0}
    assert resolved(config) is config


def test_measured_latencies_are_drawn_by_order_or_by_time() -> None:
    """By order: any of them, the same however often it is asked. Nearest: the one of the time of sending."""
    rows = [(100, 7), (300, 9), (200, 8)]
    drawn = MeasuredLatency.of(rows)
    first = [drawn.draw(1, 0, n, n) for n in range(60)]
    assert first == [drawn.draw(1, 0, n) for n in reversed(range(60))][::-1]
    assert set(first) == {7, 8, 9}
    assert first != [drawn.draw(2, 0, n) for n in range(60)]
    timed = MeasuredLatency.of(rows, nearest=True)
    assert [timed.draw(1, 0, 5, t) for t in (0, 149, 150, 151, 250, 251, 999)] == [7, 7, 7, 8, 8, 9, 9]


def test_a_recorded_configuration_holds_the_numbers(tmp_path: Path) -> None:
    """What a session keeps of a measured latency loads again without the file it came from."""
    file = lines(tmp_path / "l.csv", "at_ns,latency_ns", "1,2", "3,4")
    config = resolved(parse_config({"venue": {"entry": {"measured": str(file), "draw": "nearest"}}}))
    file.unlink()
    again = parse_config(json.loads(json.dumps(config.model_dump(mode="json"))))
    assert again == config
    assert again.venue.entry.measured == ((1, 2), (3, 4))


@pytest.mark.parametrize("raw", [{}, {"median_ms": 1, "measured": "x.csv"}, {"measured": []}])
def test_a_latency_is_one_thing(raw: dict[str, Any]) -> None:
    """Neither, both, or measured without a row: which is wrong."""
    with pytest.raises(ConfigError, match=r"venue\.entry"):
        parse_config({"venue": {"entry": raw}})


def test_a_session_without_books_is_refused(tmp_path: Path) -> None:
    """An empty session has nothing to look at; the message says what is missing."""
    from agent.core.instrument import Instrument
    from storage.recordings.session import SessionHeader, SessionWriter

    btc = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.001"))
    SessionWriter.create(tmp_path / "s", SessionHeader("s", (btc,), 0)).close(1)
    with pytest.raises(InputError, match="BTC/USDT: the session has no order book"):
        calibrate_session(SessionReader(tmp_path / "s")).require_laws()
    with pytest.raises(SessionError, match="session s holds no measured latency"):
        write_latencies(calibrate_session(SessionReader(tmp_path / "s")), tmp_path / "l")
