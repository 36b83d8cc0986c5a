"""What is sent: checked and encoded once for each call, made different for each target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orfallback import _reply
from orfallback._types import Json, Target

#: What a chat may be given as: one user message, or all messages.
Messages = str | Sequence[Mapping[str, Any]]
# What the chain itself sets.
_OWN = frozenset({"model", "models", "stream"})
_MODELS = "the chain has them; use chain.replace(models=...) for others"
_HEADERS = "set headers in a plugin's orfallback_prepare, or on a session of your own"
# What callers of requests and of SDKs try, which would go to the service as it is and do nothing there.
_NOT_SENT = {
    "model": _MODELS,
    "models": _MODELS,
    "stream": "use chain.stream(), and chain.replace(models=...) for other models",
    "timeout": "use Chain(timeouts=Timeouts(...)), or chain.replace(timeouts=...)",
    "timeouts": "use Chain(timeouts=Timeouts(...)), or chain.replace(timeouts=...)",
    "deadline": "use Chain(timeouts=Timeouts(deadline=...)), or chain.replace(timeouts=...)",
    "headers": _HEADERS,
    "extra_headers": _HEADERS,
    "extra_body": "what it holds goes into the body as parameters: chain.complete(..., **extra)",
    "api_key": "a key belongs to the chain, or to a Target",
    "base_url": "an endpoint belongs to the chain, or to a Target",
}


class Payload:
    """The body of a call, encoded before the first attempt: what the caller changes later has no effect.

    :param messages: one user message, or a sequence of message objects.
    :param params: further parameters, put into the JSON as they are.
    :param stream: whether a stream is asked for.
    :ivar stream: likewise.
    :raises TypeError: for messages or parameters that are no JSON, or that are the chain's to set.
    :raises ValueError: for no messages, and for NaN.
    """

    __slots__ = ("_body", "fields", "stream")

    def __init__(self, messages: Messages, params: Mapping[str, Any], *, stream: bool) -> None:
        for name in params:
            if name in _NOT_SENT:
                raise TypeError(f"{name} is no parameter of a call: {_NOT_SENT[name]}")
        self._take({"messages": _messages(messages), **params}, stream)

    @classmethod
    def of_body(cls, body: Json) -> Payload:
        """Return the payload of a body that an application made, whatever its fields; its models are the caller's.

        :param body: the body, decoded.
        """
        payload = cls.__new__(cls)
        kept = {name: value for name, value in body.items() if name not in _OWN}
        payload._take(kept, body.get("stream") is True)
        return payload

    def _take(self, fields: Json, stream: bool) -> None:
        #: The body without ``model`` and ``stream``; what plugins see as the call's payload.
        self.fields: Json = fields
        self.stream = stream
        self._body = _encode_given(fields)

    def for_target(self, target: Target) -> bytes:
        """Return the encoded body for a target."""
        if target.set or target.drop:
            return self.encode(self.own_copy(target), target)
        # A prompt may be of megabytes: it is copied once, without its brace.
        return b"".join((self._head(target), memoryview(self._body)[1:]))

    def own_copy(self, target: Target) -> Json:
        """Return a deep copy of the fields, with what the target sets and drops, for plugins to change."""
        fields: Json = json.loads(self._body)
        for name in target.drop:
            fields.pop(name, None)
        fields.update(json.loads(_encode(dict(target.set))))
        return fields

    def encode(self, fields: Json, target: Target) -> bytes:
        """Return the encoded body of changed fields."""
        kept = {name: value for name, value in fields.items() if name not in _OWN}
        return self._head(target) + _encode(kept)[1:] if kept else self._head(target)[:-1] + b"}"

    def _head(self, target: Target) -> bytes:
        stream = b'"stream":true,' if self.stream else b""
        return b'{"model":' + json.dumps(target.model).encode() + b"," + stream

    def __repr__(self) -> str:
        # One whose making failed has nothing yet; a traceback may show it all the same.
        return f"<Payload of {len(getattr(self, '_body', b'{')) - 1} bytes>"


def _messages(messages: object) -> list[Any]:
    if isinstance(messages, str):
        if not messages:
            raise ValueError("the message is empty")
        return [{"role": "user", "content": messages}]
    if isinstance(messages, (bytes, bytearray, Mapping)) or not isinstance(messages, Sequence):
        raise TypeError(f"messages are a str or a sequence of dicts, not {type(messages).__name__}")
    if not messages:
        raise ValueError("there are no messages")
    for message in messages:
        if not isinstance(message, Mapping):
            raise TypeError(f"a message is a dict, not {type(message).__name__}")
    return [dict(message) for message in messages]


def _encode_given(fields: Json) -> bytes:
    """Encode what the caller gave, and say which of it is no JSON."""
    try:
        return _encode(fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            _encode_named(name, value)
        raise


def _encode_named(name: str, value: Any) -> None:
    try:
        _encode({name: value})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} is no JSON: {error}") from None


def _encode(fields: Json) -> bytes:
    try:
        return _reply.encode(fields)
    except RecursionError:
        raise ValueError("messages or parameters are nested too deep for JSON") from None
