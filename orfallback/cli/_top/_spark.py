"""A course as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence

# From a little to all; nothing is a blank.
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN = ".:-=+*#@"


def means(values: Sequence[float], cells: int, place: int) -> list[float]:
    """Return the means of so many groups of values; of the last group, those that are there already.

    :param values: one for each piece of time; their number is a multiple of that of the cells.
    :param cells: how many groups.
    :param place: which piece the last one is, of all time: groups stand still while pieces are added.
    """
    size = len(values) // cells
    begun = place % size + 1
    starts = [len(values) - begun - size * back for back in reversed(range(cells))]
    groups = [values[start : min(start + size, len(values))] for start in starts]
    return [sum(group) / len(group) for group in groups]


def spark(values: Sequence[float], most: float, *, pretty: bool = True) -> str:
    """Return values as characters.

    :param values: one for each character.
    :param most: what fills one.
    :param pretty: whether the terminal shows more than ASCII.
    """
    bars = _BARS if pretty else _PLAIN
    line = []
    for value in values:
        share = min(value / most, 1.0) if most > 0 else 0.0
        # A failure among thousands of calls is still seen.
        line.append(bars[min(int(share * len(bars)), len(bars) - 1)] if value > 0 else " ")
    return "".join(line)
