"""Exceptions into faults: the one place that knows what requests, urllib3 and sockets raise."""

from __future__ import annotations

import errno
import http.client
import ssl
from collections.abc import Callable
from typing import Any

import requests
import urllib3.exceptions

from orfallback._text import clean
from orfallback._verdict import Fault
from orfallback._watch import Watch

#: What requests, urllib3 and http.client raise for a fault of the wire. ValueError covers what leaks from them for
#: odd chunk sizes and host names. Nothing wider: Celery's SoftTimeLimitExceeded is an Exception and has to pass.
WIRE_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)


class Cut(Exception):
    """Sending a request or reading its reply failed.

    :ivar fault: the kind.
    :ivar detail: in words of ours: an exception's own text may hold the key.
    :ivar stale: whether a kept connection died before any byte of the reply: the server had given it up.
    """

    def __init__(self, fault: Fault, detail: str, *, stale: bool = False) -> None:
        super().__init__()
        self.fault = fault
        self.detail = detail
        self.stale = stale


def cut_by(error: Exception, watch: Watch) -> Cut:
    """Turn what requests, urllib3 or the socket raised into a fault; nothing of the exception is kept.

    Its request holds the key, and its frames hold the prompt. They are let go at once: urllib3's own frames hold the
    exception in turn, a cycle that would keep the reply until the next collection of garbage.

    :param error: the exception, whose causes are looked at, too.
    :param watch: the watch that the attempt ran under.
    """
    forget_frames(error)
    causes = _causes(error)
    if any(isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE) for cause in causes):
        # Whatever it was that could not be opened, a file for TLS or a socket: no set-up is wrong.
        return Cut(Fault.CONNECT, "too many open files")
    if any(isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause) for cause in causes):
        # The URL is sound; requests says so of the proxy's where PySocks is not installed.
        return Cut(Fault.PROXY, 'a SOCKS proxy needs a package: pip install "requests[socks]"')
    for kinds, fault, words in _TABLE:
        for cause in causes:
            if isinstance(cause, kinds):
                stale = watch.reused and watch.received == 0 and isinstance(cause, ConnectionError)
                return Cut(fault, words(cause, watch) if callable(words) else words, stale=stale)
    # What requests raises for a REQUESTS_CA_BUNDLE that is not there is a bare OSError.
    return Cut(Fault.CERTIFICATE, "a file for TLS cannot be read; see REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE")


def forget_frames(error: Exception) -> None:
    """Let go of the frames that an exception, and those inside it, have passed."""
    for cause in _causes(error):
        cause.__traceback__ = None


def _causes(error: BaseException) -> list[BaseException]:
    """Return the exceptions inside an exception: requests and urllib3 pass them on as arguments, or as ``reason``."""
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(found) < 20:
        this = todo.pop()
        if isinstance(this, BaseException) and this not in found:
            found.append(this)
            todo += [*this.args, getattr(this, "reason", None), this.__cause__, this.__context__]
    return found


def _ran_out(_: BaseException, watch: Watch) -> str:
    return watch.what_ran_out()


def _certificate(cause: BaseException, _: Watch) -> str:
    return clean(f"certificate refused: {getattr(cause, 'verify_message', '')}")


def _tls(cause: BaseException, _: Watch) -> str:
    reason = getattr(cause, "reason", None)
    return clean(f"TLS failed: {reason}") if isinstance(reason, str) else "TLS failed"


_Words = str | Callable[[BaseException, Watch], str]

# The first row of which a kind stands among the causes decides: from what names the cause to what only wraps it.
_TABLE: tuple[tuple[tuple[type[BaseException], ...], Fault, _Words], ...] = (
    ((requests.exceptions.ConnectTimeout,), Fault.CONNECT, lambda _, watch: watch.no_connection()),
    ((requests.exceptions.RetryError,), Fault.RESET, "the session's own retries were used up"),
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), Fault.PROXY, "the proxy failed"),
    ((ConnectionRefusedError,), Fault.CONNECT, "connection refused"),
    ((urllib3.exceptions.NameResolutionError,), Fault.CONNECT, "the host name has no address"),
    ((urllib3.exceptions.NewConnectionError,), Fault.CONNECT, "no connection"),
    ((requests.exceptions.ReadTimeout, urllib3.exceptions.TimeoutError, TimeoutError), Fault.TIMEOUT, _ran_out),
    ((ssl.SSLCertVerificationError,), Fault.CERTIFICATE, _certificate),
    # A server that is going down closes so; a fault of the set-up would say why.
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), Fault.RESET, "closed in the TLS handshake"),
    ((ssl.SSLError,), Fault.CERTIFICATE, _tls),
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError), Fault.CERTIFICATE, "TLS failed"),
    ((requests.exceptions.InvalidHeader,), Fault.MALFORMED, "the reply is garbled"),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationValueError,
            UnicodeError,
        ),
        Fault.BAD_URL,
        "the URL cannot be asked",
    ),
    (
        (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError),
        Fault.MALFORMED,
        "the reply is garbled",
    ),
    ((ConnectionError,), Fault.RESET, "closed by the server"),
    ((http.client.IncompleteRead,), Fault.TRUNCATED, "the reply was cut off"),
    ((http.client.HTTPException,), Fault.MALFORMED, "the reply is not HTTP"),
    (
        (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError),
        Fault.TRUNCATED,
        "the reply was cut off",
    ),
    ((requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError), Fault.RESET, "the connection broke"),
    ((requests.RequestException, ValueError), Fault.MALFORMED, "the reply is garbled"),
)
