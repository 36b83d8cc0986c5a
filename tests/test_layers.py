"""The modules lie in rows: each imports from lower rows alone."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orfallback

ROOT = Path(orfallback.__file__).parent
#: From low to high; a package counts as one.
ROWS: list[set[str]] = [
    {"_text", "_clock", "_sse", "_secret", "_verdict", "_usage", "_head", "bootstrap"},
    {"_types", "_watch", "_request", "stores"},
    {"_errors", "_reply", "_delay", "_select", "hookspecs", "_hints", "_faults", "_socket_reader", "_scrub", "_needs"},
    {
        "_signal", "_joiner", "_sockets", "_backoff", "_cooldown", "_roster", "_failure", "_completion", "_tee",
        "_payload", "_weighted", "_ending", "_hookcheck", "_template",
    },
    {"_exchange", "_transport", "_logging", "_classify", "_config", "_health", "_record"},
    {"_chunks", "_plugins", "_through", "plugins"},
    {"_wire", "_engine"},
    {"_stream", "_sender", "_service"},
    {"_fit", "_asked", "_handed", "_served"},
    {"_chain"},
    {"_packed", "wsgi"},
    {"_adapter"},
    {"_install"},
    {"cli"},
    {"__main__"},
]  # fmt: skip
#: The simulator and the doubles are of no row: the demo alone uses them, and they use nothing of the library.
APART = {"testing"}
#: Who may import what does not come with Python; what is not listed here is not imported.
THIRD_PARTIES = {
    "requests": {
        "_adapter", "_asked", "_chain", "_errors", "_exchange", "_failure", "_faults", "_handed", "_install",
        "_secret", "_sender", "_served", "_sockets", "_stream", "_tee", "_through", "_transport", "cli", "testing",
        "wsgi",
    },
    "urllib3": {"_asked", "_chain", "_exchange", "_faults", "_handed", "_sockets", "_tee", "_through", "cli"},
    "pluggy": {"cli", "hookspecs", "_hookcheck", "_plugins"},
    "sseclient": {"_sse"},
    "click": {"cli"},
    "rich": {"cli"},
    "waitress": {"wsgi"},
    "redis": {"stores"},
    "prometheus_client": {"cli", "plugins"},
    "opentelemetry": {"plugins"},
    # Of type checkers, for them alone.
    "_typeshed": {"cli", "plugins", "wsgi"},
    "pytest": {"testing"},
}  # fmt: skip


def unit(path: Path) -> str:
    """Return the name in the table of a file: its module, or the package that it is in."""
    inside = path.relative_to(ROOT)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def sources() -> list[Path]:
    """Return every module but the package's own, which hands out names of all rows lazily."""
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imported(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports, at its top, in functions and for type checkers alike."""
    package = ["orfallback", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "orfallback":
                yield from (f"orfallback.{alias.name}" for alias in node.names)
            else:
                yield module


def ours(path: Path) -> set[str]:
    """Return the names in the table of what a file imports of the package, itself left out."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("orfallback.")}
    exported = {name: home for name, home in orfallback._HOME.items() if name in names}
    return {exported.get(name, name) for name in names} - {unit(path)}


LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}


def test_every_module_has_one_place() -> None:
    """Every module that exists is in one row of the table, or apart from all."""
    assert sum(map(len, ROWS)) == len(LEVEL)
    assert {unit(path) for path in sources()} - APART - set(LEVEL) == set()


def test_the_table_names_no_module_that_is_gone() -> None:
    """Every private module of the table exists."""
    assert {name for name in LEVEL if name.startswith("_")} - {unit(path) for path in sources()} == set()


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_from_lower_rows_alone(path: Path) -> None:
    """No module imports from its own row or a higher one; the simulator is for tests and for the demo alone."""
    if unit(path) in APART:
        assert ours(path) == set()
    else:
        level = LEVEL[unit(path)]
        tools = APART if unit(path) == "cli" else set()
        assert {name for name in ours(path) - tools if LEVEL.get(name, len(ROWS)) >= level} == set()


@pytest.mark.parametrize("name", sorted(set(LEVEL) - {"cli", "__main__"}))
def test_a_module_lies_as_low_as_it_can(name: str) -> None:
    """A module is in the row above the highest that it imports from, so that the table shows the real depth."""
    paths = [path for path in sources() if unit(path) == name]
    above = max((LEVEL[each] for path in paths for each in ours(path)), default=-1)
    assert LEVEL[name] == above + 1


def test_there_is_no_cycle_between_files() -> None:
    """The files of the package, those inside its packages too, import each other without a cycle."""
    names = {".".join(["orfallback", *path.relative_to(ROOT).with_suffix("").parts]): path for path in sources()}
    graph = {name: {each for each in imported(path) if each in names} for name, path in names.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(graph)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_third_parties_are_imported_in_their_places_alone(path: Path) -> None:
    """A dependency is used by the modules listed for it, and an unlisted one by none."""
    roots = {name.split(".")[0] for name in imported(path)} - {"orfallback"} - sys.stdlib_module_names
    assert {name for name in roots if unit(path) not in THIRD_PARTIES.get(name, set())} == set()
