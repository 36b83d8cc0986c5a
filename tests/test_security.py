"""What the package does not do, and what the repository does not hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import orfallback

PACKAGE = Path(orfallback.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = {"pickle", "marshal", "shelve", "subprocess", "tempfile", "yaml", "ctypes"}
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "write_text", "write_bytes"}
#: What writes the file that its user names, and how.
WRITERS = {"cli/_report/__init__.py": {"write_text"}}


def used(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, and the functions that it calls by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call):
            function = node.func
            owner = function.value if isinstance(function, ast.Attribute) else None
            # ``re.compile`` makes an expression, not a program; ``platform.system`` runs nothing.
            if not (isinstance(owner, ast.Name) and owner.id in ("re", "platform")):
                yield str(getattr(function, "attr", None) or getattr(function, "id", ""))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_is_evaluated_unpickled_or_run(path: Path) -> None:
    """No module unpickles, evaluates text, starts a process, or writes a file that nobody named."""
    assert set(used(path)) & (MODULES | CALLS) == WRITERS.get(path.relative_to(PACKAGE).as_posix(), set())


def test_files_are_written_where_they_are_asked_for() -> None:
    """Two modules write files: that of the call log, and that of the store in a file."""
    writers = {path.relative_to(PACKAGE).as_posix() for path in SOURCES if {"FileIO", "sqlite3"} & set(used(path))}
    assert writers == {"plugins/_lines.py", "stores/_sqlite.py"}


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    """The scan is none that cannot fail."""
    (tmp_path / "bad.py").write_text("import pickle\nimport os\nos.system('x')\neval('1')\n")
    assert {"pickle", "system", "eval"} <= set(used(tmp_path / "bad.py"))


def test_no_real_key_is_in_the_repository() -> None:
    """No file holds what looks like a key that somebody pays for."""
    real = re.compile(r"sk-or-v1-[0-9a-f]{64}|sk-proj-[\w-]{40}|AKIA[0-9A-Z]{16}")
    texts = [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.py"), *SOURCES]
    read = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in texts if path.is_file()}
    assert [name for name, text in read.items() if real.search(text)] == []
    assert real.search("sk-or-v1-" + "0123456789abcdef" * 4)


def test_every_test_that_is_promised_exists() -> None:
    """Each test that SECURITY.md names is there."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    file = ""
    for name, test in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", text):
        file = name or file
        if name or test:
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in source, (file, test)
