"""A course as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence

# From a little to all; nothing is a blank.
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN = ".:-=+*#@"


def spark(values: Sequence[float], most: float, cells: int, *, pretty: bool = True) -> str:
    """Return a course in so many characters.

    :param values: one for each piece of time.
    :param most: what fills a character, if all its pieces are that much.
    :param cells: how many characters; their number divides that of the values.
    :param pretty: whether the terminal shows more than ASCII.
    """
    bars = _BARS if pretty else _PLAIN
    size = len(values) // cells
    line = []
    for start in range(0, size * cells, size):
        share = min(sum(values[start : start + size]) / (most * size), 1.0) if most > 0 else 0.0
        # A failure among thousands of calls is still seen.
        line.append(bars[min(int(share * len(bars)), len(bars) - 1)] if share > 0 else " ")
    return "".join(line)


def highest(values: Sequence[float], cells: int) -> float:
    """Return the mean of the pieces of the character that has most."""
    size = len(values) // cells
    return max((sum(values[start : start + size]) / size for start in range(0, size * cells, size)), default=0.0)
