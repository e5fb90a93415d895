"""Simulated orders walked one decision at a time, as a live engine would ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.market.bars import FBarArray
from agent.core.types import BenchmarkKind, MarketView, OrderView, Side, Slice, TargetKind
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.serving.predictor import Predictor

Scenario = tuple[Side, TargetKind, BenchmarkKind]


@dataclass(frozen=True, slots=True)
class Walk:
    """One order inside ``bars`` [T], starting at row ``start``."""

    bars: FBarArray
    start: int
    spec: EvaluationSpec
    m: int
    scenario: Scenario

    def views(self, t: int, shares: list[float]) -> tuple[OrderView, MarketView]:
        """What is shown before interval ``t`` after trading ``shares`` at the intervals' prices."""
        own = self.bars[self.start : self.start + t]
        side, kind, benchmark = self.scenario
        q, done = self.spec, float(np.sum(shares))
        by_volume = benchmark is BenchmarkKind.VWAP
        bench = float(np.average(own["vwap"], weights=own["volume"] if by_volume else None)) if t else np.nan
        usual = self.bars["volume"][max(0, self.start - 32) : self.start].mean()
        order = OrderView(
            side=side,
            target_kind=kind,
            benchmark=benchmark,
            t=t,
            m=self.m,
            n=q.n,
            interval_ns=q.delta_ns,
            start_ns=int(self.bars["start_ns"][self.start]),
            remaining=1.0 - done,
            lot_share=q.lot_share,
            least_share=q.lot_share,
            min_rate=q.min_rate,
            max_rate=q.max_rate,
            achieved_price=self._achieved(shares),
            benchmark_price=bench,
            arrival_price=float(self.bars["close"][self.start - 1]),
            own_volume_share=q.participation * q.n * usual * done / own["volume"].sum() if t else 0.0,
            expected_participation=q.participation,
            risk_aversion=q.risk_aversion,
        )
        seen = self.bars[: self.start + t]
        market = MarketView(now_ns=0, delta_ns=q.delta_ns, bars=seen, mid=np.nan, spread=np.nan)
        return order, market

    def _achieved(self, shares: list[float]) -> float:
        if not np.sum(shares) > 0:
            return float("nan")
        prices = self.bars["vwap"][self.start : self.start + len(shares)]
        if self.scenario[1] is TargetKind.NOTIONAL:
            return float(np.sum(shares) / np.sum(np.array(shares) / prices))
        return float(np.average(prices, weights=shares))

    def decisions(self, predictor: Predictor) -> list[Slice]:
        """Every slice up to the one that finishes."""
        answers: list[Slice] = []
        for t in range(self.spec.n):
            answers += predictor.decide_many([self.views(t, [a.share for a in answers])])
            if answers[-1].finish:
                break
        return answers
