"""Keeps forks apart from calls into SQLite, whose locks a child would inherit held, and wait for for ever."""

from __future__ import annotations

import os
import threading
import time

from orfallback.stores._store import StoreError

# A call takes far less; a thread that is stuck in one holds up no fork for longer (s),
_LONGEST = 0.1
# and a fork no call.
_FORK = 0.2
_PAUSE = 0.0002


class ForkGate:
    """Threads go in and out, and none is inside while one of them forks.

    A host that forks without telling Python (uWSGI) is not held up: it does so before it has threads.
    """

    def __init__(self) -> None:
        # By thread, and without a lock: a thread that an interruption kept from leaving leaves the next time.
        self._inside: dict[int, None] = {}
        self._forking = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._in_child)

    def __enter__(self) -> None:
        until = None
        while True:
            self._inside[threading.get_ident()] = None
            if not self._forking:
                return
            self.__exit__()
            now = time.monotonic()
            until = now + _FORK if until is None else until
            if now > until:
                raise StoreError("another thread forks")
            time.sleep(_PAUSE)

    def __exit__(self, *_: object) -> None:
        self._inside.pop(threading.get_ident(), None)

    def _before(self) -> None:
        self._forking = True
        until = time.monotonic() + _LONGEST
        while set(self._inside) - {threading.get_ident()} and time.monotonic() < until:
            time.sleep(_PAUSE)

    def _after(self) -> None:
        self._forking = False

    def _in_child(self) -> None:
        # The other threads are not here.
        self._inside.clear()
        self._forking = False
