"""What lets a run be left alone, each with the real thing at its other end: apprise, HTTP, sockets, files."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from agent.app.lives.finding import ended_ns, stored_to_its_end
from agent.app.log_in_line import bring_in_line
from agent.cli.options import configuration
from agent.config import Unattended, recorded
from agent.core.errors import InputError, OrderError
from agent.core.events import CommandHandled, CommandKind, GapSeen, Resumed
from agent.unattended import alerts as alerts_module
from agent.unattended import disk_watch, watchman
from agent.unattended.alert_rules import Alert, AlertKind, alerts_of
from agent.unattended.alerts import Alerts, services
from agent.unattended.disk_watch import DAY_S, MEASURED_S, DiskWatch
from agent.unattended.pings import Pings
from agent.unattended.retention import delete_old
from agent.unattended.service_manager import ServiceManager
from agent.unattended.watchman import MB, Watchman
from storage.recordings.header_file import HEADER
from storage.recordings.lives.session_lock import SessionLock
from tests.fakes import S, small_session
from tests.patience import PATIENCE_S


class Clock:
    at_ns = 10**18

    def now_ns(self) -> int:
        return self.at_ns


@contextmanager
def listening(status: int = 200, slow_s: float = 0.0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Somewhere that apprise posts JSON to; what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(slow_s)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        server.server_close()


def told(url: str, folder: Path) -> Path:
    path = folder / "alerts"
    path.write_text(f"{url}\n")
    return path


def alerts(url: str, folder: Path, clock: Clock | None = None) -> Alerts:
    return Alerts(services(told(url, folder)), "t", [kind.value for kind in AlertKind], clock or Clock())


def an_alert(about: str = "a", text: str = "the disk") -> Alert:
    return Alert(AlertKind.DISK, about, text)


# --- alerts ---------------------------------------------------------------------------------------


def test_an_alert_goes_out_once_in_a_while(tmp_path: Path) -> None:
    """The same about the same; how often it happened meanwhile is told with the next."""
    clock = Clock()
    with listening() as (url, came):
        sent = alerts(url, tmp_path, clock)
        for _ in range(3):
            sent.tell(an_alert())
        sent.tell(an_alert(about="b", text="another"))
        clock.at_ns += alerts_module.AGAIN_NS
        sent.tell(an_alert())
        sent.close()
    assert [each["message"] for each in came] == [
        "the disk",
        "another",
        "the disk (and 2 times since it was told last)",
    ]


def test_only_the_kinds_that_are_wanted(tmp_path: Path) -> None:
    with listening() as (url, came):
        sent = Alerts(services(told(url, tmp_path)), "t", ["kill"], Clock())
        sent.tell(an_alert())
        sent.tell(Alert(AlertKind.KILL, "all", "killed"))
        sent.close()
    assert [each["message"] for each in came] == ["killed"]


def test_a_service_that_fails_or_is_slow_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit the queue is counted, and told with the next that does."""
    monkeypatch.setattr(alerts_module, "MOST_WAITING", 2)
    monkeypatch.setattr(alerts_module, "CLOSE_S", 0.2)
    with capture_logs() as said, listening(status=500, slow_s=0.5) as (url, _):
        sent = alerts(url, tmp_path)
        began_s = time.monotonic()
        for number in range(50):
            sent.tell(an_alert(about=str(number)))
        assert time.monotonic() - began_s < 0.3
        deadline_s = time.monotonic() + PATIENCE_S
        while not any(line["event"] == "alert_not_sent" for line in said) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert time.monotonic() < deadline_s
        assert sent._left_out > 40


@pytest.mark.parametrize("text", ["", "nonsense\n"])
def test_a_file_that_names_no_service_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "alerts").write_text(text)
    with pytest.raises(InputError, match="no file that names a service"):
        services(tmp_path / "alerts")
    with pytest.raises(InputError, match="no file that names a service"):
        services(tmp_path / "nowhere")


def test_what_is_told() -> None:
    """A silence that begins, a gap that ends with a loss, a kill; what ends well is no alarm."""
    events = [
        GapSeen(0, 0, 0, "trades silent", ended=False, lost=0),
        GapSeen(0, 0, 0, "trades silent", ended=True, lost=0),
        GapSeen(0, 0, 0, "trades", ended=False, lost=0),
        GapSeen(0, 0, 0, "trades", ended=True, lost=3),
        GapSeen(0, 0, 0, "trades", ended=True, lost=0),
        CommandHandled(0, 0, "c", CommandKind.KILL, None, "2 parents cancelled"),
        CommandHandled(0, 0, "c", CommandKind.PAUSE, None, "done"),
    ]
    found = list(alerts_of(events, ["BTC/USDT"]))
    assert [each.text for each in found] == [
        "BTC/USDT: trades fell silent",
        "BTC/USDT: 3 trades are lost for good",
        "kill by command: 2 parents cancelled",
    ]


# --- that it lives --------------------------------------------------------------------------------


@asynccontextmanager
async def pinged() -> AsyncIterator[tuple[str, list[str], web.Application]]:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=500 if len(asked) == 2 else 200)

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/uuid", asked, app
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("well", [True, False])
async def test_a_url_is_asked_for_while_it_lives(well: bool) -> None:
    """Through a failure too; a bad end is told, a good one is silence."""
    async with pinged() as (url, asked, _):
        pings = Pings(url, 0.05)
        pings.start()
        await asyncio.sleep(0.5)
        await pings.stop(well=well)
        count = len(asked)
        await asyncio.sleep(0.2)
    assert count >= 4
    assert asked[:3] == ["/uuid"] * 3
    assert ("/uuid/fail" in asked) is not well
    assert len(asked) == count


async def test_systemd_is_told(tmp_path: Path) -> None:
    """Ready, alive as often as it asks for, what is done, and the end."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address)
        heard.settimeout(2)
        manager = ServiceManager(
            {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
        )
        manager.ready("PAPER")
        await asyncio.sleep(0.35)
        manager.status("another session")
        manager.stopping()
        heard.setblocking(False)
        said = []
        while True:
            try:
                said.append(heard.recv(1000).decode())
            except BlockingIOError:
                break
    assert said[0] == "READY=1\nSTATUS=PAPER"
    assert said[-2:] == ["STATUS=another session", "STOPPING=1"]
    assert said.count("WATCHDOG=1") >= 3


async def test_nobody_is_told_where_there_is_nobody() -> None:
    manager = ServiceManager({})
    manager.ready("x")
    manager.stopping()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("x")


# --- the disk -------------------------------------------------------------------------------------


def test_days_left_are_told_at_a_week_and_as_they_halve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, free = tmp_path / "s", 10.0 * DAY_S
    session.mkdir()
    monkeypatch.setattr(disk_watch, "disk_usage", lambda _: type("Usage", (), {"free": int(free)}))
    watch, now_s = DiskWatch(tmp_path, 0), 0.0
    assert watch.warning(session, now_s) == ""  # no pace is known yet
    said = []
    for free_days in (10, 6.9, 6.5, 3.4, 3.3, 1.6):
        free, now_s = free_days * DAY_S, now_s + MEASURED_S
        (session / "tape").write_bytes(b"x" * int(now_s))  # a byte a second
        said.append(watch.warning(session, now_s)[-8:])
    assert said == ["", "6.9 days", "", "3.4 days", "", "1.6 days"]


def test_a_full_disk_starts_no_order(tmp_path: Path) -> None:
    keeper = a_watchman(tmp_path, Unattended(least_free_mb=10**12 // MB * MB))
    with pytest.raises(OrderError, match="less than unattended"):
        keeper.check_disk()
    a_watchman(tmp_path, Unattended(least_free_mb=0)).check_disk()


def a_watchman(folder: Path, settings: Unattended) -> Watchman:
    return Watchman(settings, folder, "t", ended_ns, lambda _path: True, HEADER, Clock())


async def test_a_watchman_tells_of_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that falls behind, once; a session that has gone on."""
    monkeypatch.setattr(watchman, "LOOK_S", 0.05)
    behind = [""]
    with listening() as (url, came):
        keeper = a_watchman(tmp_path, Unattended(alerts=told(url, tmp_path)))
        keeper.begin(tmp_path, ["BTC/USDT"], "PAPER", lambda: behind[0])
        keeper.resumed(Resumed(10**18, 10**18 + 9 * S, 4, 2))
        behind[0] = "it is locked"
        await asyncio.sleep(0.4)
        await keeper.stop(well=True)
    said = sorted(each["message"] for each in came)
    assert said == [
        "the database is behind the recording: it is locked",
        "went on with 2 orders: the agent was not running from 2001-09-09T01:46:40.000Z to"
        " 2001-09-09T01:46:49.000Z",
    ]


# --- old sessions ---------------------------------------------------------------------------------


def test_old_sessions_go_and_no_other(tmp_path: Path) -> None:
    """Not one that is younger, has no end, is in use, whose rows the log lacks, or that no run made."""
    url, names = f"sqlite:///{tmp_path / 'agent.db'}", ("old", "young", "open", "used", "behind")
    for name in names:
        bring_in_line(small_session(tmp_path / name), url)
    (tmp_path / "photos").mkdir()
    journal = tmp_path / "open" / "journal.jsonl"
    journal.write_bytes(b"\n".join(journal.read_bytes().splitlines()[:-1]) + b"\n")
    with sqlite3.connect(tmp_path / "agent.db") as stored:
        stored.execute("UPDATE sessions SET state = 'open' WHERE session = 'behind'")
    stored.close()
    lock = SessionLock(tmp_path / "used")
    lock.take()
    ends = {name: ended_ns(tmp_path / name) for name in names}
    assert [name for name, end_ns in ends.items() if end_ns is None] == ["open", "used"]
    assert ends["old"] is not None
    younger, asked = {"young": ends["old"] + 2}, []

    def end_ns(path: Path) -> int | None:
        return younger.get(path.name, ended_ns(path))

    def stored(path: Path) -> bool:
        asked.append(path.name)
        return stored_to_its_end(path, url)

    deleted = delete_old(tmp_path, end_ns, stored, ends["old"] + 1, HEADER)
    lock.release(ended=False)
    assert (deleted, asked) == (["old"], ["behind", "old"])
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == sorted([*names[1:], "photos"])
    with capture_logs() as logs:  # a log that does not answer is asked once
        gone = f"sqlite:///{tmp_path / 'gone.db'}"
        assert not delete_old(tmp_path, ended_ns, lambda p: stored_to_its_end(p, gone), 2**62, HEADER)
    assert [line["event"] for line in logs].count("sessions_not_deleted") == 1


def test_a_ping_url_reaches_a_run_and_no_recording(tmp_path: Path) -> None:
    """As given in a file, through what the command line lays over it."""
    path = tmp_path / "config.yaml"
    path.write_text("unattended: {ping_url: 'https://hc.example/secret', ping_every: 5s}\n")
    config = configuration(path, seed=3)
    assert (config.seed, config.unattended.ping_url) == (3, "https://hc.example/secret")
    assert "secret" not in json.dumps(recorded(config))
