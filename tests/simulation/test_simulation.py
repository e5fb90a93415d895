"""The simulation itself: same seed same bytes, nothing found where nothing is wrong, and faults that bite.

Runs in the environment of ``make simulate`` (Python 3.12 or newer, simloop), which calls it before the seeds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("simloop", reason="simloop is in the environment of `make simulate` only")

from tests.simulation.killed import Killed, Power
from tests.simulation.simulated_disk import SimulatedDisk
from tests.simulation.virtual_loop import VirtualLoop

ROOT = Path(__file__).parents[2]


def campaign(*options: str) -> tuple[int, list[str]]:
    return program("campaign", *options)


def program(name: str, *options: str) -> tuple[int, list[str]]:
    """Its exit code and what it printed, in a process of its own: it changes the clocks for good."""
    command = [sys.executable, "-m", f"tests.simulation.{name}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_seed_gives_the_same_bytes_in_another_process() -> None:
    """Recording and database, to the last byte; another seed gives others."""
    lines = [campaign("--seed", seed)[1] for seed in ("7", "7", "8")]
    digests = [next(line for line in each if line.startswith("digest ")) for each in lines]
    assert digests[0] == digests[1] != digests[2]


def test_a_failing_seed_is_told_and_made_small() -> None:
    """With a mistake planted: which seed, how to play it again, and which of its faults it takes."""
    code, lines = campaign("--seeds", "2", "--planted", "a_row_of_the_tape_is_not_recorded")
    document = json.loads(lines[-1])
    assert code == 1
    assert document["records_differ"] > 0
    failed = document["failed_seeds"][0]
    assert any(f"make simulate SEED={failed}" in line for line in lines)
    small = next(line for line in lines if line.startswith(f"seed {failed} still fails with"))
    assert "FAULTS=" in small


def test_a_killed_machine_does_nothing_any_more() -> None:
    """Not even what its task would do when it is cancelled or collected."""
    loop, done = VirtualLoop(1), list[str]()

    async def work() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                done.append("worked")
        finally:
            done.append("cleaned up")

    async def watch() -> None:
        loop.spawn("one", work())
        await asyncio.sleep(2.5)
        loop.kill("one", silently=False)
        await asyncio.sleep(60)

    loop.run_until_complete(watch())
    assert done == ["worked", "worked"]
    assert loop.time() == pytest.approx(62.5)


def test_a_stalled_machine_goes_on_where_it_stood() -> None:
    """What was due meanwhile is done late and in order; other machines notice nothing."""
    loop, done = VirtualLoop(1), list[tuple[str, float]]()

    async def work(name: str) -> None:
        for _ in range(4):
            await asyncio.sleep(1)
            done.append((name, loop.time()))

    async def watch() -> None:
        tasks = [loop.spawn(name, work(name)) for name in ("one", "other")]
        await asyncio.sleep(1.5)
        loop.stall("one", 10)
        await asyncio.wait(tasks)

    loop.run_until_complete(watch())
    assert [at for name, at in done if name == "one"] == [1.0, 11.5, 12.5, 13.5]
    assert [at for name, at in done if name == "other"] == [1.0, 2.0, 3.0, 4.0]


def _disk(at_call: int | None = None) -> SimulatedDisk:
    return SimulatedDisk(random.Random(3), Power(lambda: None, at_call))


def test_a_write_in_which_its_writer_dies_is_torn(tmp_path: Path) -> None:
    """Some of it is there, nothing after it ever is."""
    disk, path = _disk(at_call=3), tmp_path / "f"
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    disk.write(fd, memoryview(b"whole"))
    for data in (b"torn" * 100, b"never"):
        with pytest.raises(Killed):
            disk.write(fd, memoryview(data))
    disk.kill(lose_unsynced=False)
    left = path.read_bytes()
    assert left.startswith(b"whole")
    assert len(left) < 405
    assert b"never" not in left


def test_without_power_what_was_synced_stays(tmp_path: Path) -> None:
    """The rest goes, or some of it."""
    lengths = set()
    for seed in range(20):
        path = tmp_path / f"f{seed}"
        disk = SimulatedDisk(random.Random(seed), Power(lambda: None))
        fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        disk.write(fd, memoryview(b"synced"))
        disk.fsync(fd)
        disk.write(fd, memoryview(b"and not"))
        disk.kill(lose_unsynced=True)
        assert path.read_bytes().startswith(b"synced")
        lengths.add(path.stat().st_size)
    assert len(lengths) > 3


def test_a_full_disk_takes_what_fits(tmp_path: Path) -> None:
    disk, path = _disk(), tmp_path / "f"
    disk.free = 4
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with pytest.raises(OSError, match="No space left on device"):
        disk.write(fd, memoryview(b"too much"))
    assert path.read_bytes() == b"too "


def test_the_environment_is_the_projects_lock() -> None:
    """What it pins is what the project pins; simloop comes besides."""
    pins = {*(ROOT / "requirements.lock").read_text().split()}
    own = (ROOT / "tests" / "simulation" / "requirements.txt").read_text().splitlines()
    assert [line for line in own if line[0] != "#" and line not in pins] == ["simloop==0.2.2"]


def test_a_soak_gives_back_what_it_took() -> None:
    """A quarter of an hour under faults: every order ends, nothing is left open, and no count has grown."""
    options = ("--hours", "0.25", "--every", "5", "--orders", "6", "--faults", "8", "--symbols", "2")
    code, lines = program("soak", *options)
    document = json.loads(lines[-1])
    assert code == 0, document
    assert document["orders"] == 6
    assert document["faults"] == 24
    assert not any(document["left_open"].values())
    measured = [line for line in lines if " h: rss_mb " in line]
    assert len(measured) >= 3
    assert document["at_first"]["tasks"] > 20
    assert document["at_the_end"]["threads"] == document["at_first"]["threads"]
    for name in ("tasks", "files", "database_connections", "descriptors"):
        assert document["at_the_end"][name] <= document["at_first"][name] + 3, name


def test_orders_on_the_exchange_are_the_same_in_another_process() -> None:
    """Its ledger, what its stream told and its client raised, under faults; another seed gives others."""
    lines = [program("traded_in_virtual_time", seed)[1][-1] for seed in ("1", "1", "2")]
    assert lines[0] == lines[1] != lines[2]
    for line in lines:
        counts = dict(zip(line.split()[:8:2], map(int, line.split()[1:8:2]), strict=True))
        assert counts["orders"] > 20
        assert counts["trades"] > 20
        assert 0 < counts["told"] <= counts["trades"]
        assert counts["raised"] > 0
