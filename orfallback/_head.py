"""The head of a reply, read in one go where it is plain; pure."""

from __future__ import annotations

import re
from http.client import HTTPMessage
from typing import NamedTuple

_NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A status line and header lines of printable ASCII, nothing folded (RFC 9112 sections 4 and 5), of a reply with a body.
_HEAD = re.compile(
    rb"HTTP/1\.1 (2(?!04)[0-9]{2}|[45][0-9]{2})(?: ([ -~]*))?\r\n((?:" + _NAME + rb":[\t -~]*\r\n){1,60})\r\n"
)
_LINE = re.compile(rf"({_NAME.decode()}):[ \t]*([^\r\n]*)\r\n")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Head(NamedTuple):
    """The head of a reply.

    :ivar status: its status.
    :ivar reason: what the server calls that.
    :ivar headers: its headers.
    :ivar chunked: whether its body is.
    :ivar length: how long its body is (bytes); None if it is not said.
    :ivar closes: whether the connection ends with it.
    :ivar size: how long the head itself is (bytes).
    """

    status: int
    reason: str
    headers: HTTPMessage
    chunked: bool
    length: int | None
    closes: bool
    size: int


def plain(held: bytes) -> Head | None:
    """Return the head of a reply to a POST, as ``http.client`` has it; None if it is for ``http.client`` to read.

    That parses headers with the parser for mail, which takes ten times as long as the few lines that servers send need.

    :param held: what has come, from its beginning on.
    """
    found = _HEAD.match(held)
    if found is None:
        return None
    headers = HTTPMessage()
    for name, value in _LINE.findall(found[3].decode("ascii")):
        headers.set_raw(name, value)
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and coding.lower() != "chunked":
        return None
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    chunked = coding is not None
    unframed = not chunked and length is None
    return Head(
        status=int(found[1]),
        reason=(found[2] or b"").decode("ascii").strip(),
        headers=headers,
        chunked=chunked,
        length=None if chunked or length is None else int(length),
        closes=unframed or "close" in headers.get("connection", "").lower(),
        size=found.end(),
    )
