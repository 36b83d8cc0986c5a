"""The documentation for assistants: ``llms.txt``, a line for each page, and ``llms-full.txt``, all pages in one.

The pages are those of the toctrees, in their order. Nothing here needs Sphinx.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TITLE = "orfallback"
HEAD = (
    "Keeps chats alive when an LLM is busy: automatic fallback between models for synchronous Python applications\n"
    "that use requests. OpenRouter, or any OpenAI-compatible endpoint; whole answers and streams."
)
FULL = "llms-full.txt"

_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_CAPTION = re.compile(r"^:caption: (.*)$", re.MULTILINE)
_ENTRY = re.compile(r"^(?:(?P<title>[^:\n].*?) <)?(?P<name>[\w./-]+)>?$", re.MULTILINE)
_INCLUDE = re.compile(r"^```\{include\} (?P<path>\S+)\n(?P<options>.*?)^```$", re.MULTILINE | re.DOTALL)
# As Sphinx writes headings into text.
_HEADING = re.compile(r"^(\S.*)\n([*=])\2{2,}$", re.MULTILINE)
_TERM = re.compile(r"\{term\}`([^`<]+?)(?: <[^>`]*>)?`")
_COMMENT = re.compile(r"^<!--.*?-->\n*", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\])\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


class Page(NamedTuple):
    """A page of the site.

    :ivar caption: the part of the site that it is in; "" is the first page.
    :ivar name: its path in ``docs/``, without its suffix.
    :ivar title: its title in the navigation.
    :ivar text: its Markdown, with what it includes.
    """

    caption: str
    name: str
    title: str
    text: str


def pages(docs: Path) -> list[Page]:
    """Return all pages that can be reached from the first one, in the order of the navigation.

    :param docs: the folder of the documentation.
    """
    return list(_pages(docs, "index", TITLE, ""))


def _pages(docs: Path, name: str, title: str, caption: str) -> Iterator[Page]:
    file = docs / f"{name}.md"
    text = _included(file, file.read_text(encoding="utf-8"))
    yield Page(caption, name, title or _title(text), text)
    for toctree in _TOCTREE.findall(text):
        named = _CAPTION.search(toctree)
        entries = "\n".join(line for line in toctree.splitlines() if not line.startswith(":"))
        for entry in _ENTRY.finditer(entries):
            below = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry["name"]))
            yield from _pages(docs, below, entry["title"] or "", named[1] if named else caption)


def _included(file: Path, text: str) -> str:
    """Put what a page includes in its place; links of an included file are made relative to the page."""

    def put(match: re.Match[str]) -> str:
        taken = file.parent / match["path"]
        folder = posixpath.relpath(taken.parent.as_posix(), file.parent.as_posix())
        text = taken.read_text(encoding="utf-8")
        for option, wanted in (("start-after", 2), ("end-before", 0)):
            mark = re.search(rf'^:{option}: (["\']?)(.*)\1$', match["options"], re.MULTILINE)
            text = text.partition(mark[2])[wanted] if mark else text
        return _relinked(text, lambda target: _nearest(file.parent, posixpath.join(folder, target)))

    return _INCLUDE.sub(put, text)


def _nearest(folder: Path, target: str) -> str:
    """Return a relative path without ways down that lead up again."""
    return posixpath.relpath(posixpath.join(folder.as_posix(), target), folder.as_posix())


def index(pages: Iterable[Page]) -> str:
    """Return ``llms.txt``: a line for each page, in the parts of the site.

    :param pages: the pages, in order.
    """
    lines = [
        f"# {TITLE}",
        "",
        *(f"> {line}" for line in HEAD.splitlines()),
        "",
        f"All pages in one file: [{FULL}]({FULL}).",
    ]
    caption = ""
    for page in pages:
        if page.caption != caption:
            caption = page.caption
            lines += ["", f"## {caption}", ""]
        if page.caption:
            lines.append(f"- [{page.title}]({page.name}.html): {about(page)}")
    return "\n".join([*lines, ""])


def about(page: Page) -> str:
    """Return what a page is about: the first sentence after its title.

    :param page: the page.
    """
    text = _TERM.sub(r"\1", _FENCE.sub("", _COMMENT.sub("", page.text)))
    for paragraph in text.split("\n\n"):
        plain = " ".join(paragraph.split())
        if plain and plain[0] not in "#|({:>-!":
            break
    else:
        return _title(page.text)
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    return re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s", plain)[0].rstrip(":")


def full(pages: Iterable[Page], rendered: Callable[[str], str]) -> str:
    """Return ``llms-full.txt``: all pages one after the other, with links as from the first page.

    :param pages: the pages, in order.
    :param rendered: gives the text of a page that is written by directives, and says little in its source.
    """
    return "\n".join(f"<!-- {page.name}.html -->\n\n{_whole(page, rendered)}\n" for page in pages)


def _whole(page: Page, rendered: Callable[[str], str]) -> str:
    if "```{eval-rst}" in page.text:
        return _HEADING.sub(lambda match: f"{'#' * (1 + '*='.index(match[2]))} {match[1]}", rendered(page.name).strip())
    folder = posixpath.dirname(page.name)

    def from_the_first(target: str) -> str:
        path = posixpath.normpath(posixpath.join(folder, target))
        return f"{path[:-3]}.html" if path.endswith(".md") and not path.startswith("..") else path

    text = _TERM.sub(r"\1", _COMMENT.sub("", _TOCTREE.sub("", page.text)))
    return _relinked(text, from_the_first).strip()


def _relinked(text: str, to: Callable[[str], str]) -> str:
    """Change the targets of relative links; those in blocks of code are none."""

    def change(match: re.Match[str]) -> str:
        return f"{match[1]}({to(match[2])}{match[3] or ''})"

    blocks = [(match.start(), match.end()) for match in _FENCE.finditer(text)]
    parts, end = [], 0
    for start, stop in blocks:
        parts += [_LINK.sub(change, text[end:start]), text[start:stop]]
        end = stop
    return "".join([*parts, _LINK.sub(change, text[end:])])


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return found[1] if found else ""
