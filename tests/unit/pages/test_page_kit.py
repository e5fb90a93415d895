"""The kit of pages: what is not markup is escaped, numbers keep their paths, drawings their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2
import pytest
from markupsafe import Markup, escape

from agent.pages.elements import Column, LegendEntry, Tile, table
from agent.pages.numbers import Interval, Number, decimals_for, fixed
from agent.pages.plot import LONGEST, WIDE, figure, identifier, named_rows
from agent.pages.shell import environment, render
from agent.pages.source import Source
from tests.page_checks import HOSTILE, SVG, check_page, parse

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def drawn(text: str) -> str:
    """A fragment that uses the kit's partials, rendered as a page would."""
    partials = "".join(
        f'{{% from "agent.pages/{file}.html.j2" import {names} %}}'
        for file, names in (
            ("table", "table"),
            ("tiles", "tiles"),
            ("notes", "section, fact, folded"),
            ("figure", "swatch"),
        )
    )
    return partials + text


def test_every_partial_escapes_what_it_is_given() -> None:
    """Hostile text in any place of any partial is text again when the page is parsed."""
    number = Number(HOSTILE, HOSTILE, HOSTILE)
    one = table([Column(HOSTILE, [HOSTILE, number, Interval(number, number)], HOSTILE)], HOSTILE)
    fragment = drawn(
        "<main>{{ table(t) }}{{ tiles([tile]) }}{{ swatch(entry) }}{{ fact(text, text) }}"
        "{% call section(text, text, text) %}{{ text }}{% endcall %}"
        "{% call folded(text) %}{{ text }}{% endcall %}</main>"
    )
    tile = Tile((number, number), HOSTILE, HOSTILE, number)
    entry = LegendEntry(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    made = environment().from_string(fragment).render(t=one, tile=tile, entry=entry, text=HOSTILE)
    root = parse("<!DOCTYPE html>" + made)
    assert {e.tag.removeprefix(SVG) for e in root.iter()}.isdisjoint({"script", "b-evil"})
    texts = [text for text in root.itertext() if text.strip() == HOSTILE]
    assert len(texts) == 19
    assert all(span.get("data-scale") == HOSTILE for span in root.iter("span") if span.get("data-path"))


def test_a_hostile_name_in_a_drawing_is_text_and_no_formula() -> None:
    """Axis names, titles and the drawing's own name may hold anything, and are read out as they are."""
    label = f'{HOSTILE} $\\frac{{ id="a" url(#b) #0a000b href="#c" 1.23456'

    def draw(ax: Axes) -> None:
        ax.set_title(label)
        ax.set_xlabel(label)
        named_rows(ax, [label])

    made = figure(HOSTILE, label, draw, WIDE)
    root = parse(f"<!DOCTYPE html><figure id='{made.anchor}'>{made.svg}</figure>")
    texts = [e.text for e in root.iter() if (e.text or "").startswith("</script>")]
    assert sorted(texts) == sorted([label] * 2 + [f"{label[: LONGEST - 1]}…"] * 2)
    assert made.anchor == f"figure-{identifier(HOSTILE)}"


def test_two_names_stay_two_ids() -> None:
    """An id holds letters, digits, "-", "." and "_" alone, and no two names share one."""
    names = ["a b", "a_b", "a_20_b", "a-b", "a.b", 'a"b', "ä", ""]
    assert len({identifier(name) for name in names}) == len(names)
    assert all(set(identifier(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._") for name in names)


def test_markup_is_kept_and_text_is_not() -> None:
    """A number is markup, its text and path are not."""
    assert escape(Number("a & b", '"x"')) == '<span data-path="&#34;x&#34;">a &amp; b</span>'
    assert environment().from_string("{{ a }}{{ b }}").render(a="<", b=Markup("<br/>")) == "&lt;<br/>"


def test_what_a_template_misses_is_an_error() -> None:
    """A name that is not given, or a template that is not there, never gives an empty place on a page."""
    with pytest.raises(jinja2.UndefinedError, match="state"):
        render("agent.report/session.html.j2", title="t", document={})
    with pytest.raises(jinja2.TemplateNotFound):
        render("agent.pages/nothing.html.j2", title="t", document={})


def test_the_document_travels_inside_whatever_it_holds() -> None:
    """Keys and values that would end the script come back as they were."""
    document = {HOSTILE: [HOSTILE, {"a": 1e-300, "b": None, "c": "\N{LINE SEPARATOR}"}]}
    text = render("agent.pages/base.html.j2", title=HOSTILE, document=document)
    root = check_page(text, document)
    assert [e.text for e in root.iter("h1")] == [HOSTILE]


def test_a_row_says_once_where_its_numbers_are() -> None:
    """The path that a row's numbers share stands on the row; the rest of each on the number."""
    source = Source({"rows": [{"mean": 1.0, "ci": {"ends": [0.5, 1.5]}}]})
    row = source.within("rows/0")
    made = table([Column("a", [row.number("mean", 1)]), Column("b", [row.interval("ci/ends", 1)])], "t")
    assert made is not None
    assert made.rows[0].at == "rows/0/"
    assert made.rows[0].cells == (
        Number("1.0", "mean"),
        Interval(Number("0.5", "ci/ends/0"), Number("1.5", "ci/ends/1")),
    )
    assert table([Column("a", []), Column("b", [None, ""])], "t") is None


def test_numbers_as_people_write_them() -> None:
    """A true minus, no negative zero, decimals by volatility, and nothing where there is no number."""
    assert [fixed(-0.0004, 3), fixed(-1.25, 1), fixed(2, 0)] == ["0.000", "\N{MINUS SIGN}1.2", "2"]
    assert [decimals_for(x) for x in (0.01, 1.0, 20.0, 164.0, 1e6, float("nan"))] == [5, 3, 2, 1, 1, 3]
    here = Source({"a": [{"b": 2.0}], "c": None, "d": True, "e": float("nan"), "f": [1.0]})
    assert here.find("a/0/b") == 2.0
    assert [here.number(p, 1) for p in ("a/1/b", "a/0/b/x", "c", "d", "e")] == [None] * 5
    assert here.within("a").number("0/b", 1, 100.0) == Number("200.0", "a/0/b", "100")
    assert here.count("a/0/b") == Number("2", "a/0/b")
    assert here.interval("f", 1) is None


def test_a_key_may_hold_what_separates_keys() -> None:
    """A symbol is a key too, and its path finds it again."""
    whole = Source({"of": {"BTC/USDT": {"~a/b": 1.0}, "x": {"c": 2.0}}})
    assert [one.name for one in whole.entries("of")] == ["BTC/USDT", "x"]
    found = whole.entry("of", "BTC/USDT").entry("", "~a/b")
    assert found.number("", 0) == Number("1", "of/BTC~1USDT/~0a~1b")
    assert found.name == "~a/b"
