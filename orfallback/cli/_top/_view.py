"""The view: what is known, in the lines and columns that there are; pure."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from orfallback import Ending
from orfallback.cli._console import SIGNS, span
from orfallback.cli._shown import shown
from orfallback.cli._top._columns import beside, cut, line, table
from orfallback.cli._top._figures import Figures
from orfallback.cli._top._numbers import count, number, percent, seconds
from orfallback.cli._top._sources import Look
from orfallback.cli._top._spark import means, spark

# What is no terminal has room for everything.
_ROOMY = 1_000
# From so many lines on the parts are set apart (lines).
_AIRY = 20
# The name of a course, and its rate (columns).
_LABEL, _RATE = 11, 6
# What is said of a course gets so much room before the course itself grows (columns).
_WORDS = 46
_CELLS = (60, 30, 20, 15, 12)
# More fallbacks than any terminal shows are not laid out; where there is no end of lines, fewer, and their title.
_MOST_FALLS, _UNASKED = 100, 21
# What stands for what a terminal of ASCII alone cannot show.
_PLAIN = str.maketrans("…→·", "~>-")


class Frame(NamedTuple):
    """Where the view is shown.

    :ivar width: columns.
    :ivar height: lines; None if there is no end to them.
    :ivar pretty: whether more than ASCII is shown.
    :ivar hint: how to end it.
    """

    width: int
    height: int | None = None
    pretty: bool = True
    hint: str = ""


def view(name: str, look: Look, frame: Frame) -> list[Text]:
    """Return the lines of the view, no more and no wider than the frame.

    :param name: what is looked at.
    :param look: what the last look brought.
    :param frame: where it is shown.
    """
    figures, width = look.figures, frame.width
    height = _ROOMY if frame.height is None else frame.height
    gap = [Text()] if height >= _AIRY else []
    lines = [_title(name, look, frame), *_remarks(look, frame, 3 if height >= _AIRY else 1), *gap]
    lines += _courses(figures, frame)
    left = height - len(lines) - 1 - 2 * len(gap)
    falls = list(_falls(figures, frame))[: _UNASKED if frame.height is None else None]
    # A title, and two of them at least, where there is any room.
    kept = min(len(falls), 3) if left >= 6 else 0
    if figures.models:
        models = list(table(figures, width, max(left - kept, 1)))
        lines += [*gap, *models]
        left -= len(models) - 1
    if len(falls) > 1 and left >= 2:
        lines += [*gap, *falls[:left]]
    if not frame.pretty:
        for each in lines:
            each.plain = each.plain.translate(_PLAIN)
    return lines[:height]


def _title(name: str, look: Look, frame: Frame) -> Text:
    length = look.figures.span
    parts = [
        f"last {span(round(length) or length)}" if length else "",
        time.strftime("%H:%M:%S", time.localtime(look.at)),
    ]
    right = "  ".join(part for part in (*parts, frame.hint) if part)
    left = Text.assemble(("orfallback top", "bold"), "  ", name)
    room = frame.width - len(right) - 2
    if frame.height is None:
        room = min(left.cell_len, room)
    return line(Text.assemble(cut(left, room, pad=True), "  ", (right, "dim")), frame.width)


def _remarks(look: Look, frame: Frame, most: int) -> list[Text]:
    """Return what is amiss, and what the figures mean, in so many lines at most."""
    sign, plain, style = SIGNS["note"]
    told = list(look.notes)
    if look.trouble:
        since = time.strftime("%H:%M:%S", time.localtime(look.since))
        told.insert(0, f"since {since} {look.trouble}")
    lines: list[Text] = []
    for each in told:
        first = f"{sign if frame.pretty else plain} "
        style_ = style if look.trouble and each is told[0] else ""
        for row in textwrap.wrap(shown(each), frame.width - len(first)) or [""]:
            lines.append(line(Text(first, style=style).append(row, style=style_), frame.width))
            first = "  "
    return lines[:most]


def _courses(figures: Figures, frame: Frame) -> Iterator[Text]:
    """Yield a line each for calls, failures and fallbacks."""
    room = max(frame.width - _LABEL - _RATE - 2 - _WORDS, _CELLS[-1])
    cells = next(cells for cells in _CELLS if cells <= room)
    calls, failures = (means([piece[which] for piece in figures.course], cells, figures.place) for which in (0, 1))
    most = max(calls)
    rows: tuple[tuple[str, float, Sequence[float], str, list[str]], ...] = (
        ("calls", figures.calls, calls, "cyan", _of_calls(figures)),
        ("failures", figures.failures, failures, "red", _of_endings(figures)),
        ("fallbacks", figures.fallbacks, (0.0,) * cells, "", _of_fallbacks(figures)),
    )
    for name, amount, values, style, words in rows:
        rate = figures.rate(amount)
        row = Text(f"{name:{_LABEL}}", style="dim")
        row.append(f"{number(rate):>{_RATE - 2}}{'  ' if rate is None else '/s'}  ", style="not dim bold")
        row.append(spark(values, most, pretty=frame.pretty), style=f"not dim {style}").append("  ")
        yield line(row.append(_joined(words, frame.width - row.cell_len), style="not dim"), frame.width)


def _of_calls(figures: Figures) -> list[str]:
    told = [] if figures.in_progress is None else [f"{count(max(figures.in_progress, 0))} in progress"]
    if figures.seconds.p50 is not None:
        told += [f"p50 {seconds(figures.seconds.p50)}", f"p95 {seconds(figures.seconds.p95)}"]
    return told


def _of_endings(figures: Figures) -> list[str]:
    told = [] if figures.answered is None else [f"{percent(figures.answered)} answered"]
    return [
        *told,
        *(f"{name} {count(times)}" for name, times in figures.endings.items() if name != Ending.ANSWERED.value),
    ]


def _of_fallbacks(figures: Figures) -> list[str]:
    each, waited = figures.per_call(figures.fallbacks), figures.per_call(figures.waited)
    share = None if figures.fell_back is None else figures.per_call(figures.fell_back)
    if each is None:
        return []
    told = [f"{number(each)} a call"]
    told += [] if share is None else [f"{percent(share)} of calls"]
    told += [f"waited {seconds(waited)} a call"] if waited else []
    return [*told, *([f"{count(figures.retries)} retries"] if figures.retries else [])]


def _joined(words: Sequence[str], room: int) -> str:
    """Return as many words as there is room for."""
    told = ""
    for word in words:
        longer = f"{told} · {word}" if told else word
        if cell_len(longer) > room and told:
            break
        told = longer
    return told


def _falls(figures: Figures, frame: Frame) -> Iterator[Text]:
    """Yield the lines that tell of fallbacks, a title first."""
    latest = figures.latest[:_MOST_FALLS]
    if latest:
        rows = [
            (time.strftime("%H:%M:%S", time.localtime(fall.at)), fall.reason, seconds(fall.wait) if fall.wait else "")
            for fall in latest
        ]
        pairs = [(fall.start, fall.goal) for fall in latest]
        yield from _hops("latest fallbacks: when, why, wait, from → to", rows, pairs, frame)
    elif figures.hops:
        hops = figures.hops[:_MOST_FALLS]
        rows = [(f"{count(each.times):>8}", each.reason, "") for each in hops]
        yield from _hops("fallbacks: how many, why, from → to", rows, [(each.start, each.goal) for each in hops], frame)


def _hops(
    title: str, rows: Sequence[tuple[str, str, str]], pairs: Sequence[tuple[str, str]], frame: Frame
) -> Iterator[Text]:
    """Yield a line for each fallback: when or how often, why, the wait before the next model, and both models."""
    yield line(Text(title, style="dim"), frame.width)
    why = max(cell_len(reason) for _, reason, _ in rows)
    waits = max(len(wait) for *_, wait in rows)
    left = frame.width - 8 - 2 - why - 2 - (waits + 2 if waits else 0) - 3
    starts, goals = beside([start for start, _ in pairs], [goal for _, goal in pairs], left)
    widest = max(map(cell_len, starts))
    for (head, reason, wait), start, goal in zip(rows, starts, goals, strict=True):
        row = Text.assemble((head, "dim"), "  ", cut(Text(reason, style="yellow"), why, pad=True), "  ")
        row.append(f"{wait:>{waits}}  " if waits else "", style="dim")
        row.append(cut(Text(start), widest, pad=True)).append(" → ", style="dim").append(goal)
        yield line(row, frame.width)
