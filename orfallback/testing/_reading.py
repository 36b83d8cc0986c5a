"""Reads one HTTP request off a wire."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orfallback.testing._steps import Received

if TYPE_CHECKING:
    from orfallback.testing._wire import Wire

_HEAD_LIMIT = 1 << 16
_BODY_LIMIT = 64 << 20
_TAIL_SHOWN = 4


def read_request(wire: Wire, number: int) -> Received:
    """Read the next request, told to go on if it asks first.

    :param wire: the connection.
    :param number: the request's number on it, from 1.
    :raises ValueError: when it is not HTTP, or longer than 64 MB.
    :raises ClientLeft: when the client leaves before its end.
    """
    first, *lines = wire.read_until(b"\r\n\r\n", _HEAD_LIMIT).decode("latin-1").strip().split("\r\n")
    method, path, version = first.split(" ")
    # Whoever routes the request may rely on its target.
    urlsplit(path)
    headers = _headers(lines)
    if version == "HTTP/1.0":
        headers.setdefault("connection", "close")
    if headers.get("expect", "").lower() == "100-continue":
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    raw = _body(wire, headers)
    body = _parsed(raw)
    asked = body if isinstance(body, dict) else {}
    model = asked.get("model")
    authorization = headers.get("authorization")
    if authorization is not None:
        headers["authorization"] = _masked(authorization)
    return Received(
        time=time.monotonic(),
        method=method,
        path=path,
        model=model if isinstance(model, str) else None,
        stream=asked.get("stream") is True,
        headers=headers,
        authorized=authorization is not None,
        key_digest=_digest(authorization or ""),
        body=body,
        raw=raw,
        connection=wire.number,
        number=number,
    )


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header without a colon")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body(wire: Wire, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunked_body(wire)
    return wire.read(_bounded(int(headers.get("content-length", "0"))))


def _chunked_body(wire: Wire) -> bytes:
    body = bytearray()
    while size := int(wire.read_until(b"\r\n", _HEAD_LIMIT).partition(b";")[0], 16):
        _bounded(len(body) + size)
        body += wire.read(size)
        if wire.read(2) != b"\r\n":
            raise ValueError("a chunk longer than its size")
    while wire.read_until(b"\r\n", _HEAD_LIMIT) != b"\r\n":
        pass
    return bytes(body)


def _bounded(length: int) -> int:
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError(f"a body of {length} bytes")
    return length


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _masked(authorization: str) -> str:
    """The scheme and the key's last four characters, these only of a key too long to be guessed from them."""
    first, space, rest = authorization.strip().partition(" ")
    # What is no scheme may be the key, and whatever follows a scheme is one.
    scheme, key = (f"{first} ", rest) if space and first.isalpha() else ("", authorization.strip())
    # The end of what Basic holds is the end of a password.
    told = len(key) > 3 * _TAIL_SHOWN and scheme.lower() != "basic "
    return f"{scheme}sk-...{key[-_TAIL_SHOWN:] if told else ''}"


def _digest(authorization: str) -> str | None:
    scheme, _, key = authorization.partition(" ")
    return hashlib.sha256(key.encode("latin-1")).hexdigest()[:12] if scheme.lower() == "bearer" else None
