"""What a log's database holds is input: a cell that is not what its column should hold stays as it is."""

from __future__ import annotations

import pytest

from agent.terminal.rows_table import SHOWN, log_table

ODD = ("null", "-0.5", "", "1e400", "nan", "-inf", str(2**70), "[1]", '{"a": 1}', "True")


@pytest.mark.parametrize("what", SHOWN)
@pytest.mark.parametrize("odd", ODD)
def test_odd_cells_are_shown_as_they_are(what: str, odd: str) -> None:
    """Whatever stands there, in every column of every table."""
    columns = sorted({name.partition(".")[0] for name in SHOWN[what]} | {"session", "flags"})
    headings, rows = log_table(what, columns, [[odd] * len(columns)])
    assert len(headings) == len(rows[0])
    assert not any("Error" in cell for cell in rows[0])


def test_a_moment_is_read_only_where_it_is_one() -> None:
    """Nanoseconds become UTC; a word in their place is shown."""
    columns = sorted({name.partition(".")[0] for name in SHOWN["parents"]})
    rows = [
        [moment if name == "submitted_ns" else "" for name in columns]
        for moment in ("1700000000000000000", "null")
    ]
    _, shown = log_table("parents", columns, rows)
    at = SHOWN["parents"].index("submitted_ns")
    assert [row[at] for row in shown] == ["2023-11-14T22:13:20.000Z", "null"]
