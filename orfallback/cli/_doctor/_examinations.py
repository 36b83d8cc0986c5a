"""What a doctor looks at, in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from orfallback._service import Service
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._doctor._key import account
from orfallback.cli._doctor._memory import memory
from orfallback.cli._doctor._plugins import plugins
from orfallback.cli._doctor._service import Looked, endpoint, models_of
from orfallback.cli._doctor._setup import Setup
from orfallback.cli._doctor._surroundings import surroundings
from orfallback.cli._doctor._versions import versions

_ONLINE = ("endpoint", "account", "models")


class Examination(NamedTuple):
    """One thing to look at.

    :ivar doing: what is waited for meanwhile; "" where nothing is.
    :ivar look: looks at it.
    """

    doing: str
    look: Callable[[], list[Finding]]


def examinations(setup: Setup, *, offline: bool) -> Iterator[Examination]:
    """Yield what there is to look at; each is to be looked at before the next is asked for.

    :param setup: what was set up.
    :param offline: whether to leave the endpoint alone.
    """
    settings = setup.settings
    yield Examination("", versions)
    yield Examination("", lambda: list(setup.findings))
    if setup.addressed:
        yield Examination("", functools.partial(surroundings, settings))
    if offline or not setup.addressed:
        yield Examination("", functools.partial(_skipped, "by --offline" if offline else "no base URL to ask"))
    else:
        yield from _online(setup)
    yield Examination("loading plugins", functools.partial(plugins, settings))
    yield Examination("asking the store", functools.partial(memory, settings))


def _online(setup: Setup) -> Iterator[Examination]:
    settings = setup.settings
    seen = Looked([], answers=False)

    def look() -> list[Finding]:
        nonlocal seen
        seen = endpoint(service, settings)
        return seen.findings

    now = datetime.now(timezone.utc)
    with Service(settings.base_url, settings.secret) as service:
        yield Examination(f"asking {settings.host} for its models", look)
        if not seen.answers:
            yield Examination("", functools.partial(_skipped, "the endpoint has to answer first", _ONLINE[1:]))
            return
        if settings.secret is None:
            yield Examination("", functools.partial(_skipped, "there is no key to ask about", ("account",)))
        else:
            yield Examination(f"asking {settings.host} about the key", lambda: account(service, settings, now))
    listed = seen.models
    if listed is None:
        yield Examination("", functools.partial(_skipped, "no list of models came", ("models",)))
    else:
        yield Examination("", lambda: models_of(settings, listed, now))


def _skipped(why: str, subjects: tuple[str, ...] = _ONLINE) -> list[Finding]:
    return [Finding("skipped", subject, why) for subject in subjects]
