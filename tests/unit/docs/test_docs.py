"""What the documents point to is there, and every decision says when it was taken and what it replaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.every_key.config_leaves import leaves

ROOT = Path(__file__).parents[3]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
SAYS = re.compile(r"Date: \d{4}-\d{2}-\d{2}\. Status: [^.]+\. Replaces: .+\.")


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_a_number_a_date_a_status_and_what_it_replaces(record: Path) -> None:
    """The title carries the file's number; the third line the rest, and records it names exist."""
    title, _, says, *_ = record.read_text().splitlines()
    number = record.name[:4]
    assert title.startswith(f"# {number} ")
    assert SAYS.fullmatch(says)
    numbers = {path.name[:4] for path in DECISIONS}
    assert set(re.findall(r"\b\d{4}\b", says.split("Status")[1])) <= numbers


def _paths(text: str) -> set[str]:
    """Paths of the project in backticks that are written out from its root."""
    tops = "agent|lem|connectors|storage|tests|docs|benchmarks"
    return set(re.findall(rf"`((?:{tops})/[\w/.-]*?[\w/])(?::\w+)?`", text))


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/commands.md"])
def test_paths_in_a_document_exist(page: str) -> None:
    """A file that moves takes its mention along."""
    found = _paths((ROOT / page).read_text())
    assert [path for path in sorted(found) if not (ROOT / path).exists()] == []


def test_the_rooms_of_the_architecture_are_drawn() -> None:
    """Every folder of the packages that holds modules says what may live there; those drawn exist."""
    rooms = {
        path.parent
        for top in ("agent", "lem", "connectors", "storage")
        for path in ROOT.glob(f"{top}/**/*.py")
    }
    silent = [
        str(room.relative_to(ROOT))
        for room in rooms
        if "migrations" not in room.parts and not (room / "__init__.py").read_text().startswith('"""')
    ]
    assert sorted(silent) == ["agent"]  # it stays empty
    assert len(_paths((ROOT / "docs" / "architecture.md").read_text())) > 20


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Paths, files by their name alone, decisions by their number, sections of other pages."""
    text = page.read_text()
    assert [path for path in sorted(_paths(text)) if not (ROOT / path).exists()] == []
    tops = ("agent", "lem", "connectors", "storage", "tests", "benchmarks")
    files = {path.name for top in tops for path in (ROOT / top).rglob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", text)) <= files
    assert set(re.findall(r"[Dd]ecisions? (\d{4})\b", text)) <= {path.name[:4] for path in DECISIONS}
    for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text):
        linked = page if not target else (page.parent / target)
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.M) if anchor else []
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_keys_that_a_page_names_are_keys(page: Path) -> None:
    """``venue.reach`` in backticks, or a section of keys: as the schema has them."""
    plain = [leaf.replace("[]", "").replace("{}", "") for leaf in leaves()]
    known = {leaf[:end] for leaf in plain for end in [*(m.start() for m in re.finditer(r"\.", leaf)), None]}
    sections = "|".join(sorted({leaf.partition(".")[0] for leaf in plain if "." in leaf}))
    named = re.findall(rf"`((?:{sections})\.[a-z_.]+)(?:`|: )", page.read_text())
    assert [name for name in named if name not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_views_that_a_page_names_are_in_the_log(page: Path) -> None:
    """As the migrations make them."""
    made = "".join(path.read_text() for path in (ROOT / "storage/log/migrations/versions").glob("*.py"))
    assert [view for view in re.findall(r"\bv_[a-z]+", page.read_text()) if f'"{view}"' not in made] == []
