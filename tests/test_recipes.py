"""Every recipe is on a page, and is run by a test."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from recipes import DOCS, RECIPES

PAGES = [*sorted((DOCS / "how-to").glob("*.md")), *sorted((DOCS / "tutorials").glob("*.md"))]
INCLUDED = re.compile(r"^```\{literalinclude\} (\S+)\n:language: (?:python|html|nginx)\n```$", re.MULTILINE)
LINK = re.compile(r"\]\((\.\./examples/[^)]+)\)")


def names() -> list[str]:
    """Return every recipe; what makes a directory a package and holds nothing is none."""
    found = (path for path in RECIPES.rglob("*") if path.suffix in (".py", ".html", ".conf") and path.stat().st_size)
    return sorted(path.relative_to(RECIPES).as_posix() for path in found)


def included(page: Path) -> list[Path]:
    """Return the files that a page includes."""
    return [(page.parent / name).resolve() for name in INCLUDED.findall(page.read_text(encoding="utf-8"))]


def test_every_recipe_is_on_one_page() -> None:
    """Each recipe is included by one page, and no page includes a recipe that does not exist."""
    found = Counter(path for page in PAGES for path in included(page) if path.is_relative_to(RECIPES))
    assert found == Counter(RECIPES / name for name in names())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_links_what_it_includes(page: Path) -> None:
    """Beside each file that a page includes is a link to it, for where inclusion is not rendered."""
    text = page.read_text(encoding="utf-8")
    links = {(page.parent / name).resolve() for name in LINK.findall(text)}
    assert text.count("{literalinclude}") == len(included(page))
    assert set(included(page)) <= links
    assert all(path.exists() for path in links)


def test_the_index_links_every_page() -> None:
    """Every how-to page and tutorial is in a table of contents of the index."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"<{page.parent.name}/{page.stem}>" not in index] == []


def test_every_recipe_is_run_by_a_test() -> None:
    """Each recipe is named by a test that loads or runs it."""
    named: set[object] = set()
    for path in Path(__file__).parent.glob("test_recipe_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(names()) - named == set()
