"""The site without Sphinx: every page can be reached, every link leads somewhere, the API's page is whole."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest
from docs_pages import DOCS, ROOT, script

import orfallback
from orfallback import stores, testing, wsgi
from orfallback.plugins import call_log, opentelemetry, prometheus

SITE = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
PAGES = [*sorted(ROOT.glob("*.md")), *SITE]


api_page = script(DOCS / "api_page.py")
llms = script(DOCS / "llms.py")


# -- links --


def prose(text: str) -> str:
    """Return a page without its comments and blocks of code; what a directive such as a glossary holds is prose."""
    text = re.sub(r"^<!--.*?-->", "", without_code(text), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?:(?!\1).)+?\1", lambda match: re.sub(r"[\[\]()]", "x", match[0]), text)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and the anchor of each link of a page that stays in the repository."""
    for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", prose(page.read_text(encoding="utf-8"))):
        if not re.match(r"\w+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield path, anchor


def without_code(text: str) -> str:
    """Return a page without its blocks of code; what directives of prose hold stays."""
    kept, fence, prose_fences = [], "", 0
    for line in text.splitlines():
        mark = re.match(r"(`{3,}|~{3,})(.*)", line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) and not mark[2].strip() else fence
        elif mark and re.match(r"\{(glossary|note|tip|warning)\}", mark[2]):
            prose_fences += 1
        elif mark and prose_fences and not mark[2].strip():
            prose_fences -= 1
        elif mark:
            fence = mark[1]
        else:
            kept.append(line)
    return "\n".join([*kept, ""])


def slug(heading: str) -> str:
    """Return the anchor that code hosts and MyST alike give to a heading."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return what a link to a page may name: its headings, its marks, and the names on the page of the API."""
    text = page.read_text(encoding="utf-8")
    slugs = [slug(heading) for heading in re.findall(r"^#{1,6} (.+)$", without_code(text), re.MULTILINE)]
    # The second of a name is told apart by a number.
    before = [slugs[:place].count(name) for place, name in enumerate(slugs)]
    found = [f"{name}-{count}" if count else name for name, count in zip(slugs, before, strict=True)]
    marks = re.findall(r"^\((\S+)\)=$", text, re.MULTILINE) + re.findall(r"<a (?:id|name)=\"(\S+)\"", text)
    documented = re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)", text, re.MULTILINE)
    return {*found, *marks, *documented}


def source(path: Path) -> Path:
    """Return where a file is: the tests may run against an installed package, without its source."""
    package = Path(orfallback.__file__).parent
    inside = path.is_relative_to(ROOT / "orfallback") and not (ROOT / "orfallback").exists()
    return package / path.relative_to(ROOT / "orfallback") if inside else path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each link that stays in the repository names a file that is there, and each anchor a heading of its page."""
    broken = []
    for path, anchor in links(page):
        target = source((page.parent / path).resolve()) if path else page
        if not target.exists():
            broken.append(f"{path}: no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{path}#{anchor}: no such heading")
    assert broken == []


@pytest.mark.parametrize("page", SITE, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_no_link_of_a_page_is_to_a_folder(page: Path) -> None:
    """A code host shows a folder, the site cannot: a page links to a file in it."""
    assert [path for path, _ in links(page) if path and source((page.parent / path).resolve()).is_dir()] == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """What the tests above look for is found, in a glossary, too: links and anchors that break; code has none."""
    page = tmp_path / "page.md"
    code = "```text\n[no](link.md)\n```\n`[no](link.md)`\n"
    terms = "```{glossary}\nterm\n  See [u](#gone).\n```\n"
    page.write_text(f"# A `b` c\n\n[x](gone.md) [y](#a-b-c) [z](page.md#gone)\n\n{code}\n{terms}\n{code}")
    assert list(links(page)) == [("gone.md", ""), ("", "a-b-c"), ("page.md", "gone"), ("", "gone")]
    assert anchors(page) == {"a-b-c"}


# -- pages --


def test_every_page_can_be_reached() -> None:
    """Every file of the documentation stands in a table of contents, once."""
    reached = [f"{page.name}.md" for page in llms.pages(DOCS)]
    assert sorted(reached) == sorted(page.relative_to(DOCS).as_posix() for page in SITE)


def test_every_page_begins_with_its_title() -> None:
    """Every page has one title, which is its first line but for comments and marks."""
    for page in llms.pages(DOCS):
        text = re.sub(r"^<!--.*?-->\n*|^\(\S+\)=\n", "", page.text, flags=re.MULTILINE | re.DOTALL)
        assert text.startswith("# "), page.name
        assert len(re.findall(r"^# ", without_code(text), re.MULTILINE)) == 1, page.name


# -- for assistants --


def test_the_index_for_assistants() -> None:
    """``llms.txt`` has a line for each page but the first, with its title, its address and a sentence on it."""
    pages = llms.pages(DOCS)
    lines = [line for line in llms.index(pages).splitlines() if line.startswith("- ")]
    assert len(lines) == len(pages) - 1
    for line, page in zip(lines, pages[1:], strict=True):
        assert line.startswith(f"- [{page.title}]({page.name}.html): ")
        said = line.partition(".html): ")[2]
        assert len(said) > 10, line
        assert "](" not in said, line
    assert llms.index(pages).startswith("# orfallback\n\n> ")


def test_all_pages_in_one() -> None:
    """``llms-full.txt`` has every page, in the order of the navigation, and its links lead from there."""
    pages = llms.pages(DOCS)
    whole = llms.full(pages, lambda name: f"# The rendered {name}")
    marks = re.findall(r"^<!-- (\S+)\.html -->$", whole, re.MULTILINE)
    assert marks == [page.name for page in pages]
    assert "# The rendered reference/api" in whole
    assert "{toctree}" not in whole
    assert "{include}" not in whole
    assert "invisible-code-block" not in whole
    addresses = {f"{page.name}.html" for page in pages}
    for target in re.findall(r"\]\(([^)\s#]+\.html)(?:#[^)]*)?\)", prose(whole)):
        assert target in addresses or re.match(r"\w+:", target) or (DOCS / target).is_file(), target


def test_links_in_one_page(tmp_path: Path) -> None:
    """Links are rewritten in text, headings of what is included with them, and left alone in code."""
    (tmp_path / "docs" / "a").mkdir(parents=True)
    (tmp_path / "NEWS.md").write_text("# News\n\nOf [b](docs/a/b.md) and [the licence](LICENSE).\n\nNot this.\n")
    (tmp_path / "docs" / "index.md").write_text("# T\n\n```{toctree}\n:caption: C\n\nB <a/b>\nNews <a/news>\n```\n")
    (tmp_path / "docs" / "a" / "b.md").write_text(
        "# B\n\nSee [i](../index.md#t), [x](x.py), {term}`ys <y>`.\n\n```text\n[k](c.md)\n```\n"
    )
    included = "```{include} ../../NEWS.md\n:relative-docs: docs/\n:end-before: Not\n```\n"
    (tmp_path / "docs" / "a" / "news.md").write_text(included)
    first, second, third = llms.pages(tmp_path / "docs")
    assert (first.name, second.name, third.name) == ("index", "a/b", "a/news")
    assert third.text == "# News\n\nOf [b](b.md) and [the licence](../../LICENSE).\n\n\n"
    whole = llms.full([first, second, third], str)
    assert "See [i](index.html#t), [x](a/x.py), ys.\n\n```text\n[k](c.md)\n```" in whole
    assert "Of [b](a/b.html) and [the licence](../LICENSE)." in whole
    assert llms.about(second) == "See i, x, ys."


# -- the page of the API --


def test_the_page_of_the_api_is_current() -> None:
    """``docs/reference/api.md`` is what ``docs/api_page.py`` writes."""
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page()


def public() -> dict[ModuleType, set[str]]:
    """Return the public names of the modules whose names are public."""
    ours = {*orfallback.__all__} - {"__version__"}
    return {
        orfallback: ours,
        stores: {*stores.__all__} - ours,
        wsgi: {*wsgi.__all__},
        testing: {*testing.__all__},
        call_log: {*call_log.__all__},
        prometheus: {"Prometheus", "metrics_app"},
        opentelemetry: {"OpenTelemetry"},
    }


def test_the_page_of_the_api_is_whole() -> None:
    """Every public name stands on the page, once."""
    shown = re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", api_page.page(), re.MULTILINE)
    assert sorted(shown) == sorted(f"{module.__name__}.{name}" for module, names in public().items() for name in names)


def things() -> Iterator[Any]:
    """Yield what the page shows that has parameters or returns something, each with what it is shown with."""
    for group in api_page.GROUPS:
        module = importlib.import_module(group.module)
        for name in group.names:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield pytest.param(found, None, id=f"{group.module}.{name}")
            elif api_page.is_class(found):
                yield pytest.param(found, None, id=f"{group.module}.{name}")
                called = ["__call__"] if getattr(found, "_is_protocol", False) and "__call__" in vars(found) else []
                for member in [*api_page.members(found), *called]:
                    inner = vars(found).get(member)
                    inner = inner.__func__ if isinstance(inner, (classmethod, staticmethod)) else inner
                    if inspect.isfunction(inner):
                        yield pytest.param(inner, found, id=f"{group.module}.{name}.{member}")


def parameters(thing: Any) -> list[str]:
    """Return what may be given to a thing; nothing to a class that nobody makes by hand."""
    if inspect.isclass(thing) and (
        thing is orfallback.Stream
        or getattr(thing, "_is_protocol", False)
        or hasattr(thing, "__members__")
        or (issubclass(thing, BaseException) and "__init__" not in vars(thing))
    ):
        return []
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]


def inherited(owner: type | None, thing: Any) -> bool:
    """Tell whether a method is one of requests' adapters, which has told what it takes."""
    elsewhere = [] if owner is None else [base for base in owner.__mro__ if base.__module__.startswith("requests.")]
    return any(thing.__name__ in vars(base) for base in elsewhere)


@pytest.mark.parametrize(("thing", "owner"), list(things()))
def test_what_the_page_of_the_api_shows_is_told_whole(thing: Any, owner: type | None) -> None:
    """Each parameter is told of; so is what is returned, and each error that is raised there and then."""
    said = inspect.cleandoc(thing.__doc__)
    bases = thing.__mro__ if inspect.isclass(thing) else ()
    texts = [said, *(base.__doc__ or "" for base in bases if base.__module__.startswith("orfallback"))]
    if thing is not orfallback.WatchedAdapter and not inherited(owner, thing):
        told = {name for text in texts for name in re.findall(r":(?:param|ivar) (\w+):", text)}
        assert [name for name in parameters(thing) if name not in told] == []
    if not inspect.isclass(thing):
        returned = inspect.signature(thing).return_annotation
        assert (
            returned in ("None", "Behaviour", None)
            or ":returns:" in said
            or said.startswith(("Return ", "Yield ", "Make a chain ", "Make the ", "Send a request, and return "))
            or "Tell how a call ended" in said
        ), said
        raised = {name for name in raises(thing) if hasattr(builtins, name) or hasattr(orfallback, name)}
        assert raised <= set(re.findall(r":raises (?:\w+\.)*(\w+):", said + (owner.__doc__ or "" if owner else "")))


def raises(function: Any) -> set[str]:
    """Return the names of the errors that a function raises in its own lines."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {each.func.id for each in raised if isinstance(each.func, ast.Name)}
