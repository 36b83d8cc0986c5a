"""The table of models: the columns that the width has room for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from orfallback.cli._console import span
from orfallback.cli._top._figures import Figures, Model
from orfallback.cli._top._numbers import UNKNOWN, count, dollars, number, percent, seconds

_GAP = 2
# The room that a model's id and a note get beside the first figures, and beside more of them (columns).
_LITTLE, _ROOM = (16, 14), (22, 20)
# From here on something is wrong, or badly wrong.
_WELL, _ILL = 0.9, 0.5


class _Column(NamedTuple):
    """A column of figures.

    :ivar title: what stands above it.
    :ivar width: the most that its figures need (columns).
    :ivar figure: what it tells of a model.
    """

    title: str
    width: int
    figure: Callable[[Figures, Model], str]


def _hourly(figures: Figures, model: Model) -> float | None:
    rate = figures.rate(model.cost)
    return None if rate is None else rate * 3600


# As they stand; those that are needed most come first.
_FIGURES = (
    _Column("tries/s", 7, lambda figures, model: number(figures.rate(model.attempts))),
    _Column("answered", 8, lambda _, model: percent(model.share)),
    _Column("p50", 6, lambda _, model: seconds(model.seconds.p50)),
    _Column("p95", 6, lambda _, model: seconds(model.seconds.p95)),
    _Column("1st p50", 7, lambda _, model: seconds(model.first_token.p50)),
    _Column("1st p95", 7, lambda _, model: seconds(model.first_token.p95)),
    _Column("tokens/s", 8, lambda figures, model: number(figures.rate(model.tokens))),
    _Column("$/hour", 7, lambda figures, model: dollars(_hourly(figures, model))),
)
# A tail says more than a middle, and how long one waits for the first word more than for the last.
_IMPORTANCE = (0, 1, 3, 4, 2, 6, 7, 5)
_FIRST = 3
# Above what kept a model from answering.
_WHY = "not answered"


def table(figures: Figures, width: int, rows: int) -> Iterator[Text]:
    """Yield the lines of the table, its head first.

    :param figures: of the window.
    :param width: of a line (columns).
    :param rows: how many models there is room for; the busiest are told.
    """
    models = chosen(figures.models, rows)
    notes = [_note(model) for model in models]
    longest = max([len("model"), *(cell_len(model.model) for model in models)])
    columns, name, room = _fit(width, longest)
    names = fitted([model.model for model in models], name)
    head = [f"{'model':{name}}", *(f"{column.title:>{column.width}}" for column in columns), _WHY]
    yield line(Text((" " * _GAP).join(head), style="dim"), width)
    for model, shown_as, note in zip(models, names, notes, strict=True):
        row = cut(Text(shown_as, style="bold" if model.attempts else "dim"), name, pad=True)
        for column in columns:
            text = column.figure(figures, model)
            row.append(" " * _GAP).append(f"{text:>{column.width}}", style=_style(column, model, text))
        row.append(" " * _GAP).append(cut(note, room))
        yield line(row, width)
    missing = len(figures.models) - len(models)
    if missing:
        yield line(Text(f"and {missing} more", style="dim"), width)


def chosen(models: Sequence[Model], rows: int) -> list[Model]:
    """Return as many models as there are rows for, one of them kept for telling how many are missing."""
    if len(models) <= rows:
        return list(models)
    busiest = sorted(models, key=lambda model: (-model.attempts, model.model))[: max(rows - 1, 0)]
    return [model for model in models if model in busiest]


def _fit(width: int, longest: int) -> tuple[list[_Column], int, int]:
    """Return the columns that fit, and the room for the model's id and for the note.

    Which ones those are depends on the width alone: none comes and goes with what is told.
    """
    fit: list[int] = []
    for place in _IMPORTANCE:
        needed = sum(_FIGURES[each].width + _GAP for each in [*fit, place]) + _GAP
        if needed + sum(_LITTLE if len(fit) < _FIRST else _ROOM) > width:
            break
        fit.append(place)
    columns = [_FIGURES[place] for place in sorted(fit)]
    name, note = _LITTLE if len(fit) <= _FIRST else _ROOM
    left = width - sum(column.width + _GAP for column in columns) - _GAP
    # What is left over is the id's, as far as it needs it.
    name = max(min(longest, left - note), min(name, left), 0)
    return columns, name, left - name


def _style(column: _Column, model: Model, text: str) -> str:
    if text == UNKNOWN:
        return "dim"
    if column.title != "answered" or model.share is None or model.share >= _WELL:
        return ""
    return "yellow" if model.share >= _ILL else "bold red"


def _note(model: Model) -> Text:
    """Return whether a model rests, and what kept it from answering."""
    note = Text()
    if model.rests:
        note.append("rests" if math.isinf(model.rests) else f"rests {span(math.ceil(model.rests))}", style="yellow")
    told = [f"{reason} {count(times)}" for reason, times in model.reasons.items()]
    return note.append(", " if note and told else "").append(", ".join(told))


def fitted(models: Sequence[str], width: int) -> list[str]:
    """Return models' ids in so many columns: without vendors if they do not fit, and then without their middles."""
    if max(map(cell_len, models), default=0) > width:
        models = _own(models)
    return [_shortened(model, width) for model in models]


def beside(starts: Sequence[str], goals: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """Return models' ids for two columns that share so many columns of a terminal."""
    first, second = (max(map(cell_len, models), default=0) for models in (starts, goals))
    if first + second > width:
        own = _own([*starts, *goals])
        starts, goals = own[: len(starts)], own[len(starts) :]
        first, second = (max(map(cell_len, models), default=0) for models in (starts, goals))
    # What one does not need of its half is the other's.
    room = min(first, max(width // 2, width - second))
    return [_shortened(each, room) for each in starts], [_shortened(each, width - room) for each in goals]


def _own(models: Sequence[str]) -> list[str]:
    """Return ids without their vendors, unless two are told apart by them alone."""
    own = [model.rpartition("/")[2] or model for model in models]
    return own if len(set(own)) == len(set(models)) else list(models)


def _shortened(model: str, width: int) -> str:
    """Return an id without its middle, where versions and sizes seldom stand."""
    if cell_len(model) <= width or width < 1:
        return model
    end = set_cell_size(model[::-1], (width - 1) // 2).rstrip()[::-1]
    return f"{set_cell_size(model, width - 1 - cell_len(end)).rstrip()}…{end}"


def line(text: Text, width: int) -> Text:
    """Return a text as one line that is no wider."""
    text = cut(text, width)
    text.no_wrap = True
    text.overflow = "crop"
    return text


def cut(text: Text, width: int, *, pad: bool = False) -> Text:
    """Return a text that is cut to a width, or padded to it."""
    text = text.copy()
    text.truncate(max(width, 0), overflow="ellipsis", pad=pad)
    return text
