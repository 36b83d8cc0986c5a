"""Sessions: the chain's own, one for each process, or the application's."""

from __future__ import annotations

import functools
import math
import os
import socket
from contextvars import ContextVar
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
import requests.utils
from requests.adapters import BaseAdapter

from orfallback._request import Request
from orfallback._secret import PERSONAL
from orfallback._sockets import Limits, WatchedAdapter
from orfallback._watch import Watch

#: Whether what the application's session sends now is a chain's attempt, and not to fall back once more.
sending: ContextVar[bool] = ContextVar("sending", default=False)
#: Connections kept for each host: one a thread is what a busy host wants.
POOL_SIZE = 128
# Of so many URLs it is remembered what requests would find out anew.
_MOST_URLS = 200


class Sends(Protocol):
    """Sends requests, through whatever it has."""

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """Send a request, and return when the headers are there; the body is unread."""

    def brings_key(self) -> bool:
        """Tell whether requests are authorized without a key of the chain's."""


class OwnAdapter(WatchedAdapter):
    """One of ours: what requests finds out anew for each request is found out once for a URL and its settings."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=POOL_SIZE)
        self._forget()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[misc]  # typeshed does not know it
        self._forget()

    def _forget(self) -> None:
        self._pools: dict[Any, Any] = {}
        self._lines: dict[Any, str] = {}
        # Whether pools come from the method below; requests before 2.32.2 gets them in another way.
        self._ready = False

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """Return the pool of a URL's host, ready for TLS."""
        self._ready = True
        # A pair of files may be a list, which requests itself trips over.
        files = tuple(cert) if isinstance(cert, list) else cert
        asked = request.url, verify, files, *(proxies.items() if proxies else ())
        pool = self._pools.get(asked)
        # One that was closed takes no connections any more.
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, files)
            super().cert_verify(pool, request.url, verify, files)  # type: ignore[no-untyped-call]
            _keep(self._pools, asked, pool)
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing for a pool that is ready already."""
        if not self._ready:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return what stands in the first line of a request: a path, or for a proxy a URL."""
        asked = request.url, *(proxies.items() if proxies else ())
        line = self._lines.get(asked)
        if line is None:
            line = super().request_url(request, proxies)
            _keep(self._lines, asked, line)
        return line

    def close(self) -> None:
        """Close every kept connection, also of pools that urllib3 has let go of since it has too many."""
        while self._pools:
            self._pools.popitem()[1].close()
        super().close()


def _keep(known: dict[Any, Any], asked: Any, found: Any) -> None:
    # An application's URLs may be without number.
    if len(known) >= _MOST_URLS:
        known.clear()
    known[asked] = found


class _Own:
    """The chain's own session in this process, with what is the same for every request to a URL made once."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.headers["User-Agent"] = f"orfallback {self.session.headers['User-Agent']!s}"
        self._adapter = OwnAdapter()
        self.session.mount("https://", self._adapter)
        self.session.mount("http://", self._adapter)
        self._prepared: dict[tuple[str, str], tuple[requests.PreparedRequest, dict[str, Any]]] = {}

    def send(self, request: Request, watch: Watch) -> requests.Response:
        prepared, settings = self._prepared.get((request.method, request.url)) or self._prepare(request)
        prepared = prepared.copy()
        if request.headers:
            prepared.headers.update(request.headers)
        if request.body:
            prepared.headers["Content-Length"] = str(len(request.body))
            prepared.body = request.body
        if request.secret is not None:
            request.secret(prepared)
        return self._adapter.send(prepared, timeout=Limits(watch), **settings)  # type: ignore[arg-type]  # typeshed's names floats only

    def _prepare(self, request: Request) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        headers = {**self.session.headers, **_content_type(request)}
        prepared = requests.Request(request.method, request.url, headers=headers).prepare()
        # An empty jar would be copied for each request.
        prepared._cookies = None  # type: ignore[attr-defined]
        settings = dict(self.session.merge_environment_settings(request.url, {}, True, None, None))
        _check_proxy(request.url, settings["proxies"])
        self._prepared[request.method, request.url] = prepared, settings
        return prepared, settings


class Transport:
    """Sends requests through one session for each process and kind of sockets; threads share it.

    :param session: the application's own, used as it is and never closed; None makes one. Through a session of the
        application a limit is checked between two reads of the body; a server that drips its *headers* can overrun it
        for as long as it likes, unless a :class:`WatchedAdapter` is mounted there.
    """

    def __init__(self, session: requests.Session | None = None) -> None:
        self._given = session
        # By process: a forked child never touches its parent's sockets, not even to close them. And by the kind of
        # sockets: when gevent has patched them, one made before would hold up every greenlet.
        self._own: dict[tuple[int, type], _Own] = {}

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """Send a request, and return when the headers are there; the body is unread.

        :raises Exception: whatever requests, urllib3 and http.client raise.
        """
        if self._given is not None:
            return self._send_given(self._given, request, watch)
        here = os.getpid(), socket.socket
        own = self._own.get(here)
        if own is None:
            # Of two threads that come here at once, both use what one of them made.
            own = self._own.setdefault(here, _Own())
        return own.send(request, watch)

    def _send_given(self, session: requests.Session, request: Request, watch: Watch) -> requests.Response:
        headers = {**_content_type(request), **request.headers}
        # A callable: a header would be replaced by an entry of .netrc.
        auth = functools.partial(_let_in, request) if request.foreign else request.secret
        prepared = session.prepare_request(
            requests.Request(request.method, request.url, data=request.body or None, headers=headers, auth=auth)
        )
        # After the session's own hooks, before Session.send looks for a redirect.
        prepared.hooks["response"] = [*prepared.hooks.get("response", ()), _hide_redirect]
        settings: Any = session.merge_environment_settings(prepared.url or "", {}, True, None, None)
        if request.foreign:
            settings["cert"] = None
        _check_proxy(prepared.url or "", settings["proxies"])
        mine = sending.set(True)
        try:
            settings["timeout"] = timeout_for(session.get_adapter(prepared.url or ""), watch)
            return session.send(prepared, allow_redirects=False, **settings)
        except requests.HTTPError as error:
            if error.response is None:
                raise
            # A hook of the session called raise_for_status(): the status is what the chain wants to judge.
            return error.response
        finally:
            sending.reset(mine)

    def brings_key(self) -> bool:
        """Tell whether the application's session authorizes its requests itself."""
        session = self._given
        return session is not None and (session.auth is not None or "Authorization" in session.headers)

    def close(self) -> None:
        """Close this process's own connections; a session that was given is left alone."""
        pid = os.getpid()
        for key in tuple(self._own):
            own = self._own.pop(key, None) if key[0] == pid else None
            if own is not None:
                own.session.close()


def timeout_for(adapter: BaseAdapter, watch: Watch) -> Any:
    """Return what an adapter that is not the chain's own is to be told of the limits."""
    return Limits(watch) if isinstance(adapter, WatchedAdapter) else told_once(watch)


def told_once(watch: Watch) -> tuple[float | None, float | None]:
    """Return the limits for connecting and reading, for what is told once, and does not say when it is connected."""
    timeout = (_or_none(watch.connecting()), _or_none(watch.at_once()))
    watch.connected = watch.sent = True
    return timeout


def _check_proxy(url: str, proxies: Any) -> None:
    """Refuse a proxy that is no address, over which requests stumbles in its own ways.

    :raises requests.exceptions.ProxyError: if there is one.
    """
    proxy = requests.utils.select_proxy(url, proxies)
    if not proxy:
        return
    try:
        parts = urlsplit(proxy if "://" in proxy else f"//{proxy}")
        good = parts.hostname is not None and parts.port != 0
    except ValueError:
        good = False
    if not good:
        # Raised outside of the handler: what it says may hold a password.
        raise requests.exceptions.ProxyError


def _content_type(request: Request) -> dict[str, str]:
    return {"Content-Type": "application/json"} if request.body else {}


def _or_none(seconds: float) -> float | None:
    return None if seconds == math.inf else max(seconds, 0.001)


def _let_in(request: Request, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Take off what the session brought to be let in, which was not meant for this origin; show the target's key."""
    for name in [*prepared.headers]:
        if PERSONAL.search(name) and name not in request.headers:
            del prepared.headers[name]
    return prepared if request.secret is None else request.secret(prepared)


def _hide_redirect(response: requests.Response, **_: Any) -> None:
    """Keep ``Session.send`` from reading the body of a redirect without limit, which it does even if not to follow."""
    response.headers.pop("Location", None)
