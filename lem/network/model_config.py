"""What defines a model and a training run. Both travel inside the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from agent.core.errors import InputError
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.market.features import FEATURE_SPAN
from agent.core.types import BenchmarkKind, Side, TargetKind

MOST_UNITS = 65_536
MOST_LOOKBACK = 5_000
CELLS = ("tkan", "lstm")

Settings = dict[str, int | float | str | bool]
"""A configuration as JSON, by field."""

SCENARIOS: tuple[tuple[Side, TargetKind, BenchmarkKind], ...] = tuple(
    (side, kind, benchmark) for side in Side for kind in TargetKind for benchmark in BenchmarkKind
)
"""One allocation network each, in this order."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of the network. ``lookback``: bars of history an encoding starts from, and attention sees."""

    features: int = len(FEATURE_NAMES)
    lookback: int = 120
    embedding: int = 12  # width of a variable's embedding
    hidden: int = 24  # width of the encoder and of a context vector
    heads: int = 4
    sublayers: int = 2  # KAN sub-layers of the TKAN cell
    sublayer_width: int = 8
    spline_cells: int = 5  # grid cells of a B-spline edge (cubic: 3 more basis functions)
    policy_hidden: int = 64
    cell: str = "tkan"  # "lstm": ablation
    selection: bool = True  # False: ablation, all variables in one linear layer
    attention: bool = True
    conditioned_on_order: bool = True  # False: ablation without order-state inputs

    @property
    def bars_needed(self) -> int:
        """Bars before an order's start beyond which more changes nothing."""
        return self.lookback + FEATURE_SPAN

    def to_json(self) -> Settings:
        """Every field by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ModelConfig:
        """Rebuild from JSON. Raises ValueError on unknown keys and on values that no model has."""
        unknown = set(record) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown model settings {sorted(unknown)}")
        config = cls(**record)
        for each in fields(cls):
            _check_setting(each.name, getattr(config, each.name), each.default)
        if config.hidden % config.heads:
            raise ValueError(f"model setting hidden {config.hidden} is no multiple of heads {config.heads}")
        return config


def _check_setting(name: str, value: object, usual: object) -> None:
    """Raises ValueError unless ``value`` is of the type of ``usual`` and within what a model can be."""
    most = MOST_LOOKBACK if name == "lookback" else MOST_UNITS
    if type(value) is not type(usual) or (isinstance(value, str) and value not in CELLS):
        raise ValueError(f"model setting {name} is {value!r}, which is none of this program's")
    if type(value) is int and not 1 <= value <= most:
        raise ValueError(f"model setting {name} is {value}: it must be 1 to {most}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run: ``iterations`` steps of ``series`` series each, with ``starts`` orders in a series.

    A step is computed in ``parts`` shards, each with a draw of its own; the weights depend on their number.
    """

    seed: int = 1
    iterations: int = 1_500
    series: int = 32
    starts: int = 30
    parts: int = 2
    learning_rate: float = 8e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    shared: float = 0.3  # of the run: all scenarios learn from each other's orders
    forecast_weight: float = 0.3
    impact: float = 1.0  # Y of the square-root law
    n_min: int = 2
    n_max: int = 32
    martingales_only: bool = False
    bars_share: float = 0.0  # of the series, from real bars, where there are any
    validation: int = 0  # batches to validate on, 0: none
    validate_every: int = 50
    patience: int = 8  # validations without a better one before it stops
    time_limit_s: float = 1_700.0  # stops early, with the schedule finished, on a slow machine

    def of_shard(self) -> TrainConfig:
        """The same with the series of one shard. Raises InputError where shards would not be equal."""
        if self.parts < 1 or self.series % self.parts:
            raise InputError(
                f"{self.series} series make no {self.parts} equal shards: use a multiple of their number"
            )
        return replace(self, series=self.series // self.parts)

    def to_json(self) -> Settings:
        """Every field by name."""
        return asdict(self)


PRESETS = {
    "tiny": TrainConfig(iterations=4, series=4, starts=2),
    "quick": TrainConfig(iterations=400, time_limit_s=285.0),
    "martingale": TrainConfig(iterations=600, martingales_only=True),
    "default": TrainConfig(series=48),
    "long": TrainConfig(iterations=8_000, series=64, validation=8, time_limit_s=8 * 3_600.0),
    "finetune": TrainConfig(
        iterations=600, learning_rate=2e-3, shared=0.0, bars_share=0.7, validation=8, time_limit_s=3_600.0
    ),
}
"""quick: under five minutes; default: made the shipped checkpoint; long: overnight, with validation;
finetune: on real bars, from a trained model, validated on later bars."""
