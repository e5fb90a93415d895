"""The page of ``lem explain``, from documents laid out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from lem.page.explanation_page import distance, explanation_page
from tests.page_checks import HOSTILE, check_hostile, check_numbers, check_page


def flip(name: str, value: float, flips_at: float | None, shares: tuple[float, float]) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "low": 0.0,
        "high": 2.0,
        "flips_at": flips_at,
        "shares": list(shares),
    }


def explanation(name: str = "x") -> dict[str, Any]:
    """A decision of two bars, two features and three inputs, with ``name`` in every text."""
    feature = {"name": name, "value": None, "weight": 0.25, "mean_weight": 0.5, "weights": [0.25, 0.75]}
    return {
        "decision": name,
        "interval": 4,
        "digest": name,
        "reproduce": name,
        "share": 0.125,
        "finish_probability": 0.75,
        "may_finish": True,
        "features": [feature, feature | {"value": -1.5, "mean_weight": 0.25}],
        "attention": [0.25, 0.75],
        "closes": [None, 12.5],
        "forecasts": {f"{name}_8_ahead": 0.5, name: -0.5},
        "flips": [
            flip(f"{name} never, little", 1.0, None, (0.0, 0.1)),
            flip(f"{name} far", 1.0, 2.0, (0.0, 1.0)),
            flip(f"{name} never, much", 1.0, None, (0.0, 0.9)),
            flip(f"{name} near", 1.0, 0.75, (0.5, 0.5)),
        ],
    }


def test_names_cannot_break_the_page() -> None:
    """Markup in the decision's id, a path, a digest, a feature or an input is text."""
    given = explanation(HOSTILE)
    root = check_page(explanation_page(given), given)
    check_hostile(root, 1 + 2 + 4 + 2 + 2)
    assert check_numbers(root, given) == 3 + 3 * 4 + 2 + 8 + 1 + 4 + 2


def test_inputs_that_turn_it_soonest_come_first() -> None:
    """By the part of the range to go; those that never turn it by how far the share moves."""
    given = explanation()
    root = check_page(explanation_page(given), given)
    first = next(e for e in root.iter("table") if "Every input" in (e.get("aria-label") or ""))
    shown = [row[0].text for row in first.find("tbody") or ()]
    assert shown == ["x near", "x far", "x never, much", "x never, little"]
    assert [distance(one) for one in given["flips"]] == pytest.approx([1.9, 0.5, 1.1, 0.125])


@pytest.mark.parametrize(
    ("may_finish", "chance", "says"),
    [
        (True, 0.75, "It finishes the order in this interval: finish probability 0.750"),
        (True, 0.25, "It goes on: finish probability 0.250"),
        (False, 0.75, "It goes on, as it may not finish yet: finish probability 0.750"),
    ],
)
def test_the_first_line_says_what_was_decided(may_finish: bool, chance: float, says: str) -> None:
    given = explanation() | {"may_finish": may_finish, "finish_probability": chance}
    text = "".join(check_page(explanation_page(given), given).itertext())
    assert says in " ".join(text.split())
    assert (
        "(above one half it finishes), 12.50 % of the order now if it goes on. Interval 4; model x." in text
    )


def test_a_bare_document_is_enough() -> None:
    """What a document has not is not on the page."""
    given = {"decision": "x", "flips": [], "features": [], "attention": [], "closes": [None]}
    root = check_page(explanation_page(given), given)
    assert [section.get("id") for section in root.iter("section")] == ["words"]
    assert list(root.iter("figure")) == []
