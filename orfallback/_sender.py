"""Asks one target once: body, headers and key of one attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from requests.structures import CaseInsensitiveDict

from orfallback import _config
from orfallback._payload import Payload
from orfallback._plugins import Hooks
from orfallback._request import Request
from orfallback._secret import Secret, Unshown
from orfallback._types import Call, Outcome, Target
from orfallback._verdict import Fault
from orfallback._wire import Wire

#: Where chats are asked for, behind an endpoint's base URL.
CHAT = "/chat/completions"


class Sender:
    """Asks one target once, for one call.

    :param wire: what asks.
    :param payload: what is asked.
    :param hooks: the plugins, which may change it.
    :param secrets: the keys, by endpoint.
    :param home: the origin for which a key that the transport brings was given.
    :param path: where to ask, behind a target's base URL.
    """

    __slots__ = ("_home", "_hooks", "_path", "_payload", "_secrets", "_wire")

    def __init__(
        self, wire: Wire, payload: Payload, hooks: Hooks, secrets: Mapping[str, Secret], home: str, path: str = CHAT
    ) -> None:
        self._home = home
        self._path = path
        self._wire = wire
        self._payload = payload
        self._hooks = hooks
        self._secrets = secrets

    def __call__(self, call: Call, target: Target) -> Outcome:
        headers: Mapping[str, str] = {}
        if self._hooks.prepares:
            headers = CaseInsensitiveDict()
            fields = Unshown(self._payload.own_copy(target))
            self._hooks.prepare(call=call, target=target, payload=fields, headers=headers)
            _check_headers(headers)
            body = self._payload.encode(fields, target)
        else:
            body = self._payload.for_target(target)
        url = f"{target.base_url}{self._path}"
        secret = self._secrets.get(target.endpoint)
        origin = target.endpoint.partition("#")[0]
        bare = secret is None and "Authorization" not in headers
        if bare and origin == _config.OPENROUTER and not (origin == self._home and self._wire.transport.brings_key()):
            detail = (
                f"no key for OpenRouter: pass api_key, or set {_config.KEY_VARIABLE}, which Chain() reads for itself"
            )
            return Outcome(fault=Fault.NO_KEY, detail=detail, model=target.model, url=url)
        # What the application's session brings to be let in is for the chain's own origin.
        request = Request(target.model, url, body, headers, secret, foreign=origin != self._home)
        return self._wire.ask(request, stream=call.stream, deadline=call.deadline)


def _check_headers(headers: Mapping[Any, Any]) -> None:
    """Refuse what a plugin set and no request can carry: it is the plugin's fault, not the server's."""
    for name, value in headers.items():
        line = f"{name}{value}" if isinstance(name, str) and isinstance(value, str) else "\n"
        if not (line.isascii() and line.isprintable()):
            raise ValueError(f"orfallback_prepare set the header {name!r} to what is no line of printable ASCII")
