"""What is due at one moment may be done in parts: all of it, in its order, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from agent import app
from agent.config import Config, Order, Risk
from agent.core.canonical import canonical_row
from agent.core.events import StartParent
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from tests.fakes import S, start

ORDER = Order(
    quantity=Decimal(2),
    min_duration=2 * S,
    max_duration=4 * S,
    interval=S,
    algo="twap",
    align="grid",
    shadows=(),
)
PARENTS = 12


def run(most: int | None) -> tuple[list[str], int]:
    """Twelve orders on one grid, and after two seconds nothing but time, told every 300 ms.

    Returns the canonical rows, and how often more was due.
    """
    (instrument,), events = synthetic_session(4, 8.0)
    config = Config(order=ORDER, risk=Risk(stale_book=None, max_orders_per_s=None))
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    first = start(instrument, events, ORDER)
    cut = int((events["seq"] == first.seq).argmax()) + 1
    engine.advance(events[:cut])
    for n in range(PARENTS):
        spec = replace(first.spec, parent_id=f"s-P{n}")
        engine.command(StartParent(first.recv_ns, first.seq + n, spec, ()))
    found, again = [canonical_row(e) for e in engine.drain()], 0
    quiet = int((events["recv_ns"] > first.recv_ns + 2 * S).argmax())
    engine.advance(events[cut:quiet])  # then the market says nothing more
    for to_ns in range(int(events["recv_ns"][quiet - 1]), first.recv_ns + 8 * S, 300_000_000):
        while not engine.advance_time(to_ns, most):
            again += 1
            found += [canonical_row(e) for e in engine.drain()]
        assert engine.next_timer_ns > to_ns
    engine.close(first.recv_ns + 9 * S)
    return found + [canonical_row(e) for e in engine.drain()], again


@pytest.mark.parametrize("most", [1, 5])
def test_parts_are_the_whole(most: int) -> None:
    """One action at a time, or five, gives the rows that all at once give; and there was more to do."""
    whole, never = run(None)
    parts, again = run(most)
    assert parts == whole
    assert (never, again > PARENTS // most) == (0, True)
    assert sum("completed" in row for row in whole if row.startswith("ParentChanged")) >= PARENTS
