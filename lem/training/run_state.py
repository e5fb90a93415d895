"""A training run on disk: what a killed run needs to go on as if it had not been killed. No pickle.

A run directory holds the two newest states (``state-000500.safetensors``: weights and the optimiser's
moments; in the header the fields of ``RunProgress`` as JSON), TensorBoard events, and, should a step meet a
number that is not finite, that step's batch. Every write is atomic.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from agent.core.errors import CheckpointError, InputError
from lem.network.checkpoint import BarsRecord
from lem.network.model import LEM
from lem.network.model_config import Settings

if TYPE_CHECKING:
    from lem.training.batches import Batch

KEPT = 2
MOMENTS = ("exp_avg", "exp_avg_sq")
UNKNOWN_IS_NAN = ("ahead", "orders.drift")  # of a batch


class RunSettings(TypedDict):
    """What a run was started with, and a resumed run must share; ``init``: digest of its first model."""

    model: Settings
    training: Settings
    bars: BarsRecord | None
    init: str | None


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands.

    ``done``: steps; ``smoothed``: their loss; ``best``: the lowest validation cost; ``waited``: validations
    since; ``total``: steps the schedule ends at, once a slow machine has shortened it.
    """

    done: int
    smoothed: float
    elapsed_s: float
    settings: RunSettings
    best: float | None = None
    waited: int = 0
    total: int | None = None


def save_state(
    directory: Path,
    model: LEM,
    optimiser: torch.optim.Optimizer,
    progress: RunProgress,
    best: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write a state and remove all but the newest two. Raises InputError where it cannot be written."""
    tensors = {f"model.{k}": v.detach().contiguous() for k, v in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for moment in MOMENTS:
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment].contiguous()
    tensors |= {f"best.{k}": v.contiguous() for k, v in (best or {}).items()}
    metadata = asdict(progress)
    path = directory / f"state-{progress.done:06d}.safetensors"
    partial = path.with_suffix(".part")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"state": json.dumps(metadata)})
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the training state {path}: {error.strerror or error}") from error
    for old in _states(directory)[:-KEPT]:
        old.unlink()
    return path


def load_state(
    directory: Path, model: LEM, optimiser: torch.optim.Optimizer
) -> tuple[RunProgress, dict[str, torch.Tensor] | None]:
    """Restore the newest state that reads whole, in place; return where it stands and the best weights.

    Raises InputError where there is none, or where another version wrote it.
    """
    for path in reversed(_states(directory)):
        try:
            with safe_open(path, framework="pt") as file:
                names = file.keys()  # no mapping: it cannot be iterated itself
                tensors = {key: file.get_tensor(key) for key in names}
                state = json.loads(file.metadata()["state"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            continue  # half written or damaged: this is what the one before is kept for
        if set(state) != {field.name for field in fields(RunProgress)}:
            raise InputError(
                f"{path} was written by another version of this program, whose runs cannot be resumed: train"
                " anew with another --run"
            )
        try:
            model.load_state_dict(_with_prefix(tensors, "model."))
        except RuntimeError as error:
            raise CheckpointError(f"{path} belongs to a model of another shape: {error}") from error
        for name, parameter in model.named_parameters():
            moments = {m: tensors[f"{m}.{name}"].to(parameter.device) for m in MOMENTS}
            optimiser.state[parameter] = {"step": torch.tensor(float(state["done"])), **moments}
        best = _with_prefix(tensors, "best.")
        return RunProgress(**state), best or None
    raise InputError(f"no training state in {directory}: start without --resume, or give the run's directory")


def has_state(directory: Path) -> bool:
    """Whether a run has written a state there."""
    return bool(_states(directory))


def _states(directory: Path) -> list[Path]:
    return sorted(directory.glob("state-*.safetensors"))


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def save_bad_step(directory: Path, model: LEM, batch: Batch, iteration: int) -> tuple[Path, str]:
    """Write the batch and the weights of a step that went wrong; return where, and what was not finite."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"bad-batch-{iteration:06d}.npz"
    arrays = _arrays(batch, "")
    np.savez(path, **arrays)  # type: ignore[arg-type]  # mypy: one might be called allow_pickle
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, path.with_suffix(".safetensors"))
    named = [*arrays.items(), *((f"weight {k}", v.numpy()) for k, v in weights.items())]
    gradients = (
        (f"gradient of {k}", p.grad.cpu().numpy()) for k, p in model.named_parameters() if p.grad is not None
    )
    for name, values in (*named, *gradients):
        wrong = np.isinf(values) if name in UNKNOWN_IS_NAN else ~np.isfinite(values)
        if values.dtype.kind == "f" and wrong.any():
            return path, name
    return path, "the loss itself"


Array = npt.NDArray[np.generic]


def _arrays(item: object, prefix: str) -> dict[str, Array]:
    """Every tensor and array of a dataclass, by the dotted path of its fields."""
    if is_dataclass(item):
        out: dict[str, Array] = {}
        for field in fields(item):
            out |= _arrays(getattr(item, field.name), f"{prefix}{field.name}.")
        return out
    values = item.detach().cpu().numpy() if isinstance(item, torch.Tensor) else np.asarray(item)
    return {prefix.rstrip("."): values}
