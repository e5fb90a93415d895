"""The closing tables of many orders: a row each or only the troubled ones, and what each algo cost."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from agent.core.events import AuditEvent, SlippageMeasured
from agent.core.types import ParentState
from agent.summary import Summary
from agent.terminal.closing_tables import render_summary
from agent.terminal.many_orders import LINES, progress_lines
from tests.integration.test_storage import BTC, SPEC, _parent


def measured(parent_id: str, algo: str, slippage: float, gain: float) -> SlippageMeasured:
    """Of a parent, against its own benchmark."""
    values: dict[str, object] = dict.fromkeys(SlippageMeasured.__dataclass_fields__)
    values |= {"parent_id": parent_id, "algo": algo, "benchmark": SPEC.benchmark, "flags": {}, "reasons": {}}
    values["own_benchmark"] = True
    return SlippageMeasured(**{**values, "arrival_slippage_bps": slippage, "gain_bps": gain})  # type: ignore[arg-type]


def printed(*orders: tuple[str, int, float, float]) -> str:
    """(algo, share filled in percent, slippage, gain) of each order."""
    events: list[AuditEvent] = []
    for n, (algo, percent, slippage, gain) in enumerate(orders):
        spec = replace(SPEC, parent_id=f"20260101T000000-001-o{n}", algo=algo)
        state = ParentState.COMPLETED if percent == 100 else ParentState.EXPIRED
        events.append(_parent(spec, state, 1, filled=spec.target * percent // 100))
        events.append(measured(spec.parent_id, algo, slippage, gain))
    summary = Summary([BTC])
    summary.add(events)
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    render_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    return said


def row_of(said: str, name: str) -> list[str]:
    return next(line.split() for line in said.splitlines() if line.split()[:1] == [name])


def test_each_algo_has_a_row_of_what_it_cost() -> None:
    """Weighted by what was filled: 10 bps whole and 4 bps half are 8; what is not known weighs nothing."""
    said = printed(
        ("twap", 100, 10.0, -1.0), ("twap", 50, 4.0, 2.0), ("pov", 100, math.nan, 3.0), ("pov", 100, 1.0, 1.0)
    )
    value = BTC.notional(SPEC.target * 6_150_001)
    traded = value + BTC.notional(SPEC.target // 2 * 6_150_001)
    twap, pov = row_of(said, "twap"), row_of(said, "pov")
    assert twap[:3] == ["twap", "2", "1"]
    assert [float(twap[5]), float(twap[6])] == pytest.approx([8.0, 0.0], abs=0.01)
    assert Decimal(twap[3].replace(",", "")) == round(traded)
    assert Decimal(twap[7].replace(",", "")) == round(traded / 1000, 2)
    assert [float(pov[5]), float(pov[6])] == pytest.approx([1.0, 2.0], abs=0.01)
    assert "4 orders: 3 completed, 1 expired" in said


def test_of_very_many_only_the_others_are_listed() -> None:
    """Of a hundred orders the three that expired have rows, and it is said that the others have none."""
    said = printed(*[("twap", 50 if n in (7, 8, 60) else 100, 1.0, 1.0) for n in range(100)])
    assert all(row_of(said, name)[-1] == "expired" for name in ("o7", "o8", "o60"))
    assert "o9 " not in said
    assert "97 orders that completed are not listed: the log has them" in said
    assert len(said.splitlines()) < 15
    every = printed(*[("twap", 50, 1.0, 1.0) for _ in range(100)])
    assert "nor are 60 of those that did not" in every


def test_progress_fits_its_lines_and_says_first_how_many_there_are() -> None:
    """Fifteen of forty by their own names, none wider than the terminal, below the counts."""
    summary = Summary([BTC])
    for n in range(40):
        spec = replace(SPEC, parent_id=f"20260101T000000-001-desk-long-name-{n}")
        summary.add([replace(_parent(spec, ParentState.WORKING, 1, filled=spec.target // 2), ended_ns=None)])
    lines = progress_lines(summary, _parent(SPEC, ParentState.WORKING, 1).at_ns + 45 * 10**9)
    assert lines[0] == "40 orders: 40 working"
    assert lines[1].startswith("desk-long-name-0 working, 50% filled at ")
    assert (len(lines), lines[-1]) == (1 + LINES + 1, "... and 25 more that work")
    assert max(map(len, lines)) <= 80
