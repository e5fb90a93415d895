"""The pages in a real browser: they load alone and quietly, and fit a phone, a desk and the dark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.report.session_page import session_page
from lem.bars.simulate import simulate
from lem.evaluation.evaluate import evaluate_market
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.frontier import frontier
from lem.network.checkpoint import load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.page.evaluation_page import evaluation_page
from lem.page.explanation_page import explanation_page
from lem.serving.explain import explain
from storage.recordings.inspection import inspect_session
from tests.browser import Tab, chromium, opened
from tests.unit.lem.worlds import Walk

SPEC = EvaluationSpec(orders=120, min_periods=(0, 6, 12), participation=0.05)
SIZES = """[...document.querySelectorAll('figure svg')].map(s => {
  const box = s.getBoundingClientRect(), text = s.querySelector('text');
  return [box.width, box.height, text ? text.getBoundingClientRect().height : 99, box.right]; })"""
INK = "getComputedStyle(document.querySelector('figure svg text')).fill"
LINE = (
    "getComputedStyle([...document.querySelectorAll('svg path')].find(p => /s-lem/.test(p.outerHTML))).stroke"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything that a simulated market gives, on disk."""
    chromium()
    checkpoint = load_checkpoint()
    document: dict[str, Any] = evaluate_market(checkpoint, "gaussian", SPEC, lambda done, total: None)
    short = replace(SPEC, orders=100)
    document["frontier"] = frontier(checkpoint, short, lambda a, b: None, (0.05,), (1.0,), ("gaussian",))
    out = tmp_path_factory.mktemp("page") / "evaluation.html"
    out.write_text(evaluation_page(json.loads(json.dumps(document))), encoding="utf-8")
    return out


async def fits(tab: Tab, width: int) -> None:
    """Nothing sticks out, and drawings have a size that can be read."""
    await tab.size(width)
    wide = await tab.value("document.documentElement.scrollWidth")
    assert wide <= width
    sizes = await tab.value(SIZES)
    assert len(sizes) >= 3
    for drawn, high, letters, right in sizes:
        assert drawn >= 220
        assert high >= 120
        assert letters >= 8
        assert right <= width


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one decision on a simulated market, on disk."""
    chromium()
    bars = simulate("gaussian-bars", np.random.default_rng(1), 1, 180, 5e-4, SPEC.delta_ns)[0]
    views = Walk(bars, 150, SPEC, 0, SCENARIOS[1]).views(4, [1 / 12] * 4)
    document = {"decision": "x/4", "interval": 4, "digest": "d"} | explain(
        load_checkpoint().model, *views
    ).to_json()
    out = tmp_path_factory.mktemp("page") / "explanation.html"
    out.write_text(explanation_page(json.loads(json.dumps(document))), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a recorded session, on disk."""
    chromium()
    recorded = Path(__file__).parents[3] / "data" / "small-session"
    out = tmp_path_factory.mktemp("page") / "session.html"
    out.write_text(session_page(inspect_session(recorded).to_json()), encoding="utf-8")
    return out


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "explanation", "session"])
async def test_pages_in_a_browser(which: str, request: pytest.FixtureRequest) -> None:
    """No console line, no request but the file, no sideways scroll on phone or desk, dark in the dark."""
    page: Path = request.getfixturevalue(which)
    async with opened(page.as_uri()) as tab:
        for width in (400, 800, 1400):
            await fits(tab, width)
        light = await tab.value(INK), await tab.value(LINE)
        dark_mode = [{"name": "prefers-color-scheme", "value": "dark"}]
        await tab.ask("Emulation.setEmulatedMedia", features=dark_mode)
        dark = await tab.value(INK), await tab.value(LINE)
        assert light[0] != dark[0]
        assert light[1] != dark[1]
        await tab.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        await fits(tab, 400)
        assert tab.said() == []
        assert [url for url in tab.fetched() if not url.startswith("data:")] == [page.as_uri()]
        printed = await tab.ask("Page.printToPDF", printBackground=False)
        assert len(printed["data"]) > 10_000
