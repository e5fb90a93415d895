"""Two outcomes of one plan, compared record by record: what differs, and the first of it in context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.market.tape import EventArray, Kind
from tests.differential.records import OUTCOMES, Outcome, Records

_ROWS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """What a comparison covered. A partial fill leaves some of its order open."""

    orders: int
    resting_fills: int
    partial_fills: int
    taker_fills: int
    cancelled: int
    refused: int


def differing(ours: Outcome, theirs: Outcome) -> list[int]:
    """Return the numbers of the orders whose fills or ends are not the same to the last field."""
    mine, other = _by_number(ours), _by_number(theirs)
    return sorted(n for n in mine.keys() | other.keys() if mine.get(n) != other.get(n))


def counts(orders: Records, outcome: Outcome) -> Counts:
    """Count what happened to ``orders``."""
    lots = dict(zip(orders["number"].tolist(), orders["lots"].tolist(), strict=True))
    maker = outcome.fills[outcome.fills["maker"] == 1]
    partial = 0
    for fill in maker:
        number = int(fill["number"])
        lots[number] -= int(fill["lots"])
        partial += lots[number] > 0
    ends = np.bincount(outcome.ends["outcome"], minlength=len(OUTCOMES))
    taken = len(outcome.fills) - len(maker)
    return Counts(len(orders), len(maker), partial, taken, int(ends[3]), int(ends[4]))


def explain(number: int, tape: EventArray, orders: Records, ours: Outcome, theirs: Outcome) -> str:
    """Return what both venues made of order ``number``, and the tape around the first difference."""
    order = orders[orders["number"] == number][0]
    mine, other = _by_number(ours).get(number, []), _by_number(theirs).get(number, [])
    lines = [f"order {number}: {_named(order)}"]
    for name, rows in (("ours", mine), ("hftbacktest", other)):
        lines += [f"  {name:12}{row}" for row in rows]
    times = [row[1] for rows in zip(mine, other, strict=False) if rows[0] != rows[1] for row in rows]
    at = min(times, default=int(order["send_ns"]))
    near = tape[np.isin(tape["kind"], (Kind.TRADE, Kind.LEVEL))]
    near = near[np.abs(near["price_ticks"] - order["price_ticks"]) <= 3]
    i = int(np.searchsorted(near["recv_ns"], at))
    for row in near[max(0, i - _ROWS_SHOWN) : i + _ROWS_SHOWN]:
        lines.append(f"    tape {Kind(int(row['kind'])).name:6} {_named(row)}")
    return "\n".join(lines)


def _named(row: Records) -> str:
    skipped = ("ext_id", "instrument", "kind", "seq", "exch_ns")
    return " ".join(f"{name}={row[name]}" for name in row.dtype.names or () if name not in skipped)


def _by_number(outcome: Outcome) -> dict[int, list[tuple[object, ...]]]:
    found: dict[int, list[tuple[object, ...]]] = {}
    for fill in outcome.fills.tolist():
        found.setdefault(fill[0], []).append(("fill", *fill[1:]))
    for end in outcome.ends.tolist():
        found.setdefault(end[0], []).append((OUTCOMES[end[3]], *end[1:3]))
    return found
