"""A store that may fail, as a cooldown uses it: what fails costs the memory, never the call."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from orfallback._clock import Clock
from orfallback._text import clean
from orfallback.stores._memory import MemoryStore
from orfallback.stores._store import Store, StoreError

_T = TypeVar("_T")
_logger = logging.getLogger("orfallback")
# A store that fails now and then is told of once in a while (s).
_QUIET = 60.0
# Waiting for one that fails slowly (for a name server, say) takes no more than this share of the time,
_SHARE = 0.01
# and it is tried again now and then all the same (s).
_LONGEST = 600.0


class Guarded:
    """A store whose failures nobody notices: while it is down, the memory of this process stands in for it.

    A cooldown makes one of each store that it is given. It has no lock: threads that find the store down at the same
    instant wait for it once each, and no longer.

    :param store: the real one.
    :param clock: for measuring.
    :param retry: how long a store that failed is left alone (s).
    """

    def __init__(self, store: Store, clock: Clock, retry: float = 5.0) -> None:
        self._store = store
        self._clock = clock
        self._retry = retry
        self._local = MemoryStore(clock)
        self._down = False
        self._alone_until = -math.inf
        self._told = False
        self._told_at = -math.inf

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return how long each of some keys rests, in seconds."""
        return self._ask(lambda store: store.resting(keys))

    def rest(self, key: str, seconds: float) -> None:
        """Let a key rest, and end the claim on it."""
        self._local.rest(key, seconds)
        self._ask(lambda store: store.rest(key, seconds))

    def claim(self, key: str, lease: float) -> bool:
        """Let one caller probe a key."""
        granted = self._ask(lambda store: store.claim(key, lease))
        if granted:
            # Known here as well, should the store go down before this claim ends.
            self._local.claim(key, lease)
        return granted

    def clear(self, key: str) -> None:
        """Forget a key, and the claim on it."""
        self._local.clear(key)
        self._ask(lambda store: store.clear(key))

    def _ask(self, question: Callable[[Store], _T]) -> _T:
        """Ask the real store, or the local one while that is down."""
        before = self._clock.monotonic()
        if self._down:
            if before < self._alone_until:
                return question(self._local)
            # One thread tries; the others go on without it. By time, so that one that is interrupted blocks no other.
            self._alone_until = before + self._retry
        try:
            answer = question(self._store)
        except (StoreError, OSError) as error:
            self._went_down(before, error)
            return question(self._local)
        if self._down:
            self._came_back()
        return answer

    def _went_down(self, before: float, error: Exception) -> None:
        now = self._clock.monotonic()
        self._alone_until = now + min(max(self._retry, (now - before) / _SHARE), _LONGEST)
        was_down, self._down = self._down, True
        if not was_down and now - self._told_at >= _QUIET:
            self._told, self._told_at = True, now
            text = "The store of the cooldown is down, each process remembers for itself meanwhile: %s"
            _logger.warning(text, clean(str(error)) or type(error).__name__)

    def _came_back(self) -> None:
        self._down = False
        if self._told:
            self._told = False
            _logger.info("The store of the cooldown is used again: %r", self._store)

    def __repr__(self) -> str:
        return f"Guarded({self._store!r})"

    def __reduce__(self) -> tuple[type[Guarded], tuple[Store, Clock, float]]:
        return Guarded, (self._store, self._clock, self._retry)
