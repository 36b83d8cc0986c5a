"""How long the server asks to wait, in the order in which its ways of saying so are to be trusted; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any

from orfallback._types import Outcome, UpstreamError

#: No hint is taken for longer (s).
LONGEST_HINT = 86_400.0
# X-RateLimit-Reset is an instant in milliseconds at OpenRouter, in seconds or a span elsewhere; told apart by size.
_MILLISECONDS = 1e11
_INSTANT = 1e8


def retry_after(outcome: Outcome, error: UpstreamError) -> float | None:
    """Return the server's hint in seconds, 0 to 86,400; None if there is none that makes sense.

    :param outcome: the outcome, whose headers are asked first.
    :param error: its error, whose metadata are asked next.
    """
    for seconds in _said(outcome, error):
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            return min(seconds, LONGEST_HINT)
    return None


def until_midnight(outcome: Outcome) -> float:
    """Return seconds until 00:00 UTC, when OpenRouter's daily counters start anew."""
    return LONGEST_HINT - _now(outcome) % LONGEST_HINT


def _said(outcome: Outcome, error: UpstreamError) -> Iterator[float | None]:
    headers, metadata = outcome.headers, error.metadata
    copied = metadata.get("headers")
    copied = {str(name).lower(): value for name, value in copied.items()} if isinstance(copied, Mapping) else {}
    milliseconds = _number(headers.get("retry-after-ms"))
    yield None if milliseconds is None else milliseconds / 1000
    yield _retry_after(headers.get("Retry-After"), outcome)
    yield _number(error.availability.get("retry_after"))
    yield _number(metadata.get("retry_after_seconds_raw"))
    yield _number(metadata.get("retry_after_seconds"))
    yield _retry_after(copied.get("retry-after"), outcome)
    yield _reset(headers.get("X-RateLimit-Reset"), outcome)
    yield _reset(copied.get("x-ratelimit-reset"), outcome)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or "_" in str(value):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _retry_after(value: Any, outcome: Outcome) -> float | None:
    """Read seconds or an HTTP date (RFC 9110 section 10.2.3); a date that is past is "now"."""
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    instant = _date(value)
    return None if instant is None else max(0.0, instant - _now(outcome))


def _reset(value: Any, outcome: Outcome) -> float | None:
    number = _number(value)
    if number is None or not math.isfinite(number) or number < _INSTANT:
        return number
    return max(0.0, (number / 1000 if number >= _MILLISECONDS else number) - _now(outcome))


def _now(outcome: Outcome) -> float:
    """Return the server's own time if it tells it: its dates are then free of our clock's error."""
    return _date(outcome.headers.get("Date")) or outcome.received


def _date(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        date = parsedate_to_datetime(value)
        # RFC 9110 section 5.6.7: a date without a zone is GMT all the same.
        return (date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
