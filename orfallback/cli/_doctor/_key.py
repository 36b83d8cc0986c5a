"""Examines what an endpoint tells of the key: credit, expiry, free requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orfallback._service import Service
from orfallback.cli import _mends
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._doctor._service import days, refusal
from orfallback.cli._service import date_of, key_of
from orfallback.cli._settings import Settings

_PATH = "/key"
# Less than this part of a limit is little.
_LITTLE = 0.1
_SOON = 14
# Above this dollars are no longer told to the cent.
_PLAIN = 1e9
# "monthly", or the like (characters).
_WORD = 20


def account(service: Service, settings: Settings, now: datetime) -> list[Finding]:
    """Ask an endpoint for what it knows of the key.

    :param service: asks with the key.
    :param settings: names the endpoint.
    :param now: an instant that knows its zone.
    """
    outcome = service.get(_PATH)
    told = key_of(outcome)
    if told is not None:
        return key_told(told, settings, now)
    if outcome.status == 401 or (settings.at_openrouter and outcome.status not in (404, 405)):
        return [refusal(outcome, settings, "account", _PATH)]
    return [Finding("note" if settings.at_openrouter else "ok", "account", f"{settings.host} does not tell of keys")]


def key_told(told: Mapping[str, Any], settings: Settings, now: datetime) -> list[Finding]:
    """Look at what was told of a key, whatever it is.

    :param told: what came.
    :param settings: names the endpoint.
    :param now: an instant that knows its zone.
    """
    tier = "; free tier: no credit was ever bought" if told.get("is_free_tier") is True else ""
    taken = Finding("ok", "account", f"{settings.host} takes the key{tier}")
    found = [taken, _credit(told), _expiry(told, now), _free_requests(told.get("free_model_daily_requests"))]
    return [finding for finding in found if finding is not None]


def _credit(told: Mapping[str, Any]) -> Finding | None:
    limit, left, used = (_number(told.get(name)) for name in ("limit", "limit_remaining", "usage"))
    spent = "" if used is None else f"; {_dollars(used)} used"
    if left is None:
        if "limit" not in told:
            return None
        of = "no limit of the key's own" if limit is None else f"the key's limit is {_dollars(limit)}"
        return Finding("ok", "credit", f"{of}{spent}")
    reset = told.get("limit_reset")
    anew = f", reset {reset}" if isinstance(reset, str) and reset.isalpha() and len(reset) <= _WORD else ""
    of = "" if limit is None else f" of {_dollars(limit)}"
    found = f"{_dollars(left)}{of} left{anew}{spent}"
    if left <= 0:
        mend = f"Raise the key's limit: {_mends.KEYS}; or ask models whose id ends in :free"
        return Finding("problem", "credit", f"nothing is left: {found}", mend)
    if limit is not None and left < limit * _LITTLE:
        return Finding("note", "credit", f"only {found}", f"Raise the key's limit in time: {_mends.KEYS}")
    return Finding("ok", "credit", found)


def _expiry(told: Mapping[str, Any], now: datetime) -> Finding | None:
    date = date_of(told.get("expires_at"))
    if date is None:
        return None
    if date <= now:
        return Finding("problem", "expiry", f"the key expired on {date:%Y-%m-%d}", f"Make another: {_mends.KEYS}")
    found = f"the key expires on {days(date, now)}"
    if (date - now).days < _SOON:
        return Finding("note", "expiry", found, f"Make another in time: {_mends.KEYS}")
    return Finding("ok", "expiry", found)


def _free_requests(told: Any) -> Finding | None:
    if not isinstance(told, Mapping):
        return None
    limit, used, left = (_number(told.get(name)) for name in ("limit", "used", "remaining"))
    if limit is None or (used is None and left is None):
        return None
    left = limit - (used or 0) if left is None else left
    found = f"{max(left, 0):.6g} of {limit:.6g} are left today"
    if left > limit * _LITTLE:
        return Finding("ok", "free requests", found)
    mend = "They count for models whose id ends in :free, and begin anew at midnight UTC"
    return Finding("note", "free requests", found, mend)


def _number(value: Any) -> float | None:
    """Return a number, also one in a string; None for anything else, and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _dollars(amount: float) -> str:
    minus, amount = "-" if amount < 0 else "", abs(amount)
    if amount >= _PLAIN:
        return f"{minus}${amount:.3g}"
    # What is left of a cent is not nothing.
    return f"{minus}${amount:,.4f}" if 0 < amount < 0.01 else f"{minus}${amount:,.2f}"
