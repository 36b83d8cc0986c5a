"""Axes: where a value lies, and which values are named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from orfallback.cli._report import _words

# The least that a logarithmic axis shows (s).
_LEAST = 0.001
_STEPS = (900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400)


class Tick(NamedTuple):
    """A value that is named.

    :ivar at: where it lies, from 0 to 1.
    :ivar label: its name.
    :ivar second: what stands below that.
    """

    at: float
    label: str
    second: str = ""


class Linear(NamedTuple):
    """An axis from 0.

    :ivar most: its end.
    """

    most: float

    def at(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        return min(max(value / self.most, 0.0), 1.0)


def linear(most: float, ticks: int = 4, *, snug: bool = False) -> tuple[Linear, list[float]]:
    """Return an axis from 0 that holds a value, and round values on it.

    :param most: the value.
    :param ticks: about so many values.
    :param snug: whether it ends with the value, not with a round one.
    """
    step = _round_up(most / ticks) if most > 0 else 1.0 / ticks
    count = max(math.floor(most / step + 1e-9) if snug else math.ceil(most / step - 1e-9), 1)
    return Linear(max(most, step) if snug else count * step), [index * step for index in range(count + 1)]


def _round_up(value: float) -> float:
    """Return the least of 1, 2, 2.5, 5 times a power of ten that is no less."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in (1.0, 2.0, 2.5, 5.0) if factor * power >= value * (1 - 1e-9)), 10 * power)


class Logarithmic(NamedTuple):
    """A logarithmic axis of seconds.

    :ivar least: its beginning.
    :ivar most: its end.
    """

    least: float
    most: float

    def at(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        share = math.log(max(value, _LEAST) / self.least) / math.log(self.most / self.least)
        return min(max(share, 0.0), 1.0)


def logarithmic(values: Iterable[float]) -> tuple[Logarithmic, list[Tick]]:
    """Return an axis that holds all values, and its ticks: 0.1, 0.3, 1, 3, 10...; beyond a few, powers of ten."""
    known = [max(value, _LEAST) for value in values]
    ladder = [factor * 10.0**power for power in range(-3, 16) for factor in (1, 3)]
    low = max(index for index, each in enumerate(ladder) if each <= min(known) * (1 + 1e-9))
    high = next((index for index, each in enumerate(ladder) if each >= max(known)), len(ladder) - 1)
    named = ladder[low : max(high, low + 1) + 1]
    axis = Logarithmic(named[0], named[-1])
    if len(named) > 9:
        named = [each for each in named if math.log10(each) % 1 < 0.1]
    return axis, [Tick(axis.at(each), f"{each:,.3g} s" if each < 1000 else _words.seconds(each)) for each in named]


def timely(first: float, last: float, most: int = 8) -> list[Tick]:
    """Return the ticks of an axis of time, in UTC.

    :param first: its beginning, in seconds since the epoch.
    :param last: its end.
    :param most: so many ticks at most.
    """
    whole = last - first
    step = next((each for each in (1, 5, 15, 60, 300, *_STEPS) if whole / each <= most), None)
    if step is None:
        step = 28 * 86_400
        while whole / step > most:
            step *= 2
    ticks, said = [], ""
    for index in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1):
        instant = float(index * step)
        today, year = _words.when(instant, "%d %b").lstrip("0"), _words.when(instant, "%Y")
        if step >= 86_400:
            label, told = today, year
        else:
            label, told = _words.when(instant, "%H:%M" if step >= 60 else "%H:%M:%S"), today
        if instant < last:
            # What holds for several is told once.
            ticks.append(Tick((instant - first) / whole, label, "" if told == said else told))
        said = told
    return ticks
