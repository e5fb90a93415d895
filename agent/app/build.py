"""Engine, algos and policies, built from the configuration."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from pathlib import Path

from agent import VERSION
from agent.algos import registry
from agent.app.venue_setup import paper_venue, venue_setup
from agent.app.warm_up import warm_up_bars
from agent.app.world.garbage import collect_seldom
from agent.config import Config
from agent.core.agenda import Agenda
from agent.core.instrument import Instrument
from agent.core.orders.together import TogetherLimits
from agent.core.ports import Algo, OrderVenue, SlicePolicy
from agent.core.types import (
    MarketView,
    OrderView,
    ParentSpec,
    Slice,
)
from agent.engine.engine import Engine
from agent.engine.policy import InlinePolicy, RecordedPolicy, WatchedPolicy
from agent.engine.settings import EngineSettings, RiskSettings, TacticSettings
from agent.venue.outside import ByLane
from agent.venue.rules import VenueSetup

LEM = "lem"
DECISION_MEMBERS = (
    "share finish importances attention turns_at_bps"  # what its decisions say, and a session holds
)
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
            together=TogetherLimits(
                max_symbol_notional=config.risk.max_symbol_notional,
                max_total_notional=config.risk.max_total_notional,
                max_open_notional=config.risk.max_open_notional,
                max_symbol_participation=config.risk.max_symbol_participation,
                max_total_orders_per_s=config.risk.max_total_orders_per_s,
            ),
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
        noted_share=config.venue.noted_share,
    )


@lru_cache(maxsize=4)
def lem_algo(checkpoint: Path | None) -> Algo:
    """The model, loaded once. Raises CheckpointError."""
    from lem.serving.predictor import LemAlgo

    return LemAlgo.load(checkpoint)


def check_model(config: Config) -> None:
    """Fail before anything is compiled for it. Raises CheckpointError."""
    from lem.network.checkpoint import load_checkpoint

    load_checkpoint(config.model.checkpoint)


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
    warm_up_bars()
    collect_seldom()
    return engine


def _version(package: str) -> str:
    """Which one is installed; "" for none, as torch where the model decides nothing."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def fingerprint(config: Config, algos: Iterable[str] = ()) -> dict[str, str]:
    """What byte-identical decisions depend on besides the session; the model's part where it decides."""
    found: dict[str, str] = {
        "machine": platform.machine(),
        "software": VERSION,
        **{name: _version(name) for name in ("torch", "numpy", "numba")},
    }
    if LEM in set(algos):
        import torch

        found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        found["model"] = str(getattr(lem_algo(config.model.checkpoint), "digest", ""))
        found["decisions"] = DECISION_MEMBERS
    return found
