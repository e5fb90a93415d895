"""Pages from Jinja2 templates: one file, no script, no network, light and dark, screen and paper.

There is one environment. It escapes everything that is not ``Markup``, and a name that a template uses and
nobody gave is an error. A template is named by its package and file, as in ``lem.page/evaluation.html.j2``,
and lies in the folder ``templates`` of that package, so any package may bring pages of its own and build
them on the partials of ``agent.pages``.

Every page is well-formed XML too (each tag is closed), so that it can be parsed strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def render(template: str, *, title: str, document: Mapping[str, object], **content: object) -> str:
    """The whole file as text: the same content gives the same bytes.

    ``document``, which everything on the page was made from, travels inside it; ``content`` is what the
    template reads beside it.
    """
    return environment().get_template(template).render(title=title, document=document, **content)


@cache
def environment() -> Environment:
    """The environment of all pages."""
    made = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


def _source(template: str) -> tuple[str, str, None] | None:
    """The text of a template and the file it stands in; None where there is no such file."""
    package, _, name = template.partition("/")
    file = files(package) / "templates" / name
    return (file.read_text(encoding="utf-8"), str(file), None) if file.is_file() else None
