"""The model inside the engine decides as it does on bars anybody can make from the same trades.

With ``tests/unit/lem/serving/test_predictor.py`` (predictor equals ``lem evaluate`` to 1e-6) this closes the
chain: the same bars through the evaluation and through the engine give the same decisions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent import app
from agent.config import Config
from agent.core.events import DecisionTaken
from agent.core.instrument import Instrument
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.market.tape import EventArray, Kind
from agent.core.types import MarketView, OrderView, Slice
from agent.engine.policy import InlinePolicy
from lem.serving.predictor import LemAlgo
from tests.fakes import order_of_the_model

BOOK = ("spread_bps", "touch_imbalance", "microprice_bps", "bid_depth", "ask_depth")


class Listening:
    """The model, keeping what it was shown."""

    name = "lem"

    def __init__(self) -> None:
        self.model = LemAlgo.load()
        self.asked: list[tuple[OrderView, MarketView]] = []

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        self.asked.append((order, market))
        return self.model.decide(order, market)


def bars_of(
    tape: EventArray, instrument: Instrument, like: FBarArray, delta_ns: int, now_ns: int
) -> FBarArray:
    """Bars from the trades seen by ``now_ns``, with plain NumPy; book columns as the engine sampled them."""
    trades = tape[(tape["kind"] == Kind.TRADE) & (tape["recv_ns"] <= now_ns)]
    tick, lot = float(instrument.tick), float(instrument.lot)
    bars = empty_fbars(len(like))
    bars["start_ns"] = like["start_ns"]
    last = np.nan
    for bar in bars:
        since = bar["start_ns"]
        inside = trades[(trades["exch_ns"] >= since) & (trades["exch_ns"] < since + delta_ns)]
        inside = inside[np.argsort(inside["exch_ns"], kind="stable")]
        price, size = inside["price_ticks"] * tick, inside["qty_lots"] * lot
        names = ("open", "high", "low", "close", "vwap")
        values = [last] * 5
        if len(inside):
            values = [price[0], price.max(), price.min(), price[-1], (price * size).sum() / size.sum()]
        for name, value in zip(names, values, strict=True):
            bar[name] = value
        bar["volume"], bar["quote_volume"], bar["trades"] = size.sum(), (price * size).sum(), len(inside)
        bar["taker_volume"] = size[inside["side"] > 0].sum()
        last = bar["close"]
    for name in BOOK:
        bars[name] = like[name]
    return bars


def test_engine_decisions_are_the_models_on_independent_bars() -> None:
    """Every decision of an order in the engine, asked again on bars made without the engine: 1e-6."""
    instrument, tape, order, command = order_of_the_model()
    listening = Listening()
    engine = app.build_engine(Config(order=order), [instrument], lambda spec: InlinePolicy(listening))
    position = int(np.searchsorted(tape["recv_ns"], command.recv_ns, side="right"))
    engine.advance(tape[:position])
    engine.command(command)
    engine.advance(tape[position:])
    taken = [e for e in engine.drain() if isinstance(e, DecisionTaken)]
    assert len(listening.asked) >= 4
    for (view, market), decision in zip(listening.asked, taken, strict=False):
        own = bars_of(tape, instrument, market.bars, order.interval, market.now_ns)
        again = listening.model.decide(view, replace(market, bars=own))
        assert decision.share == pytest.approx(again.share, abs=1e-6)
        assert decision.finish == again.finish
        assert decision.finish_probability == pytest.approx(again.finish_probability, abs=1e-6)
        assert len(own) == decision.history_bars
