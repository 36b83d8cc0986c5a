"""HTML and SVG, put together so that text stays text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Those without content and without an end.
_VOID = frozenset({"meta", "link", "br"})
# The blank between a figure and its unit: no line ends there.
_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|%)(?!\w))")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def el(tag: str, *children: str | Iterable[str], **attributes: object) -> Markup:
    """Return an element.

    :param tag: its name.
    :param children: what is in it; a :class:`Markup` as it is, any other text escaped.
    :param attributes: ``class_`` is class, ``data_n`` is data-n; one that is None is left out.
    """
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_figure(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{told}>" + ("" if tag in _VOID else f"{join(*children)}</{tag}>"))


def join(*children: str | Iterable[str]) -> Markup:
    """Return the same without an element around it."""
    return Markup("".join(map(_inside, children)))


def bdi(name: str) -> Markup:
    """Return a name in an element of its own: letters that run from right to left stay within it."""
    return el("bdi", name)


def _inside(child: str | Iterable[str]) -> str:
    if isinstance(child, str):
        return child if isinstance(child, Markup) else html.escape(_UNIT.sub("\u00a0", child))
    return "".join(map(_inside, child))


def _figure(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
