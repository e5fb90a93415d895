"""Words that stand for several things: a key or option with one in its name has its row in the glossary."""

from __future__ import annotations

import re
from collections import Counter

from tests.every_key.command_line import options
from tests.every_key.config_leaves import leaves
from tests.unit.docs.test_docs import ROOT

TEXT = (ROOT / "docs" / "glossary.md").read_text()
WORDS = frozenset(
    {
        *("participation", "share", "rate", "reach", "limit", "price", "quantity", "seed", "seeds"),
        *("market", "history", "lookback", "slice", "slices"),
    }
)


def _has_a_word(name: str) -> bool:
    return bool(set(re.split(r"[ ._-]+", name)) & WORDS)


def _named() -> list[str]:
    """Keys and options in the second column of a table."""
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ") and " | " in line]
    return [name for row in rows if len(row) > 2 for name in re.findall(r"`([\w. -]+)`", row[1])]


def _covered(option: str, named: str) -> bool:
    """``--seed`` stands for it in every command, ``agent run --seed`` in that one."""
    return named == (option if " " in named else option.rpartition(" ")[2])


KEYS = sorted(leaves())
OPTIONS = sorted(options())


def test_a_key_with_such_a_word_is_explained_once() -> None:
    """A new key that reuses a word says which thing it is."""
    named = Counter(_named())
    assert [key for key in KEYS if _has_a_word(key) and named[key] != 1] == []


def test_an_option_with_such_a_word_is_explained_once() -> None:
    """In the command that has it: ``--seed`` of ``run`` is no ``--seed`` of ``lem train``."""
    named = _named()
    flags = [option for option in OPTIONS if _has_a_word(option.rpartition(" ")[2])]
    assert len(flags) > 30
    assert [flag for flag in flags if sum(_covered(flag, name) for name in named) != 1] == []


def test_what_is_explained_is_there() -> None:
    """A key or option that goes takes its row along."""
    for name in _named():
        if "--" in name:
            assert any(_covered(option, name) for option in OPTIONS), name
        else:
            assert name in KEYS, name
