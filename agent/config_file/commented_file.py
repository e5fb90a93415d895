"""A configuration as YAML with a comment beside every key: what it is, its unit, what is allowed.

Keys, values, limits and comments are read off the models of ``agent.config``: the comment is the text below a
key there, of an order's keys the help of its option.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard, get_type_hints

import yaml
from pydantic import BaseModel

from agent import config as models
from agent.algos.registry import ALGOS, PARAMS
from agent.config import Config
from agent.config_file.allowed_values import allowed, is_duration, sections_in
from agent.core.secret_url import SecretUrl
from agent.durations import format_duration
from agent.order_options import Order, order_fields

WIDTH, COLUMN = 110, 26
HEAD = """\
# Every tunable of the agent, as `python -m agent config init` writes it: each with its default, and with what
# is allowed in brackets. Unknown keys fail. The command line overrides what it names.
# Durations are written 500ms, 90s, 15m, 2h or 3d. `python -m agent config check` says what is wrong here.
"""


def commented(config: Config) -> str:
    """The whole file."""
    return HEAD + "\n" + "\n".join(_Writer().section(config, Config, "")) + "\n"


class _Writer:
    """Writes sections; the keys of one that was written before are shown without comments."""

    def __init__(self) -> None:
        self._described: set[type] = set()

    def section(self, values: object, model: type, indent: str) -> Iterator[str]:
        self._described.add(model)
        comments, kinds = _comments(model), _kinds(model)
        for name, kind in kinds.items():
            value, comment = getattr(values, name), comments.get(name, "")
            nested: type | None = kind if _is_section(kind) else None
            if nested is None:
                yield from _line(f"{indent}{name}: {_scalar(value, kind)}", _explained(name, comment, kind))
                yield from self._items(kind)
            elif nested in self._described:
                yield from _line(f"{indent}{name}: {_flow(value, nested)}", comment)
            else:
                if not indent:
                    yield ""
                yield from _line(f"{indent}{name}:", comment)
                yield from self.section(value, nested, f"{indent}  ")
            if not indent:
                yield from _examples(comment)

    def _items(self, kind: object) -> Iterator[str]:
        """The keys of a list's items, or of a mapping's, as comments."""
        for model in sections_in(kind):
            self._described.add(model)
            comments = _comments(model)
            for name, inner in _kinds(model).items():
                text = _explained(name, comments.get(name, ""), inner)
                yield from _line("", f"  {name}: {text}")


def _line(key: str, comment: str) -> Iterator[str]:
    """A key with its comment beside it, which may take more lines."""
    first, *more = comment.split("\n- ", 1)[0].split("\n") or [""]
    text = " ".join([first, *more])
    if not text.strip():
        yield key
        return
    start = max(COLUMN, len(key) + 2) if len(key) < WIDTH // 2 else COLUMN
    inner = "    " if text.startswith("  ") else ""
    wrapped = textwrap.wrap(text, WIDTH - start - 2, subsequent_indent=inner, drop_whitespace=True)
    wrapped[0] = ("  " if inner else "") + wrapped[0].lstrip()
    if len(key) >= WIDTH // 2:  # a long value leaves no room beside it
        yield key
        key = ""
    for text in wrapped:
        yield f"{key:<{start}}# {text}"
        key = ""


def _examples(comment: str) -> Iterator[str]:
    """Items that a comment gives as examples, each a comment of its own."""
    yield from (f"# {line}" for line in comment.split("\n") if line.startswith("- {"))


def _explained(name: str, comment: str, kind: object) -> str:
    """The comment with what is allowed after it."""
    text, *examples = comment.split("\n- ")
    limits = _names(name) or allowed(kind)
    whole = f"{text} [{limits}]" if limits and f"[{limits}]" not in text else text
    return "\n- ".join([whole.strip(), *examples])


def _names(name: str) -> str:
    """What an order's key may name, where its type does not tell."""
    if name in ("algo", "shadows"):
        return ("any of " if name == "shadows" else "") + " | ".join(["lem", *ALGOS])
    if name == "algo_params":
        return "; ".join(f"{algo}: {', '.join(known)}" for algo, known in PARAMS.items() if known)
    return ""


# --- what the models say -----------------------------------------------------------------------------


def _is_section(kind: object) -> TypeGuard[type]:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind))


def _kinds(model: type) -> Mapping[str, object]:
    """Each key's type, with what annotates it."""
    hints = get_type_hints(model, include_extras=True)
    if issubclass(model, BaseModel):
        return {name: hints[name] for name in model.model_fields}
    return {each.name: hints[each.name] for each in order_fields()}


def _comments(model: type) -> Mapping[str, str]:
    if model is Order:
        return {each.name: _as_comment(each.option.help) for each in order_fields()}
    return _texts_below_keys().get(model.__name__, {})


def _as_comment(help_text: str) -> str:
    """An option's help, as comments begin and end."""
    return help_text[:1].lower() + (help_text[1:] if help_text.endswith("..") else help_text[1:].rstrip("."))


@cache
def _texts_below_keys() -> Mapping[str, Mapping[str, str]]:
    """The text below each key of each class of ``agent.config``."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(models)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = dict(_texts(node.body))
    return found


def _texts(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for key, below in itertools.pairwise(body):
        if not (isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield key.target.id, inspect.cleandoc(str(below.value.value))


# --- values ------------------------------------------------------------------------------------------


def _flow(section: object, model: type) -> str:
    """{median_ms: 20.0, sigma: 0.0}."""
    members = (f"{n}: {_scalar(getattr(section, n), k)}" for n, k in _kinds(model).items())
    return f"{{{', '.join(members)}}}"


def _scalar(value: object, kind: object) -> str:
    """One value as YAML writes it on one line."""
    if isinstance(value, int) and is_duration(kind):
        return format_duration(value) if value else "0s"
    if value == "off":
        return "off"  # which YAML reads as false, and the key takes
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000)
    return str(text).split("\n")[0].strip()


def _plain(value: object) -> Any:
    """What YAML knows, of what the models hold."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path | SecretUrl):
        return str(value)
    return value
