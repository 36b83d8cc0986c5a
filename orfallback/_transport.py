"""Sockets: the session and its pool, and connections whose every read runs under the attempt's clock.

urllib3 hands a timeout down as a number that bounds each single read, so one byte now and then keeps a reply alive
for ever. Here the number carries the attempt's :class:`Watch`, and the socket is given what is left of it at each read:
headers, chunk sizes and bodies obey one clock, without a thread.
"""

from __future__ import annotations

import http.client
import io
import math
import os
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Timeout

from orfallback._secret import Secret
from orfallback._watch import Watch

# What stands for "no limit" towards sockets, which take no infinity (s).
_FOREVER = 86_400.0 * 365
# A limit is set on the socket anew only if it moved by more: each setting is a system call (s).
_SLACK = 0.005
#: Connections kept for each host: one a thread is what a busy host wants.
POOL_SIZE = 128


class Request(NamedTuple):
    """One POST, ready to be sent.

    :ivar model: the model asked.
    :ivar url: where to.
    :ivar body: JSON, encoded.
    :ivar headers: those of this attempt alone, without Authorization.
    :ivar secret: the key, or None.
    """

    model: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    secret: Secret | None

    def __repr__(self) -> str:
        return f"<Request {self.model} {self.url}: {len(self.body)} bytes>"


# -- sockets under a watch --


class _Seconds(float):
    """A timeout that carries the watch it was read from, through urllib3, to the connection."""

    watch: Watch

    @classmethod
    def of(cls, seconds: float, watch: Watch) -> _Seconds:
        # Never 0 or less, which sockets take for "do not block".
        value = cls(min(max(seconds, 0.001), _FOREVER))
        value.watch = watch
        return value


class _Limits(Timeout):
    """urllib3's timeout object over a watch: asked at each step, never copied."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def clone(self) -> Timeout:
        return self

    def start_connect(self) -> float:
        return 0.0

    @property
    def connect_timeout(self) -> float:
        return _Seconds.of(self._watch.connecting(), self._watch)

    @property
    def read_timeout(self) -> float:
        return _Seconds.of(self._watch.remaining(), self._watch)


class _WatchedReader(io.RawIOBase):
    """A socket's raw reader that gives each read the time that remains."""

    def __init__(self, raw: Any, sock: socket.socket, watch: Watch) -> None:
        self._raw = raw
        self._sock = sock
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = min(self._watch.remaining(), _FOREVER)
        if left <= 0:
            raise TimeoutError("timed out")
        now = self._sock.gettimeout()
        if now is None or abs(now - left) > _SLACK:
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        self._watch.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, watch: Watch, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_WatchedReader(self.fp.detach(), sock, watch))

    def begin(self) -> None:
        super().begin()
        # http.client reads over 100 alone; 102 and 103 are no replies either (RFC 9110 section 15.2, RFC 8297).
        while self.status in (102, 103):
            self.headers = self.msg = None  # type: ignore[assignment]  # how http.client says "not begun"
            super().begin()


class _Watched(HTTPConnection):
    """A connection that obeys the watch, and knows whether it has served before."""

    timeout: _Seconds
    _served = False

    def connect(self) -> None:
        self._served = False
        super().connect()
        # The limit for connecting is not for sending: a large body over a slow line takes its time.
        self.sock.settimeout(_Seconds.of(self.timeout.watch.remaining(), self.timeout.watch))

    def request(self, *args: Any, **kwargs: Any) -> None:
        watch = self.timeout.watch
        watch.reused = self._served
        if self.sock is not None:
            self.sock.settimeout(_Seconds.of(watch.remaining(), watch))
        super().request(*args, **kwargs)
        watch.sent = True
        watch.start()

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._served = True
        return response

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> _Response:  # type: ignore[override]
        # http.client calls it as a class.
        return _Response(sock, self.timeout.watch, *args, **kwargs)


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched  # type: ignore[assignment]  # its response_class is a method, called as a class


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS  # type: ignore[assignment]  # likewise


_POOLS = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """requests' own adapter, over connections that obey a watch."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool manager, with pools of watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the manager for a proxy likewise; SOCKS proxies bring pools of their own."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close every kept connection now; urllib3 would leave that to the collector of garbage."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in tuple(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()


# -- sessions --


class _Own:
    """The chain's own session in this process, with what is the same for every request to a URL made once."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.headers["User-Agent"] = f"orfallback {self.session.headers['User-Agent']!s}"
        adapter = WatchedAdapter(pool_maxsize=POOL_SIZE)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)
        self._prepared: dict[str, tuple[requests.PreparedRequest, dict[str, Any]]] = {}

    def send(self, request: Request, watch: Watch) -> requests.Response:
        prepared, settings = self._prepared.get(request.url) or self._prepare(request.url)
        prepared = prepared.copy()
        if request.headers:
            prepared.headers.update(request.headers)
        prepared.headers["Content-Length"] = str(len(request.body))
        prepared.body = request.body
        if request.secret is not None:
            request.secret(prepared)
        adapter = self.session.get_adapter(request.url)
        return adapter.send(prepared, timeout=_Limits(watch), **settings)  # type: ignore[arg-type]  # typeshed's names floats only

    def _prepare(self, url: str) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        headers = {**self.session.headers, "Content-Type": "application/json"}
        prepared = requests.Request("POST", url, headers=headers).prepare()
        settings = dict(self.session.merge_environment_settings(url, {}, True, None, None))
        self._prepared[url] = prepared, settings
        return prepared, settings


class Transport:
    """Sends requests through one session for each process; threads share it.

    :param session: the application's own, used as it is and never closed; None makes one. Through a session of the
        application a limit is checked between two reads, so it can be overrun by one gap between two bytes.
    """

    def __init__(self, session: requests.Session | None = None) -> None:
        self._given = session
        # By process: a forked child never touches its parent's sockets, not even to close them.
        self._own: dict[int, _Own] = {}

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """POST, and return when the headers are there; the body is unread.

        :raises Exception: whatever requests, urllib3 and http.client raise.
        """
        if self._given is not None:
            return self._send_given(self._given, request, watch)
        pid = os.getpid()
        own = self._own.get(pid)
        if own is None:
            # Of two threads that come here at once, both use what one of them made.
            own = self._own.setdefault(pid, _Own())
        return own.send(request, watch)

    def _send_given(self, session: requests.Session, request: Request, watch: Watch) -> requests.Response:
        headers = {"Content-Type": "application/json", **request.headers}
        prepared = session.prepare_request(
            # A callable: a header would be replaced by an entry of .netrc.
            requests.Request("POST", request.url, data=request.body, headers=headers, auth=request.secret)
        )
        settings: Any = session.merge_environment_settings(prepared.url or "", {}, True, None, None)
        settings["timeout"] = (_or_none(watch.connecting()), _or_none(watch.remaining()))
        adapter = session.get_adapter(prepared.url or "")
        watch.sent = True
        response = adapter.send(prepared, **settings)
        for hook in prepared.hooks.get("response", ()):
            # What Session.send would do: a hook may put another response in place of this one.
            response = hook(response, **settings) or response
        return response

    def brings_key(self) -> bool:
        """Tell whether the application's session authorizes its requests itself."""
        session = self._given
        return session is not None and (session.auth is not None or "Authorization" in session.headers)

    def close(self) -> None:
        """Close this process's own connections; a session that was given is left alone."""
        own = self._own.pop(os.getpid(), None)
        if own is not None:
            own.session.close()


def _or_none(seconds: float) -> float | None:
    return None if seconds == math.inf else max(seconds, 0.001)
