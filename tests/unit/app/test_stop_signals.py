"""Ctrl-C and TERM stop a run, where the event loop takes signal handlers and where it does not (Windows)."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from agent.app.world.stop_signals import SIGNALS, stop_on_signal


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_stops(number: signal.Signals, windows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is set; afterwards a signal does what it did before."""
    before = [signal.getsignal(each) for each in SIGNALS]
    if windows:
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", _not_there)
    stopping = asyncio.Event()
    with stop_on_signal(stopping):
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopping.wait(), 30)
    if windows:  # elsewhere the event loop puts its own back
        assert [signal.getsignal(each) for each in SIGNALS] == before


def _not_there(*_: object) -> None:
    raise NotImplementedError
