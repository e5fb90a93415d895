"""What the property tests build orders from."""

from __future__ import annotations

from agent.core.orders.child_order import ChildOrder
from agent.core.orders.parent_order import ParentOrder
from agent.core.types import NS_PER_S, BenchmarkKind, ParentSpec, Side, TargetKind, TimeInForce


def parent(kind: TargetKind, target: int, side: Side = Side.BUY, n: int = 12, m: int = 4) -> ParentOrder:
    """A pending parent order of one-minute intervals."""
    interval_ns = 60 * NS_PER_S
    spec = ParentSpec(
        parent_id="p1",
        instrument=0,
        symbol="BTC/USDT",
        side=side,
        target_kind=kind,
        target=target,
        benchmark=BenchmarkKind.VWAP,
        interval_ns=interval_ns,
        min_duration_ns=m * interval_ns,
        max_duration_ns=n * interval_ns,
        algo="twap",
    )
    return ParentOrder(spec, submitted_ns=0)


def child(qty_lots: int) -> ChildOrder:
    """A child order on its way to the venue."""
    return ChildOrder(
        child_id="p1/0/0",
        parent_id="p1",
        interval=0,
        instrument=0,
        side=Side.BUY,
        tif=TimeInForce.GTC,
        price_ticks=1_000,
        qty_lots=qty_lots,
        sent_ns=0,
        sent_mid_half_ticks=1_999,
        far_touch_ticks=1_000,
    )
