"""The store of one process."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence

from orfallback._clock import Clock, SystemClock
from orfallback.stores._store import PROBATION

# Far more than there are models; each is a few hundred bytes.
_MOST_KEYS = 10_000


class MemoryStore:
    """Keeps rests in this process. It pickles as an empty one.

    :param clock: for measuring; None is the machine's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._locks = os.getpid(), threading.RLock()
        self._until: dict[str, float] = {}
        self._claimed: dict[str, float] = {}

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return how long each of some keys rests, in seconds."""
        until = self._until
        if not until:
            return {}
        now = self._clock.monotonic()
        # Without a lock: what another thread clears meanwhile was there, or was not.
        left = {key: until.get(key, -math.inf) - now for key in keys}
        return {key: seconds for key, seconds in left.items() if seconds > -PROBATION}

    def rest(self, key: str, seconds: float) -> None:
        """Let a key rest, and end the claim on it."""
        now = self._clock.monotonic()
        with self._lock():
            self._claimed.pop(key, None)
            self._until[key] = max(now + seconds, self._until.get(key, now))
            if len(self._until) > _MOST_KEYS:
                self._forget(now)

    def claim(self, key: str, lease: float) -> bool:
        """Let one caller probe a key."""
        now = self._clock.monotonic()
        with self._lock():
            if self._claimed.get(key, now) > now:
                return False
            self._claimed[key] = now + lease
            return True

    def clear(self, key: str) -> None:
        """Forget a key, and the claim on it."""
        with self._lock():
            self._until.pop(key, None)
            self._claimed.pop(key, None)

    def _lock(self) -> threading.RLock:
        """Return this process's lock: one that was held at a fork would hold up the child for ever."""
        process, lock = self._locks
        if process != os.getpid():
            # Reentrant, as a signal handler may come here while its own thread is inside.
            lock = threading.RLock()
            self._locks = os.getpid(), lock
        return lock

    def _forget(self, now: float) -> None:
        """Forget what is over, and where that is too little the half that is over first."""
        kept = sorted((until, key) for key, until in self._until.items() if until > now - PROBATION)
        self._until = {key: until for until, key in kept[-_MOST_KEYS // 2 :]}
        self._claimed = {key: until for key, until in self._claimed.items() if key in self._until}

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[Clock]]:
        return MemoryStore, (self._clock,)
