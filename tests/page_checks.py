"""Pages read strictly: every tag closed, every id once, every printed number traced to the document."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
HOSTILE = "</script></style><script>alert(1)</script><b-evil onload='x' a=\"y\">&amp; $\\frac{ {{ 7*7 }} %}"


def parse(text: str) -> ElementTree.Element:
    """The page as a tree; it must be well-formed XML, which is stricter than HTML."""
    assert text.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(text)


def inside(root: ElementTree.Element) -> dict[str, Any]:
    """The document that travels in the page."""
    kept = next(e for e in root.iter("script") if e.get("id") == "document")
    found: dict[str, Any] = json.loads(kept.text or "")
    return found


def check_numbers(root: ElementTree.Element, document: dict[str, Any]) -> int:
    """Every number that carries a path is the document's, rounded as printed. Returns how many there are."""
    count = 0
    row_of = {cell: row.get("data-at", "") for row in root.iter("tr") for cell in row.iter("span")}
    for cell in root.iter("span"):
        path = cell.get("data-path")
        if path is None:
            continue
        path = row_of.get(cell, "") + path
        value: Any = document
        for key in path.split("/"):
            name = key.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[name]
        told = (cell.text or "").replace("\N{MINUS SIGN}", "-").replace("\N{NARROW NO-BREAK SPACE}", "")
        decimals = len(told.partition(".")[2])
        exact = value * float(cell.get("data-scale", "1"))
        assert abs(float(told) - exact) <= 0.5000001 * 10.0**-decimals, (path, told, exact)
        count += 1
    return count


def check_page(text: str, document: dict[str, Any]) -> ElementTree.Element:
    """All that holds of every page."""
    root = parse(text)
    assert inside(root) == document
    ids = Counter(e.get("id") for e in root.iter() if e.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    for one in root.iter():
        for name in (HREF, "href"):
            to = one.get(name, "#")
            assert to.startswith(("#", "data:image/png;base64,")), "a page needs nothing from outside"
            assert to in ("#", "") or not to.startswith("#") or to[1:] in ids
    assert "url(http" not in text
    assert "src=" not in text
    for drawing in root.iter(f"{SVG}svg"):
        assert drawing.find(f"{SVG}title") is not None or drawing.get("aria-hidden")
    assert "nan" not in " ".join(e.get("d", "") for e in root.iter(f"{SVG}path"))
    return root


def check_hostile(root: ElementTree.Element, times: int) -> None:
    """``HOSTILE`` is on the page as text, at least so many times, and nowhere as markup."""
    assert len(list(root.iter("script"))) == 1
    assert len(list(root.iter("style"))) == 1
    assert list(root.iter("b-evil")) == []
    shown = " ".join(text for text in root.find("body/main").itertext())  # type: ignore[union-attr]
    assert shown.count(HOSTILE) >= times, shown.count(HOSTILE)
