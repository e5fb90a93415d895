"""The page of ``lem evaluate`` says what its document says, and nothing breaks it."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lem.evaluation.evaluate import evaluate_market
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.frontier import frontier
from lem.network.checkpoint import load_checkpoint
from lem.page.evaluation_page import evaluation_page
from tests.page_checks import HOSTILE, SVG, check_hostile, check_numbers, check_page

SPEC = EvaluationSpec(orders=120, min_periods=(0, 6, 12), participation=0.05)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made = evaluate_market(load_checkpoint(), "gaussian", SPEC, lambda done, total: None)
    made["frontier"] = frontier(
        load_checkpoint(),
        replace(SPEC, orders=100),
        lambda done, total: None,
        (0.05,),
        (1.0,),
        ("gaussian",),
    )
    copied: dict[str, Any] = json.loads(json.dumps(made))
    return copied


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> str:
    return evaluation_page(document)


def test_every_number_is_the_documents(document: dict[str, Any], page: str) -> None:
    """The page is well-formed and alone, and each of its many numbers is in the document."""
    root = check_page(page, document)
    assert check_numbers(root, document) > 8 * 3 * 50
    assert len(list(root.iter("figure"))) == 8 + 1 + 4 + 4 + 1 + 2 + 1
    parts = {e.get("id") for e in root.iter("section")}
    assert parts >= {"gain", "tables", "fraction", "deviation", "impact", "horizon", "regimes", "frontier"}


def test_the_same_document_gives_the_same_bytes(document: dict[str, Any], page: str) -> None:
    """Nothing of the clock or of chance is in a page; a document with one other number gives another."""
    other = deepcopy(document)
    assert evaluation_page(other) == page
    other["rows"][0]["gain_bps"]["std"] *= 1.5
    assert evaluation_page(other) != page


@pytest.mark.parametrize("market", [True, False])
def test_a_bare_document_is_enough(document: dict[str, Any], market: bool) -> None:
    """Without bounds, baselines, regrets or intervals the page shows what there is."""
    keep = ("side", "target_kind", "benchmark", "min_period", "orders")
    rows = [{k: r[k] for k in keep} | {"gain_bps": {"mean": 1.0, "std": 2.0}} for r in document["rows"]]
    bare: dict[str, Any] = {"model": "x", "digest": "y", "n": 12, "rows": rows}
    bare |= {"market": "gaussian"} if market else {"bars": ["A", "B"], "interval_ns": 900_000_000_000}
    check_numbers(check_page(evaluation_page(bare), bare), bare)
    check_page(evaluation_page(bare | {"rows": []}), bare | {"rows": []})


def test_several_documents_make_one_page(document: dict[str, Any], page: str) -> None:
    """One under the other, with plots and sections of their own; what is common stands once."""
    one = {k: v for k, v in document.items() if k != "frontier"}
    shared = {"digest": one["digest"], "reproduce": "lem evaluate", "frontier": document["frontier"]}
    shared["summary"] = [{"interval_ns": 900_000_000_000, **row} for row in one["summary"]]
    both = shared | {"documents": [one, one | {"market": "gaussian-bars"}]}
    root = check_page(evaluation_page(both), both)
    alone = check_page(page, document)
    figures = [len(list(tree.iter("figure"))) for tree in (root, alone)]
    assert figures[0] == 2 * figures[1] - 1
    assert check_numbers(root, both) > 8 * 3 * 100


def renamed(value: Any, names: dict[str, str]) -> Any:
    """``value`` with texts and keys replaced, all the way down."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(below, names) for key, below in value.items()}
    if isinstance(value, list):
        return [renamed(below, names) for below in value]
    return names.get(value, value) if isinstance(value, str) else value


def test_names_cannot_break_the_page(document: dict[str, Any]) -> None:
    """Markup in a name is text wherever it comes from: series, files, strategies, benchmarks, regimes."""
    evil = {name: f"{name}{HOSTILE}" for name in ("dump", "vwap", "low", "volatility", "gaussian")}
    given = {key: renamed(value, evil) for key, value in document.items() if key != "market"}
    given |= {"bars": [HOSTILE], "model": HOSTILE, "digest": HOSTILE, "data_digest": HOSTILE}
    given |= {"reproduce": HOSTILE, "bound_is": HOSTILE, "left_out": {HOSTILE: HOSTILE}, "seed": HOSTILE}
    given["quality"] = {HOSTILE: {"rows": 5, HOSTILE: [HOSTILE, "b"]}, "x": {"rows": 4}}
    root = check_page(evaluation_page(given), given)
    check_hostile(root, 70)
    assert check_numbers(root, given) > 8 * 3 * 50


def test_drawings_follow_the_theme(document: dict[str, Any], page: str) -> None:
    """No colour is fixed in a drawing: all are variables of the page."""
    root = check_page(page, document)
    styles = " ".join(e.get("style", "") for e in root.iter() if e.tag.startswith(SVG))
    assert "var(--s-lem)" in styles
    assert "#" not in styles.replace("url(#", "")


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``lem evaluate --html`` beside --json: the page carries the very document that was printed."""
    from lem.cli import main

    out = tmp_path / "page.html"
    command = ["evaluate", "--orders", "40", "--min-period", "0", "--json", "--html", str(out)]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    check_numbers(check_page(out.read_text(encoding="utf-8"), printed), printed)


@pytest.mark.parametrize("where", ["", "no/such/place.html"])
def test_a_path_that_cannot_be_written_is_refused_first(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message before any work, exit code 2."""
    from lem.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--orders", "5000000", "--html", str(tmp_path / where)])
    assert stop.value.code == 2
    assert "--html" in capsys.readouterr().err
