"""Names and figures as they are shown; text from a log is fit to be shown behind these."""

from __future__ import annotations

import datetime
import functools
import re
from collections import Counter
from collections.abc import Iterable

from orfallback.cli._console import span
from orfallback.cli._shown import shown

# Room for a name, and for what an upstream said (characters).
_NAME = 80
_MESSAGE = 160
# A key of somebody's that a server put where a name belongs.
_KEY = re.compile(r"\bsk-[\w-]{8,}", re.IGNORECASE)


@functools.lru_cache(4096)
def name(text: str) -> str:
    """Return a name on one line, without control characters and keys; never empty."""
    return shown(_KEY.sub("sk-…", text[: 4 * _NAME]), _NAME) or "?"


def message(text: str) -> str:
    """Return what an upstream said, likewise; it may be empty."""
    return shown(_KEY.sub("sk-…", text[: 4 * _MESSAGE]), _MESSAGE)


def number(value: float) -> str:
    """Return a number of things: "12,345"."""
    return f"{value:,.0f}"


def things(count: int, what: str) -> str:
    """Return so many things: "1 call", "12,345 calls"."""
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """Return a share: "97.2 %". What is not nothing, or not all, is not shown as such; "" of nothing."""
    if not whole:
        return ""
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "< 0.1 %"
    if 99.95 <= share < 100:
        return "> 99.9 %"
    return "0 %" if share == 0 else "100 %" if share == 100 else f"{share:.1f} %"


def seconds(value: float | None) -> str:
    """Return a length of time: "4 ms", "0.32 s", "12.3 s", "35 min"; "" for None."""
    if value is None:
        return ""
    if abs(value) < 0.0995:
        return f"{1000 * value:.0f} ms" if value else "0 s"
    if value >= 120:
        return span(value)
    return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s" if value < 99.95 else f"{value:.0f} s"


def money(value: float | None) -> str:
    """Return US dollars, with two digits that tell at least: "$12.34", "$0.0123", "$0.000012"; "" for None."""
    if value is None:
        return ""
    size = abs(value)
    if not size:
        return "$0"
    if size < 0.0000005:
        return "< $0.000001"
    digits = 0 if size >= 999.5 else 2 if size >= 0.995 else 4 if size >= 0.00995 else 6
    return f"${value:,.{digits}f}"


def when(instant: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """Return an instant in UTC; "?" for one that no calendar has.

    :param instant: seconds since the epoch.
    :param form: of :func:`time.strftime`.
    """
    try:
        return datetime.datetime.fromtimestamp(instant, datetime.timezone.utc).strftime(form)
    except (ValueError, OverflowError, OSError):
        return "?"


def length(seconds: float) -> str:
    """Return how long a bucket of time is: "15 minutes", "1 hour", "7 days"."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            return things(int(seconds // size), unit)
    return things(int(seconds), "second")


def short(names: Iterable[str]) -> dict[str, str]:
    """Return what models are called where there is little room: without the vendor, where that tells them apart."""
    own = {name: name.rpartition("/")[2] or name for name in names}
    often = Counter(own.values())
    return {name: brief if often[brief] == 1 else name for name, brief in own.items()}


def period(first: float, last: float) -> str:
    """Return from when to when: "2026-11-22 00:00 to 23:58 UTC"."""
    same_day = when(first, "%Y-%m-%d") == when(last, "%Y-%m-%d")
    return f"{when(first)} to {when(last, '%H:%M' if same_day else '%Y-%m-%d %H:%M')} UTC"
