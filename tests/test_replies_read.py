"""A reply, its head and its chunks: what is read in one go is what http.client would have read."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Sequence
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orfallback._clock import SystemClock
from orfallback._head import plain
from orfallback._sockets import _Response
from orfallback._watch import Watch

BODY = b'{"a": 1}'
OF_MAIL = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect)
PLAIN = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: 8\r\nX-A: \t b  \r\nVary:\r\n\r\n"


class Sent(io.RawIOBase):
    """What a server sent, as it comes.

    :param pieces: what comes at a time.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if piece[count:]:
            self._pieces.insert(0, piece[count:])
        return count


class Socket:
    """As much of a socket as a response needs."""

    def __init__(self, *pieces: bytes) -> None:
        self._sent = Sent(pieces)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return what was sent."""
        return io.BufferedReader(self._sent)

    def recv_into(self, buffer: Any) -> int:
        """Receive what was sent."""
        return self._sent.readinto(buffer)

    def gettimeout(self) -> None:
        """Tell that there is none."""

    def settimeout(self, seconds: float) -> None:
        """Do nothing."""


def began(response: http.client.HTTPResponse) -> Any:
    """Return all that a response knows when it has begun, and what stands behind it; or what it raises."""
    try:
        response.begin()
    except http.client.HTTPException as error:
        return type(error), str(error)
    names = ("status", "code", "reason", "version", "chunked", "chunk_left", "length", "will_close")
    facts = {name: getattr(response, name) for name in names}
    # A mail of several parts would have them right here; of a reply's head that says nothing.
    defects = {type(defect) for defect in response.headers.defects} - set(OF_MAIL)
    return facts, response.headers.items(), defects, response.fp.read()


def responses(*sent: bytes, method: str = "POST") -> tuple[_Response, http.client.HTTPResponse]:
    """Return a response of ours and one of http.client's to what was sent."""
    ours, theirs = Socket(*sent), Socket(*sent)
    watch = Watch(SystemClock(), float("inf"), None)
    return (
        _Response(ours, watch, method=method),  # type: ignore[arg-type]  # a socket as far as it goes
        http.client.HTTPResponse(theirs, method=method),  # type: ignore[arg-type]  # likewise
    )


def both(sent: bytes, method: str = "POST") -> tuple[Any, Any]:
    """Return what a response of ours knows, and one of http.client's."""
    ours, theirs = responses(sent, method=method)
    return began(ours), began(theirs)


LINES = [
    b"Content-Length: 8", b"content-length:3", b"Content-Length: 08", b"Content-Length: +8", b"Content-Length: -1",
    b"Content-Length: 8, 8", b"Content-Length:", b"Content-Length: 1_0", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: CHUNKED", b"transfer-encoding: gzip, chunked",
    b"Transfer-Encoding:", b"Connection: close", b"Connection: Keep-Alive", b"connection: x, CLOSE", b"Connection:",
    b"Content-Type: application/json", b"Content-Type: multipart/mixed; boundary=a", b"X-Empty:", b"X-Blank: \t ",
    b"X-Wide:   a  b\t", b" folded", b"\tfolded", b"No colon", b": no name", b"X Space: a", b"X-Space : a",
    b"X-Utf: \xc3\xa4", b"X-Nul: \x00", b"X-Bell: \x07", b"X-Cr: a\rb", b"X-Line: a\x0bb\x85c", b"From me", b"From: me",
    b"Set-Cookie: a=b", b"Set-Cookie: c=d", b'X-Quote: "a:b"', b"X!#$%&'*+.^_`|~9: a",
]  # fmt: skip
STARTS = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200  Very  well ", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 302 Found", b"HTTP/1.1 502 Bad Gateway", b"HTTP/1.1 429 Too Many",
    b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.0 200 OK", b"HTTP/1.1 999 Odd", b"HTTP/1.1 20 Odd",
    b"HTTP/1.1 2000 Odd", b"HTTP/2 200", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200 \xe4", b"ICY 200 OK", b"", b"nonsense",
]  # fmt: skip
ENDS = [b"\r\n", b"\n", b"\r\r\n"]


@given(
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES), max_size=8),
    st.sampled_from(ENDS),
    st.sampled_from(ENDS),
    st.sampled_from(["POST", "GET", "HEAD"]),
)
def test_a_head_is_that_of_http_client(start: bytes, lines: list[bytes], end: bytes, last: bytes, method: str) -> None:
    """Whatever a server sends for a head, plain or not, is read as http.client reads it, and nothing behind it."""
    sent = start + end + b"".join(line + end for line in lines) + last + BODY
    # Two of these are passed over as no replies yet, by ours alone; then both come to the end of what was sent.
    if b" 103 " not in start:
        ours, theirs = both(sent, method)
        assert ours == theirs


@given(st.binary(max_size=60), st.integers(0, len(PLAIN)))
def test_any_bytes_in_a_head(odd: bytes, at: int) -> None:
    """Any bytes anywhere in a plain head, which may make it one that is not: likewise."""
    ours, theirs = both(PLAIN[:at] + odd + PLAIN[at:] + BODY)
    if b"HTTP/1.1 10" not in odd:
        assert ours == theirs


def test_what_servers_send_is_plain() -> None:
    """A usual head is read in one go, whole or chunked; one that is not there yet is not."""
    head = plain(PLAIN + BODY)
    assert head is not None
    assert (head.status, head.reason, head.length, head.chunked, head.closes) == (200, "OK", 8, False, False)
    assert (PLAIN + BODY)[head.size :] == BODY
    assert head.headers.items()[2:] == [("X-A", "b  "), ("Vary", "")]
    chunked = plain(PLAIN.replace(b"Content-Length: 8", b"Transfer-Encoding: chunked"))
    assert chunked is not None
    assert (chunked.length, chunked.chunked, chunked.closes) == (None, True, False)
    assert [plain(PLAIN[:end]) for end in range(len(PLAIN))] == [None] * len(PLAIN)


@pytest.mark.parametrize(
    "held",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b" " * 500_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 80_000,
        b"HTTP/1.1 200 " + b" " * 500_000,
        b"HTTP/1.1 200 OK\r\n" + b"a" * 500_000,
    ],
    ids=["blanks", "lines", "reason", "name"],
)
def test_a_head_without_end_costs_no_time(held: bytes) -> None:
    """A head made to be slow to search is searched once: some milliseconds, ten times which is the bound here."""
    began_at = time.perf_counter()
    assert plain(held) is None
    assert time.perf_counter() - began_at < 0.5


# -- chunks --

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZES = [b"%x\r\n", b"%X\r\n", b"%05x\r\n", b"%x ;a=b\r\n", b"%x\n", b" %x\r\n"]
LASTS = [
    b"0\r\n\r\n", b"0\r\n\r\nHTTP/1.1 200 OK", b"0\r\nX: a\r\n\r\n", b"000\r\n\r\n", b"0\r\n", b"", b"5\r\nab", b"ff",
    b"no size\r\n", b"\r\n0\r\n\r\n", b"3\r\nabcX", b"3\r\nabcde3\r\nfgh\r\n0\r\n\r\n",
    b"fffffffff\r\nab", b"0x3\r\nabc\r\n", b"3_0\r\nabc\r\n",
]  # fmt: skip


def body_of(response: http.client.HTTPResponse, size: int) -> tuple[bytes, str, bool, bytes]:
    """Return a body that is read so much at a time, how it ended, whether it is closed, and what stands behind it."""
    response.begin()
    file, body = response.fp, b""
    try:
        while piece := response.read1(size):
            assert len(piece) <= size
            body += piece
    except http.client.HTTPException as error:
        return body, type(error).__name__, response.isclosed(), b""
    return body, "", response.isclosed(), b"" if file.closed else file.read()


@given(
    st.lists(st.tuples(st.sampled_from(SIZES), st.binary(min_size=1, max_size=40)), max_size=8),
    st.sampled_from(LASTS),
    st.lists(st.integers(0, 500), max_size=12),
    st.sampled_from([1, 7, 64, 65536]),
)
def test_chunks_are_those_of_http_client(
    chunks: list[tuple[bytes, bytes]], last: bytes, cuts: list[int], size: int
) -> None:
    """However a body is written in chunks, cut by the network and broken, it is read as http.client reads it."""
    sent = b"".join(form % len(data) + data + b"\r\n" for form, data in chunks) + last
    edges = sorted({0, len(sent), *(cut % (len(sent) + 1) for cut in cuts)})
    pieces = [sent[start:end] for start, end in pairwise(edges)]
    ours, theirs = (body_of(response, size) for response in responses(CHUNKED, *pieces))
    assert ours == theirs


def test_chunks_are_read_as_soon_as_they_are_there() -> None:
    """Chunks that came together are read together, and none waits for the next."""
    ours, _ = responses(CHUNKED, b"1\r\na\r\n2\r\nbc\r\n3\r\nd", b"e", b"f\r\n1\r\ng\r\n", b"0\r\n\r\n")
    ours.begin()
    assert [ours.read1(65536) for _ in range(6)] == [b"abc", b"d", b"e", b"f", b"g", b""]
