"""Configuration files: the one of this repository with keys changed, dropped, doubled, or of another type."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from agent.config import Config
from tests.fuzz.trial import Case
from tests.fuzz.world import DURATIONS, ODD_VALUES, World, odd

MARKS = ("\t", ":", "\x00", "{", "&a ", "*a ", "'", "Δ", "\n")
SMALL_ORDER = {
    "quantity": 0.2,
    "algo": "twap",
    "interval": "1s",
    "min_duration": "2s",
    "max_duration": "4s",
    "shadows": ["pov"],
}


def make_case(draw: random.Random, world: World) -> Case:
    """A replay of a session with a configuration that was changed; now and then other commands."""
    folder = world.fresh()
    file = folder / "config.yaml"
    document = Config().model_dump(mode="json")
    document["order"].update(SMALL_ORDER)
    about = [_change(draw, document) for _ in range(draw.choice([1, 1, 1, 2, 4]))]
    text = yaml.safe_dump(document, allow_unicode=True)
    if draw.random() < 0.15:
        text = _damaged(draw, text)
        about.append("bytes changed")
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return Case(_command(draw, world, file), "; ".join(about))


def _command(draw: random.Random, world: World, file: Path) -> list[str]:
    choice = draw.random()
    if choice < 0.8:
        return ["replay", str(world.plain), "--config", str(file), "--json"]
    if choice < 0.9:
        return ["run", "--paper", "--config", str(file), "--exchange", "no-such-exchange"]
    return ["log", "parents", "--config", str(file)] if choice < 0.95 else ["status", "--config", str(file)]


def _change(draw: random.Random, document: dict[str, object]) -> str:
    """Change one value somewhere, and say which."""
    section: dict[str, object] = document
    path: list[str] = []
    while True:
        key = draw.choice(sorted(section))
        path.append(key)
        inner = section[key]
        if not isinstance(inner, dict) or not inner or draw.random() < 0.1:
            break
        section = inner
    value = _other(draw, section[key])
    if draw.random() < 0.05:
        del section[key]
        section[odd(draw)] = value
    else:
        section[key] = value
    return f"{'.'.join(path)} = {str(value)[:60]!r}"


def _other(draw: random.Random, value: object) -> object:
    """Another value, often of the same type."""
    kind = draw.random()
    if isinstance(value, int | float) and not isinstance(value, bool) and kind < 0.8:
        return draw.choice([-value, value * 10**6, value * 1e-9, value + 1, value // 2 if value else 7])
    if kind < 0.85:
        return draw.choice([0.001, 0.5, 1.0, 3, 100, *DURATIONS])
    return odd(draw) if kind < 0.92 else draw.choice(ODD_VALUES)


def _damaged(draw: random.Random, text: str) -> str:
    letters = list(text)
    for _ in range(draw.randrange(1, 4)):
        letters[draw.randrange(len(letters))] = draw.choice(
            ["\t", ":", "\x00", "{", "&a ", "*a ", "'", "Δ", "\n"]
        )
    return "".join(letters)
