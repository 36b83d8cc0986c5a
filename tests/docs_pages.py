"""The pages of the documentation as tests read them: sections, tables, and what stands there as code."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
# Cells are parted by bars that are not escaped.
_BAR = re.compile(r"(?<!\\)\|")


def script(path: Path) -> ModuleType:
    """Return a script of the repository, which is no module of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the module of theirs.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    """Return a page of the documentation, by its path below ``docs``."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, down to the next one of its level or above.

    :raises LookupError: if there is no such heading, or more than one.
    """
    bare = _FENCE.sub(lambda found: re.sub(r"^#", " ", found[0], flags=re.MULTILINE), text)
    found = [*re.finditer(rf"^(#+) {re.escape(heading)}$", bare, re.MULTILINE)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} headings are called {heading!r}")
    begin = found[0].end()
    after = re.compile(rf"^#{{1,{len(found[0][1])}}} ", re.MULTILINE).search(bare, begin)
    return text[begin : after.start() if after else None]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of the tables in a text, without their heads."""
    found = []
    lines = _FENCE.sub("", text).splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if below.startswith("|") and set(below) <= set("|-: "):
            continue
        found.append([cell.strip() for cell in _BAR.split(line)[1:-1]])
    return found


def code(text: str) -> list[str]:
    """Return what stands between backticks, blocks left aside."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def firsts(text: str) -> list[str]:
    """Return the code in the first cells of the tables in a text."""
    return [each for row in rows(text) for each in code(row[0])]


def words(text: str) -> Iterator[str]:
    """Yield each name that stands in code: of ``Chain(delay=no_delay)`` that is three."""
    for each in code(text):
        yield from re.findall(r"(?<![\w-])[A-Za-z_][\w.-]*", each)


def struck(text: str, name: str) -> str:
    """Return a text in which a name does not stand any more."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "…", text)
