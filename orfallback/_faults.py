"""Exceptions into faults: the one place that knows what requests, urllib3 and sockets raise."""

from __future__ import annotations

import ssl
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
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__()
        self.fault = fault
        self.detail = detail


def is_stale(error: Exception, watch: Watch) -> bool:
    """Tell whether a kept connection died before any byte of the reply: the server had given it up.

    :param error: what sending raised.
    :param watch: the watch that the attempt ran under.
    """
    inner = error.args[0] if error.args else None
    cause = inner.args[1] if isinstance(inner, urllib3.exceptions.ProtocolError) and len(inner.args) > 1 else None
    return watch.reused and watch.received == 0 and isinstance(cause, ConnectionError)


def cut_by(error: Exception, watch: Watch) -> Cut:
    """Turn what requests, urllib3 or the socket raised into a fault; nothing of the exception is kept.

    Its request holds the key, and its frames hold the prompt.
    """
    for kinds, fault in _FAULTS:
        if isinstance(error, kinds):
            if fault is Fault.TIMEOUT:
                return Cut(fault, watch.what_ran_out())
            return _refine(fault, error, watch)
    # What requests raises for a REQUESTS_CA_BUNDLE that is not there is a bare OSError.
    return Cut(Fault.CERTIFICATE, "a file for TLS cannot be read; see REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE")


_FAULTS: tuple[tuple[tuple[type[BaseException], ...], Fault], ...] = (
    ((requests.exceptions.ConnectTimeout,), Fault.CONNECT),
    ((requests.exceptions.ReadTimeout, urllib3.exceptions.TimeoutError, TimeoutError), Fault.TIMEOUT),
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), Fault.PROXY),
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError), Fault.CERTIFICATE),
    ((requests.exceptions.InvalidHeader,), Fault.MALFORMED),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationValueError,
            UnicodeError,
        ),
        Fault.BAD_URL,
    ),
    (
        (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError),
        Fault.MALFORMED,
    ),
    (
        (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError),
        Fault.TRUNCATED,
    ),
    ((requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError, ConnectionError), Fault.RESET),
    ((requests.RequestException, ValueError), Fault.MALFORMED),
)


def _refine(fault: Fault, error: BaseException, watch: Watch) -> Cut:
    if fault is Fault.CONNECT:
        return Cut(fault, watch.what_ran_out())
    causes = _causes(error)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Cut(Fault.PROXY if fault is Fault.PROXY else Fault.CONNECT, "connection refused")
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return Cut(Fault.PROXY if fault is Fault.PROXY else Fault.CONNECT, "the host name has no address")
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
        return Cut(Fault.PROXY if fault is Fault.PROXY else Fault.CONNECT, "no connection")
    if any(isinstance(cause, (TimeoutError, urllib3.exceptions.ReadTimeoutError)) for cause in causes):
        return Cut(Fault.TIMEOUT, watch.what_ran_out())
    if fault is Fault.CERTIFICATE:
        return _tls(causes)
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return Cut(Fault.RESET if fault is Fault.TRUNCATED else fault, "the connection was closed by the server")
    if fault is Fault.RESET and any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in causes):
        return Cut(Fault.MALFORMED, "the reply is not HTTP")
    return Cut(fault, _WORDS.get(fault, "the connection broke"))


def _tls(causes: list[BaseException]) -> Cut:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Cut(Fault.CERTIFICATE, clean(f"certificate refused: {cause.verify_message}"))
        if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
            # A server that is going down closes so; a fault of the set-up would say why.
            return Cut(Fault.RESET, "the connection was closed in the TLS handshake")
    reasons = [cause.reason for cause in causes if isinstance(cause, ssl.SSLError) and isinstance(cause.reason, str)]
    return Cut(Fault.CERTIFICATE, clean(f"TLS failed: {reasons[0]}" if reasons else "TLS failed"))


_WORDS = {
    Fault.TRUNCATED: "the reply was cut off",
    Fault.MALFORMED: "the reply is garbled",
    Fault.BAD_URL: "the URL cannot be asked",
    Fault.PROXY: "the proxy failed",
}


def _causes(error: BaseException) -> list[BaseException]:
    """Return the exceptions inside an exception: requests and urllib3 pass them on as arguments, or as ``reason``."""
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(found) < 20:
        this = todo.pop()
        if isinstance(this, BaseException) and this not in found:
            found.append(this)
            todo += [*this.args, getattr(this, "reason", None), getattr(this, "original_error", None), this.__cause__]
    return found
