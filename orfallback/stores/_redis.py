"""The store of many hosts: a server of Redis or Valkey."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from orfallback._text import clean
from orfallback.stores._store import PROBATION, TIMEOUT, StoreError, check_namespace, check_timeout, short

# Far more than there are models; each is some hundred bytes.
_MOST_KEYS = 10_000
# More than there are threads: one that is inside has a connection of its own.
_CONNECTIONS = 10_000
# Redis takes no longer ones, and a rest is a matter of minutes (s).
_LONGEST = 86_400.0 * 365
# What is kept of a key lasts for its rest and the probation, which the server counts: no host's clock matters. The list
# of the keys bounds their number; it is ordered by the server's own clock.
_REST = """
redis.call('DEL', KEYS[2])
local left, kept = redis.call('PTTL', KEYS[1]), tonumber(ARGV[1])
if left < kept then
    redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
else
    kept = left
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], now + kept, KEYS[1])
if redis.call('PTTL', KEYS[3]) < kept then
    redis.call('PEXPIRE', KEYS[3], kept)
end
local over = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[2])
if over > 0 then
    for _, key in ipairs(redis.call('ZRANGE', KEYS[3], 0, over - 1)) do
        redis.call('DEL', key)
    end
    redis.call('ZREMRANGEBYRANK', KEYS[3], 0, over - 1)
end
"""


class RedisStore:
    """Keeps rests on a server of Redis (from version 5) or Valkey, for many hosts. Needs ``orfallback[redis]``.

    It pickles, unless its URL holds a password.

    :param url: as redis-py takes it: ``redis://``, ``rediss://`` (TLS) or ``unix://``.
    :param namespace: keeps apart those who share the server.
    :param timeout: how long to wait for the server, at each step (s). Name servers are asked without a limit: an
        address is safer than a name.
    :raises ValueError: if an argument makes no sense.
    :raises ImportError: if redis-py is not installed.
    """

    def __init__(self, url: str, *, namespace: str = "orfallback", timeout: float = TIMEOUT) -> None:
        try:
            import redis
        except ImportError as error:
            raise ImportError('RedisStore needs redis-py: pip install "orfallback[redis]"') from error
        self._url = url
        self._redis = redis
        self._namespace = check_namespace(namespace)
        self._timeout = check_timeout(timeout)
        settings = self._settings()
        if settings is None:
            # In words of ours: those of redis-py may hold a part of the URL.
            raise ValueError("url must be one that redis-py takes: redis://host:port/db, rediss://… or unix://path")
        self._secrets = [str(settings[name]) for name in ("password", "username") if settings.get(name)]
        # By process: a forked child leaves its parent's connections alone. And by the kind of sockets: when gevent has
        # patched them, one made before would hold up every greenlet.
        self._clients: dict[tuple[int, type], Any] = {}

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return how long each of some keys rests, in seconds."""
        if not keys:
            return {}

        def ask(client: Any) -> list[int]:
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.pttl(self._name("rest", key))
                answers: list[int] = pipeline.execute()
                return answers

        left = zip(keys, self._with(ask), strict=True)
        return {key: milliseconds / 1000 - PROBATION for key, milliseconds in left if milliseconds >= 0}

    def rest(self, key: str, seconds: float) -> None:
        """Let a key rest, and end the claim on it."""
        names = self._name("rest", key), self._name("claim", key), self._name("keys")
        kept = _milliseconds(seconds + PROBATION)
        self._with(lambda client: client.register_script(_REST)(keys=names, args=(kept, _MOST_KEYS)))

    def claim(self, key: str, lease: float) -> bool:
        """Let one caller probe a key."""
        name = self._name("claim", key)
        return bool(self._with(lambda client: client.set(name, "", nx=True, px=_milliseconds(lease))))

    def clear(self, key: str) -> None:
        """Forget a key, and the claim on it."""
        self._with(lambda client: client.delete(self._name("rest", key), self._name("claim", key)))

    def close(self) -> None:
        """Close the connections of this process; the next call opens one."""
        for key in tuple(self._clients):
            client = self._clients.pop(key, None) if key[0] == os.getpid() else None
            if client is not None:
                client.close()

    def _name(self, kind: str, key: str = "") -> str:
        # The braces keep all of them on one node of a cluster, as the scripts want it.
        return f"{{{self._namespace}}}:{kind}:{short(key)}" if key else f"{{{self._namespace}}}:{kind}"

    def _with(self, work: Callable[[Any], Any]) -> Any:
        """Work with this process's client.

        :raises StoreError: if it cannot be done, or not in time.
        """
        here = os.getpid(), socket.socket
        try:
            client = self._clients.get(here)
            if client is None:
                # Of two threads that come here at once, both use what one of them made.
                client = self._clients.setdefault(here, self._client())
            return work(client)
        except (self._redis.RedisError, OSError, UnicodeError) as error:
            # A name of a host that cannot be encoded is told when it is looked up.
            told = self._told(error)
        # Raised outside of the handler: what the error says may hold a password.
        raise StoreError(told)

    def _client(self) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return self._redis.Redis.from_url(
            self._url,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
            protocol=2,
        )

    def _settings(self) -> Mapping[str, Any] | None:
        """Return what redis-py reads out of the URL; nothing if it cannot make a connection of it."""
        try:
            pool = self._client().connection_pool
            pool.make_connection()
        except (ValueError, TypeError, self._redis.RedisError):
            return None
        settings: Mapping[str, Any] = pool.connection_kwargs
        return settings

    def _told(self, error: Exception) -> str:
        """Return what an error says, without what is secret in the URL: a server may send back what it was sent."""
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return f"{self!r}: {type(error).__name__}: {clean(text, 200)}"

    def __repr__(self) -> str:
        parts = urlsplit(self._url)
        return f"RedisStore('{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}')"

    def __reduce__(self) -> tuple[Callable[[], RedisStore], tuple[()]]:
        if self._secrets:
            raise TypeError("a RedisStore whose URL holds a password cannot be pickled")
        return functools.partial(RedisStore, self._url, namespace=self._namespace, timeout=self._timeout), ()


def _milliseconds(seconds: float) -> int:
    return max(1, round(min(seconds, _LONGEST) * 1000))
