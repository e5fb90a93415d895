"""Engine, algos and policies, built from the configuration."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from agent.algos import registry
from agent.app.venue_setup import paper_venue, venue_setup
from agent.config import Config
from agent.core.agenda import Agenda
from agent.core.compile.checksum import SMALL, crc32_blocks
from agent.core.instrument import Instrument
from agent.core.market.series import BarSeries, TradeColumns
from agent.core.ports import Algo, OrderVenue, SlicePolicy
from agent.core.types import (
    BenchmarkKind,
    MarketView,
    OrderView,
    ParentSpec,
    Side,
    Slice,
    TargetKind,
)
from agent.engine.engine import Engine
from agent.engine.policy import InlinePolicy, RecordedPolicy, WatchedPolicy
from agent.engine.settings import EngineSettings, RiskSettings, TacticSettings
from agent.venue.outside import ByLane
from agent.venue.rules import VenueSetup

VERSION = "0.1.0"
LEM = "lem"
SAID = "share finish importances attention turns_at_bps"  # what its decisions say, and a session holds
PolicyFactory = Callable[[ParentSpec], SlicePolicy]


def engine_settings(config: Config) -> EngineSettings:
    """The engine's view of the configuration."""
    return EngineSettings(
        risk=RiskSettings(
            max_notional=config.risk.max_notional,
            max_participation=config.risk.max_participation,
            price_collar_bps=config.risk.price_collar_bps,
            max_child_quantity=config.risk.max_child_quantity,
            max_orders_per_s=config.risk.max_orders_per_s,
            stale_book_ns=config.risk.stale_book,
        ),
        tactics=TacticSettings(
            micro_slices=config.tactics.micro_slices,
            reach_bps=config.tactics.reach_bps,
            repeg_ns=config.tactics.repeg,
            cross_share=config.tactics.cross_share,
            repeg_by_amend=config.tactics.repeg_by == "amend",
        ),
        decision_latency_ns=config.engine.decision_latency,
        history_bars=config.engine.lookback,
        settle_ns=config.engine.settle,
    )


@lru_cache(maxsize=4)
def lem_algo(checkpoint: Path | None) -> Algo:
    """The model, loaded once. Raises CheckpointError."""
    from lem.serving.predictor import LemAlgo

    return LemAlgo.load(checkpoint)


def algo(name: str, config: Config) -> Algo:
    """An algo by name. Raises InputError with the nearest names."""
    if name == LEM:
        return lem_algo(config.model.checkpoint)
    return registry.create(name, also=(LEM,))


def check_algos(names: Sequence[str], config: Config) -> None:
    """Fail before anything starts: every algo must exist, and the model must load."""
    for name in names:
        algo(name, config)


def inline_policies(config: Config, overruns: Set[str] = frozenset()) -> PolicyFactory:
    """Every algo answered inline, as a replay does."""
    return lambda spec: InlinePolicy(algo(spec.algo, config), overruns)


def recorded_policies(
    config: Config, recorded: Mapping[str, Slice], overruns: Set[str], doubts: list[str]
) -> PolicyFactory:
    """The recorded answers, each recomputed and doubted where it differs: for another machine."""
    return lambda spec: RecordedPolicy(algo(spec.algo, config), recorded, overruns, doubts)


def watched(policies: PolicyFactory, shown: Callable[[str, OrderView, MarketView], None]) -> PolicyFactory:
    """The same policies; ``shown`` gets what each is shown."""
    return lambda spec: WatchedPolicy(policies(spec), shown)


def build_engine(
    config: Config,
    instruments: Sequence[Instrument],
    policies: PolicyFactory,
    settings: EngineSettings | None = None,
    venue: VenueSetup | None = None,
    outside: OrderVenue | None = None,
) -> Engine:
    """An engine, compiled and warm. ``settings`` and ``venue``: in place of the configuration's.

    ``outside`` takes the real orders instead of the paper venue, which then has the shadows only.
    """
    fallback = registry.create("optimal_stopping")
    agenda = Agenda()
    market, paper = paper_venue(instruments, venue or venue_setup(config), agenda)
    market.warm_up()
    engine = Engine(
        market,
        paper if outside is None else ByLane(outside, paper),
        agenda,
        settings or engine_settings(config),
        policies,
        fallback,
    )
    crc32_blocks(np.zeros(2 * SMALL, np.uint8), 0, SMALL, SMALL)  # what checks the tape
    _warm_up_decisions(instruments[0], fallback)
    return engine


def _warm_up_decisions(instrument: Instrument, fallback: Algo) -> None:
    """Compile what the first decision would otherwise wait for: bars, and the fallback's programme."""
    second, count = 10**9, 6
    series = BarSeries(instrument, second, 0, count)
    at = np.arange(-count, 0, dtype=np.int64) * second
    prices = 1000 + np.array([0, 3, -2, 5, 1, 4], dtype=np.int64)
    series.update(TradeColumns(at, prices, np.ones(count, np.int64), np.ones(count, np.int8)))
    order = OrderView(
        side=Side.BUY,
        target_kind=TargetKind.QUANTITY,
        benchmark=BenchmarkKind.TWAP,
        t=1,
        m=1,
        n=3,
        interval_ns=second,
        start_ns=0,
        remaining=0.6,
        lot_share=0.01,
        min_rate=0.0,
        max_rate=1.0,
        achieved_price=1000.0,
        benchmark_price=1001.0,
        arrival_price=1000.0,
        own_volume_share=0.0,
        expected_participation=0.0,
        risk_aversion=1.0,
    )
    fallback.decide(order, MarketView(second, second, series.view(0), 1000.0, 1.0))


def fingerprint(config: Config, algos: Iterable[str] = ()) -> dict[str, Any]:
    """What byte-identical decisions depend on besides the session; the model's part where it decides."""
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "software": VERSION,
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy", "numba")},
    }
    if LEM in set(algos):
        import torch

        found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        found["model"] = str(getattr(lem_algo(config.model.checkpoint), "digest", ""))
        found["decisions"] = SAID
    return found
