"""What several pictures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orfallback.cli._report._page._markup import Markup, el, join
from orfallback.cli._report._page._scale import Tick
from orfallback.cli._report._page._style import TEXTURES, textured


def section(name: str, title: str, lede: str, *children: str | Iterable[str]) -> Markup:
    """Return a part of the page.

    :param name: its id.
    :param title: what is seen in it.
    :param lede: how to read it.
    :param children: what is in it.
    """
    return el("section", el("h2", title), el("p", lede, class_="lede"), *children, id=name)


def picture(title: str, desc: str, height: int, *children: str | Iterable[str], class_: str | None = None) -> Markup:
    """Return a picture as wide as there is room, which is read aloud by its title and description.

    :param height: in pixels.
    """
    inside = join(el("title", title), el("desc", desc), *children)
    return el("svg", inside, role="img", height=height, width="100%", class_=class_)


def box(kind: str, x: float, y: float, width: float, height: float, **attributes: object) -> Markup:
    """Return a box of a kind, with its texture; ``x`` and ``width`` are shares of the width, the others pixels."""
    where = {"x": f"{100 * x:.3f}%", "y": y, "width": f"{100 * width:.3f}%", "height": height}
    filled = el("rect", **where, class_=kind, **attributes)
    return join(filled, el("rect", **where, class_=f"{kind} over")) if textured(kind) else filled


def slot(told: str, at: float, wide: float, top: int, height: int, drawn: Iterable[str], **data: object) -> Markup:
    """Return a place of a row of bars, in which all of its height tells its figures.

    :param told: the figures.
    :param at: where it begins, as a share of the width.
    :param wide: how wide it is, likewise.
    :param top: where it begins, in pixels.
    :param height: how high it is, in pixels.
    :param drawn: what stands there.
    """
    hit = el("rect", x=_share(at), y=top, width=_share(wide), height=height, class_="hit")
    return el("g", el("title", told), hit, drawn, class_="slot", **data)


def rule(at: float, top: float, bottom: float, class_: str = "grid") -> Markup:
    """Return an upright line; ``at`` is a share of the width, the others pixels."""
    return el("line", x1=_share(at), x2=_share(at), y1=top, y2=bottom, class_=class_)


def level(y: float, class_: str = "grid") -> Markup:
    """Return a level line."""
    return el("line", x1=0, x2="100%", y1=y, y2=y, class_=class_)


def below(ticks: Sequence[Tick], y: float, *, thinned: bool = False) -> Markup:
    """Return the names of an axis.

    :param ticks: what is named.
    :param y: where their base line is.
    :param thinned: whether every other one is left out where there is little room.
    """
    return join(
        el(
            "text", line, x=_share(tick.at), y=y + 15 * number,
            text_anchor="start" if tick.at < 0.03 else "end" if tick.at > 0.95 else "middle",
            class_="minor" if thinned and index % 2 and not tick.second else None,
        )
        for index, tick in enumerate(ticks)
        for number, line in enumerate((tick.label, tick.second))
        if line
    )  # fmt: skip


def axis_lane(ticks: Sequence[Tick], what: str, figures: str) -> Markup:
    """Return the lane beneath lanes of bars: their common axis.

    :param ticks: what is named on it.
    :param what: what it measures.
    :param figures: what stands at the lanes' ends.
    """
    marks = join((rule(tick.at, 0, 5, "base") for tick in ticks), below(ticks, 18))
    drawn = el("svg", marks, height=24, width="100%", aria_hidden="true")
    return el(
        "div", el("span", what, class_="name"), el("div", drawn, class_="plot"), el("span", figures, class_="figures"),
        class_="lane axis",
    )  # fmt: skip


def beside(height: int, levels: Iterable[tuple[float, str]], plot: str, class_: str = "") -> Markup:
    """Return a picture with the names of its level lines at its left.

    :param height: of the picture (pixels).
    :param levels: where, in pixels from its top, and what each is called.
    :param plot: the picture.
    :param class_: of what those names are, where they need more room.
    """
    names = [el("text", label, x="100%", y=y + 4, text_anchor="end") for y, label in levels]
    scale = el("svg", names, height=height, width="100%", aria_hidden="true")
    return el("div", el("div", scale, class_="scale"), plot, class_=f"chart {class_}".strip())


def legend(kinds: Iterable[tuple[str, str]]) -> Markup:
    """Return what kinds mean: pairs of a kind and what it is called."""
    return el("ul", (el("li", swatch(kind), el("span", label)) for kind, label in kinds), class_="legend")


def swatch(kind: str) -> Markup:
    """Return a sample of a kind."""
    return el("svg", box(kind, 0, 0, 1, 14), aria_hidden="true", height=14, width=14)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[tuple[str, object]]], *, words: Sequence[int] = (),
    class_: str = "", caption: str = "",
) -> Markup:  # fmt: skip
    """Return a table.

    :param columns: the names of its columns.
    :param rows: of cells, each what is shown and what it is sorted by; the first of a row names it.
    :param words: the columns, beside the first, that hold words.
    :param class_: its class.
    :param caption: what it is, to be read aloud.
    """
    head = el("tr", (el("th", each, scope="col", class_=_words(index, words)) for index, each in enumerate(columns)))
    body = (
        el("tr", el("th", cells[0][0], scope="row", data_key=cells[0][1]), (
            el("td", shown, data_label=columns[index], data_key=key, class_=_words(index, words))
            for index, (shown, key) in enumerate(cells[1:], 1)
        ))
        for cells in rows
    )  # fmt: skip
    inside = el("table", el("thead", head), el("tbody", body), class_=class_ or None, aria_label=caption or None)
    return el("div", inside, class_="scroll")


def details(label: str, *children: str | Iterable[str]) -> Markup:
    """Return what is seen when it is asked for."""
    return el("details", el("summary", label), *children)


def textures() -> Markup:
    """Return what the textures are made of."""
    drawn = {
        "hatch": el("path", d="M-1 1 1 -1M0 6 6 0M5 7 7 5"),
        "lines": el("path", d="M0 1.5H6M0 4.5H6"),
        "dots": el("circle", cx="2", cy="2", r="1"),
    }
    size = {"hatch": 6, "lines": 6, "dots": 4}
    patterns = (
        el("pattern", drawn[name], id=name, class_="texture", width=size[name], height=size[name],
           patternUnits="userSpaceOnUse")
        for name in TEXTURES
    )  # fmt: skip
    return el("svg", el("defs", patterns), class_="textures", aria_hidden="true", focusable="false")


def _share(at: float) -> str:
    return f"{100 * at:.3f}%"


def _words(index: int, words: Sequence[int]) -> str | None:
    return "words" if index in words else None
