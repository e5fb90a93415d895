"""Measures on a tape that was cut or faulted: what differs from the whole tape's carries a flag, or is null.

Fifty seeds; each works one order and its shadows on a whole tape and on that tape with one fault, through the
engine. A number that is not what the whole tape gives, and bears no flag, would be believed.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from agent.app.build import build_engine, inline_policies
from agent.config import Config, Order
from agent.core.events import SlippageMeasured, StartParent
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray
from agent.core.measures.tca_report import OF_ROW
from agent.orders import build_spec
from agent.shadow import shadow_specs
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from tests.tapes_made_faulty import WAYS, S

pytestmark = pytest.mark.slow

SEEDS = range(50)
TAPE_S, START_S, LONGEST_S = 130, 12, 40
ORDER = Order(
    quantity=Decimal(1),
    min_duration=10 * S,
    max_duration=LONGEST_S * S,
    interval=5 * S,
    algo="twap",
    shadows=("pov", "immediate"),
)
TACTICS = ("twap_micro", "peg", "sweep")
QUANTITIES = (Decimal(1), Decimal(4), Decimal(40))  # 8 % of what trades, a third, three times it
Rows = Mapping[tuple[str, str], SlippageMeasured]


@cache
def whole_tape(number: int) -> tuple[Instrument, EventArray]:
    instruments, rows = synthetic_session(number, TAPE_S, ("BTC/USDT",))
    return instruments[0], rows


def order_of(seed: int) -> Order:
    draw = random.Random(seed)
    return replace(
        ORDER,
        side=draw.choice(("buy", "sell")),
        tactic=TACTICS[seed % 3],
        quantity=draw.choice(QUANTITIES),
        benchmark=draw.choice(("vwap", "twap")),
    )


def measured(
    instrument: Instrument, rows: EventArray, start_ns: int, order: Order, *, closes: bool = True
) -> Rows:
    """The last row of each parent, shadow and benchmark; without a close, a minute after the tape."""
    config = Config(order=order)
    engine = build_engine(config, [instrument], inline_policies(config))
    spec = build_spec(order, instrument, "S-P1", None)
    cut = int(rows["recv_ns"].searchsorted(start_ns, side="right"))
    engine.advance(rows[:cut])
    engine.command(StartParent(start_ns, cut, spec, tuple(shadow_specs(spec, order.shadows))))
    engine.advance(rows[cut:])
    if closes:
        engine.close(int(rows["recv_ns"][-1]))
    else:
        engine.advance_time(int(rows["recv_ns"][-1]) + 60 * S)
    found = [e for e in engine.drain() if isinstance(e, SlippageMeasured)]
    return {(e.parent_id, e.benchmark): e for e in found}


def values(row: SlippageMeasured) -> dict[str, float | None]:
    """Every measure of a row by name, None where it is not known."""
    of_row = {name: getattr(row, name) for name in OF_ROW}
    numbers = {**of_row, **{k: v for k, v in row.measures.items() if k not in ("flags", "pwp_rate")}}
    known = {name: None if value is None else float(value) for name, value in numbers.items()}
    return {name: None if value is None or math.isnan(value) else value for name, value in known.items()}


def same(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def fault_of(seed: int, start_ns: int) -> tuple[str, int, int]:
    """(way, from, to): over the arrival, the end, a markout, or anywhere around the order."""
    draw = random.Random(1000 + seed)
    way = list(WAYS)[seed % len(WAYS)]
    length = draw.uniform(0.3, 9.0)
    places = (0.0, LONGEST_S, LONGEST_S + 10, LONGEST_S + 60, draw.uniform(-3, LONGEST_S + 65))
    middle = draw.choice(places) + draw.uniform(-0.2, 0.2)
    begin = start_ns + int((middle - length / 2) * S)
    return way, begin, begin + int(length * S)


def compared(seed: int) -> list[tuple[str, str, bool]]:
    """(way, measure, whether it is flagged) for every known number that the whole tape gives otherwise."""
    instrument, tape = whole_tape(seed % 5)
    start_ns = int(tape["recv_ns"][0]) + START_S * S
    order = order_of(seed)
    way, from_ns, to_ns = fault_of(seed, start_ns)
    right = measured(instrument, tape, start_ns, order)
    wrong = measured(instrument, WAYS[way](tape, from_ns, to_ns), start_ns, order)
    found = []
    for key, row in wrong.items():
        now, was = values(row), values(right[key])
        for name, value in now.items():
            if value is None:
                assert row.reasons[name], (seed, way, key, name)
            elif not same(value, was[name]):
                found.append((f"{seed} {way} {key}", name, name in row.flags))
    return found


def test_a_number_that_is_wrong_carries_a_flag() -> None:
    """Fifty faults, nine kinds: wrong without a flag 0, and hundreds of numbers that are flagged."""
    found = [case for seed in SEEDS for case in compared(seed)]
    assert [case for case in found if not case[2]] == []
    wrong = Counter(case[0].split()[1] for case in found)
    assert sum(wrong.values()) > 500
    assert set(wrong) == set(WAYS)


@pytest.mark.parametrize("seed", range(0, 50, 7))
def test_a_whole_tape_has_no_flag(seed: int) -> None:
    """Without a fault nothing is marked, and what is not known says why."""
    instrument, tape = whole_tape(seed % 5)
    rows = measured(instrument, tape, int(tape["recv_ns"][0]) + START_S * S, order_of(seed))
    for row in rows.values():
        assert row.flags == {}
        unknown = {name for name, value in values(row).items() if value is None}
        assert set(row.reasons) == unknown
