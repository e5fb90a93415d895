"""Sentences of docs/sessions.md on what is kept: lists, inspections, compacted files, sizes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from storage.recordings import parquet
from storage.recordings.compaction import compact_session
from storage.recordings.inspection import SAMPLES
from storage.recordings.segments import crc_of
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.bar_sessions import hourly
from tests.bar_sessions import session as session_of_bars
from tests.every_key.command_line import call
from tests.fakes import S, small_session, synthetic_tape
from tests.loaded_captures import load
from tests.page_checks import check_page
from tests.realdata import capture_files
from tests.unit.docs.test_docs import ROOT
from tests.unit.storage.test_compaction import written


def said(*argv: object, code: int = 0) -> Any:
    """The document that ``agent ... --json`` writes."""
    done = call("agent", *argv, "--json")
    assert done.code == code, done.err
    return json.loads(done.out)


def test_a_session_is_its_files(tmp_path: Path) -> None:
    """A run's recording, and an import of bars."""
    run = {file.name for file in small_session(tmp_path / "s").iterdir()}
    assert run == {"session.json", "tape-00000.arrows", "journal.jsonl", "outcome.jsonl"}
    bars = {file.name for file in session_of_bars(tmp_path, hourly([100, 101])).iterdir()}
    assert {"session.json", "bars-00000.arrows", "journal.jsonl"} <= bars


def four_sessions(folder: Path) -> Path:
    """One in each state, under its name."""
    small_session(folder / "whole")
    written(folder / "cut off", seconds=1.0, close=False)
    for name in ("damaged", "unreadable"):
        written(folder / name, seconds=3.0, segment_bytes=50_000)
    tape = folder / "damaged" / "tape-00001.arrows"
    tape.write_bytes(tape.read_bytes()[:-5000])
    (folder / "unreadable" / "session.json").write_text('{"format": 99}')
    return folder


def test_a_list_says_how_each_session_stands(tmp_path: Path) -> None:
    """In ``out`` of the configuration; exit code 1 for a damaged or unreadable one, 0 for one cut off."""
    folder = four_sessions(tmp_path / "runs")
    config = tmp_path / "config.yaml"
    config.write_text(f"out: {folder}\n")
    found = {
        Path(one["path"]).name: one
        for one in said("sessions", "list", "--config", config, code=1)["sessions"]
    }
    assert {name: one["state"] for name, one in found.items()} == {name: name for name in found}
    assert len(found) == 4
    whole, tape = found["whole"], SessionReader(folder / "whole").events()
    assert (whole["start_ns"], whole["end_ns"]) == (int(tape["recv_ns"][0]), int(tape["recv_ns"][-1]))
    assert (whole["symbols"], whole["events"]) == (["BTC/USDT"], len(tape))
    assert whole["bytes"] == sum(file.stat().st_size for file in (folder / "whole").iterdir())
    assert [order["state"] for order in whole["orders"]] == ["completed"]
    for name, code in (("whole", 0), ("cut off", 0), ("damaged", 1), ("unreadable", 1)):
        assert call("agent", "sessions", "list", folder / name).code == code
    assert call("agent", "sessions", "inspect", folder / "damaged").code == 1
    assert found["damaged"]["problems"][0].startswith("tape-00001.arrows: damaged after tape row ")


def test_a_flipped_byte_shows_only_when_rows_are_read(tmp_path: Path) -> None:
    """A list reads the outlines of the files; with ``--check`` every row's checksum is compared."""
    written(tmp_path / "s", seconds=5.0)
    tape = tmp_path / "s" / "tape-00000.arrows"
    data = bytearray(tape.read_bytes())
    data[len(data) // 2] ^= 1
    tape.write_bytes(data)
    assert [one["state"] for one in said("sessions", "list", tmp_path)["sessions"]] == ["whole"]
    assert [one["state"] for one in said("sessions", "list", tmp_path, "--check", code=1)["sessions"]] == [
        "damaged"
    ]


def test_an_inspected_session_of_bars(tmp_path: Path) -> None:
    """Its bars, their prices, volume and turnover."""
    path = session_of_bars(tmp_path, hourly([100, 101, 102]))
    (market,) = said("sessions", "inspect", path)["instruments"]
    bars = market["bars"]
    assert (bars["bars"], float(bars["low"]), float(bars["high"])) == (3, 98, 105)
    assert (float(bars["first_close"]), float(bars["last_close"])) == (100, 102)
    assert (float(bars["volume"]), float(bars["turnover"])) == (300, 100 * (101 + 102 + 103))


def with_a_gap(path: Path) -> EventArray:
    """Ten seconds of a market of whose book a second is missing."""
    instrument, events = synthetic_tape(10.0)
    first = int(events["recv_ns"][0])
    marks = np.zeros(2, EVENT)
    marks["recv_ns"] = [first + 4 * S, first + 5 * S]
    marks["kind"], marks["flags"] = [Kind.GAP_BEGIN, Kind.GAP_END], Flag.BOOK | Flag.LAST
    tape: EventArray = np.concatenate([events, marks])
    tape = tape[np.argsort(tape["recv_ns"], kind="stable")]
    tape["seq"] = np.arange(1, len(tape) + 1)
    writer = SessionWriter.create(path, SessionHeader(path.name, (instrument,), first))
    writer.events(tape)
    writer.close(int(tape["recv_ns"][-1]))
    return tape


def test_a_page_shades_its_gaps(tmp_path: Path) -> None:
    """Mid, spread and rates over time; the band of missing data is explained only where there is one."""
    with_a_gap(tmp_path / "gap")
    written(tmp_path / "none", seconds=10.0)
    for name, gaps in (("gap", 1), ("none", 0)):
        page = tmp_path / f"{name}.html"
        found = said("sessions", "inspect", tmp_path / name, "--html", page)
        assert len(found["gaps"]) == gaps
        assert len(list(check_page(page.read_text(), found).iter("figure"))) == 3
        assert (">data is missing<" in page.read_text()) is bool(gaps)


def test_spreads_and_mids_are_even_samples(tmp_path: Path) -> None:
    """From the first row to the last, whatever happened between."""
    (market,) = said("sessions", "inspect", small_session(tmp_path / "s"))["instruments"]
    course = market["over_time"]
    assert (len(course["mid"]), len(course["spread_bps"])) == (SAMPLES, SAMPLES)
    steps = np.diff(course["sample_ns"])
    assert steps.max() - steps.min() < 1000


def test_what_a_compacted_segment_is(tmp_path: Path) -> None:
    """The same name; zstd, differences, dictionaries, row groups with least, greatest and CRC-32."""
    events = written(tmp_path / "s", seconds=50.0)
    assert call("agent", "sessions", "compact", tmp_path / "s").code == 0
    assert [file.name for file in (tmp_path / "s").glob("tape*")] == ["tape-00000.parquet"]
    outline = pq.read_metadata(tmp_path / "s" / "tape-00000.parquet")
    groups = [outline.row_group(n) for n in range(outline.num_row_groups)]
    assert [group.num_rows for group in groups[:-1]] == [parquet.GROUP_ROWS] * (len(groups) - 1)
    assert len(groups) > 1
    for group in groups:
        for column in (group.column(n) for n in range(group.num_columns)):
            name = column.path_in_schema
            assert column.compression == "ZSTD"
            assert column.statistics.has_min_max
            assert ("DELTA_BINARY_PACKED" in column.encodings) is (name == "seq")
            few = name in ("instrument", "kind", "side", "flags")
            assert ("RLE_DICTIONARY" in column.encodings) is few, name
    checks = json.loads(outline.metadata[b"crc32"])
    starts = range(0, len(events), parquet.GROUP_ROWS)
    assert checks == [f"{crc_of(events[at : at + parquet.GROUP_ROWS]):08x}" for at in starts]


def test_a_session_half_compacted_replays_the_same(tmp_path: Path) -> None:
    """Half of the segments Arrow, half Parquet: the same rows, and the digest of before."""
    order = ("--quantity", "0.2", "--interval", "1s", "--min-duration", "2s", "--max-duration", "5s")
    tape = written(tmp_path / "s", segment_bytes=100_000)
    kept = Path(shutil.copytree(tmp_path / "s", tmp_path / "kept"))
    before = said("replay", tmp_path / "s", *order)["digest"]
    compact_session(tmp_path / "s")
    arrows = sorted(kept.glob("*.arrows"))[::2]
    for segment in arrows:
        shutil.copy(segment, tmp_path / "s")
        (tmp_path / "s" / segment.name).with_suffix(".parquet").unlink()
    assert len(list((tmp_path / "s").glob("*.parquet"))) >= len(arrows) - 1 > 0
    assert np.array_equal(SessionReader(tmp_path / "s").events(), tape)
    assert said("replay", tmp_path / "s", *order)["digest"] == before


def _size(path: Path, events: EventArray) -> int:
    path.unlink(missing_ok=True)
    parquet.write_parquet(path, EVENT, [events])
    return path.stat().st_size


@pytest.mark.parametrize(("name", "symbol"), [("btcusdt", "BTC/USDT"), ("ethusdt", "ETH/USDT")])
def test_the_captures_are_of_the_sizes_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, symbol: str
) -> None:
    """Rows, megabytes and ratio of the page's table; what other encodings and larger groups would give."""
    instrument, events, _ = load(capture_files(name), symbol)
    writer = SessionWriter.create(tmp_path / "s", SessionHeader("s", (instrument,), 0))
    writer.events(events)
    writer.close(int(events["recv_ns"][-1]))
    done = compact_session(tmp_path / "s")
    assert done.ratio is not None
    megabytes = (f"{size / 1e6:.1f} MB" for size in (done.bytes_before, done.bytes_after))
    row = [f"| Binance spot capture, {symbol}, {len(events):,} rows", *megabytes, f"{done.ratio:.1f} |"]
    text = (ROOT / "docs/sessions.md").read_text()
    assert " | ".join(row) in text
    plain = _size(tmp_path / "x", events)
    with monkeypatch.context() as other:
        other.setattr(parquet, "_DELTA", ("seq", "recv_ns", "exch_ns", "ext_id"))
        assert f"{100 * (1 - plain / _size(tmp_path / 'x', events)):.0f}" in ("13", "14")
    monkeypatch.setattr(parquet, "GROUP_ROWS", 131_072)
    assert f"{100 * (1 - _size(tmp_path / 'x', events) / plain):.0f}" == "1"
    assert "13 to 14 % smaller" in text
    assert "Row groups of 131,072 rows save 1 %" in text
