"""Schedules of the simple rules: their formulae, and rate limits that nothing breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.algos.almgren_chriss import AlmgrenChriss
from agent.core.types import BenchmarkKind, MarketView, OrderView, Side, TargetKind
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Paths, make_orders
from lem.evaluation.rule_schedules import (
    almgren_chriss_schedule,
    back_loaded,
    twap,
    twap_until_stopped,
    volume_curve_schedule,
)
from lem.network.objective import Orders

SPEC = EvaluationSpec(n=12, min_periods=(0, 6), history=20)


def paths(count: int = 5) -> Paths:
    bars = simulate("gaussian-bars", np.random.default_rng(1), count, 32, 1e-3, SPEC.delta_ns)
    return Paths(bars, np.zeros(count, np.int64), 20)


def orders(spec: EvaluationSpec = SPEC) -> Orders:
    return make_orders(paths(), spec.checked())


def test_the_curve_is_followed() -> None:
    """Without limits the shares are the expected volumes' parts of their sum."""
    expected = torch.rand(10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    share = volume_curve_schedule(orders(), expected)
    torch.testing.assert_close(share, expected / expected.sum(-1, keepdim=True), atol=2e-6, rtol=0)


def test_a_volume_of_zero_is_waited_through() -> None:
    """Nothing trades where no volume is expected, and the order completes all the same."""
    expected = torch.ones(10, 12, dtype=torch.float64)
    expected[:, 5:] = 0.0
    share = volume_curve_schedule(orders(), expected)
    torch.testing.assert_close(share[:, :5], torch.full((10, 5), 0.2, dtype=torch.float64), atol=2e-6, rtol=0)
    assert float(share[:, 5:].abs().max()) < 2e-6


def test_almgren_chriss_is_the_agents_own() -> None:
    """Share by share what the agent's algo decides on the same bars, volatility unknown at first too."""
    spec = replace(SPEC, history=0, min_periods=(0,), participation=0.1, risk_aversion=0.3)
    whole = paths()
    bars = Paths(whole.bars[:, 20:], whole.known_from, 0)
    share = almgren_chriss_schedule(make_orders(bars, spec), 0.1, 0.3)[3]
    left = 1.0
    for t in range(12):
        view = OrderView(
            Side.BUY,
            TargetKind.QUANTITY,
            BenchmarkKind.TWAP,
            t=t,
            m=0,
            n=12,
            interval_ns=spec.delta_ns,
            start_ns=0,
            remaining=left,
            lot_share=0.0,
            least_share=0.0,
            min_rate=0.0,
            max_rate=1.0,
            achieved_price=float("nan"),
            benchmark_price=float("nan"),
            arrival_price=float("nan"),
            own_volume_share=0.0,
            expected_participation=0.1,
            risk_aversion=0.3,
        )
        market = MarketView(0, spec.delta_ns, bars.bars[3, :t], float("nan"), float("nan"))
        decided = AlmgrenChriss().decide(view, market)
        assert float(share[t]) == pytest.approx(decided.share, abs=2e-6)
        left -= decided.share


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (0.02, 0.25), (0.0, 0.4), (0.1, 1.0)])
def test_no_schedule_breaks_the_rates(low: float, high: float) -> None:
    """Every share lies within [lo, hi] of the projection, all is done, and rules can stop in time."""
    limited = orders(replace(SPEC, min_rate=low, max_rate=high))
    curve = torch.linspace(1.0, 9.0, 12, dtype=torch.float64).expand(10, -1)
    first = np.maximum(np.tile([0, 6], 5), np.ceil(1.0 / high - 1e-9)).astype(int) - 1
    for share in (
        twap(limited),
        back_loaded(limited),
        volume_curve_schedule(limited, curve),
        almgren_chriss_schedule(limited, 0.1, 1.0),
    ):
        before = 1.0 - torch.cat([torch.zeros(10, 1), share.cumsum(-1)[:, :-1]], dim=-1)
        assert float(share.max()) <= high + 1e-9
        working = before[:, :-1] > low + 1e-5  # the last lot waits for the end
        assert bool((share[:, :-1][working] >= low - 1e-9).all())
        torch.testing.assert_close(share.sum(-1), torch.ones(10, dtype=torch.float64))
    for share in (twap_until_stopped(limited), back_loaded(limited)):
        left = 1.0 - share.cumsum(-1) + share
        assert all(float(left[k, t]) <= high + 1e-9 for k, t in enumerate(first.clip(0)))


def test_late_is_as_late_as_the_rates_allow() -> None:
    """Max rate 0.4, m = 6: nothing until two intervals before the sixth, then just enough."""
    share = back_loaded(orders(replace(SPEC, max_rate=0.4)))[1]
    torch.testing.assert_close(
        share[:6], torch.tensor([0.0, 0.0, 0.0, 0.2, 0.4, 0.0], dtype=torch.float64), atol=2e-6, rtol=0
    )
