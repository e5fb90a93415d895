"""Alerts, sent through ``apprise`` (mail, chat, push) by a thread of their own.

The queue is bounded: what comes while it is full is counted and told with the next. The same about the same
is sent once in ``AGAIN_NS``, with how often it happened meanwhile. A service that does not answer is given up
after ``TIMEOUT_S`` and ends nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from agent.core.clock import Clock
from agent.core.errors import InputError
from agent.core.types import NS_PER_S
from agent.unattended.alert_rules import Alert

log = structlog.get_logger("alerts")
MOST_WAITING = 100
AGAIN_NS = 600 * NS_PER_S
TIMEOUT_S = 10.0
CLOSE_S = 5.0
"""How long the end of a run waits for what is still to be sent."""


class Sends(Protocol):
    def __call__(self, *, title: str, body: str) -> bool: ...


def services(path: Path) -> Sends:
    """What sends to the services that a file of apprise's names. Raises InputError."""
    try:
        import apprise
    except ImportError:
        raise InputError(
            "unattended.alerts needs apprise: pip install 'lem-execution-agent[alerts]'"
        ) from None
    told = apprise.AppriseConfig()
    told.add(str(path))
    found = apprise.Apprise(asset=apprise.AppriseAsset(app_id="lem-agent"))
    found.add(told)
    if not path.is_file() or not len(found):
        raise InputError(
            f"unattended.alerts = {str(path)!r}: no file that names a service; write a line such as"
            " mailto://USER:PASSWORD@HOST or tgram://TOKEN/CHAT into it, and chmod 600"
        )
    for service in found:
        service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_S
    notify: Any = found.notify
    return lambda *, title, body: bool(notify(title=title, body=body))


class Alerts:
    """``tell`` never waits. ``of``: the kinds that are sent."""

    def __init__(self, sends: Sends, title: str, of: Sequence[str], clock: Clock) -> None:
        self._sends, self._title, self._of, self._clock = sends, title, frozenset(of), clock
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._said: dict[tuple[str, str], tuple[int, int]] = {}  # when last, and how often since
        self._left_out = 0
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def tell(self, alert: Alert) -> None:
        """Send an alert, unless the same was sent a short while ago."""
        if alert.kind.value not in self._of:
            return
        key, now_ns = (alert.kind.value, alert.about), self._clock.now_ns()
        last_ns, since = self._said.get(key, (-AGAIN_NS, 0))
        if now_ns - last_ns < AGAIN_NS:
            self._said[key] = last_ns, since + 1
            return
        self._said[key] = now_ns, 0
        again = f" (and {since} times since it was told last)" if since else ""
        left_out, self._left_out = self._left_out, 0
        missing = f"\n{left_out} alerts before this one could not be sent" if left_out else ""
        try:
            self._waiting.put_nowait(f"{alert.text}{again}{missing}")
        except queue.Full:
            self._left_out = left_out + 1

    def close(self) -> None:
        """Send what waits, within ``CLOSE_S``."""
        try:
            self._waiting.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _work(self) -> None:
        while (text := self._waiting.get()) is not None:
            try:
                sent = self._sends(title=self._title, body=text)
            except Exception as error:  # whatever a service does: it ends no order
                sent = False
                log.warning("alert_failed", reason=f"{type(error).__name__}: {error}")
            if not sent:
                log.warning("alert_not_sent", text=text)
