"""From when, and until when: as people say it."""

from __future__ import annotations

import datetime
import re
import time

import click

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def instant(text: str, now: float) -> float:
    """Return the seconds since the epoch of an instant.

    :param text: a date and time, in UTC unless it has an offset; or how long ago, as ``24h``.
    :param now: seconds since the epoch.
    :raises ValueError: if it is neither.
    """
    ago = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+)", text.strip())
    if ago is not None and ago[2] in _UNITS:
        return now - float(ago[1]) * _UNITS[ago[2]]
    # Python 3.10 knows no Z.
    at = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip()))
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.timezone.utc)
    return at.timestamp()


def chosen(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return the instant that an option names; None if it is not given."""
    try:
        return None if text is None else instant(text, time.time())
    except (ValueError, OverflowError):
        told = f"{text!r} is no instant: write 24h, 7d, 2026-11-23 or 2026-11-23T10:00 (UTC)"
        raise click.BadParameter(told) from None
