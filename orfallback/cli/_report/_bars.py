"""Bars made of characters: a share, and what a call spent its time on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

_EIGHTHS = " ▏▎▍▌▋▊▉"


class Part(NamedTuple):
    """A part of a bar.

    :ivar kind: ``failed``, ``answered``, ``cancelled`` or ``waited``.
    :ivar size: of any unit.
    """

    kind: str
    size: float


#: What a part looks like: a character, its stand-in where the terminal knows ASCII alone, and a colour.
LOOKS = {
    "failed": ("▒", "x", "red"),
    "answered": ("█", "#", "green"),
    "cancelled": ("▓", "=", "yellow"),
    "waited": ("·", ".", "dim"),
}


def pretty(console: Console) -> bool:
    """Tell whether a console knows more than ASCII."""
    return "utf" in console.encoding.lower()


def share(console: Console, part: float, whole: float, width: int, style: str) -> Text:
    """Return a bar for a share; what is not nothing is seen.

    :param width: of the whole (columns).
    """
    size = width * min(max(part / whole, 0.0), 1.0) if whole else 0.0
    if not pretty(console):
        return Text("#" * (max(round(size), 1) if size else 0), style=style)
    eighths = max(round(8 * size), 1) if size else 0
    return Text("█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else ""), style=style)


def course(console: Console, parts: Sequence[Part], longest: float, width: int) -> Text:
    """Return a bar of several parts, one behind the other; each is seen.

    :param parts: in order.
    :param longest: the size that takes all of the width.
    :param width: columns.
    """
    line = Text()
    scale = (width - len(parts)) / longest if longest > 0 and width > len(parts) else 0.0
    for part in parts:
        looks = LOOKS[part.kind]
        columns = 1 + round(scale * min(max(part.size, 0.0), longest))
        line.append(looks[0 if pretty(console) else 1] * columns, style=looks[2])
    line.truncate(width)
    return line
