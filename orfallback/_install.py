"""Fallback for every session of a process, without a line of the application's being changed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from orfallback._adapter import FallbackAdapter
from orfallback._chain import Chain
from orfallback._config import origin
from orfallback._transport import sending

_GetAdapter = Callable[[requests.Session, Any], BaseAdapter]


class _Standing(NamedTuple):
    """What is installed in this process.

    :ivar chain: whom to ask, and how; None if nothing is.
    :ivar origins: where it acts.
    """

    chain: Chain | None = None
    origins: frozenset[str] = frozenset()


class _Place:
    """The one place in requests where it stands.

    :ivar now: what is installed.
    :ivar before: what stood there before.
    :ivar wrapper: what was put there.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = _Standing()
        self.before: _GetAdapter | None = None
        self.wrapper: _GetAdapter | None = None

    def put(self, chain: Chain) -> None:
        """Install a chain; the caller holds the lock."""
        self.now = _Standing(chain, frozenset(origin(target.base_url) for target in chain.targets))
        if self.wrapper is None or requests.Session.get_adapter is not self.wrapper:
            self.before = requests.Session.get_adapter
            self.wrapper = _wrapped(self.before)
            requests.Session.get_adapter = self.wrapper  # type: ignore[assignment, method-assign]  # the one place

    def take(self) -> None:
        """Take off what is installed; the caller holds the lock."""
        self.now = _Standing()
        # Where somebody else has wrapped it since, ours stays beneath and hands everything on.
        if self.before is not None and requests.Session.get_adapter is self.wrapper:
            requests.Session.get_adapter = self.before  # type: ignore[assignment, method-assign]  # likewise
            self.before = self.wrapper = None


_place = _Place()


class _Installed:
    """A chain that was installed; a context manager that puts back at its end what was there before.

    :param chain: the chain.
    :param before: the one that was there, or None.
    """

    def __init__(self, chain: Chain, before: Chain | None) -> None:
        self._chain = chain
        self._before = before

    def __enter__(self) -> Chain:
        return self._chain

    def __exit__(self, *exc_info: object) -> None:
        with _place.lock:
            if _place.now.chain is not self._chain:
                return  # Somebody has installed another one since, or taken this one off.
            if self._before is None:
                _place.take()
            else:
                _place.put(self._before)


def install(chain: Chain | None = None) -> AbstractContextManager[Chain]:
    """Let every request of this process that asks an endpoint of a chain for a completion fall back.

    It acts where ``requests.Session`` chooses the adapter that sends, so that ``requests.post``, sessions and their
    subclasses, with adapters of their own mounted or not, keep all that they have. An adapter that is no
    ``HTTPAdapter``, such as a test double, is left alone, and so is every other host, path and method. Called again,
    it replaces the chain.

    :param chain: whom to ask, and how; None makes one of the environment (:meth:`Chain.from_env`).
    :returns: a context manager, which gives the chain, and at its end puts back what was installed before.
    """
    chain = Chain.from_env() if chain is None else chain
    with _place.lock:
        before = _place.now.chain
        _place.put(chain)
    return _Installed(chain, before)


def uninstall() -> None:
    """Let requests be sent as before. Without :func:`install` it does nothing."""
    with _place.lock:
        _place.take()


def _wrapped(before: _GetAdapter) -> _GetAdapter:
    @functools.wraps(before)
    def get_adapter(self: requests.Session, url: Any) -> BaseAdapter:
        adapter = before(self, url)
        chain, origins = _place.now
        if chain is None or sending.get() or not isinstance(adapter, HTTPAdapter) or not isinstance(url, str):
            return adapter
        return FallbackAdapter.of_session(self, chain, adapter) if _origin(url) in origins else adapter

    return get_adapter


def _origin(url: str) -> str:
    try:
        return origin(url)
    except ValueError:
        # requests has its own words for it.
        return ""
