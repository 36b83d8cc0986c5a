"""Where chains keep what they know of targets that rest: in this process, on this host, or on many."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from orfallback.stores._memory import MemoryStore
from orfallback.stores._store import TIMEOUT, Store, StoreError

if TYPE_CHECKING:
    from orfallback.stores._guarded import Guarded
    from orfallback.stores._redis import RedisStore
    from orfallback.stores._sqlite import SQLiteStore

__all__ = ["Guarded", "MemoryStore", "RedisStore", "SQLiteStore", "Store", "StoreError", "store_from_url"]

# What they need, sqlite3 and redis-py, loads with them.
_HOME = {"Guarded": "_guarded", "RedisStore": "_redis", "SQLiteStore": "_sqlite"}


def store_from_url(url: str) -> Store:
    """Return the store that a URL names.

    :param url: ``memory:``; ``sqlite:///path``, of an absolute path; or what :class:`~orfallback.RedisStore` takes. The
        last two may end in ``?timeout=SECONDS``.
    :raises ValueError: if it names none.
    """
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        timeout = float(query.pop("timeout", TIMEOUT))
    except ValueError:
        parts, query, timeout = urlsplit(""), {}, TIMEOUT
    if parts.scheme in ("redis", "rediss", "unix"):
        from orfallback.stores._redis import RedisStore

        rest = f"?{urlencode(query)}" if query else ""
        return RedisStore(f"{url.partition('?')[0]}{rest}", timeout=timeout)
    if parts.scheme == "sqlite" and not parts.netloc and not query and parts.path[:1] == "/" != parts.path:
        from orfallback.stores._sqlite import SQLiteStore

        return SQLiteStore(unquote(parts.path), timeout=timeout)
    if url == "memory:":
        return MemoryStore()
    # Without showing it, for it may hold a password.
    raise ValueError("a store is memory:, sqlite:///absolute/path, redis://host:port/db, rediss://… or unix://path")


if not TYPE_CHECKING:  # a type checker is to find a name that does not exist

    def __getattr__(name: str) -> Any:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value
