"""What the documentation says is there is there: linked files, and the tests that it names as proof."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[(?P<text>[^\]\n]+)\]\((?P<target>[^)\s#]+)(?:#[^)\s]*)?\)")


def links(page: Path) -> list[tuple[str, Path]]:
    """Text and file of each link of a page that leads into the project."""
    found = LINK.finditer(page.read_text(encoding="utf-8"))
    return [(one["text"], page.parent / one["target"]) for one in found if "://" not in one["target"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    assert [str(target) for _, target in links(page) if not target.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_as_proof_exist(page: Path) -> None:
    named = [(text.strip("`"), target) for text, target in links(page) if text.startswith("`test_")]
    for name, target in named:
        tree = ast.parse(target.read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, target.name


def test_every_line_of_the_feature_table_names_its_test() -> None:
    text = (ROOT / "docs" / "deidentification.md").read_text(encoding="utf-8")
    table = text.partition("| | ecogvault |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    assert len(rows) >= 15
    assert [row[1] for row in rows if "`test_" not in row[2]] == []
    assert {len(row) for row in rows} == {10}
