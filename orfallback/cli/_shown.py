"""What may be shown: text from outside without control characters, and without a key."""

from __future__ import annotations

import re

from orfallback._secret import TELLING
from orfallback._text import MESSAGE_LIMIT, clean

# What is shorter is no key, and stands in other words (characters).
_SHORTEST = 8
_hidden: set[str] = set()


def hide(*keys: str) -> None:
    """Let nothing that is shown from now on hold any of these, whole or cut short behind its beginning."""
    for key in keys:
        forms = {key, key.strip(), key.strip().strip("'\"`").strip()}
        _hidden.update(form[:TELLING] for form in forms if len(form) >= _SHORTEST)


def shown(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return a text on one line, fit for a terminal and for a log.

    :param text: anything that came from outside.
    :param limit: the most characters to keep.
    """
    for beginning in sorted(_hidden, key=len, reverse=True):
        text = re.sub(re.escape(beginning) + r"\S*", "…", text, flags=re.IGNORECASE)
    return clean(text, limit)
