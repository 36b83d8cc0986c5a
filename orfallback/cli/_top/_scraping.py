"""Fetching a page of metrics, within bounds of time and size."""

from __future__ import annotations

import math
import os
from urllib.parse import urlsplit

import requests

from orfallback._clock import SystemClock
from orfallback._exchange import Exchange
from orfallback._faults import WIRE_ERRORS, Cut, cut_by
from orfallback._request import Request
from orfallback._secret import Secret
from orfallback._sockets import WatchedAdapter
from orfallback._transport import Transport
from orfallback._watch import Watch
from orfallback.cli._shown import shown
from orfallback.cli._surroundings import is_loopback

#: The longest wait for a page (s), and its largest size (bytes).
PATIENCE = 5.0
LARGEST = 8 * 1024 * 1024
# Not OpenMetrics, which the same server may speak as well.
_ACCEPT = "text/plain; version=0.0.4"


class Unread(Exception):
    """A source cannot be read now; says why in words that follow its name."""


class Page:
    """A page of metrics, fetched over one connection that is kept.

    :param url: where it is; http or https.
    :param token: what is shown to its server, or None.
    :param patience: the longest wait, in seconds.
    :ivar name: host, port and path: what may be shown.
    """

    def __init__(self, url: str, token: Secret | None = None, patience: float = PATIENCE) -> None:
        parts = urlsplit(url)
        self.name = shown(f"{parts.netloc}{parts.path}")
        self._patience = patience
        self._request = Request("", url, b"", {"Accept": _ACCEPT}, token, foreign=True, method="GET")
        session = requests.Session()
        session.headers["User-Agent"] = f"orfallback {session.headers['User-Agent']!s}"
        # A proxy would look for the address on its own machine.
        session.trust_env = not is_loopback(url)
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        adapter = WatchedAdapter(pool_maxsize=1)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        self._session = session
        self._transport = Transport(session)

    def fetch(self) -> str:
        """Return what it says now.

        :raises Unread: if nothing good came.
        """
        try:
            exchange = self._send()
            try:
                _check(exchange)
                content = b"".join(exchange.chunks(LARGEST))
            finally:
                exchange.close()
        except Cut as cut:
            raise Unread(f"cannot be read: {cut.detail}") from None
        return content.decode(errors="replace")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _send(self) -> Exchange:
        clock = SystemClock()
        watch = Watch(clock, math.inf, self._patience)
        watch.allow("answer", self._patience)
        exchange = Exchange(clock, watch, self._request)
        for last in (False, True):
            try:
                exchange.begin(self._transport.send(self._request, watch))
                break
            except WIRE_ERRORS as error:
                cut = cut_by(error, watch)
                # The connection was kept, and its server is another one by now.
                if last or not cut.stale:
                    raise cut from None
        return exchange


def _check(exchange: Exchange) -> None:
    """Refuse a reply whose status is no good one.

    :raises Unread: in words.
    """
    status = exchange.status or 0
    if exchange.good:
        return
    if status in (401, 403):
        raise Unread(f"wants a token ({status}): --token-env names the variable that holds it")
    if 300 <= status < 400:
        raise Unread(f"points elsewhere ({status}): name the address that it points to")
    if status == 404:
        raise Unread("serves no metrics at this path (404)")
    raise Unread(f"answers with status {status}")
