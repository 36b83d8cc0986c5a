"""What an application asks of an endpoint by itself: its request, read as a call; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.util import Timeout

from orfallback import _reply
from orfallback._config import origin
from orfallback._payload import Payload
from orfallback._secret import Secret
from orfallback._sender import CHAT
from orfallback._types import Json, Target, Timeouts

# The older interface has the same models, faults and framing, and a prompt for the messages.
_PATHS = (CHAT, "/completions")
# Of so many ways to ask it is remembered whom they lead to.
_MOST_WAYS = 100


@dataclass(frozen=True)
class Asked:
    """A request of an application for a completion.

    :ivar base_url: where it went, up to and without the path.
    :ivar path: the rest: ``/chat/completions`` or ``/completions``.
    :ivar models: whom it names, the preferred one first.
    :ivar listed: whether it lists them itself, in OpenRouter's ``models``.
    :ivar payload: the body, without them.
    :ivar secret: the key that it brings, or None.
    :ivar authorized: whether it brings a key or anything else that authorizes it.
    """

    base_url: str
    path: str
    models: tuple[str, ...]
    listed: bool
    payload: Payload
    secret: Secret | None
    authorized: bool

    @property
    def url(self) -> str:
        """The URL that it went to, without a user or fragment."""
        return f"{self.base_url}{self.path}"

    @property
    def origin(self) -> str:
        """The origin that it went to."""
        return origin(self.base_url)


def read(request: requests.PreparedRequest) -> Asked | None:
    """Return what a request asks; None if it is no request for a completion that could be sent to another model."""
    if request.method != "POST" or not isinstance(request.url, str) or not isinstance(request.body, (str, bytes)):
        return None
    parts = urlsplit(request.url)
    path = next((path for path in _PATHS if parts.path.endswith(path)), None)
    if path is None or parts.query or "Content-Encoding" in request.headers:
        return None
    found = _body(request.body)
    if found is None:
        return None
    models, payload, listed = found
    # A user in the URL is in the header by now, and not for any record.
    base_url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix(path)}"
    secret, authorized = _authorization(request)
    return Asked(base_url, path, models, listed, payload, secret, authorized)


def _body(raw: str | bytes) -> tuple[tuple[str, ...], Payload, bool] | None:
    """Return the models that a body names, the rest of it, and whether it lists several; None if it is of no use."""
    try:
        body = _reply.decode(raw)
        if not isinstance(body, dict) or not ("messages" in body or "prompt" in body):
            return None
        # What is not as the interface has it is for the server to complain of.
        if not isinstance(body.get("stream"), bool | None):
            return None
        models = _models(body)
        return (models, Payload.of_body(body), bool(body.get("models"))) if models else None
    except ValueError:
        # No JSON, or NaN, which Python takes for JSON.
        return None


def _models(body: Json) -> tuple[str, ...]:
    """Return the models that a body names, each once; () if it names none, or names them in a way of its own."""
    model, models = body.get("model"), body.get("models")
    if not isinstance(models, list | None):
        return ()
    named = [*([] if model is None else [model]), *(models or [])]
    good = all(isinstance(name, str) and name.isprintable() and name and " " not in name for name in named)
    return tuple(dict.fromkeys(named)) if good else ()


def _authorization(request: requests.PreparedRequest) -> tuple[Secret | None, bool]:
    """Return the key that a request brings, if it is one, and whether it brings anything that authorizes it."""
    header: str | bytes = request.headers.get("Authorization", "")
    scheme, _, token = (header.decode("latin-1") if isinstance(header, bytes) else header).partition(" ")
    try:
        return Secret(token) if scheme.lower() == "bearer" else None, bool(scheme)
    except ValueError:
        return None, True


class Addressees:
    """Whom to ask for what applications ask for: found out once for each way to ask, of which few are many.

    :param chain: the chain's own targets.
    """

    def __init__(self, chain: Sequence[Target]) -> None:
        self._chain = chain
        self._known: dict[tuple[object, ...], tuple[Target, ...]] = {}

    def of(self, asked: Asked, own: str) -> tuple[Target, ...]:
        """Return the models that an application names where it asked for them, then the chain's others.

        A model that the chain knows at that origin is asked with what the chain sets for it. What the application
        brings to authorize itself serves every target at the origin that it called.

        :param own: the endpoint that the chain itself would ask at that origin.
        """
        endpoint = own
        if asked.authorized:
            endpoint = asked.origin if asked.secret is None else f"{asked.origin}#{asked.secret.digest}"
        way = asked.base_url, asked.models, asked.listed, asked.authorized, endpoint
        found = self._known.get(way)
        if found is None:
            found = self._found(asked, endpoint)
            if len(self._known) >= _MOST_WAYS:
                # A gateway of somebody's brings its users' keys.
                self._known.clear()
            self._known[way] = found
        return found

    def _found(self, asked: Asked, endpoint: str) -> tuple[Target, ...]:
        here = asked.origin
        known = {target.model: target for target in reversed(self._chain) if origin(target.base_url) == here}
        named = [
            replace(known.get(model) or Target(model, name=model), base_url=asked.base_url, endpoint=endpoint)
            for model in asked.models
        ]
        if asked.listed:
            return tuple(named)
        others = [each for each in self._chain if each.model != asked.models[0] or origin(each.base_url) != here]
        if asked.authorized:
            others = [replace(each, endpoint=endpoint) if origin(each.base_url) == here else each for each in others]
        return (*named, *others)


def timeout_of(timeout: Any) -> Timeout:
    """Return an application's ``timeout=``.

    :param timeout: seconds, a pair of seconds for connecting and reading, a ``urllib3.Timeout``, or None.
    :raises ValueError: for what requests does not take.
    """
    if isinstance(timeout, Timeout):
        return timeout
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return Timeout(connect=connect, read=read)


def under(limits: Timeouts, timeout: Timeout) -> Timeouts:
    """Return the limits under an application's timeout: the smaller one holds.

    That for reading bounds each single read, as requests has it; none of the limits does.
    """
    connect = timeout.connect_timeout
    if isinstance(connect, (int, float)) and connect < (math.inf if limits.connect is None else limits.connect):
        return replace(limits, connect=float(connect))
    return limits
