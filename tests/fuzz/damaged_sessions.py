"""Session directories with bytes flipped, files cut, emptied, removed, swapped, or JSON values changed."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from pathlib import Path

from tests.fuzz.trial import Case
from tests.fuzz.world import ODD_VALUES, World, odd

COMMANDS = (
    ("replay", "{s}", "--verify", "--json"),
    ("replay", "{s}", "--verify"),
    ("replay", "{s}", "--quantity", "0.2", "--interval", "1s", "--min-duration", "2s", "--max-duration", "4s",
     "--algo", "twap", "--json"),
    ("sessions", "inspect", "{s}", "--json"),
    ("sessions", "inspect", "{s}"),
    ("sessions", "list", "{s}", "--check", "--json"),
    ("sessions", "list", "{s}"),
    ("sessions", "slice", "{s}", "--out", "{s}-cut", "--from", "2s", "--json"),
    ("sessions", "merge", "{s}", "{w}", "--out", "{s}-both"),
    ("sessions", "compact", "{s}"),
    ("calibrate", "{s}", "--json"),
    ("replay", "{s}", "--db", "sqlite:///{s}.db", "--json"),
)  # fmt: skip


def make_case(draw: random.Random, world: World) -> Case:
    """A copy of a session, damaged in one to three ways, and a command that reads it."""
    folder = world.fresh() / "s"
    shutil.copytree(draw.choice([world.session, world.session, world.plain]), folder)
    about = [_damage(draw, folder) for _ in range(draw.choice([1, 1, 2, 3]))]
    command = draw.choice(COMMANDS)
    argv = [part.format(s=folder, w=world.plain) for part in command]
    return Case(argv, "; ".join(about))


def _damage(draw: random.Random, folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size)
    if not files:
        return "nothing left"
    file = draw.choice(files)
    if file.suffix == ".json" and draw.random() < 0.7:
        return _change_header(draw, file)
    if file.name == "journal.jsonl" and draw.random() < 0.5:
        return _change_journal(draw, file)
    how = draw.choice([_flip, _flip, _flip, _cut, _empty, _remove, _swap, _append])
    return f"{file.name}: {how(draw, file)}"


def _flip(draw: random.Random, file: Path) -> str:
    data = bytearray(file.read_bytes())
    for _ in range(draw.choice([1, 1, 3])):
        at = draw.randrange(len(data))
        data[at] = draw.choice([data[at] ^ 1, data[at] ^ 0x80, 0, 255, draw.randrange(256)])
    file.write_bytes(data)
    return "bytes flipped"


def _cut(draw: random.Random, file: Path) -> str:
    length = draw.randrange(file.stat().st_size)
    file.write_bytes(file.read_bytes()[:length])
    return f"cut at {length}"


def _empty(_draw: random.Random, file: Path) -> str:
    file.write_bytes(b"")
    return "emptied"


def _remove(_draw: random.Random, file: Path) -> str:
    file.unlink()
    return "removed"


def _swap(draw: random.Random, file: Path) -> str:
    lines = file.read_bytes().split(b"\n")
    draw.shuffle(lines)
    file.write_bytes(b"\n".join(lines))
    return "lines shuffled"


def _append(draw: random.Random, file: Path) -> str:
    file.write_bytes(
        file.read_bytes() + draw.choice([b"x", b"\n\n", b"\xff\n", bytes(64), b"ParentChanged|\n"])
    )
    return "appended to"


def _change_header(draw: random.Random, file: Path) -> str:
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        return "header beyond changing"
    about = change_json(draw, document)
    file.write_text(json.dumps(document))
    return f"header: {about}"


def _change_journal(draw: random.Random, file: Path) -> str:
    """An entry that is whole by its checksum, and says something odd."""
    lines = file.read_bytes().split(b"\n")
    at = draw.randrange(len(lines))
    body, mark, _ = lines[at].rpartition(b',"crc":"')
    if not mark:
        return "journal beyond changing"
    try:
        entry = json.loads(body + b"}")
    except ValueError:
        return "journal beyond changing"
    about = change_json(draw, entry)
    try:
        text = json.dumps(entry, separators=(",", ":")).encode("utf-8", "surrogatepass")
    except ValueError:
        return "journal beyond changing"
    lines[at] = b'%s,"crc":"%08x"}' % (text[:-1], zlib.crc32(text))
    file.write_bytes(b"\n".join(lines))
    return f"journal: {about}"


def change_json(draw: random.Random, document: object) -> str:
    """Change or drop one value of a document, in place; say which."""
    holder, path = document, []
    while True:
        if isinstance(holder, dict) and holder:
            key: object = draw.choice(sorted(holder))
        elif isinstance(holder, list) and holder:
            key = draw.randrange(len(holder))
        else:
            return "nothing to change"
        path.append(str(key))
        inner = holder[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or draw.random() < 0.1:
            break
        holder = inner
    if draw.random() < 0.15:
        del holder[key]  # type: ignore[arg-type]
        return f"{'.'.join(path)} dropped"
    value = _json_value(draw, inner)
    holder[key] = value  # type: ignore[index]
    return f"{'.'.join(path)} = {str(value)[:50]!r}"


def _json_value(draw: random.Random, value: object) -> object:
    if isinstance(value, int | float) and draw.random() < 0.5:
        return draw.choice([-value, value + 1, value * 10**9, 0])
    if draw.random() < 0.4:
        return odd(draw)
    return draw.choice([v for v in ODD_VALUES if not isinstance(v, bytes)])
