"""Sends each attempt of a call through the adapter that the application has there."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import requests
from requests.adapters import BaseAdapter
from requests.utils import get_environ_proxies, should_bypass_proxies
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry, Timeout

from orfallback._config import origin
from orfallback._faults import WIRE_ERRORS
from orfallback._request import Request
from orfallback._secret import PERSONAL
from orfallback._sockets import Limits, WatchedAdapter
from orfallback._tee import Tee
from orfallback._transport import timeout_for, told_once
from orfallback._watch import Watch


class Reply(NamedTuple):
    """A reply, as the application would have seen it.

    :ivar response: status and headers; its body is read by ``tee`` alone.
    :ivar tee: its body, as far as it was read.
    :ivar home: whether it came from the origin that the application called.
    """

    response: requests.Response
    tee: Tee
    home: bool


@dataclass
class Sent:
    """What came of one attempt.

    :ivar reply: the reply; None if there was none.
    :ivar error: what was raised instead of one.
    """

    reply: Reply | None = None
    error: Exception | None = None


class Redirected(Exception):
    """The first attempt was redirected, which is for the application's session to follow.

    :ivar response: the reply, unread.
    """

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.response = response


class Through:
    """Sends through an application's adapter, with its pool, TLS settings and proxies.

    :param inner: the adapter.
    :param request: the application's request, whose headers go with every attempt.
    :param settings: ``verify``, ``cert`` and ``proxies``, as the session has put them together.
    :param timeout: the application's own.
    :param called: where the request goes, as the chain calls it.
    :param trust_env: whether the environment's proxies count.
    :ivar timeout: likewise.
    :ivar first: what came of the first attempt where the application called; None if there was none.
    :ivar last: what came of the last one.
    """

    def __init__(
        self,
        inner: BaseAdapter,
        request: requests.PreparedRequest,
        settings: dict[str, Any],
        timeout: Timeout,
        called: str,
        *,
        trust_env: bool,
    ) -> None:
        self._inner = _without_waits(inner)
        self._request = request
        self._settings = settings
        self._called = called
        self._trust_env = trust_env
        self.timeout = timeout
        self.first: Sent | None = None
        self.last = Sent()

    def begin(self) -> None:
        """Begin an attempt; sent twice, because a connection was stale, it is still one."""
        self.last = Sent()

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """Send an attempt, and return when the headers are there.

        :raises Redirected: if it is the first where the application called, and the reply is a redirect.
        :raises Exception: whatever the adapter raises.
        """
        sent = self.last
        home = origin(request.url) == origin(self._called)
        if home and self.first is None:
            self.first = sent
        prepared = self._prepared(request, home=home)
        settings = self._settings if home else {**self._settings, "cert": None, "proxies": self._proxies(request.url)}
        timeout, read = self._told(watch)
        failed = functools.partial(_blame, watch, read)
        try:
            response = self._inner.send(prepared, stream=True, timeout=timeout, **settings)
        except WIRE_ERRORS as error:
            failed(error)
            sent.error = error
            raise
        if response.is_redirect and sent is self.first:
            raise Redirected(response)
        tee = Tee(response, failed)
        # A refusal is small as a rule, and its connection is worth keeping until it is known who reads it.
        tee.held = sent is self.first and response.status_code // 100 != 2
        sent.reply, sent.error = Reply(response, tee, home), None
        return _unread(response, tee)

    def brings_key(self) -> bool:
        """Tell whether requests are authorized without a key of the chain's.

        Where the application called, that is for the server to say, as it would without this library.
        """
        return True

    def take_first(self) -> Sent:
        """Return what came of the first attempt, which is its receiver's to close from now on."""
        first, self.first = self.first or Sent(), None
        return first

    def release(self) -> None:
        """Close the first attempt, which was held, unless somebody has taken it."""
        reply = self.take_first().reply
        if reply is not None:
            reply.tee.let_go()

    def _told(self, watch: Watch) -> tuple[Any, float | None]:
        """Return what the adapter is told of the limits, and the application's own for reading if that may be hit."""
        own = self.timeout
        own_read = _least(own._read, own.total)
        if own_read is None:
            return timeout_for(self._inner, watch), None
        if isinstance(self._inner, WatchedAdapter) and own.total is None:
            watch.single = own_read
            return Limits(watch), own_read
        connect, read = told_once(watch)
        least = _least(connect, own.connect_timeout), _least(read, own._read)
        told = least if own.total is None else Timeout(connect=least[0], read=least[1], total=own.total)
        return told, own_read if read is None or own_read < read else None

    def _proxies(self, url: str) -> Mapping[str, str]:
        """Return the proxies for another origin: the session has put its own together for the one that was called."""
        proxies: Mapping[str, str] = self._settings["proxies"] or {}
        if not self._trust_env:
            return proxies
        exempt = proxies.get("no_proxy")
        if should_bypass_proxies(url, no_proxy=exempt):
            return {}
        return {**get_environ_proxies(url, no_proxy=exempt), **proxies}

    def _prepared(self, request: Request, *, home: bool) -> requests.PreparedRequest:
        prepared = self._request.copy()
        if not home:
            for name in [*prepared.headers]:
                if PERSONAL.search(name):
                    del prepared.headers[name]
        prepared.body = request.body
        if request.url != self._called:
            prepared.url = request.url
        prepared.headers["Content-Length"] = str(len(request.body))
        prepared.headers.setdefault("Content-Type", "application/json")
        prepared.headers.update(request.headers)
        if request.secret is not None:
            request.secret(prepared)
        return prepared


def _without_waits(adapter: BaseAdapter) -> BaseAdapter:
    """Return the like of an adapter whose own retries come at once.

    urllib3 sleeps between them, for as long as a server asks for, past every limit and before another model is asked.
    What it holds, and does else, is the adapter's own.
    """
    retries = getattr(adapter, "max_retries", None)
    if not isinstance(retries, Retry) or retries.total == 0:
        return adapter
    hasty = retries.new(backoff_factor=0, respect_retry_after_header=False)
    like: type[BaseAdapter] = type(type(adapter).__name__, (type(adapter),), {"max_retries": property(lambda _: hasty)})
    other = object.__new__(like)
    other.__dict__ = adapter.__dict__
    return other


def _least(*seconds: Any) -> float | None:
    """Return the smallest of some limits; None, and what urllib3 puts for its default, is no limit."""
    return min((each for each in seconds if isinstance(each, (int, float))), default=None)


def _blame(watch: Watch, seconds: float | None, error: Exception) -> bool:
    """Let the record name the application's limit for reading, where that is the one that was hit.

    :returns: whether the application would have met the error without the chain and its limits.
    """
    if not isinstance(error, (requests.ReadTimeout, ReadTimeoutError)):
        return True
    own = seconds is not None and (watch.single == math.inf or watch.remaining() > 0)
    if own:
        watch.limit, watch.seconds = "nothing came within the application's", seconds or 0.0
    return own


def _unread(response: requests.Response, tee: Tee) -> requests.Response:
    """Return the like of a response for the chain to read, whatever has read the other before."""
    like = requests.Response()
    like.__dict__.update(response.__dict__)
    like._content, like._content_consumed = False, False  # type: ignore[attr-defined, assignment]  # how requests says "unread"
    like.raw = tee
    return like
