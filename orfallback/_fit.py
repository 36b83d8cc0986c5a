"""The plugin that passes over targets which cannot serve a call, where that is known."""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from orfallback._clock import Clock, SystemClock, check_duration
from orfallback._needs import Facts, facts_in, facts_of, lacking
from orfallback._service import Service, entries_of, find
from orfallback._text import clean
from orfallback._types import Call, Json, Target
from orfallback.hookspecs import hookimpl

_logger = logging.getLogger("orfallback.fit")

# OpenRouter's list is 1 MB long. Python reads JSON without letting any other thread run (bytes).
_LIMIT = 8 * 1024 * 1024
# After a list that could not be had (s).
_PAUSE = 60.0
# An application may call endpoints of its users' choice through the adapter (endpoints, models).
_MOST_ENDPOINTS = 100
_MOST_MODELS = 10_000


class _Listing(NamedTuple):
    """What an endpoint told of its models.

    :ivar facts: by the models' ids.
    :ivar due: the instant at which it is to be asked again.
    """

    facts: Mapping[str, Facts]
    due: float


_NOTHING = _Listing({}, -math.inf)


class Fit:
    """Passes over targets that cannot serve a call: images for a text model, tools it lacks, prompts too long.

    It knows what targets declare (``Target(inputs=..., context_length=...)``), and what ``GET /models`` of their
    endpoints lists. That is fetched in the background, without a key, by the first call that meets an endpoint: no call
    waits for it. It changes the order alone: when nobody fits, or those that do have failed, the others are asked after
    all. What is not known is no obstacle.

    :param fetch: whether to ask the endpoints; if not, only what targets declare counts.
    :param max_age: seconds after which a list is fetched again.
    :param timeout: longest time that a fetch may take, in seconds.
    :param clock: for the age; None is the machine's.
    """

    def __init__(
        self, *, fetch: bool = True, max_age: float = 3600.0, timeout: float = 15.0, clock: Clock | None = None
    ) -> None:
        for name, seconds in (("max_age", max_age), ("timeout", timeout)):
            check_duration(name, seconds)
        self._settings: dict[str, Any] = {"fetch": fetch, "max_age": max_age, "timeout": timeout, "clock": clock}
        self._fetches = fetch
        self._max_age = max_age
        self._timeout = timeout
        self._clock = SystemClock() if clock is None else clock
        self._listings: dict[str, _Listing] = {}
        # By process, too: a thread of the parent's does not run in a forked child.
        self._fetching: dict[tuple[int, str], threading.Thread] = {}

    # First, in whatever order plugins were registered: where a target cannot serve the call, it does not matter how
    # long it rests, and nobody is to reserve it for a probe.
    @hookimpl(tryfirst=True)
    def orfallback_admit(self, call: Call, target: Target, last_resort: bool) -> float | None:
        """Pass over a target that cannot serve the call, as long as there are others."""
        if last_resort:
            return None
        listed = self._listed(target) if self._fetches else None
        lack = lacking(call.payload, target, facts_of(target, listed))
        if lack is None:
            return None
        told = {"call_id": call.id, "model": clean(target.model)}
        _logger.debug("%s is passed over: it has no %s", clean(target.name), lack, extra=told)
        return math.inf

    def _listed(self, target: Target) -> Facts | None:
        """Return what is known of a model from its endpoint, and see to it that more will be."""
        listing = self._listings.get(target.base_url, _NOTHING)
        if self._clock.monotonic() >= listing.due:
            self._begin(target.base_url)
        return find(target.model, listing.facts)

    def _begin(self, base_url: str) -> None:
        """Fetch a list in the background, unless that is being done."""
        key = os.getpid(), base_url
        if key in self._fetching:
            return
        thread = threading.Thread(target=self._fetch, args=(key,), name="orfallback-fit", daemon=True)
        # Of two threads that come here at once, one alone finds its own.
        if self._fetching.setdefault(key, thread) is not thread:
            return
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter is about to end.
            self._keep(base_url, None)
            self._fetching.pop(key, None)

    def _fetch(self, key: tuple[int, str]) -> None:
        base_url = key[1]
        facts: Mapping[str, Facts] | None = None
        try:
            with Service(base_url, None, self._timeout, _LIMIT) as service:
                entries = entries_of(service.get("/models"))
            if entries:
                facts = _facts_in(entries)
        finally:
            self._keep(base_url, facts)
            self._fetching.pop(key, None)

    def _keep(self, base_url: str, facts: Mapping[str, Facts] | None) -> None:
        """Keep what an endpoint told; where it told nothing, what it told before."""
        listings = self._listings
        if base_url not in listings and len(listings) >= _MOST_ENDPOINTS:
            self._listings = listings = {}
        now = self._clock.monotonic()
        if facts is None:
            listings[base_url] = _Listing(listings.get(base_url, _NOTHING).facts, now + _PAUSE)
        else:
            listings[base_url] = _Listing(facts, now + self._max_age)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Fit, **self._settings), ()


def _facts_in(entries: list[Json]) -> Mapping[str, Facts]:
    """Return what a list tells of its models; many are alike, and are kept once."""
    alike: dict[Facts, Facts] = {}
    told = ((entry["id"], facts_in(entry)) for entry in entries[:_MOST_MODELS])
    return {model: alike.setdefault(facts, facts) for model, facts in told}
