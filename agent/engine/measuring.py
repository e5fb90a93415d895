"""Measures parents once the tape has shown what it takes: see ``agent.core.measures.tca_report``."""

from __future__ import annotations

from agent.core.events import SlippageMeasured
from agent.core.measures import tca
from agent.core.measures.tca_report import TcaFacts, slippage_rows
from agent.core.money import average_ticks
from agent.core.ports import Market
from agent.engine.worker import Worker


def measure(
    worker: Worker, market: Market, noted_share: float | None, now_ns: int, seq: int
) -> list[SlippageMeasured]:
    """Return the TCA of a finished order as far as ``now_ns`` shows it; empty without an arrival mid."""
    order, spec = worker.order, worker.order.spec
    if order.arrival_mid_half_ticks is None or worker.finish_interval is None or order.ended_ns is None:
        return []
    worker.series.update(market.trades(spec.instrument))
    inverse = market.instruments[spec.instrument].inverse
    shown = min(spec.max_intervals, (now_ns - worker.start_ns) // spec.interval_ns)
    facts = TcaFacts(
        spec=spec,
        state=order.state,
        start_ns=worker.start_ns,
        end_ns=order.ended_ns,
        filled_lots=order.filled_lots,
        filled_tl=order.filled_tl,
        fee_tlp=order.fee_tlp,
        sent_lots=worker.execution.sent_lots,
        decision_mid_half_ticks=order.decision_mid_half_ticks,
        arrival_mid_half_ticks=order.arrival_mid_half_ticks,
        end_mid_half_ticks=worker.end_mid_half_ticks or None,
        used_intervals=worker.finish_interval + 1,
        trades=_interval_trades(worker, max(shown, worker.finish_interval + 1), inverse),
        fills=_fills(worker),
        mids=market.mids(spec.instrument, now_ns),
        inverse=inverse,
        noted_share=noted_share,
        own_impact=worker.execution.traits.own_impact,
    )
    return slippage_rows(facts, market.instruments[spec.instrument], now_ns, seq)


def _interval_trades(worker: Worker, count: int, inverse: bool) -> list[tca.IntervalTrades]:
    rows, last = worker.series.prices(0, count)
    last = last or next((int(average_ticks(v, lots, inverse=inverse)) for lots, v in rows if lots), 0)
    last = last or (worker.order.arrival_mid_half_ticks or 0) // 2  # a market that never traded
    trades = []
    for (lots, value), close in zip(rows, worker.series.closes(0, count), strict=True):
        last = close or last
        trades.append(tca.IntervalTrades(value, lots, last, inverse))
    return trades


def _fills(worker: Worker) -> list[tca.Fill]:
    return [
        tca.Fill(
            price_ticks=fill.price_ticks,
            qty_lots=fill.qty_lots,
            maker=fill.maker,
            fill_ns=fill.fill_ns,
            sent_mid_half_ticks=child.sent_mid_half_ticks,
            far_touch_ticks=child.far_touch_ticks,
        )
        for fill, child in worker.execution.fills
    ]
