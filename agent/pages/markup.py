"""HTML as strings that cannot be broken by what is in them: text is escaped unless it is ``Markup``.

Everything written here is well-formed XML too (every tag is closed), so a page can be parsed strictly.
"""

from __future__ import annotations

from html import escape

VOID = frozenset({"br", "meta", "hr", "col"})


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """``<name attributes>children</name>``; an attribute ``data_path`` or ``class_`` loses its underscores.

    Children that are not ``Markup`` are escaped. An attribute of None is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """The parts in a row, escaped where they are not ``Markup``."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part, quote=False) for part in parts))


def section(name: str, title: str, content: str, note: str = "") -> Markup:
    """A titled section, or nothing without content. ``name`` is its anchor, ``note`` a line above it."""
    if not content:
        return Markup()
    told = tag("p", note, class_="soft") if note else Markup()
    return tag("section", tag("h2", title), told, content, id=name)
