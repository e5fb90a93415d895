"""The orders that work now, as another terminal sees them: a row each, or of many one for those alike.

With many, what matters first is how many are where and how far, then those that need a look: paused, or far
behind the time that has passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.core.types import ParentState

Row = Mapping[str, object]
"""A row of the execution log's parent orders."""

IN_FULL = 15
"""So many orders have a row each; of more, those alike share one."""
BEHIND = 0.25
"""An order is far behind when its filled share is so much less than the share of its time gone by."""


class Shown(NamedTuple):
    """A table: its columns, and its rows as text."""

    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far an order is: shares of its target and of its longest duration."""

    row: Row
    filled: float
    elapsed: float

    @property
    def behind(self) -> float:
        return self.elapsed - self.filled

    @property
    def trouble(self) -> str:
        """Why somebody should look at it, or ""."""
        if self.row["state"] == ParentState.PAUSED:
            return "paused"
        return f"{self.behind:.0%} behind its time" if self.behind > BEHIND else ""


def grouped(rows: Sequence[Row], now_ns: int) -> Shown:
    """A row for each symbol and state: how many buy and sell, how far, how much of their time is gone."""
    groups: dict[tuple[str, ...], list[_Progress]] = {}
    for row in rows:
        key = str(row["symbol"]), str(row["state"])
        groups.setdefault(key, []).append(_progress(row, now_ns))
    columns = ["symbol", "state", "buy", "sell", "filled", "time gone"]
    return Shown(columns, [[*key, *_sides(groups[key]), *_means(groups[key])] for key in sorted(groups)])


def _sides(group: Sequence[_Progress]) -> list[str]:
    sides = [one.row["side"] for one in group]
    return [f"{sides.count(side):,}" for side in ("buy", "sell")]


def _means(group: Sequence[_Progress]) -> list[str]:
    sums = (sum(one.filled for one in group), sum(one.elapsed for one in group))
    return [f"{each / len(group):.0%}" for each in sums]


def in_words(rows: Sequence[Row], now_ns: int) -> str:
    """500 orders on 20 symbols work: 498 working, 2 paused; filled 41% of the way, 44% of their time gone."""
    states = [str(row["state"]) for row in rows]
    counts = ", ".join(f"{states.count(s):,} {s}" for s in ParentState if s in states)
    symbols = len({row["symbol"] for row in rows})
    filled, elapsed = _means([_progress(row, now_ns) for row in rows])
    on = f"{symbols} symbols" if symbols > 1 else str(rows[0]["symbol"])
    return f"{len(rows):,} orders on {on}: {counts}; filled {filled} on average, {elapsed} of their time gone"


def troubled(rows: Sequence[Row], now_ns: int) -> Shown:
    """Those that need a look, the furthest behind first, ``IN_FULL`` at most."""
    found = [one for row in rows if (one := _progress(row, now_ns)).trouble]
    found.sort(key=lambda one: (-one.behind, str(one.row["parent_id"])))
    columns = ["parent_id", "symbol", "side", "algo", "filled", "needs a look"]
    shown = [
        [*(str(one.row[name]) for name in columns[:4]), f"{one.filled:.0%}", one.trouble]
        for one in found[:IN_FULL]
    ]
    if len(found) > IN_FULL:
        shown.append([f"and {len(found) - IN_FULL:,} more", "", "", "", "", ""])
    return Shown(columns, shown)


def _progress(row: Row, now_ns: int) -> _Progress:
    by_quantity = row["target_kind"] == "quantity"
    done = row["filled_lots"] if by_quantity else row["filled_tl"]
    filled = int(str(done)) / int(str(row["target_units"]))
    started_ns = row["started_ns"]
    if started_ns is None:
        return _Progress(row, filled, 0.0)
    elapsed = (now_ns - int(str(started_ns))) / int(str(row["max_duration_ns"]))
    return _Progress(row, filled, max(0.0, min(1.0, elapsed)))
