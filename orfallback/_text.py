"""The one way in which text from outside is made fit for a log, an error or a terminal."""

from __future__ import annotations

import re

#: What an upstream may say of itself in an attempt's message, in characters.
MESSAGE_LIMIT = 500

# C0 and C1 controls, DEL, line and paragraph separators, the marks that reorder text (Unicode TR 36) and lone
# surrogates, which no terminal or log file can encode. Compiled (and kept by ``re``) when first used.
_UNSAFE = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return ``text`` on one line, without control characters, at most ``limit`` characters long.

    :param text: anything that came from a server.
    :param limit: the most characters to keep; a longer text ends in an ellipsis.
    """
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        # Nearly all names and messages: an expression costs several times as much.
        return text
    # Sliced first: a hostile megabyte is not worth a pass of the expression.
    head = " ".join(re.sub(_UNSAFE, " ", text[: 2 * limit]).split())
    return head if len(head) <= limit and len(text) <= 2 * limit else head[: limit - 1] + "…"


def in_seconds(value: float) -> str:
    """Return a length of time as a log tells it: "2.5 s", "5400 s"."""
    return f"{value:.3g} s" if value < 1_000 else f"{value:.0f} s"


def printable(text: str) -> str:
    """Return ``text`` with its lines and tabs, without what could make a terminal do something else than show it.

    :param text: what a model said, or a piece of it: nothing of it is cut off.
    """
    return re.sub(_UNSAFE, _kept, text)


def _kept(unsafe: re.Match[str]) -> str:
    # The marks for the direction of a letter are part of Arabic and Hebrew; they reorder nothing beyond it.
    lines = unsafe[0].replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(character for character in lines if character in "\n\t\u200e\u200f\u061c")
