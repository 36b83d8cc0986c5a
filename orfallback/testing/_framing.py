"""How a body is put on the wire: head, length or chunks, compression."""

from __future__ import annotations

import http
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

from orfallback.testing._steps import End, Step

Framing: TypeAlias = Literal["chunked", "gzip", "length", "close", "byte"]
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

LAST_CHUNK = b"0\r\n\r\n"


def one_of(name: str, value: str, choices: Any) -> None:
    """Refuse a value that its Literal type does not list.

    :param name: the argument's name, for the message.
    :param value: what was given.
    :param choices: the Literal type.
    :raises ValueError: naming the choices.
    """
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def to_bytes(body: Any) -> bytes:
    """Bytes as they are, text as UTF-8, anything else as JSON with its characters unescaped."""
    if isinstance(body, bytes):
        return body
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def head(code: int, content_type: str, headers: Headers | None = None, **framing: str) -> bytes:
    """A status line and headers, up to and with the empty line.

    :param code: the HTTP status, known or not.
    :param content_type: value of the Content-Type header; empty for none.
    :param headers: further headers; pairs may repeat a name.
    :param framing: headers of the framing, written with underscores for hyphens.
    """
    try:
        phrase = http.HTTPStatus(code).phrase
    except ValueError:
        phrase = "Unknown"
    fields = [("Content-Type", content_type)] if content_type else []
    fields += [(name.replace("_", "-"), value) for name, value in framing.items()]
    fields += pairs(headers)
    lines = [f"HTTP/1.1 {code} {phrase}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def pairs(headers: Headers | None) -> list[tuple[str, str]]:
    """Headers, however they were given, as pairs of name and value."""
    return list(headers.items() if isinstance(headers, Mapping) else headers or ())


def respond(
    body: Iterable[Step],
    *,
    code: int = 200,
    content_type: str = "application/json",
    headers: Headers | None = None,
    framing: Framing = "chunked",
) -> Iterator[Step]:
    """A whole response, sent step by step in the given framing.

    Nothing after an End is ever sent, so an End in the middle of a body leaves the framing unfinished;
    with "length" what follows it is still counted.

    :param body: the steps of the body; must be finite for "length".
    :param code: the HTTP status.
    :param content_type: value of the Content-Type header.
    :param headers: further headers.
    :param framing: "chunked", "gzip" (compressed in chunks, flushed at each step), "length", "close"
        (ended by FIN alone) or "byte" (chunks of one byte).
    """
    if framing == "length":
        body = list(body)
        length = sum(len(step) for step in body if isinstance(step, bytes))
        yield head(code, content_type, headers, Content_Length=str(length))
        yield from body
    elif framing == "close":
        yield head(code, content_type, headers, Connection="close")
        yield from body
        yield End.CLOSE
    elif framing == "gzip":
        yield head(code, content_type, headers, Content_Encoding="gzip", Transfer_Encoding="chunked")
        yield from _chunked(_gzipped(body))
    else:
        yield head(code, content_type, headers, Transfer_Encoding="chunked")
        yield from _chunked(_single_bytes(body) if framing == "byte" else body)


def _chunked(body: Iterable[Step]) -> Iterator[Step]:
    for step in body:
        # An empty chunk would be the last one.
        if isinstance(step, bytes) and step:
            yield b"%x\r\n%b\r\n" % (len(step), step)
        elif not isinstance(step, bytes):
            yield step
    yield LAST_CHUNK


def _gzipped(body: Iterable[Step]) -> Iterator[Step]:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for step in body:
        # Without the flush the compressor would keep small events back until the end.
        yield packer.compress(step) + packer.flush(zlib.Z_SYNC_FLUSH) if isinstance(step, bytes) else step
    yield packer.flush()


def _single_bytes(body: Iterable[Step]) -> Iterator[Step]:
    for step in body:
        if isinstance(step, bytes):
            yield from (bytes((byte,)) for byte in step)
        else:
            yield step
