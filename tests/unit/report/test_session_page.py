"""The page of a recorded session, from documents laid out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from agent.report.session_page import Clock, session_page
from tests.page_checks import HOSTILE, check_hostile, check_numbers, check_page

S = 10**9
START_NS = 1_700_000_000 * S


def instrument(number: int, symbol: str, counts: dict[str, int]) -> dict[str, Any]:
    """An instrument sampled at the start and the end of three seconds."""
    return {
        "number": number,
        "symbol": symbol,
        "counts": counts,
        "mid": {"low": 0.00012341, "high": 0.00012359},
        "spread_bps": {"median": 0.5},
        "peak_trades_per_s": 2.0,
        "over_time": {
            "sample_ns": [START_NS, START_NS + 3 * S],
            "mid": [0.00012341, None],
            "spread_bps": [0.5, None],
            "trades": [1, 0, 2],
            "book_updates": [0, 0, 1],
        },
    }


def session(name: str = "x") -> dict[str, Any]:
    """Three seconds with a gap that closes and one that does not, and ``name`` in every text."""
    gap = {"symbol": name, "stream": name, "from_ns": START_NS + S, "to_ns": START_NS + 2 * S, "lost": 1234}
    return {
        "session": name,
        "state": "damaged",
        "problems": [name],
        "source": name,
        "start_ns": START_NS,
        "end_ns": START_NS + 3 * S,
        "events": 12_345,
        "bars": 0,
        "bytes": 1_500_000,
        "compacted": True,
        "results": {name: 3},
        "rates": {"start_ns": START_NS, "bin_ns": S},
        "gaps": [gap | {"seconds": 1.0}, gap | {"to_ns": None, "lost": None, "seconds": None}],
        "instruments": [instrument(0, name, {"trade": 3, name: 1}), instrument(1, name, {})],
        "orders": [{"id": name, "side": "buy", "symbol": name, "algo": name, "state": name}],
    }


def test_names_cannot_break_the_page() -> None:
    """Markup in a symbol, a stream, a problem, an order or the session's own name is text."""
    given = session(HOSTILE)
    root = check_page(session_page(given), given)
    check_hostile(root, 1 + 2 + 1 + 4 + 2 + 1 + 3 + 4)
    assert check_numbers(root, given) == 4 + 2 + 5 + 2


def test_it_says_what_is_missing() -> None:
    """A gap with its length and loss, one that never closed, an instrument without a tape."""
    given = session()
    root = check_page(session_page(given), given)
    text = " ".join("".join(root.itertext()).split())
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert rows[1] == ["x", "x", "2023-11-14 22:13:21.000 UTC", "1.000", "1\u202f234"]
    assert rows[2][3:] == ["never closed", ""]
    assert "No events: there is no tape of it." in text
    assert "0.000123410 / 0.000123590" in text
    assert len(list(root.iter("figure"))) == 3
    bare = given | {"gaps": [], "orders": [], "results": {}}
    text = " ".join("".join(check_page(session_page(bare), bare).itertext()).split())
    assert "The tape names no gap." in text
    assert "nothing was traded" in text


def test_the_same_document_gives_the_same_bytes() -> None:
    assert session_page(session()) == session_page(session())


@pytest.mark.parametrize(
    ("seconds", "unit", "end"),
    [(1, "seconds", 1.0), (119, "seconds", 119.0), (120, "minutes", 2.0), (7200, "hours", 2.0)],
)
def test_time_counts_in_a_unit_that_fits(seconds: int, unit: str, end: float) -> None:
    clock = Clock(START_NS, START_NS + seconds * S)
    assert (clock.unit, clock.since_start([clock.end_ns])) == (unit, [end])
