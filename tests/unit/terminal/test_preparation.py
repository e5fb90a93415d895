"""Before a run begins: what is being done is said at once, and again and again while it goes on."""

from __future__ import annotations

import io
import time
from functools import partial

import pytest
from rich.console import Console

from agent.terminal import preparation
from agent.terminal.run_view import LiveView, PlainView


def test_a_pipe_gets_a_line_for_each_step_and_for_every_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that goes on says how far it is and for how long; after the first event nothing more."""
    monkeypatch.setattr(preparation, "LINE_EVERY_S", 0.02)
    out, now_ns = io.StringIO(), [0]
    view = PlainView(partial(print, file=out), now_ns=lambda: now_ns[0])
    with view:
        view.preparing("compiling", 0, 7)
        view.preparing("compiling", 3, 7)
        now_ns[0] = 12 * 10**9
        time.sleep(0.2)
        view.preparing("connecting")
        view.add([])
        time.sleep(0.05)
        length = len(out.getvalue())
        time.sleep(0.1)
    lines = out.getvalue().splitlines()
    assert lines[0] == "compiling ..."
    assert lines.count("compiling: 3 of 7, 12 s") >= 2
    assert lines[-1] in ("connecting ...", "connecting: 0 s")
    assert len(out.getvalue()) == length


def test_a_terminal_has_a_bar_that_moves_by_itself() -> None:
    """The frame says what is done and how far it is; drawn again later it differs, with nothing told."""
    out = io.StringIO()
    view = LiveView(Console(file=out, width=100, force_terminal=True), now_ns=lambda: 0)

    def drawn() -> str:
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as captured:
            console.print(view.frame())
        return captured.get()

    view.preparing("loading")
    view.preparing("compiling", 3, 7)
    first = drawn()
    assert "compiling" in first
    assert "3/7" in first
    assert "loading" not in first
    time.sleep(1.1)
    assert drawn() != first


def test_what_is_prepared_is_not_waited_for_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording has no events of orders: the first book ends the waiting; a new session waits anew."""
    monkeypatch.setattr(preparation, "LINE_EVERY_S", 0.02)
    out = io.StringIO()
    with PlainView(partial(print, file=out), now_ns=lambda: 0) as view:
        view.preparing("waiting for the first whole order book")
        view.prepared()
        time.sleep(0.05)
        length = len(out.getvalue())
        time.sleep(0.1)
        assert len(out.getvalue()) == length
        view.preparing("connecting")
        time.sleep(0.1)
        assert out.getvalue().count("connecting: 0 s") >= 2


def test_a_terminal_shows_the_bar_until_all_is_prepared() -> None:
    """Before the first book the frame says what it waits for; after it, no longer."""
    view = LiveView(Console(file=io.StringIO(), width=100, force_terminal=True), now_ns=lambda: 0)
    console = Console(file=io.StringIO(), width=100)

    def drawn() -> str:
        with console.capture() as captured:
            console.print(view.frame())
        return captured.get()

    view.preparing("waiting for the first whole order book")
    assert "waiting for the first whole order book" in drawn()
    view.prepared()
    assert "waiting" not in drawn()
