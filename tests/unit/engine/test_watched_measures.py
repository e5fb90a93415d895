"""An order is measured again while data of its window may turn out to be missing, not only at the end."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from agent import app
from agent.config import Config, Order
from agent.core.events import SlippageMeasured
from tests.fakes import S, start, synthetic_tape
from tests.tapes_made_faulty import trades_cut

ORDER = Order(
    quantity=Decimal("0.2"),
    min_duration=2 * S,
    max_duration=4 * S,
    interval=2 * S,
    algo="twap",
    tactic="sweep",
    shadows=(),
)


def test_a_loss_noticed_long_after_the_last_measure_is_said_when_it_is_known() -> None:
    """Trades are lost from within the order's window on, which the next one shows half a minute too late."""
    instrument, tape = synthetic_tape(seconds=130.0)
    begin_ns, noticed_ns = start(instrument, tape, ORDER).recv_ns, int(tape["recv_ns"][0]) + 100 * S
    tape = trades_cut(tape, begin_ns + S, noticed_ns)
    tape["seq"] = np.arange(1, len(tape) + 1)
    command = start(instrument, tape, ORDER)
    engine = app.build_engine(Config(order=ORDER), [instrument], app.inline_policies(Config(order=ORDER)))
    cut = int(np.flatnonzero(tape["seq"] == command.seq)[0]) + 1
    engine.advance(tape[:cut])
    engine.command(command)
    engine.advance(tape[cut:])
    rows = [event for event in engine.drain() if isinstance(event, SlippageMeasured)]
    marked = [row.at_ns for row in rows if any("lost_trades" in flags for flags in row.flags.values())]
    assert max(row.at_ns for row in rows if row.at_ns < noticed_ns) < begin_ns + 70 * S  # its last markout's
    assert noticed_ns < min(marked) <= noticed_ns + 10 * S
