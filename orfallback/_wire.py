"""One request, and what came back: the only place that knows the exceptions of sockets.

A fault of the wire never leaves as an exception: it becomes an :class:`Outcome`. What cannot be an answer is closed
before the outcome is returned; an open stream is its receiver's to close.
"""

from __future__ import annotations

import math
import re
from typing import Any

from orfallback import _reply
from orfallback._chunks import Broken, Chunks
from orfallback._clock import Clock
from orfallback._exchange import BODY_LIMIT, REFUSAL_LIMIT, Exchange
from orfallback._faults import WIRE_ERRORS, Cut, cut_by
from orfallback._request import Request
from orfallback._text import clean
from orfallback._transport import Sends
from orfallback._types import Outcome, Timeouts, UpstreamError
from orfallback._verdict import Fault
from orfallback._watch import Watch

# How long a refused body may take to be read, so that its connection can be kept (s).
_REFUSAL_SECONDS = 5.0
# What may stand before a reply or a stream: the bytes of a byte order mark, and white space.
_BEFORE = b"\xef\xbb\xbf \t\r\n"


class Wire:
    """Asks one target once.

    :param transport: what sends.
    :param timeouts: the limits.
    :param clock: the chain's clock.
    :param limit: the most bytes of a whole reply, decoded.
    """

    def __init__(self, transport: Sends, timeouts: Timeouts, clock: Clock, limit: int = BODY_LIMIT) -> None:
        self._limit = limit
        self.transport = transport
        self._timeouts = timeouts
        self._clock = clock

    def ask(self, request: Request, *, stream: bool, deadline: float) -> Outcome:
        """Send a request, and return what came back.

        :param request: what to send, and where.
        :param stream: whether to read the reply as a stream; then the outcome of a good one holds an open
            :class:`Chunks`, with its first content at hand.
        :param deadline: the instant on the chain's clock by which the call ends.
        """
        watch = Watch(self._clock, deadline, self._timeouts.connect)
        exchange = Exchange(self._clock, watch, request)
        limits = self._timeouts
        if stream:
            watch.allow("first_token", limits.first_token)
            watch.patience = max(_or_inf(limits.first_token), _or_inf(limits.idle))
        else:
            watch.allow("answer", limits.answer)
            watch.patience = _or_inf(limits.answer)
        cut = self._post(exchange, request)
        if cut is not None:
            return exchange.outcome(fault=cut.fault, detail=cut.detail)
        try:
            if not exchange.good:
                return _refusal(exchange)
            if stream:
                return _open(exchange, self._timeouts.idle)
            return _whole(exchange, limit=self._limit)
        except BaseException:
            exchange.close()
            raise

    def _post(self, exchange: Exchange, request: Request) -> Cut | None:
        cut = self._send(exchange, request)
        if cut is not None and cut.stale:
            exchange.resent = True
            cut = self._send(exchange, request)
        return cut

    def _send(self, exchange: Exchange, request: Request) -> Cut | None:
        try:
            exchange.begin(self.transport.send(request, exchange.watch))
        except WIRE_ERRORS as error:
            return cut_by(error, exchange.watch)
        return None


def _or_inf(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


# -- whole replies --


def _refusal(exchange: Exchange) -> Outcome:
    """Read the body of a bad status, bounded, so that its connection can be used again."""
    exchange.watch.allow("answer", min(_REFUSAL_SECONDS, exchange.watch.remaining()))
    pieces: list[bytes] = []
    try:
        pieces.extend(exchange.chunks(REFUSAL_LIMIT))
    except Cut:
        pass  # The status has been read, and says enough.
    exchange.close()
    content = exchange.scrub(b"".join(pieces))
    try:
        body = _reply.decode(content)
    except _reply.NotJSON:
        return exchange.outcome(content=content, error=UpstreamError(message=_describe(content)))
    return exchange.outcome(body, content=content, error=_reply.refusal_in(body))


def _whole(exchange: Exchange, head: bytes = b"", limit: int = BODY_LIMIT) -> Outcome:
    """Read one reply."""
    # Not in pieces, which may be of one byte each: only once, and nothing besides.
    content = bytearray(head)
    try:
        for piece in exchange.chunks(limit):
            content += piece
    except Cut as cut:
        exchange.close()
        return _malformed(exchange, bytes(content[:REFUSAL_LIMIT]), cut.fault, cut.detail)
    exchange.close()
    start = bytes(content[:REFUSAL_LIMIT])
    try:
        body = _reply.decode(content)
    except _reply.TooManyValues as error:
        return _malformed(exchange, start, Fault.TOO_LARGE, str(error))
    except _reply.NotJSON:
        # Not quoted: it may be half an answer.
        what = _page(start) or f"{len(content)} bytes"
        return _malformed(exchange, start, Fault.MALFORMED, f"not JSON: {what}")
    if not isinstance(body, dict):
        return _malformed(exchange, start, Fault.MALFORMED, "no JSON object")
    error_told = _reply.error_in(body)
    if error_told is not None:
        start = exchange.scrub(start)
        body = _decoded_again(start, body)
        error_told = _reply.error_in(body)
    return exchange.outcome(body, content=start, error=error_told, value=body)


def _malformed(exchange: Exchange, start: bytes, fault: Fault, detail: str) -> Outcome:
    return exchange.outcome(content=exchange.scrub(start), fault=fault, detail=detail)


def _decoded_again(scrubbed: bytes, body: Any) -> Any:
    """Return a body after it was scrubbed; as it was, if it was too long to be scrubbed whole."""
    try:
        return _reply.decode(scrubbed)
    except _reply.NotJSON:
        return body


def _describe(content: bytes) -> str:
    """Say what the body of a refusal is that is not JSON, without handing on a page."""
    return _page(content) or clean(content[:1000].decode(errors="replace"))


def _page(content: bytes) -> str:
    """Say what a body is that is nothing, or a page; "" for anything else."""
    if not content.strip():
        return "an empty body"
    if not _reply.is_page(content):
        return ""
    title = re.search(rb"<title[^>]*>([^<]{1,200})", content[:4096], re.IGNORECASE)
    return f"an HTML page: {clean(title[1].decode(errors='replace'))}" if title else "an HTML page"


# -- streams --


def _open(exchange: Exchange, idle: float | None) -> Outcome:
    """Read a stream as far as its first content, or as what it is if it is no stream."""
    try:
        head = _first_bytes(exchange)
    except Cut as cut:
        exchange.close()
        return exchange.outcome(fault=cut.fault, detail=cut.detail)
    if head.lstrip(_BEFORE)[:1] in (b"{", b"[", b"<"):
        return _unstreamed(_whole(exchange, head), exchange)
    chunks = Chunks(exchange, head, idle)
    try:
        return chunks.commit()
    except Broken as broken:
        chunks.close()
        return broken.outcome


def _first_bytes(exchange: Exchange) -> bytes:
    """Read until something other than white space, or a byte order mark and its parts, came."""
    head = bytearray()
    for piece in exchange.chunks(BODY_LIMIT):
        head += piece
        if piece.strip(_BEFORE):
            break
        if len(head) > REFUSAL_LIMIT:
            raise Cut(Fault.TOO_LARGE, f"more than {REFUSAL_LIMIT} bytes of nothing came")
    return bytes(head)


def _unstreamed(outcome: Outcome, exchange: Exchange) -> Outcome:
    """Give a whole reply the form of a stream: some servers do not know ``stream``."""
    if outcome.value is None:
        return outcome
    chunks = Chunks.of_reply(exchange, outcome.body)
    return chunks.outcome(outcome.body, content=outcome.content, error=outcome.error, value=chunks)
