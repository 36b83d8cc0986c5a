"""How the documentation is built: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``.

It needs no network: what names of other projects link to, ``site_extension.py`` knows.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "orfallback"
author = "The orfallback developers"
copyright = "The orfallback developers"  # noqa: A001 - the name is Sphinx's
release = version = importlib.metadata.version("orfallback")

extensions = ["myst_parser", "sphinx.ext.autodoc", "site_extension"]
root_doc = "index"
exclude_patterns = ["_build", "examples/*/[!R]*", "examples/instance"]
highlight_language = "text"
pygments_dark_style = "github-dark"
# Dashes alone: quotation marks stand for Python's in many places.
smartquotes_action = "D"

nitpicky = True
nitpick_ignore = [
    # Of what Cooldown.resting yields, the method itself says all that there is to say.
    ("py:class", "orfallback._cooldown.Resting"),
    # Names for types, whose values the texts tell.
    ("py:class", "Framing"),
    ("py:class", "Headers"),
    ("py:class", "Json"),
]

html_theme = "furo"
html_title = "orfallback"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_logo": "icon.svg",
    "dark_logo": "icon.svg",
    "light_css_variables": {
        "color-brand-primary": "#1f6f5c",
        "color-brand-content": "#1f6f5c",
        "color-brand-visited": "#1f6f5c",
        "color-highlight-on-target": "#e6f3ee",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6fc7b0",
        "color-brand-content": "#6fc7b0",
        "color-brand-visited": "#6fc7b0",
        "color-highlight-on-target": "#1b3029",
    },
}
html_show_sphinx = False

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
