"""A model file is what it says it is, or it is refused with one clear message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent.core.errors import CheckpointError
from agent.core.market.feature_names import FEATURE_VERSION
from lem.network.checkpoint import DEFAULT_PATH, fresh_model, load_checkpoint, save_checkpoint
from lem.network.model_config import ModelConfig
from tests.patience import PATIENCE_S


def metadata_of(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    result: dict[str, str] = header["__metadata__"]
    return result


def test_round_trip(tmp_path: Path) -> None:
    """What is saved comes back: weights, configuration, settings, and the file's digest."""
    model = fresh_model(ModelConfig(hidden=16), 3)
    path = tmp_path / "model.safetensors"
    digest = save_checkpoint(model, path, {"seed": 3})
    loaded = load_checkpoint(path)
    assert loaded.digest == digest
    assert loaded.training == {"seed": 3}
    assert loaded.model.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_the_shipped_model_is_small_and_describes_itself() -> None:
    """Under 5 MB, with configuration, feature version and training digest inside."""
    assert DEFAULT_PATH.stat().st_size < 5_000_000
    metadata = metadata_of(DEFAULT_PATH)
    assert metadata["feature_version"] == str(FEATURE_VERSION)
    assert len(metadata["training_digest"]) == 16
    assert json.loads(metadata["training"])["data"] == "simulated markets"
    assert load_checkpoint().model.config.lookback == 120


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the file and what to do."""
    with pytest.raises(CheckpointError, match=r"none\.safetensors.*No such file.*lem train"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 300, 100_000])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    """Cut anywhere, in header or weights."""
    path = tmp_path / "cut.safetensors"
    path.write_bytes(DEFAULT_PATH.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors cannot be used"):
        load_checkpoint(path)


@pytest.mark.parametrize("at", [-5, -200_000])
def test_a_flipped_bit_in_the_weights_is_refused(tmp_path: Path, at: int) -> None:
    """The training digest covers every weight."""
    data = bytearray(DEFAULT_PATH.read_bytes())
    data[at] ^= 1
    path = tmp_path / "bad.safetensors"
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="digest"):
        load_checkpoint(path)


def test_something_else_is_refused(tmp_path: Path) -> None:
    """A text file, a directory, and another program's safetensors file."""
    text = tmp_path / "text.safetensors"
    text.write_text("not a model at all, but long enough to have a header")
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, other, metadata={"format": "pt"})
    for path in (text, other, tmp_path):
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("feature_version", "999", "trained on feature version 999"),
        ("feature_names", "[]", "feature version"),
        ("config", '{"wings": 2}', "wings"),
        ("config", '{"hidden": 16}', "has the shape"),
        *(
            ("config", json.dumps({name: 65_536}), "needs more weights than the file has")
            for name in ("features", "embedding", "hidden", "sublayers", "sublayer_width", "policy_hidden")
        ),
        ("training", '{"seed": 99}', "training digest"),
    ],
)
def test_a_file_that_does_not_fit_this_program_is_refused(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
    """Another feature version, another shape, or settings that were edited by hand."""
    path = tmp_path / "edited.safetensors"
    save_file(load_file(DEFAULT_PATH), path, metadata=metadata_of(DEFAULT_PATH) | {key: value})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_run_that_loads_a_model_leaves_the_compiler_of_torch_alone() -> None:
    """It takes four seconds of a processor to import, and no decision needs it."""
    script = (
        "import sys\n"
        "from lem.serving.predictor import LemAlgo\n"
        "LemAlgo.load()\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert done.stdout.split() == ["False"]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    """Saving under a file instead of a folder is one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_checkpoint(fresh_model(ModelConfig(), 1), tmp_path / "file" / "model.safetensors", {})
