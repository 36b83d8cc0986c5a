"""What Sphinx has to know of this project beyond its settings.

Links that leave ``docs/`` lead to the page that shows the file, names of other projects to those projects' own pages.
Signatures show what a caller may give. At the end two files for assistants are written (``llms.py``).
"""

from __future__ import annotations

import importlib
import operator
import re
import sys
from pathlib import Path
from typing import Any

import api_page
import llms
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.writers.text import TextTranslator

ROOT = Path(__file__).resolve().parent.parent
# Files in the root of the repository, and the pages that show them.
SHOWN = {"README": "index", "CHANGELOG": "changelog", "SECURITY": "security-policy", "CONTRIBUTING": "contributing"}

# Where other projects tell of their names; of Python's standard library each module has a page of its own.
PYTHON = "https://docs.python.org/3/library/{}.html#{}"
PROJECTS = {
    "opentelemetry": "https://opentelemetry-python.readthedocs.io/en/latest/",
    "pluggy": "https://pluggy.readthedocs.io/en/stable/api_reference.html#{}",
    "prometheus_client": "https://prometheus.github.io/client_python/",
    "requests": "https://requests.readthedocs.io/en/latest/api/#{}",
    "urllib3": "https://urllib3.readthedocs.io/en/stable/reference/index.html",
}

# Names that annotations alone import, and what they are.
ANNOTATED = {
    "CollectorRegistry": "prometheus_client.CollectorRegistry",
    "WSGIApplication": "wsgiref.types.WSGIApplication",
}

# The chain makes these; who reads the page does not, or only calls them.
_MADE_ELSEWHERE = {"orfallback.Stream"}
# What one chain hands to another, and nobody else to a chain.
_INNER = re.compile(r" \| ~?(?:orfallback\._\w+\.)?(?:Secret|Keyless)\b")


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx; it calls this."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("doctree-read", lead_back)
    app.connect("missing-reference", lead_elsewhere)
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", tell_of_data)
    app.connect("build-finished", write_for_assistants)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def lead_back(app: Sphinx, doctree: nodes.document) -> None:
    """Let links to files of the repository's root lead to the pages that show them."""
    for link in doctree.findall(pending_xref):
        target, _, anchor = link["reftarget"].partition("#")
        if link.get("reftype") != "myst":
            continue
        if link["refdomain"] == "doc" and Path(target).parent == ROOT:
            name = Path(target).name
        else:
            # From one such file, which a page includes, to another.
            name = target.removesuffix(".md")
        if name in SHOWN:
            link["refdomain"], link["reftarget"] = "doc", SHOWN[name]
            link["reftargetid"] = link.get("reftargetid") or anchor or None


def lead_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element
) -> nodes.Element | None:
    """Find the page of another project that tells of a name; None, and so a warning, where there is no such name."""
    if node.get("refdomain") != "py":
        return None
    name = ANNOTATED.get(node["reftarget"], node["reftarget"])
    project = name.partition(".")[0]
    if project == "orfallback" or "." not in name:
        return _public_name(app, env, node, shown)
    module = _module_of(name)
    if module is None or not (project in sys.stdlib_module_names or project in PROJECTS):
        return None
    if project in PROJECTS:
        page = PROJECTS[project].format(name if module == project else f"{project}.{name.rpartition('.')[2]}")
    else:
        page = PYTHON.format(module, name)
    return nodes.reference("", "", shown, internal=False, refuri=page, reftitle=f"in {project}")


def _public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> nodes.Element | None:
    """Find what a name of a private module is called in public."""
    domain: Any = env.get_domain("py")
    last = node["reftarget"].rpartition(".")[2]
    for public in (f"orfallback.{last}", f"orfallback.testing.{last}"):
        if public in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, shown)
    return None


def _module_of(name: str) -> str | None:
    """Return the module that a name is of, if there is one that has it."""
    parts = name.split(".")
    modules = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    return next((module for module in modules if _has(module, name.removeprefix(f"{module}."))), None)


def _has(module: str, name: str) -> bool:
    try:
        operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        return False
    return True


def show_signature(
    app: Sphinx, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Show what a caller may give: nothing of classes that nobody makes, and no names that only this library uses."""
    if signature is None:
        return None
    if what in ("class", "exception") and (
        name in _MADE_ELSEWHERE
        or getattr(found, "_is_protocol", False)
        or hasattr(found, "__members__")
        or (issubclass(found, BaseException) and "__init__" not in vars(found))
    ):
        return "", None
    # No expression can be read from how a dataclass shows that it makes a default, or from a function.
    signature = re.sub(r"<function (\w+)>", r"\1", _INNER.sub("", signature).replace("<factory>", "{}"))
    return re.sub(r"= Timeouts\([^)]*\)", "= Timeouts()", signature), returned


def tell_of_data(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Put what the source says of a name in the place of what its type says of itself."""
    if what == "data":
        module, _, last = name.rpartition(".")
        lines[:] = [api_page.said_of(module, last), ""]


class _Text(TextTranslator):
    """Plain text, but for code, which stands between backquotes as it does in the other pages."""

    def visit_literal(self, node: nodes.Element) -> None:
        self.add_text("`")

    depart_literal = visit_literal


def write_for_assistants(app: Sphinx, error: Exception | None) -> None:
    """Write the index and the whole of the documentation as text beside the pages."""
    if error is not None or app.builder.name != "html":
        return
    env = app.env

    def rendered(name: str) -> str:
        doctree = env.get_and_resolve_doctree(name, app.builder, prune_toctrees=False)
        text = _Text(doctree, app.builder)
        doctree.walkabout(text)
        return text.body

    pages = llms.pages(Path(app.srcdir))
    found = {page.name for page in pages}
    if found != env.found_docs:
        raise SphinxError(f"llms.txt and the pages differ: {sorted(found ^ set(env.found_docs))}")
    output = Path(app.outdir)
    (output / "llms.txt").write_text(llms.index(pages), encoding="utf-8")
    (output / "llms-full.txt").write_text(llms.full(pages, rendered), encoding="utf-8")
