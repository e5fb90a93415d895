"""Model files with settings, headers, shapes and weights that no training wrote."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

from tests.fuzz.damaged_sessions import change_json
from tests.fuzz.trial import Case
from tests.fuzz.world import World

NO_MODELS = (b"[" * 100_000, b"\xff" * 8, bytes(8), b"\x10" + bytes(7) + b"[" * 16)
SIZES = (0, -1, 1, 2, 7, 50_000, 65_536, 10**6, 10**9, 2**63, 10**30)


@cache
def _parts(path: Path) -> tuple[bytes, bytes]:
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end], data[end:]


def make_case(draw: random.Random, world: World) -> Case:
    """A replay by the model of a changed file."""
    folder = world.fresh()
    file, config = folder / "model.safetensors", folder / "config.yaml"
    header, weights = _parts(world.checkpoint)
    data, about = _changed(draw, json.loads(header), weights)
    file.write_bytes(data)
    config.write_text(f"model: {{checkpoint: {file}}}\n")
    order = ["--quantity", "0.2", "--interval", "1s", "--min-duration", "2s", "--max-duration", "4s"]
    argv = ["replay", str(world.plain), "--config", str(config), *order, "--algo", "lem", "--json"]
    return Case(argv, about)


def _changed(draw: random.Random, header: dict[str, object], weights: bytes) -> tuple[bytes, str]:
    kind = draw.random()
    metadata = header["__metadata__"]
    assert isinstance(metadata, dict)
    if kind < 0.35:
        settings = json.loads(metadata["config"])
        name = draw.choice(sorted(settings))
        settings[name] = draw.choice([*SIZES, "x", None, True, 1.5, [], {}])
        metadata["config"] = json.dumps(settings)
        return _file(header, weights), f"config.{name} = {settings[name]!r}"
    if kind < 0.5:
        about = change_json(draw, metadata)
        return _file(header, weights), f"metadata {about}"
    if kind < 0.7:
        about = change_json(draw, header)
        return _file(header, weights), f"header {about}"
    data = bytearray(_file(header, weights))
    if kind < 0.85:
        for _ in range(draw.choice([1, 5])):
            data[draw.randrange(len(data) if draw.random() < 0.5 else 4000)] = draw.randrange(256)
        return bytes(data), "bytes flipped"
    if kind < 0.95:
        return bytes(data[: draw.choice([0, 1, 7, 8, 9, draw.randrange(len(data))])]), "cut"
    return draw.choice(
        [b"[" * 100_000, b"\xff" * 8, bytes(8), b"\x10" + bytes(7) + b"[" * 16]
    ), "no such file"


def _file(header: dict[str, object], weights: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + weights
