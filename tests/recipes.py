"""The recipes of the documentation: files that a page includes and a test runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parent.parent / "docs"
RECIPES = DOCS / "examples" / "recipes"
# Longer than anything takes; what hangs ends, and fails (s).
PATIENCE = 60.0


def recipe(name: str) -> Path:
    """Return the path of a recipe.

    :param name: its path below ``docs/examples/recipes``.
    """
    return RECIPES / name


def load(name: str) -> ModuleType:
    """Import a recipe afresh, as a module that nobody else has.

    :param name: its path below ``docs/examples/recipes``.
    """
    spec = importlib.util.spec_from_file_location(f"recipe_{Path(name).stem}", recipe(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
