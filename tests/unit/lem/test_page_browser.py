"""The pages in a real browser: they load alone and quietly, and fit a phone, a desk and the dark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lem.checkpoint import load_checkpoint
from lem.evaluate import evaluate_market
from lem.frontier import frontier
from lem.page.evaluation import evaluation_page
from lem.paths import Question
from tests.browser import Tab, chromium, opened

QUESTION = Question(orders=120, min_periods=(0, 6, 12), participation=0.05)
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
    document: dict[str, Any] = evaluate_market(checkpoint, "gaussian", QUESTION, lambda done, total: None)
    short = replace(QUESTION, orders=100)
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
    assert len(sizes) > 3
    for drawn, high, letters, right in sizes:
        assert drawn >= 220
        assert high >= 120
        assert letters >= 8
        assert right <= width


@pytest.mark.slow
async def test_the_page_in_a_browser(page: Path) -> None:
    """No console line, no request but the file, no sideways scroll on phone or desk, dark in the dark."""
    async with opened(page.as_uri()) as tab:
        for width in (400, 800, 1400):
            await fits(tab, width)
        light = await tab.value(INK), await tab.value(LINE)
        await tab.ask(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
        )
        dark = await tab.value(INK), await tab.value(LINE)
        assert light[0] != dark[0]
        assert light[1] != dark[1]
        folded = "document.querySelectorAll('details').forEach(d => d.open = true)"
        await tab.value(folded)
        await fits(tab, 400)
        assert tab.said() == []
        assert tab.fetched() == [page.as_uri()]
        printed = await tab.ask("Page.printToPDF", printBackground=False)
        assert len(printed["data"]) > 10_000
