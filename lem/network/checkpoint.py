"""Model files: safetensors with the configuration, feature version and training digest inside. No pickle.

The header's metadata, all text: ``format``, ``config`` (JSON of ``ModelConfig``), ``feature_version``,
``feature_names`` (JSON), ``training`` (JSON of ``TrainingRecord``), ``training_digest``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.overrides import TorchFunctionMode

from agent.core.errors import CheckpointError
from agent.core.market.feature_names import FEATURE_NAMES, FEATURE_VERSION
from lem.network.model import LEM
from lem.network.model_config import ModelConfig, Settings

FORMAT = "lem-checkpoint-1"
DEFAULT_PATH = Path(__file__).parents[1] / "checkpoints" / "default.safetensors"
SCRATCH = 100_000
"""Elements that making a model may take beside its weights."""
ADVICE = (
    "give another file (model.checkpoint in the agent's configuration, --model of lem's commands), or train"
    " one with `python -m lem train --preset quick`"
)


class BarsRecord(TypedDict):
    """Which real bars a training used; times in ns."""

    series: list[str]
    intervals_ns: list[int]
    from_ns: int
    train_to_ns: int
    embargo_ns: int
    to_ns: int
    digest: str


class TrainingRecord(TypedDict, total=False):
    """How a model was trained. No times, so that the same run gives the same file.

    ``iterations``: steps done; ``loss``: smoothed, at the end; ``data``: "simulated markets", or which real
    bars were among them; ``init``: digest of the checkpoint it started from.
    """

    preset: str
    settings: Settings
    iterations: int
    loss: float
    data: str | dict[str, BarsRecord]
    init: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model, ready for inference. ``digest`` identifies the file's bytes."""

    model: LEM
    digest: str
    path: Path
    training: TrainingRecord = field(default_factory=lambda: TrainingRecord())


def training_digest(model: LEM, training: TrainingRecord) -> str:
    """Digest of what was trained and how: configuration, settings and weights."""
    sha = hashlib.sha256(json.dumps([model.config.to_json(), training], sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def save_checkpoint(model: LEM, path: Path, training: TrainingRecord) -> str:
    """Write ``model`` and return the file's digest. The write is atomic. Raises CheckpointError."""
    metadata = {
        "format": FORMAT,
        "config": json.dumps(model.config.to_json(), sort_keys=True),
        "feature_version": str(FEATURE_VERSION),
        "feature_names": json.dumps(FEATURE_NAMES),
        "training": json.dumps(training, sort_keys=True),
        "training_digest": training_digest(model, training),
    }
    data = _canonical(save({k: v.contiguous() for k, v in model.state_dict().items()}, metadata=metadata))
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write the model file {path}: {error.strerror or error}") from error
    return _digest(data)


def load_checkpoint(path: Path | None = None) -> Checkpoint:
    """Read a model (the one shipped by default). Raises CheckpointError with one clear message."""
    path = DEFAULT_PATH if path is None else path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the model file {path}: {error.strerror}; {ADVICE}") from error
    header = _header(path, data)
    metadata = _metadata(path, header)
    version = metadata.get("feature_version")
    if version != str(FEATURE_VERSION) or metadata.get("feature_names") != json.dumps(FEATURE_NAMES):
        raise CheckpointError(
            f"the model file {path} was trained on feature version {version},"
            f" this program computes version {FEATURE_VERSION}; {ADVICE}"
        )
    try:
        config = ModelConfig.from_json(json.loads(metadata["config"]))
        model = _unfilled(config, header)
        model.load_state_dict(load(data))
        training = json.loads(metadata["training"])
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(_broken(path, _first_line(error))) from error
    if training_digest(model, training) != metadata.get("training_digest"):
        raise CheckpointError(_broken(path, "its weights do not match its training digest"))
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return Checkpoint(model, _digest(data), path, training)


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The file's header: 8 bytes of length, then JSON (the safetensors format)."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(_broken(path, "it is not a safetensors file")) from error
    if not isinstance(header, dict):
        raise CheckpointError(_broken(path, "it is not a safetensors file"))
    return header


def _metadata(path: Path, header: dict[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CheckpointError(_broken(path, f"it is not a {FORMAT} file"))
    return metadata


def _unfilled(config: ModelConfig, header: dict[str, Any]) -> LEM:
    """A model of ``config``, which has the shapes that the file has. Raises ValueError."""
    held = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    with _Bounded(2 * sum(map(math.prod, held.values())) + SCRATCH):
        model = LEM(config)
    needed = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(needed.keys() | held.keys()):
        if needed.get(name) != held.get(name):
            raise ValueError(
                f"by its settings {name} has the shape {needed.get(name)}, and in the file {held.get(name)}"
            )
    return model


class _Bounded(TorchFunctionMode):
    """Refuses tensors before they take memory, once all that were made have ``most`` elements.

    Torch's device for shapes without memory would do as well, but its first use imports torch's compiler:
    four seconds at the start of every run.
    """

    MAKERS = frozenset((torch.empty, torch.randn, torch.zeros, torch.ones, torch.eye, torch.arange))

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """What torch calls instead of ``func``."""
        if func in self.MAKERS:
            sizes = args[0] if args and isinstance(args[0], tuple | list) else args
            self._left -= math.prod(size for size in sizes if isinstance(size, int))
            if self._left < 0:
                raise ValueError("by its settings it needs more weights than the file has")
        return func(*args, **(kwargs or {}))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _canonical(data: bytes) -> bytes:
    """The same file with its header's keys in order: the library writes metadata in random order."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _broken(path: Path, why: str) -> str:
    return f"the model file {path} cannot be used: {why}; {ADVICE}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def fresh_model(config: ModelConfig, seed: int) -> LEM:
    """A model with seeded initial weights."""
    torch.manual_seed(seed)
    return LEM(config)
