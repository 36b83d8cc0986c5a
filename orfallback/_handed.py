"""A body that is handed on while it is guarded: what was read so far, then what the chain reads on."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Generator
from typing import Any

import requests
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.response import BaseHTTPResponse

from orfallback._errors import StreamInterrupted
from orfallback._stream import Stream
from orfallback._tee import Tee
from orfallback._through import Reply

# What urllib3 would do once more: it has been undone already.
_DONE = ("Content-Encoding", "Transfer-Encoding", "Content-Length")
_PIECE = 65536
# An event of a stream, and what tells in one that the answer is whole; in a text of JSON it would be escaped.
_EVENT = re.compile(rb"^data:", re.MULTILINE)
_WHOLE = re.compile(rb'^data:[ \t]*\[DONE\]|"finish_reason"\s*:\s*"', re.MULTILINE)


class _Body(io.BufferedIOBase):
    """Bytes that are at hand, then those that :meth:`_more` brings.

    :param first: the bytes at hand.
    """

    def __init__(self, first: bytes) -> None:
        self._piece = first
        self._at = 0

    def _more(self) -> bytes:
        """Return more bytes, or raise; b"" is the end."""
        return b""

    def _leave(self) -> None:
        """Nobody will read on."""

    def read1(self, size: int = -1) -> bytes:
        if self._at >= len(self._piece):
            self._piece, self._at = self._more(), 0
        end = len(self._piece) if size < 0 else self._at + size
        piece = self._piece[self._at : end]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        # Again, too, when it is dropped: leaving twice does nothing.
        try:
            self._leave()
        finally:
            super().close()


class _Running(_Body):
    """The body of a stream that was begun, as it is received.

    :param stream: the stream, whose connection is read through ``tee``.
    """

    def __init__(self, stream: Stream, tee: Tee) -> None:
        super().__init__(tee.take())
        self._stream = stream
        self._tee = tee
        # Not the error: with its traceback it would hold this body, which holds it.
        self._broken: dict[str, Any] | None = None

    def _more(self) -> bytes:
        while self._broken is None:
            try:
                next(self._stream)
            except StopIteration:
                return self._tee.take()
            except StreamInterrupted as error:
                names = ("text", "attempts", "reason", "retry_after", "response")
                self._broken = {"message": str(error), **{name: getattr(error, name) for name in names}}
            piece = self._tee.take()
            if piece:
                return piece
        raise StreamInterrupted(**self._broken)

    def _leave(self) -> None:
        try:
            if self._seen_whole():
                # To what stands behind the answer, so that the call is one that was answered, and its connection kept.
                for _ in self._stream:
                    pass
        except requests.RequestException:
            pass  # Another thread reads it, or it broke behind the answer: it is closed like any other.
        self._stream.close()

    def _seen_whole(self) -> bool:
        """Tell whether what was handed on is the whole answer; many stop at [DONE], or before."""
        seen = self._piece[: self._at]
        if not _finished(self._stream) and _WHOLE.search(seen):
            # Several events came at once, of which the stream has told one.
            for _ in itertools.islice(self._stream, len(_EVENT.findall(seen))):
                if _finished(self._stream):
                    break
        return _finished(self._stream)


def _finished(stream: Stream) -> bool:
    return stream._joiner.finished


class _Replayed(_Body):
    """A body that was read, and what of it was not.

    :param first: what was read.
    :param rest: reads on; None if there is no more.
    :param error: what broke it off, raised again behind it; None if it is whole.
    """

    def __init__(self, first: bytes, rest: Tee | None = None, error: Exception | None = None) -> None:
        super().__init__(first)
        self._rest = rest
        self._error = error

    def _more(self) -> bytes:
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                # With its traceback it holds this frame.
                del error
        if self._rest is None:
            return super()._more()
        self._rest.read1(_PIECE)
        return self._rest.take()

    def _leave(self) -> None:
        if self._rest is not None:
            self._rest.let_go()


class Raw(HTTPResponse):
    """A ``raw`` of whatever framing, each of whose ways to read hands out what there is as soon as it is there."""

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Return some bytes, at most ``amt``; all of them for None. b"" is the end."""
        if amt is not None and amt >= 0:
            return self.read1(amt)
        content = b"".join(self.stream())
        if cache_content:
            self._body = content
        return content

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Return what there is, at most ``amt`` bytes."""
        body: Any = self._fp
        if body.closed or amt == 0:
            return b""
        piece: bytes = body.read1(-1 if amt is None else amt)
        self._fp_bytes_read += len(piece)
        return piece

    def stream(self, amt: int | None = _PIECE, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """Yield what there is, as soon as it is there, until the end."""
        while piece := self.read1(amt):
            yield piece

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """Yield what there is, likewise: the chunks that were sent are undone."""
        yield from self.stream(amt)


def replayed(reply: Reply, *, rest: bool = False, error: Exception | None = None) -> requests.Response:
    """Return a response whose body was read, to be read again, as far as it came.

    :param rest: whether to read on where it was not read to its end.
    :param error: what broke it off, raised again behind it; None if it is whole.
    """
    return _handed(reply, _Replayed(reply.tee.take(), reply.tee if rest else None, error))


def read(reply: Reply) -> requests.Response:
    """Return a response whose body was read to its end, as a session leaves one that it has read itself."""
    raw = reply.response.raw
    if not reply.home or not isinstance(raw, HTTPResponse):
        handed = replayed(reply)
        _ = handed.content
        return handed
    handed = _like(reply.response)
    handed._content, handed._content_consumed = reply.tee.take(), True  # type: ignore[attr-defined]  # how requests says "read"
    return handed


def running(reply: Reply, stream: Stream) -> requests.Response:
    """Return a response whose body is a stream that was begun, guarded on, and handed on as it was received.

    :param stream: the stream, whose connection is read through the reply's ``tee``.
    :raises StreamInterrupted: from its body, when the stream breaks, after the bytes that came.
    """
    handed = _handed(reply, _Running(stream, reply.tee))
    if handed.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
        # The standard knows no other; requests would take Latin-1.
        handed.encoding = "utf-8"
    return handed


def made(content: bytes, content_type: str, url: str) -> requests.Response:
    """Return a response that no server sent."""
    response = requests.Response()
    response.status_code = 200
    response.reason = "OK"
    response.url = url
    response.headers["Content-Type"] = content_type
    response.encoding = "utf-8"
    return _with_body(response, _Replayed(content))


def _handed(reply: Reply, body: _Body) -> requests.Response:
    handed = _with_body(reply.response, body)
    if reply.home:
        # Where requests looks for cookies, which it takes to be of the host that was called.
        handed.raw._original_response = getattr(reply.response.raw, "_original_response", None)
    return handed


def _like(response: requests.Response) -> requests.Response:
    """Return the like of a response; the other one may be kept by whatever has made it."""
    like = requests.Response()
    like.__dict__.update(response.__dict__)
    like.headers = response.headers.copy()
    return like


def _with_body(response: requests.Response, body: _Body) -> requests.Response:
    """Return the like of a response with another body."""
    handed = _like(response)
    handed._content, handed._content_consumed = False, False  # type: ignore[attr-defined, assignment]  # how requests says "unread"
    raw = response.raw
    of_wire = raw if isinstance(raw, BaseHTTPResponse) else None
    headers = HTTPHeaderDict(handed.headers if of_wire is None else of_wire.headers)
    for name in _DONE:
        headers.discard(name)
    handed.raw = Raw(
        body=body,
        headers=headers,
        status=handed.status_code,
        reason=handed.reason,
        version=0 if of_wire is None else of_wire.version,
        version_string="HTTP/?" if of_wire is None else of_wire.version_string,
        preload_content=False,
        decode_content=False,
        retries=None if of_wire is None else of_wire.retries,
        request_url=None if of_wire is None else of_wire.url,
    )
    return handed
