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
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Timeout

from orfallback._request import Request
from orfallback._watch import Watch

# What stands for "no limit" towards sockets, which take no infinity (s).
_FOREVER = 86_400.0 * 365
# A limit is set on the socket anew only if it moved by more: each setting is a system call (s).
_SLACK = 0.005
#: Connections kept for each host: one a thread is what a busy host wants.
POOL_SIZE = 128


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
        if self.status == 101:
            # Whatever the connection speaks now, it is not for us.
            self.will_close = True


class _Watched(HTTPConnection):
    """A connection that obeys the watch, if it is given one, and knows whether it has served before."""

    _served = False

    @property
    def _watch(self) -> Watch | None:
        return getattr(self.timeout, "watch", None)

    def connect(self) -> None:
        self._served = False
        super().connect()
        watch = self._watch
        if watch is not None:
            watch.connected = True
            # The limit for connecting is not for sending: a large body over a slow line takes its time.
            watch.start()
            self.timeout = _Seconds.of(watch.remaining(), watch)
            self.sock.settimeout(self.timeout)

    def request(self, *args: Any, **kwargs: Any) -> None:
        watch = self._watch
        if watch is None:
            super().request(*args, **kwargs)
            return
        if self.sock is not None and self._served and getattr(self.sock, "pending", int)():
            # What TLS holds beyond the last reply would be taken for the next one.
            self.close()
        watch.reused = self._served and self.sock is not None
        if self.sock is not None:
            watch.connected = True
            # urllib3 sets it on the socket: the limit for connecting would be that for sending.
            self.timeout = _Seconds.of(watch.remaining(), watch)
        super().request(*args, **kwargs)
        watch.sent = True
        watch.start()

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._served = True
        return response

    def _respond(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        if self._watch is None:
            return http.client.HTTPResponse(sock, *args, **kwargs)
        return _Response(sock, self._watch, *args, **kwargs)

    # http.client calls it as a class.
    response_class = _respond  # type: ignore[assignment]


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


_POOLS = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """requests' own adapter, over connections whose every read obeys the chain's limits.

    Mount one on a session of your own that you give to a chain, and its limits hold to the byte:
    ``session.mount("https://", WatchedAdapter())``. For everything else it is an ``HTTPAdapter``.
    """

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

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Make the response; a Content-Type that requests cannot read is none."""
        try:
            return super().build_response(req, resp)
        except AttributeError:
            # requests before 2.34 takes ``charset`` without a value for a bool.
            del resp.headers["Content-Type"]
            return super().build_response(req, resp)

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
        application a limit is checked between two reads of the body; a server that drips its *headers* can overrun it
        for as long as it likes, unless a :class:`WatchedAdapter` is mounted there.
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
        # A callable: a header would be replaced by an entry of .netrc.
        auth = _keyless if request.bare else request.secret
        prepared = session.prepare_request(
            requests.Request("POST", request.url, data=request.body, headers=headers, auth=auth)
        )
        # After the session's own hooks, before Session.send looks for a redirect.
        prepared.hooks["response"] = [*prepared.hooks.get("response", ()), _hide_redirect]
        settings: Any = session.merge_environment_settings(prepared.url or "", {}, True, None, None)
        if isinstance(session.get_adapter(prepared.url or ""), WatchedAdapter):
            settings["timeout"] = _Limits(watch)
        else:
            settings["timeout"] = (_or_none(watch.connecting()), _or_none(watch.remaining()))
            watch.connected = watch.sent = True
        try:
            return session.send(prepared, allow_redirects=False, **settings)
        except requests.HTTPError as error:
            if error.response is None:
                raise
            # A hook of the session called raise_for_status(): the status is what the chain wants to judge.
            return error.response

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


def _keyless(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Take off a key that the session brought: it was not given for this origin."""
    request.headers.pop("Authorization", None)
    return request


def _hide_redirect(response: requests.Response, **_: Any) -> None:
    """Keep ``Session.send`` from reading the body of a redirect without limit, which it does even if not to follow."""
    response.headers.pop("Location", None)
