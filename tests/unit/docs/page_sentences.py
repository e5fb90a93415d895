"""A page's sentences and rows of tables, and the check that each has a test that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.unit.docs.test_docs import ROOT

NOTHING = ""
"""The proof of what is explained, and not claimed."""
Proven = Sequence[tuple[str, str]]
"""(first words of a sentence, ``folder/test_file.py::test_name`` below tests/), in the page's order."""


def sentences(page: str) -> list[str]:
    """Of the page below the repository's root, in order; headings and fenced blocks are none."""
    found: list[str] = []
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    text = re.sub(r"\n\|[^\n]*\n\| ?:?-[^\n]*", "\n", text)  # the heads of tables
    for block in re.split(r"\n(?=\n|\||#|- |\d+\. )", text):
        if block.startswith("|"):
            found.append(block.strip())
        elif block.strip() and not block.lstrip().startswith("#"):
            found += re.split(r"(?<=[.:])\s+(?=[A-Z`])", " ".join(block.split()))
    return found


def unproven(page: str, proven: Proven) -> list[str]:
    """Sentences that ``proven`` does not have in their place, and proofs that are not there."""
    said = sentences(page)
    wrong = [
        sentence for sentence, (words, _) in zip(said, proven, strict=False) if not sentence.startswith(words)
    ]
    if len(said) != len(proven):
        wrong.append(f"{len(said)} sentences, {len(proven)} proofs")
    for proof in {proof for _, proof in proven if proof}:
        file, _, name = proof.partition("::")
        if f"def {name or 'test_'}" not in (ROOT / "tests" / file).read_text():
            wrong.append(proof)
    return wrong
