"""How the documentation is built: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

from __future__ import annotations

import importlib.metadata

project = "orfallback"
author = "The orfallback developers"
copyright = "The orfallback developers"  # noqa: A001 - the name is Sphinx's
release = version = importlib.metadata.version("orfallback")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"
exclude_patterns = ["_build", "examples/*/[!R]*", "examples/instance"]
nitpicky = True

html_theme = "furo"
html_title = "orfallback"

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
