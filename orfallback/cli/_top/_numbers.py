"""Figures in few characters: what stands in a column, and does not jump."""

from __future__ import annotations

import math

#: What stands where nothing is known.
UNKNOWN = "-"


def number(value: float | None) -> str:
    """Return a number in at most four characters: "0", "0.04", "3.1", "42", "1.2k"."""
    if value is None:
        return UNKNOWN
    if value >= 1e15:
        return "lots"
    for unit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9995:
            return f"{value / unit:.1f}{sign}" if value < unit * 9.95 else f"{value / unit:.0f}{sign}"
    if value >= 9.95 or value < 0.005:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """Return a length of time in at most six characters: "12 ms", "0.61 s", "7.3 s", "42 s", "35 m"."""
    if value is None:
        return UNKNOWN
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    if value < 5970:
        return f"{value / 60:.0f} m"
    return f"{value / 3600:.0f} h" if value < 3600 * 9999 else "long"


def percent(share: float | None) -> str:
    """Return a share of 1 in percent; what is not all is never rounded to all, and what is some never to none."""
    if share is None:
        return UNKNOWN
    value = share * 100
    if 0 < value < 1:
        return "<1 %"
    if 99 < value < 100:
        return f"{math.floor(value * 10) / 10:.1f} %"
    return f"{value:.0f} %"


def dollars(value: float | None) -> str:
    """Return an amount of US dollars in at most seven characters."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "$0"
    if value >= 999.5:
        return f"${number(value)}"
    if value >= 99.5:
        return f"${value:.0f}"
    return f"${value:.2f}" if value >= 0.0995 else f"${value:.4f}" if value >= 0.00005 else "<$.0001"


def count(value: float) -> str:
    """Return how many, whole if it is."""
    return (
        number(value) if value >= 10_000 else f"{value:.0f}" if value >= 9.5 or value == int(value) else f"{value:.1f}"
    )
