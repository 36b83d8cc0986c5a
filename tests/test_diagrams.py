"""The pictures of the documentation are what their script draws, and can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import docs_pages
import pytest
from browsers import chromium
from test_layers import ROWS

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"
#: The grounds of furo's pages, light and dark, and of GitHub's dark one.
PAGES = ("#ffffff", "#131416", "#0d1117")
NAMES = [
    "docs/demo.svg",
    *(f"docs/explanation/{name}.svg" for name in ("life-of-a-call", "stream-commit", "memory-states", "layers")),
]
# Texts that lie on no rectangle, or reach over its edge by more than a pixel.
_ASTRAY = """
const inside = (text, box) => box.x - 1 <= text.x && box.y - 1 <= text.y
    && text.x + text.width <= box.x + box.width + 1 && text.y + text.height <= box.y + box.height + 1;
const boxes = [...document.querySelectorAll('rect')].map(rect => rect.getBBox());
return [...document.querySelectorAll('text')]
    .filter(text => !boxes.some(box => inside(text.getBBox(), box))).map(text => text.textContent);
"""


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that draws them."""
    return docs_pages.script(ROOT / "docs" / "diagrams.py")


@pytest.fixture(scope="module")
def drawn(script: Any) -> dict[str, str]:
    """What it draws now; the demo runs for that."""
    pictures: dict[str, str] = script.pictures()
    return pictures


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_what_the_script_draws(name: str, drawn: dict[str, str]) -> None:
    """A picture in the repository shows the code of now; ``python docs/diagrams.py`` draws it anew."""
    assert (ROOT / name).read_text(encoding="utf-8") == drawn[name]


def test_no_picture_is_left_out(drawn: dict[str, str]) -> None:
    """The tests look at every picture that the script draws."""
    assert sorted(drawn) == sorted(NAMES)


def test_the_rows_are_those_that_are_tested(drawn: dict[str, str]) -> None:
    """The picture of the rows tells those of the test of the layers, the highest first."""
    told = ElementTree.fromstring(drawn["docs/explanation/layers.svg"]).findtext(f"{SVG}desc", "")
    rows = told.removeprefix("From the highest to the lowest: ").removesuffix(".").split("; ")
    assert [set(row.split(", ")) for row in reversed(rows)] == ROWS


def test_the_demo_is_shown_but_for_its_figures(script: Any, drawn: dict[str, str]) -> None:
    """The picture tells what the command prints, word for word, up to what to do next."""
    told = ElementTree.fromstring(drawn["docs/demo.svg"]).findtext(f"{SVG}desc", "")
    printed = re.sub(r"\x1b\[[\d;]*m", "", script.demo_output()).partition("What to do next")[0]
    assert told.split() == ["$", "orfallback", "demo", *printed.split()]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_asks_nobody_for_anything(name: str) -> None:
    """A picture is one file with a title and a description: no font, script or address of elsewhere."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|@font-face|<script|href|url\((?!#)", text)
    root = ElementTree.fromstring(text)
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_on_a_page_with_words(name: str) -> None:
    """Each picture is on some page, with an alternative text."""
    used = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}
    alternatives = [
        text
        for path, page in used.items()
        for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+\.svg)\)", page)
        if (path.parent / target).resolve() == ROOT / name
    ]
    assert alternatives
    assert min(len(text) for text in alternatives) > 20


def test_colours_can_be_read_on_any_page(script: Any) -> None:
    """Texts have a contrast of 4.5 to their ground, grounds and lines one of 2.9 to light pages and to dark ones."""
    for ground in script.GROUNDS.values():
        assert contrast(script.TEXT, ground) >= 4.5
        assert min(contrast(ground, page) for page in PAGES) >= 2.9
    assert min(contrast(script.LINE, page) for page in PAGES) >= 3
    assert min(contrast(ink, script.TERMINAL) for ink in script.INKS.values()) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 has it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser, for the width of texts."""
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_every_text_lies_on_a_ground(name: str, browser: Any) -> None:
    """No text reaches over the edge of what it stands on, so each can be read on any page."""
    browser.get((ROOT / name).as_uri())
    assert browser.execute_script(_ASTRAY) == []
