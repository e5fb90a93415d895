"""Changes to an order that rests in the kernel's queue and stays there."""

from __future__ import annotations

from agent.venue.kernel import state as k


def shrink(state: k.KernelState, number: int, lots: int) -> None:
    """Leave order ``number`` ``lots``, at its place in the queue; our own orders behind it move up."""
    rows = state.resting[: state.counts[k.N_RESTING]]
    (found,) = (rows[:, k.R_ORDER] == number).nonzero()
    i = int(found[0])
    less = int(rows[i, k.R_LOTS]) - lots
    rows[i, k.R_LOTS] = lots
    for j in range(i + 1, len(rows)):
        same = (k.R_LANE, k.R_INSTRUMENT, k.R_SIDE, k.R_PRICE)
        if all(rows[j, column] == rows[i, column] for column in same):
            state.ahead[j] = max(0.0, state.ahead[j] - less)
