"""What each algorithm's name promises, judged from its fills, on markets of every size and at any distance.

A schedule is followed within a lot and a least order. A fill belongs to the interval that sent its child, at
whatever round trip it is heard. A few markets run always, thirty are marked slow; ``PROMISE_MARKETS`` sets
another number.
"""

from __future__ import annotations

import os
from itertools import pairwise
from math import cosh, sinh

import numpy as np
import pytest

from agent.core.types import ParentState
from tests.promises.markets import MS, S, Worked, klines, market, work

TACTICS = ("twap_micro", "peg", "sweep")
ROUND_TRIPS_MS = (1.0, 300.0, 1_000.0, 3_000.0)
MANY = int(os.environ.get("PROMISE_MARKETS", "30"))
FEW = (1, 8, 9)
SEEDS = [
    *(pytest.param(seed, id=f"market {seed}") for seed in FEW),
    *(pytest.param(s, id=f"market {s}", marks=pytest.mark.slow) for s in range(MANY) if s not in FEW),
]
ends = pytest.mark.parametrize("round_trip_ms", ROUND_TRIPS_MS)
by_tactic = pytest.mark.parametrize("tactic", TACTICS)
on_markets = pytest.mark.parametrize("seed", SEEDS)


def completed_in_time(done: Worked) -> None:
    """Filled to the lot by the max duration, and complete in no interval before the min one's."""
    assert done.last.state is ParentState.COMPLETED, done.last.reason
    assert sum(f.qty_lots for f in done.fills) == done.target
    order, last_ns = done.order, max(f.fill_ns for f in done.fills)
    assert last_ns <= done.start_ns + order.max_duration
    assert last_ns > done.start_ns + order.min_duration - order.interval
    never_too_small(done)


def never_too_small(done: Worked) -> None:
    """No child was refused by the venue for its size."""
    rejected = {c.reason for c in done.events if getattr(c, "state", None) == "rejected"}
    assert not [r for r in rejected if "minimum" in r], rejected


def follows(done: Worked, curve: list[float]) -> None:
    """What the children of intervals 0 .. k filled is the curve's share, for every k."""
    filled, slack = np.cumsum([done.filled_in(k) for k in range(len(curve))]), done.slack_lots
    wanted = np.cumsum(curve) * done.target
    far = np.abs(filled - wanted)
    assert far.max() <= slack, (filled.tolist(), wanted.tolist(), slack)


@ends
@by_tactic
@on_markets
def test_twap_is_even(seed: int, tactic: str, round_trip_ms: float) -> None:
    done = work(market(seed), round_trip_ms, algo="twap", tactic=tactic)
    completed_in_time(done)
    follows(done, [1 / 12] * 12)


@ends
@by_tactic
@on_markets
@pytest.mark.parametrize("known", [True, False], ids=["profile", "flat"])
def test_vwap_follows_the_profile(seed: int, tactic: str, round_trip_ms: float, known: bool) -> None:
    """Shares are those of the usual volume; without history they are even, and every decision says so."""
    curve, case = [400, 100, 800, 200, 500, 1_000], market(seed)
    shape = {"interval": 60 * S, "min_duration": 120 * S, "max_duration": 300 * S}
    history = klines(case, curve) if known else None
    done = work(case, round_trip_ms, history=history, algo="vwap", tactic=tactic, **shape)
    completed_in_time(done)
    if not known:
        follows(done, [1 / 5] * 5)
        assert all("flat, so as twap" in d.reason for d in done.decisions[:-1])
        return
    follows(done, _minutes(done, curve))


def _minutes(done: Worked, curve: list[int]) -> list[float]:
    """The usual volume of each of the order's minutes, which do not start on the clock's, as shares."""
    into = done.start_ns % (60 * S) / (60 * S)
    volumes = [a * (1 - into) + b * into for a, b in pairwise([*curve, curve[-1]])][:5]
    return [v / sum(volumes) for v in volumes]


@ends
@by_tactic
@on_markets
def test_almgren_chriss_is_its_closed_form(seed: int, tactic: str, round_trip_ms: float) -> None:
    """Holdings x_j = X sinh(kappa (n - j)) / sinh(kappa n), with a volatility that stays as it is."""
    params = {"eta": 8.0, "gamma": 1.0, "lambda": 2_000.0}
    case = market(seed)
    done = work(case, round_trip_ms, algo="almgren_chriss", tactic=tactic, algo_params=params)
    completed_in_time(done)
    held = 1.0
    for k, decision in enumerate(done.decisions[:-1]):
        sigma = _sigma(done, k)
        part = 1 / (12 - k) if sigma is None else 1 - _kept(sigma, params, 12 - k)
        wanted = (held - done.filled_in(k) / done.target, held * (1 - part))
        far = abs(wanted[0] - wanted[1]) * done.target  # the last order waits: so a least order more
        assert far <= 2 * done.slack_lots, (k, wanted, decision.reason)
        held = wanted[0]


def _sigma(done: Worked, k: int) -> float | None:
    """Of the closes of the last 61 whole intervals before interval k, as the tape has them."""
    at, delta = done.start_ns + k * done.order.interval, done.order.interval
    trades = done.tape[done.tape["kind"] == 1]
    first = -((done.start_ns - int(trades["exch_ns"][0])) // delta)
    closes = []
    for j in range(first, k):
        begin = done.start_ns + j * delta
        inside = trades[(trades["exch_ns"] >= begin) & (trades["exch_ns"] < begin + delta)]
        inside = inside[inside["recv_ns"] <= at]
        closes.append(float(inside["price_ticks"][-1]))
    returns = np.diff(np.log(closes[-61:]))
    sigma = float(np.sqrt(np.mean(returns**2))) if len(returns) >= 2 else 0.0
    return sigma or None


def _kept(sigma: float, params: dict[str, float], left: int) -> float:
    """x_1 / x_0 of Almgren and Chriss (2000): 2 (cosh kappa - 1) = lambda sigma^2 / (eta - gamma / 2)."""
    right = params["lambda"] * sigma**2 / ((params["eta"] - params["gamma"] / 2) * 1e-4)
    kappa = float(np.arccosh(1 + right / 2))
    assert abs(2 * (cosh(kappa) - 1) - right) < 1e-9 * max(1.0, right)
    return sinh(kappa * (left - 1)) / sinh(kappa * left) if kappa > 1e-9 else (left - 1) / left


@ends
@by_tactic
@on_markets
def test_immediate_is_immediate(seed: int, tactic: str, round_trip_ms: float) -> None:
    """All but a least order at the first moment, unless the tactic rests; the rest when the min lets it."""
    done = work(market(seed), round_trip_ms, algo="immediate", tactic=tactic)
    completed_in_time(done)
    first_ns = done.start_ns + 100 * MS + done.travel_ns  # a decision latency and the way
    if tactic != "peg":
        assert done.filled_by(first_ns + 250 * MS) >= done.target - done.slack_lots
    assert done.filled_in(0) >= done.target - done.slack_lots


@ends
@by_tactic
@on_markets
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_pov_keeps_its_rate(seed: int, tactic: str, round_trip_ms: float, rate: float) -> None:
    """Never above the rate at any fill; over the order within 1 % of it, or of its lag and a least order."""
    case = market(seed)
    done = work(case, round_trip_ms, algo="pov", tactic=tactic, algo_params={"rate": rate}, share=0.1)
    order, filled = done.order, 0
    for fill in done.fills:
        filled += fill.qty_lots
        assert filled <= rate * done.traded_by(fill.fill_ns), fill
    end_ns = done.start_ns + order.max_duration
    if done.last.state is ParentState.COMPLETED:
        end_ns = max(f.fill_ns for f in done.fills)
    if tactic == "peg":
        return  # what rests waits for the market: the rate is its bound
    said, got = (sum(xs) for xs in zip(*_said_and_got(done), strict=True))
    assert abs(said - got) <= 0.5 * got + 2 * done.slack_lots, "what decisions expect is what is done"
    lag_ns = order.interval // 30 + done.travel_ns + 5 * MS + 100 * MS
    due = rate * done.traded_by(end_ns - lag_ns)
    missed = 2 * done.slack_lots + 1  # a child that misses is sent again, but not at the very end
    assert filled >= min(done.target, due) - missed, (filled, due, done.last.reason)
    if round_trip_ms == 1.0:
        whole = min(done.target, rate * done.traded_by(end_ns))  # and then the last waits
        assert abs(filled - whole) <= 0.01 * whole + done.slack_lots


def _said_and_got(done: Worked) -> list[tuple[float, float]]:
    """Lots that each decision expected, and that its interval filled; but for the first and the last."""
    decisions = [d for d in done.decisions if 1 <= d.interval < 11]
    return [(d.share * done.target, done.filled_in(d.interval)) for d in decisions] or [(0.0, 0.0)]


@ends
@by_tactic
@on_markets
def test_a_cap_is_never_exceeded(seed: int, tactic: str, round_trip_ms: float) -> None:
    """At every fill own volume is within the cap of what had traded since the start."""
    case = market(seed)
    for algo in ("immediate", "vwap_dynamic"):
        done = work(case, round_trip_ms, algo=algo, tactic=tactic, participation_cap=0.04)
        filled = 0
        for fill in done.fills:
            filled += fill.qty_lots
            assert filled <= 0.04 * done.traded_by(fill.fill_ns), (algo, fill)
        assert max(f.fill_ns for f in done.fills) <= done.start_ns + done.order.max_duration
        assert done.last.state is ParentState.EXPIRED
        assert "participation cap" in done.last.reason


@ends
@by_tactic
@on_markets
@pytest.mark.parametrize("algo", ["optimal_stopping", "vwap_dynamic"])
def test_others_complete_in_their_window(seed: int, tactic: str, round_trip_ms: float, algo: str) -> None:
    """To the lot and within min and max duration."""
    completed_in_time(work(market(seed), round_trip_ms, algo=algo, tactic=tactic))
