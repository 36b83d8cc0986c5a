"""Examines the endpoint: whether it answers, and what it says of the models of the chain."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from orfallback import Call, Fault, Outcome, Reason, Scope, Target, Verdict, default_classifier
from orfallback._service import Service
from orfallback.cli._advice import advise
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._service import Model, closest, find, listed
from orfallback.cli._settings import Settings
from orfallback.cli._surroundings import proxy_for
from orfallback.cli._watching import Failure

#: Where an endpoint lists its models.
LIST = "/models"
_CHAT = "/chat/completions"
# More than this between two clocks makes certificates and dates go wrong (s).
_SKEW = 60.0
_ADDRESSES = 3


class Looked(NamedTuple):
    """What a look at an endpoint brought.

    :ivar findings: on the endpoint itself.
    :ivar answers: whether more can be asked there.
    :ivar models: those that it lists; None if it lists none.
    """

    findings: list[Finding]
    answers: bool
    models: tuple[Model, ...] | None = None


def endpoint(service: Service, settings: Settings) -> Looked:
    """Ask an endpoint for its models, and look at how that goes."""
    started = time.monotonic()
    addresses = _addresses(settings.base_url)
    if addresses is None:
        outcome = Outcome(fault=Fault.CONNECT, detail="the host name has no address")
    else:
        outcome = service.get(LIST)
    elapsed = time.monotonic() - started
    models = listed(outcome)
    if models is None and not _is_object(outcome):
        if outcome.status in (404, 405, 410) and service.knows(_CHAT):
            found = f"{settings.base_url} answers, and does not list its models: they cannot be looked for"
            return Looked([Finding("note", "endpoint", found, "orfallback check asks them"), *_clock(outcome)], True)
        # What answers at all can be asked for the key as well.
        answers = outcome.status is not None and outcome.status >= 500
        return Looked([refusal(outcome, settings, "endpoint", LIST), *_clock(outcome)], answers)
    at = f" at {', '.join(addresses)}" if addresses else ""
    told = f"{settings.base_url} answered in {elapsed:.2f} s{at}"
    if models is None:
        found = f"{told}, but {LIST} is no list of models"
        return Looked([Finding("note", "endpoint", found, "Is the base URL right?"), *_clock(outcome)], answers=True)
    return Looked([Finding("ok", "endpoint", f"{told}: {len(models)} models"), *_clock(outcome)], True, models)


def refusal(outcome: Outcome, settings: Settings, subject: str, path: str) -> Finding:
    """Say what is wrong, and its mend, where an endpoint did not tell what it was asked for.

    :param outcome: what came instead.
    :param settings: names the endpoint.
    :param subject: what was looked at.
    :param path: what was asked for.
    """
    verdict = default_classifier(Call("doctor", {"messages": []}), outcome)
    if outcome.status in (404, 405, 410):
        # What is not there is a path, not a model.
        verdict = Verdict.fallback(Reason.MISCONFIGURED, Scope.ENDPOINT)
    attempt = outcome.attempt(1, Target(f"GET {path}"), verdict, 0.0, 0.0)
    advice = advise([Failure(attempt, outcome.fault)], settings, lambda _: [])
    if advice is not None:
        return Finding("problem", subject, *advice)
    mend = "If that does not pass by itself, ask whoever runs the endpoint, or the network on the way there"
    what = "did not answer" if outcome.status is None else "does not answer well to"
    return Finding("problem", subject, f"{settings.host} {what} GET {path}: {attempt.summary}", mend)


# -- the endpoint --


def _is_object(outcome: Outcome) -> bool:
    """Tell whether JSON came that is no error."""
    good = (outcome.status or 0) // 100 == 2 and outcome.error is None and outcome.fault is None
    return good and isinstance(outcome.value, dict)


def _addresses(url: str) -> list[str] | None:
    """Return the addresses of a host that is asked by name, some of them; None if it has none."""
    parts = urlsplit(url)
    if proxy_for(url) is not None:
        return []
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError:
        return None
    except UnicodeError:
        # No resolver takes such a name; asking tells what is wrong.
        return []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    more = [f"{len(addresses) - _ADDRESSES} more"] if len(addresses) > _ADDRESSES else []
    return [] if addresses == [parts.hostname] else [*addresses[:_ADDRESSES], *more]


def _clock(outcome: Outcome) -> list[Finding]:
    """Hold this machine's clock against the server's."""
    try:
        date = parsedate_to_datetime(outcome.headers["Date"])
        told = (date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return []
    ahead = outcome.received - told
    # A copy out of a cache bears the date of its making.
    if abs(ahead) <= _SKEW or "Age" in outcome.headers:
        return []
    found = f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    return [Finding("note", "clock", found, "Set it: a wrong clock makes good certificates look bad")]


# -- the models --


def models_of(settings: Settings, models: Sequence[Model], now: datetime) -> list[Finding]:
    """Look for the models of the chain among those that its endpoint lists.

    :param settings: names the models.
    :param models: what the endpoint lists.
    :param now: an instant that knows its zone.
    """
    findings = [_model(model, find(model, models), models, now) for model in settings.models]
    if settings.default_models and any(finding.state == "problem" for finding in findings):
        found = "the default chain was asked for: it may hold models that are retired by now"
        mend = "Name the models of your chain with -m, or in ORFALLBACK_MODELS"
        findings.append(Finding("note", "models", found, mend))
    return findings


def days(date: datetime, now: datetime) -> str:
    """Say when a date is that is to come."""
    left = (date - now).days
    when = "within a day" if left == 0 else "in 1 day" if left == 1 else f"in {left} days"
    return f"{date:%Y-%m-%d}, {when}"


def _model(model: str, entry: Model | None, models: Sequence[Model], now: datetime) -> Finding:
    if entry is None:
        near = closest(model, models)
        mend = f"The closest: {', '.join(near)}" if near else "No id is like it; name another with -m"
        return Finding("problem", "model", f"{model} is not served", mend)
    if entry.expires is None:
        return Finding("ok", "model", f"{model} is served{'' if entry.id == model else f', as {entry.id}'}")
    if entry.expires <= now:
        found = f"{model} was retired on {entry.expires:%Y-%m-%d}"
        return Finding("problem", "model", found, "Name another with -m, or in ORFALLBACK_MODELS")
    found = f"{model} is to be retired on {days(entry.expires, now)}"
    return Finding("note", "model", found, "Put another in its place before that, or behind it in the chain")
