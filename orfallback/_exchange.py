"""One request and its reply, read under the attempt's clock and within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import requests
from urllib3.response import BaseHTTPResponse, HTTPResponse

from orfallback import _reply
from orfallback._clock import Clock
from orfallback._faults import WIRE_ERRORS, Cut, cut_by
from orfallback._request import Request
from orfallback._scrub import scrub
from orfallback._secret import TELLING
from orfallback._sockets import past_urllib3
from orfallback._tee import Tee
from orfallback._types import Outcome
from orfallback._verdict import Fault
from orfallback._watch import Watch

#: The most bytes of a reply or stream, and of a body that is refused; decoded.
BODY_LIMIT = 64 * 1024 * 1024
REFUSAL_LIMIT = 64 * 1024
_READ_SIZE = 64 * 1024


class Exchange:
    """One request and its reply, as far as it has come.

    :param clock: the chain's clock.
    :param watch: the attempt's.
    :param request: what is sent.
    :ivar status: the HTTP status, or None if there is no reply yet.
    :ivar headers: the reply's headers.
    :ivar resent: whether a stale connection made it be sent twice.
    :ivar bytes: decoded bytes of the body read so far.
    """

    def __init__(self, clock: Clock, watch: Watch, request: Request) -> None:
        self.clock = clock
        self.watch = watch
        self.request = request
        self.started = clock.monotonic()
        self.resent = False
        self.bytes = 0
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self._packed = False
        self._response: requests.Response | None = None
        self._read_on: Callable[[], bytes] = _nothing
        # Whether what is read is in time without a look at the clock: the socket has looked, or it was read before.
        self._in_time = False
        # Whether it is known before how long the body is.
        self._counted = False
        self._sent_with: Mapping[str, str | bytes] = {}

    def begin(self, response: requests.Response) -> None:
        """Take the reply, whose headers are there and whose body is unread."""
        self._response = response
        self.status = response.status_code
        self.headers = response.headers
        self._packed = "Content-Encoding" in self.headers
        # With the headers that an application's own session put there; one that a test double made has no request.
        self._sent_with = getattr(response.request, "headers", None) or {}
        raw = response.raw
        self._counted = isinstance(raw, HTTPResponse) and not self._packed and raw.length_remaining is not None
        self._in_time = True
        # What a session's hook or adapter has read stands in the response, and no longer on the socket.
        read = getattr(response, "_content", False)
        if isinstance(read, bytes):
            self._read_on = partial(next, iter([read]), b"")
            return
        straight = past_urllib3(raw, _READ_SIZE) if isinstance(raw, HTTPResponse) and not self._packed else None
        if straight is not None:
            self._read_on = straight
            return
        self._in_time = False
        # Of all ways to read, the only one that is prompt whatever the framing.
        if isinstance(raw, (BaseHTTPResponse, Tee)):
            self._read_on = partial(raw.read1, _READ_SIZE, decode_content=self._packed)
        else:
            self._read_on = _nothing if raw is None else partial(raw.read, 1)

    @property
    def good(self) -> bool:
        """Whether the reply has a good status."""
        return self.status is not None and self.status // 100 == 2

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Yield the decoded body as it comes, each piece as soon as it is there.

        :raises Cut: when it breaks off, takes too long or grows past ``limit`` bytes.
        """
        if "," in self.headers.get("Content-Encoding", ""):
            # A few bytes packed twice over can unpack to hours of nothing, within one read and past every limit.
            raise Cut(Fault.MALFORMED, "the body is packed more than once")
        while piece := self.read():
            if self.bytes > limit:
                raise Cut(Fault.TOO_LARGE, f"the body is larger than {limit} bytes")
            yield piece
            if self._counted and self._at_its_end():
                return

    def read(self) -> bytes:
        """Return the next piece of the body; b"" at its end."""
        try:
            piece = self._read_on()
        except WIRE_ERRORS as error:
            raise cut_by(error, self.watch) from None
        if not self._in_time and piece and self.watch.remaining() <= 0:
            raise Cut(Fault.TIMEOUT, self.watch.what_ran_out())
        self.bytes += len(piece)
        return piece

    def _at_its_end(self) -> bool:
        """Tell whether a body whose length was told is read, so that it needs no further read to learn that."""
        raw = None if self._response is None else self._response.raw
        return isinstance(raw, HTTPResponse) and raw.length_remaining == 0 and raw.closed

    def interrupt(self) -> None:
        """Wake a thread that waits for the body; only this may be called by another thread."""
        raw = None if self._response is None else self._response.raw
        if isinstance(raw, (BaseHTTPResponse, Tee)):
            try:
                raw.shutdown()
            except (OSError, RuntimeError, ValueError, AttributeError):
                return  # Nobody waits any more: the connection is closed, or given back.

    def scrub(self, content: bytes) -> bytes:
        """Return a body that is no answer without the key and the messages, should the server send them back."""
        return scrub(content, self.request, self._sent_with)

    def _shown(self, name: str | None) -> str | None:
        """Return a name of a reply that goes into records, without the key, should the server send it back there."""
        secret = self.request.secret
        if name is None or secret is None or secret.reveal()[:TELLING] not in name:
            return name
        return self.scrub(name.encode(errors="replace")).decode(errors="replace")

    def close(self) -> None:
        """Close the connection, unless its reply was read to the end: then it is kept already."""
        response, self._response = self._response, None
        self._read_on = _nothing
        # One without a body is what an adapter may make that answers by itself; requests stumbles over it.
        if response is not None and response.raw is not None:
            response.close()

    def outcome(self, body: Any = None, **more: Any) -> Outcome:
        """Return the outcome of the exchange, with what the body says of itself."""
        model, provider, usage, generation = _reply.facts(body)
        return Outcome(
            status=self.status,
            headers=self.headers,
            body=body,
            model=self.request.model,
            url=self.request.url,
            received=self.clock.time(),
            served_model=self._shown(model),
            provider=self._shown(provider),
            usage=usage,
            generation_id=self._shown(self.headers.get("X-Generation-Id") or generation),
            bytes=self.bytes,
            resent=self.resent,
            **more,
        )


def _nothing() -> bytes:
    return b""
